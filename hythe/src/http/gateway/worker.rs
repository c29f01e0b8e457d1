//! [`Worker`]: a FastCGI server, at work on one request.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ::http::StatusCode;
use bytes::{Buf as _, Bytes};
use hythe_net::reactor::{now, timeout};
use hythe_net::{Addr, More, Patience, Stream};
use hythe_wire::fastcgi::{self, Answer, Ended, Event, MAX_CONTENT, Params};
use hythe_wire::http::cgi::Variable;

use super::{Application, Feeding, PIECE, bad_gateway, overloaded};
use crate::http::{Error, Request};
use crate::process::Complaints;
use crate::visible::without_number;

/// How long a connection may take: the server is on this machine, or near it.
const CONNECTING: Duration = Duration::from_secs(10);

/// Whose time is looked after here: a stream's clock does not know whose turn it is.
const ENDLESS: Patience = Patience {
    idle: Duration::MAX,
    bytes: usize::MAX,
};

/// A connection with a FastCGI server, and what it has still to say.
pub(super) struct Worker {
    name: String,
    stream: Rc<Stream>,
    answer: Answer,
    /// What has come and was not looked at.
    input: Bytes,
    complaints: Complaints,
    feeding: Feeding,
    patience: Duration,
    /// When something last moved, to it or from it.
    moved: Rc<Cell<Instant>>,
}

impl Worker {
    /// Hands a request to the server.
    pub(super) async fn ask(
        server: &[Addr],
        name: String,
        variables: Vec<Variable>,
        request: Request,
        patience: Duration,
    ) -> Result<Self, Error> {
        let mut head = Vec::new();
        fastcgi::begin(&mut head);
        let mut params = Params::new(&mut head);
        for (name, value) in &variables {
            let added = params.add(name, value);
            added.map_err(|error| {
                let text = error.to_string();
                Error::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text)
            })?;
        }
        params.finish();
        let stream = Rc::new(connect(server, patience).await?);
        stream.set_patience(ENDLESS);
        let moved = Rc::new(Cell::new(now()));
        let (to, at) = (Rc::clone(&stream), Rc::clone(&moved));
        Ok(Self {
            complaints: Complaints::new(name.clone()),
            name,
            stream,
            answer: Answer::new(),
            input: Bytes::new(),
            feeding: Feeding::of(request, |request| feed(request, head, to, at)),
            patience,
            moved,
        })
    }

    /// Receives some more; 0 is the end.
    async fn receive(&mut self) -> Result<usize, Error> {
        let mut buffer = vec![0; PIECE];
        loop {
            let until = self.moved.get().checked_add(self.patience);
            let left = until.map_or(Duration::MAX, |until| {
                until.saturating_duration_since(now())
            });
            if left.is_zero() {
                tracing::warn!(program = self.name, "given up: the server says nothing");
                let text = "the program took too long";
                return Err(Error::new(StatusCode::GATEWAY_TIMEOUT, text));
            }
            let receiving = self.feeding.beside(self.stream.recv(&mut buffer));
            // Meanwhile the client may have sent something.
            let Ok(received) = timeout(left, receiving).await else {
                continue;
            };
            let count = received?.map_err(|error| {
                let error = without_number(&error);
                tracing::warn!(
                    program = self.name,
                    error,
                    "the connection with the server broke"
                );
                bad_gateway("the server that runs this program has gone away")
            })?;
            self.moved.set(now());
            buffer.truncate(count);
            self.input = buffer.into();
            return Ok(count);
        }
    }

    fn end(&mut self, ended: Ended) -> Result<Option<Bytes>, Error> {
        self.complaints.end_line();
        match ended {
            Ended::Complete(_) => Ok(None),
            Ended::Overloaded => Err(overloaded(NO_ROOM)),
            Ended::CannotMultiplex | Ended::UnknownRole => {
                tracing::error!(program = self.name, ?ended, "the server does not run this");
                Err(bad_gateway("the server that runs this program refuses it"))
            }
        }
    }
}

impl Application for Worker {
    async fn output(&mut self) -> Result<Option<Bytes>, Error> {
        // Whoever asks again gets what is new.
        loop {
            if self.answer.is_done() {
                return Ok(None);
            }
            if self.input.is_empty() && self.receive().await? == 0 {
                self.complaints.end_line();
                tracing::warn!(program = self.name, "the server ended in the middle of it");
                return Err(bad_gateway(
                    "the server that runs this program has gone away",
                ));
            }
            let step = self.answer.decode(&self.input).map_err(|error| {
                tracing::error!(program = self.name, %error, "the server speaks something else");
                bad_gateway("the server that runs this program does not speak FastCGI")
            })?;
            let consumed = step.consumed;
            let event = match step.event {
                Some(Event::Output(bytes)) => Some(Ok(self.input.slice_ref(bytes))),
                Some(Event::Complaint(bytes)) => {
                    self.complaints.add(bytes);
                    None
                }
                Some(Event::UnknownType(_)) => Some(Err(Ended::UnknownRole)),
                Some(Event::End(ended)) => Some(Err(ended)),
                None => None,
            };
            self.input.advance(consumed);
            match event {
                Some(Ok(output)) => return Ok(Some(output)),
                Some(Err(ended)) => return self.end(ended),
                None => {}
            }
        }
    }

    fn let_go(self) {}
}

/// Connects to the first of these addresses that answers.
async fn connect(server: &[Addr], patience: Duration) -> Result<Stream, Error> {
    let mut failure = None;
    for address in server {
        match Stream::connect(address, None, CONNECTING.min(patience)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                failure = Some(error.kind());
                let error = without_number(&error);
                tracing::error!(server = %address, error, "the FastCGI server cannot be reached");
            }
        }
    }
    Err(match failure {
        // What a Unix socket says whose queue is full (`connect(2)`).
        Some(io::ErrorKind::WouldBlock) => overloaded(NO_ROOM),
        Some(io::ErrorKind::TimedOut) => Error::new(
            StatusCode::GATEWAY_TIMEOUT,
            "the server that runs this program does not answer",
        ),
        _ => bad_gateway("the server that runs this program cannot be reached"),
    })
}

const NO_ROOM: &str = "the server that runs this program has no room; try again shortly";

/// Hands a request to the server: what it is to know, and the body as it comes.
async fn feed(
    mut request: Request,
    head: Vec<u8>,
    stream: Rc<Stream>,
    moved: Rc<Cell<Instant>>,
) -> Result<(), Error> {
    // One that hears no more may have said something already.
    let mut is_heard = stream.send_all(&head, More::No).await.is_ok();
    moved.set(now());
    while is_heard && let Some(chunk) = request.body().chunk().await? {
        for piece in chunk.chunks(MAX_CONTENT) {
            let mut record = Vec::new();
            // A chunk is never empty.
            if fastcgi::stdin_head(&mut record, piece.len()).is_err() {
                continue;
            }
            is_heard = is_heard
                && stream.send_all(&record, More::Follows).await.is_ok()
                && stream.send_all(piece, More::No).await.is_ok();
            moved.set(now());
        }
    }
    if is_heard {
        let mut end = Vec::new();
        fastcgi::stdin_end(&mut end);
        stream.send_all(&end, More::No).await.ok();
    }
    Ok(())
}
