//! Failures: they are reported, and end their own connection only.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::until;
use crate::{echo, is_ended, on_each_server};
use hythe_net::reactor::{spawn, yield_now};
use hythe_net::{Addr, Connection, Failure, Handler, Limits, More, Patience};

/// Does as its client says: a letter for each way to fail.
#[derive(Clone, Default)]
struct Moody {
    complaints: Arc<Mutex<Vec<String>>>,
    verifying: Arc<AtomicUsize>,
}

const LET_IN: usize = 0;
const TURN_AWAY: usize = 1;
const PANIC: usize = 2;

impl Handler for Moody {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        let mut letter = [0];
        connection.stream.recv(&mut letter).await?;
        match &letter {
            b"e" => Err(io::Error::other("an error on purpose")),
            b"p" => panic!("a panic on purpose"),
            b"t" => {
                spawn(async { panic!("a panic of a task on purpose") });
                yield_now().await;
                Ok(())
            }
            _ => {
                connection.stream.send_all(&letter, More::No).await?;
                echo(connection).await
            }
        }
    }

    fn verify(&self, _: &Addr) -> bool {
        match self.verifying.load(Ordering::SeqCst) {
            PANIC => panic!("a panic of verify on purpose"),
            verifying => verifying == LET_IN,
        }
    }

    fn failed(&self, peer: Option<&Addr>, failure: &Failure) {
        assert!(peer.is_some());
        self.complaints.lock().unwrap().push(failure.to_string());
        panic!("a panic of failed on purpose");
    }
}

#[test]
fn errors_and_panics_are_reported_and_end_their_own_connection_only() {
    let moody = Moody::default();
    on_each_server(
        Limits::default(),
        || moody.clone(),
        |server| {
            for (letter, complaint) in [
                (b"e", Some("an error on purpose")),
                (b"p", Some("the handler panicked: a panic on purpose")),
                (b"t", None),
            ] {
                let mut client = server.connect();
                client.write_all(letter).unwrap();
                assert!(is_ended(&mut client));
                until("it was reported", || {
                    moody.complaints.lock().unwrap().first().map(String::as_str) == complaint
                });
                moody.complaints.lock().unwrap().clear();
                assert!(server.echoes());
            }
            server.stop();
        },
    );
}

#[test]
fn peers_that_are_not_verified_are_closed_without_running_the_handler() {
    let moody = Moody::default();
    on_each_server(
        Limits::default(),
        || moody.clone(),
        |server| {
            for verifying in [TURN_AWAY, PANIC] {
                moody.verifying.store(verifying, Ordering::SeqCst);
                let mut client = server.connect();
                client.write_all(b"e").ok();
                assert!(is_ended(&mut client));
            }
            until("the panic was reported", || {
                !moody.complaints.lock().unwrap().is_empty()
            });
            let complaints = std::mem::take(&mut *moody.complaints.lock().unwrap());
            assert_eq!(
                complaints,
                ["the handler panicked: a panic of verify on purpose"]
            );
            moody.verifying.store(LET_IN, Ordering::SeqCst);
            assert!(server.echoes());
            server.stop();
        },
    );
}

#[test]
fn a_peer_that_says_nothing_loses_its_connection() {
    let patience = Patience {
        idle: Duration::from_millis(50),
        bytes: 1,
    };
    let limits = Limits {
        patience,
        ..Limits::default()
    };
    on_each_server(
        limits,
        || echo,
        |server| {
            assert!(is_ended(&mut server.connect()));
            server.stop();
        },
    );
}
