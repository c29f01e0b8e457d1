//! Saves what a URL names. The one idea: **the head says how the body ends**:
//! after so many bytes, with an empty chunk, or where the connection does (RFC
//! 9112 section 6). Only the first two tell a whole file from one cut off.
//!
//! `cargo run -p hythe-net --example http_get -- http://127.0.0.1:8000/ FILE`

use std::io::{self, BufRead, BufReader, Error, Read, Write};
use std::{env, fs::File, net::TcpStream, os::fd::OwnedFd, time::Duration};

use hythe_net::{More, dial};
use hythe_wire::http::{Body, Chunked, FieldStorage, Head, MAX_HEAD, Method, Response, Step};

fn main() -> io::Result<()> {
    let words: Vec<_> = env::args().skip(1).collect();
    let url = words.first().and_then(|url| url.strip_prefix("http://"));
    let url = url.filter(|url| !url.contains(char::is_whitespace));
    let usage = || Error::other("usage: http_get http://HOST[:PORT]/PATH FILE");
    let (url, file) = url.zip(words.get(1)).ok_or_else(usage)?;
    let url = url.split('#').next().unwrap_or_default(); // what follows is not for the server
    let (host, path) = url.split_once('/').unwrap_or((url, ""));
    let is_bare = host.rfind(':') <= host.rfind(']'); // `[::1]` names no port
    let port = if is_bare { ":80" } else { "" };
    let socket = dial(&[host, port].concat(), Some(Duration::from_secs(30)), None)?;
    let mut request = Vec::new();
    let head = Head::request(&mut request, Method::Get, format!("/{path}").as_bytes());
    let head = head.field("Host", host.as_bytes());
    head.field("Connection", b"close").finish();
    socket.send(&request, More::No)?;
    // A socket is a descriptor: the standard library's streams can take it over.
    let mut input = BufReader::new(TcpStream::from(OwnedFd::from(socket)));
    let (mut head, mut status, mut body) = (Vec::new(), 100, Body::None);
    while status < 200 {
        head.clear(); // of an interim response, which only says that the final one will come
        let (mut storage, mut lines) = (FieldStorage::new(), input.by_ref().take(MAX_HEAD as u64));
        while !head.ends_with(b"\n\r\n") && lines.read_until(b'\n', &mut head)? > 0 {}
        let parsed = Response::parse(&head, Method::Get, &mut storage).map_err(Error::other)?;
        let (response, _) = parsed.ok_or_else(|| Error::other("the head was cut off"))?;
        (status, body) = (response.status, response.body);
    }
    io::stdout().write_all(&head)?;
    save(input, body, File::create(file)?)
}

fn save(mut input: BufReader<TcpStream>, body: Body, mut file: File) -> io::Result<()> {
    let mut chunked = Chunked::new();
    while body == Body::Chunked && !chunked.is_done() && !input.fill_buf()?.is_empty() {
        let Step { data, consumed, .. } = chunked.decode(input.buffer()).map_err(Error::other)?;
        file.write_all(data)?;
        input.consume(consumed);
    }
    let is_whole = match body {
        Body::None => true,
        Body::Length(length) => io::copy(&mut input.take(length), &mut file)? == length,
        Body::UntilClose => io::copy(&mut input, &mut file).map(|_| true)?,
        Body::Chunked => chunked.is_done(),
    };
    let cut_off = || Error::other("the body was cut off");
    is_whole.then_some(()).ok_or_else(cut_off)
}
