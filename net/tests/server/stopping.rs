//! Stopping: promptly, and with every reply that is under way.

use std::future::pending;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{alone, models, until};
use crate::{BUSY, addresses, echo, is_ended, on_each_server};
use hythe_net::reactor::sleep;
use hythe_net::{Connection, Handler, Kind, Limits, More, Server, Socket};

#[test]
fn idle_connections_and_waiting_ones_do_not_hold_up_a_stop() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            let mut first = server.let_in();
            let mut others: Vec<_> = (0..5).map(|_| server.connect()).collect();
            let begun = Instant::now();
            server.stop();
            assert!(begun.elapsed() < Limits::default().drain / 2);
            assert!(is_ended(&mut first));
            assert!(others.iter_mut().all(is_ended));
        },
    );
}

#[test]
fn a_stop_before_serving_is_not_forgotten_and_who_waits_already_is_served() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for model in models() {
        for address in addresses(&folder) {
            let server = Server::new(model).listen(&address, echo).unwrap();
            let socket = Socket::new(address.domain(), Kind::STREAM).unwrap();
            socket.connect(&server.addresses()[0]).unwrap();
            let mut client = TcpStream::from(OwnedFd::from(socket));
            client.write_all(b"hello").unwrap();
            server.shutdown().stop();
            server.serve().unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "hello");
        }
    }
}

/// Replies as soon as it is told to.
#[derive(Clone, Default)]
struct Patient {
    running: Arc<AtomicUsize>,
    go: Arc<AtomicBool>,
}

impl Handler for Patient {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        connection.stream.recv(&mut [0]).await?;
        self.running.fetch_add(1, Ordering::SeqCst);
        while !self.go.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(1)).await;
        }
        connection.stream.send_all(&BUSY, More::No).await
    }
}

#[test]
fn a_reply_under_way_is_finished_after_a_stop() {
    let patient = Patient::default();
    on_each_server(
        Limits::default(),
        || patient.clone(),
        |server| {
            patient.go.store(false, Ordering::SeqCst);
            patient.running.store(0, Ordering::SeqCst);
            let mut client = server.connect();
            client.write_all(b"x").unwrap();
            until("it is under way", || {
                patient.running.load(Ordering::SeqCst) == 1
            });
            server.shutdown.stop();
            until("nobody is let in any more", || {
                server.connect_from(None).is_err() || server.serving.is_finished()
            });
            assert!(!server.serving.is_finished());
            patient.go.store(true, Ordering::SeqCst);
            let mut reply = Vec::new();
            client.read_to_end(&mut reply).unwrap();
            assert_eq!(reply, BUSY);
            server.stop();
        },
    );
}

#[test]
fn what_takes_longer_than_the_drain_is_dropped() {
    let limits = Limits {
        drain: Duration::from_millis(20),
        ..Limits::default()
    };
    let forever = || {
        async |connection: Connection| {
            connection.stream.send_all(b"x", More::No).await?;
            pending::<io::Result<()>>().await
        }
    };
    on_each_server(limits, forever, |server| {
        let mut clients = vec![server.connect()];
        clients[0].read_exact(&mut [0]).unwrap();
        clients.extend((0..3).map(|_| server.connect()));
        server.stop();
        assert!(clients.iter_mut().all(is_ended));
    });
}
