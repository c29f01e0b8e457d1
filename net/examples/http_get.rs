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
    let (Some(url), Some(file)) = (url, words.get(1)) else {
        return Err(Error::other("usage: http_get http://HOST[:PORT]/PATH FILE"));
    };
    let (host, path) = url.split_once('/').unwrap_or((url, ""));
    let is_bare = host.rfind(':') <= host.rfind(']'); // `[::1]` names no port
    let port = if is_bare { ":80" } else { "" };
    let timeout = Some(Duration::from_secs(30));
    let socket = dial(&format!("{host}{port}"), timeout, None)?;

    let mut request = Vec::new();
    let head = Head::request(&mut request, Method::Get, format!("/{path}").as_bytes());
    let head = head.field("Host", host.as_bytes());
    head.field("Connection", b"close").finish();
    socket.send(&request, More::No)?;

    // A socket is a descriptor: the standard library's streams can take it over.
    let mut input = BufReader::new(TcpStream::from(OwnedFd::from(socket)));
    let (mut head, mut storage) = (Vec::new(), FieldStorage::new());
    let mut lines = input.by_ref().take(MAX_HEAD as u64);
    while !head.ends_with(b"\n\r\n") && lines.read_until(b'\n', &mut head)? > 0 {}
    io::stdout().write_all(&head)?;
    let parsed = Response::parse(&head, Method::Get, &mut storage).map_err(Error::other)?;
    let (response, _) = parsed.ok_or_else(|| Error::other("the head was cut off"))?;
    match save(input, response.body, File::create(file)?)? {
        true => Ok(()),
        false => Err(Error::other("the body was cut off")),
    }
}

/// Whether the body came to its end.
fn save(mut input: BufReader<TcpStream>, body: Body, mut file: File) -> io::Result<bool> {
    let mut chunked = Chunked::new();
    while body == Body::Chunked && !chunked.is_done() && !input.fill_buf()?.is_empty() {
        let Step { data, consumed, .. } = chunked.decode(input.buffer()).map_err(Error::other)?;
        file.write_all(data)?;
        input.consume(consumed);
    }
    match body {
        Body::None => Ok(true),
        Body::Length(length) => Ok(io::copy(&mut input.take(length), &mut file)? == length),
        Body::UntilClose => io::copy(&mut input, &mut file).map(|_| true),
        Body::Chunked => Ok(chunked.is_done()),
    }
}
