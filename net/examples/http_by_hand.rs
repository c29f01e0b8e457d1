//! A page with a picture. The one idea: **a protocol is bytes that two sides
//! agree on**; a reply of HTTP is a status line, fields, an empty line, and as
//! many bytes as `Content-Length` promised. `hythe_wire::http` knows the rest.
//!
//! A browser opens connections in reserve, so a server that takes one at a time
//! hangs. This one has a loop per core; its handler reads as if it were alone.
//!
//! `cargo run -p hythe-net --example http_by_hand`, then a browser

use std::{env, io};

use hythe_net::{Connection, Model, More, Server};

const PAGE: &[u8] = b"<!DOCTYPE html>\n<title>By hand</title>\n\
    <h1>Written by hand</h1>\n<img src=\"/test.jpg\" alt=\"A boat\">\n";
const PICTURE: &[u8] = include_bytes!("assets/test.jpg");
/// The longest head in bytes: what nginx and Apache take by default, too.
const MAX_HEAD: usize = 8192;

/// The status with its own fields, the media type, and the body.
fn answer(head: &[u8]) -> (&'static str, &'static str, &'static [u8]) {
    let head = String::from_utf8_lossy(head);
    let words: Vec<_> = head.lines().next().unwrap_or_default().split(' ').collect();
    match words[..] {
        _ if !head.contains("\r\n\r\n") => {
            ("431 Request Header Fields Too Large", "text/plain", b"")
        }
        ["GET", "/", _] => ("200 OK", "text/html", PAGE),
        ["GET", "/test.jpg", _] => ("200 OK", "image/jpeg", PICTURE),
        ["GET", _, _] => ("404 Not Found", "text/plain", b"There is no such page.\n"),
        [_, _, _] => ("405 Method Not Allowed\r\nAllow: GET", "text/plain", b""),
        _ => ("400 Bad Request", "text/plain", b"That is not HTTP.\n"),
    }
}

async fn serve(Connection { stream, .. }: Connection) -> io::Result<()> {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    while head.len() < MAX_HEAD && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.recv(&mut buffer).await? {
            0 => return Ok(()),
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let (status, kind, body) = answer(&head);
    let fields = format!("Content-Type: {kind}\r\nContent-Length: {}", body.len());
    let head = format!("HTTP/1.1 {status}\r\n{fields}\r\nConnection: close\r\n\r\n");
    stream.send_all(head.as_bytes(), More::Follows).await?;
    stream.send_all(body, More::No).await?;
    stream.close().await; // as in `one_reply`, with more patience
    Ok(())
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8000");
    let server = Server::new(Model::cores()).listen(&address.parse()?, serve)?;
    println!("listening on {}", server.addresses()[0]);
    server.serve()
}
