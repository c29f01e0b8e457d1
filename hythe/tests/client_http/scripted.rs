//! Servers that say what they were told to, whatever they are asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::PATIENCE;

/// A server of so many connections, and what it was asked.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

/// What is answered on one connection, one after the other. Then it is closed.
pub(crate) type Answers = Vec<Vec<u8>>;

impl Scripted {
    pub(crate) fn new(connections: Vec<Answers>) -> Self {
        Self::with(connections.len(), move |index, stream, seen| {
            for answer in &connections[index] {
                let Some(request) = read_request(stream) else {
                    return;
                };
                seen(request);
                if stream.get_mut().write_all(answer).is_err() {
                    return;
                }
            }
        })
    }

    /// One connection for each answer.
    pub(crate) fn each(answers: &[&[u8]]) -> Self {
        Self::new(answers.iter().map(|answer| vec![answer.to_vec()]).collect())
    }

    /// One answer.
    pub(crate) fn one(answer: impl AsRef<[u8]>) -> Self {
        Self::each(&[answer.as_ref()])
    }

    /// What is done on each of so many connections, by a thread of its own.
    pub(crate) fn with(
        connections: usize,
        serve: impl Fn(usize, &mut BufReader<TcpStream>, &dyn Fn(String)) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let serve = Arc::new(serve);
        thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                for index in 0..connections {
                    let (stream, _) = listener.accept().unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let (serve, seen) = (Arc::clone(&serve), Arc::clone(&seen));
                    thread::spawn(move || {
                        let mut stream = BufReader::new(stream);
                        serve(index, &mut stream, &|text| seen.lock().unwrap().push(text));
                        let mut stream = stream.into_inner();
                        stream.shutdown(Shutdown::Write).ok();
                        // So that what was sent is not lost with the rest.
                        std::io::copy(&mut stream, &mut std::io::sink()).ok();
                    });
                }
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests so far, each with its body.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// A request with its body, as text; `None` at the end.
pub(crate) fn read_request(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let head = read_head(stream)?;
    let body = read_body(stream, &head)?;
    Some(format!("{head}{}", String::from_utf8_lossy(&body)))
}

pub(crate) fn read_head(stream: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.split("\r\n\r\n").next()?.lines();
    let mut fields = lines.filter_map(|line| line.split_once(": "));
    let found = fields.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

fn read_body(stream: &mut BufReader<TcpStream>, head: &str) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = field(head, "Content-Length") {
        body.resize(length.parse().unwrap(), 0);
        stream.read_exact(&mut body).ok()?;
    } else if field(head, "Transfer-Encoding").is_some() {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok()?;
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            let begin = body.len();
            body.resize(begin + length + 2, 0);
            stream.read_exact(&mut body[begin..]).ok()?;
            body.truncate(begin + length);
            if length == 0 {
                break;
            }
        }
    }
    Some(body)
}
