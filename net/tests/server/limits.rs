//! Limits: who comes beyond them is told so, or waits.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown as End, TcpStream};
use std::os::fd::AsRawFd;

use crate::common::alone;
use crate::{BUSY, echo, on_each_server, start};
use hythe_net::{Addr, Connection, Full, Handler, Limits, Model, MuxKind};

struct Polite;

impl Handler for Polite {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        echo(connection).await
    }

    fn busy(&self) -> &'static [u8] {
        &BUSY
    }
}

/// Whether a client, who has asked something already, hears in full that the
/// server is busy.
fn is_refused(mut client: TcpStream) -> bool {
    client.write_all(&[b'?'; 5000]).unwrap();
    let mut said = Vec::new();
    client.read_to_end(&mut said).unwrap();
    said == BUSY
}

#[test]
fn beyond_the_limit_clients_are_told_so_until_somebody_leaves() {
    let limits = Limits {
        max: 3,
        ..Limits::default()
    };
    on_each_server(
        limits,
        || Polite,
        |server| {
            if server.model != Model::Sequential {
                let mut inside: Vec<_> = (0..3).map(|_| server.let_in()).collect();
                assert!(is_refused(server.connect()));
                assert!(is_refused(server.connect()));
                drop(inside.pop());
                inside.push(server.let_in());
                assert!(is_refused(server.connect()));
            }
            server.stop();
        },
    );
}

#[test]
fn beyond_the_limit_clients_wait_where_they_are_to_and_none_is_lost() {
    let limits = Limits {
        max: 2,
        full: Full::Wait,
        ..Limits::default()
    };
    on_each_server(
        limits,
        || Polite,
        |server| {
            if server.model != Model::Sequential {
                let inside = [(); 2].map(|()| server.let_in());
                let mut waiting: Vec<_> = (0..20).map(|_| server.connect()).collect();
                for client in &mut waiting {
                    client.write_all(b"hello").unwrap();
                    client.shutdown(End::Write).unwrap();
                }
                drop(inside);
                for client in &mut waiting {
                    let mut answer = String::new();
                    client.read_to_string(&mut answer).unwrap();
                    assert_eq!(answer, "hello");
                }
            }
            server.stop();
        },
    );
}

#[test]
fn one_address_does_not_take_all_places() {
    let limits = Limits {
        max_per_address: 2,
        ..Limits::default()
    };
    on_each_server(
        limits,
        || Polite,
        |server| {
            if server.model != Model::Sequential && matches!(server.address, Addr::Inet(_)) {
                let inside = [(); 2].map(|()| server.let_in());
                assert!(is_refused(server.connect()));
                drop(server.let_in_from(Some("127.0.0.2:0")));
                drop(inside);
                server.let_in();
            }
            server.stop();
        },
    );
}

#[test]
fn what_select_cannot_watch_is_refused_and_the_server_goes_on() {
    hythe_net::raise_descriptor_limit().unwrap();
    let _alone = alone();
    let address = "127.0.0.1:0".parse().unwrap();
    let mux = MuxKind::Select;
    for model in [Model::Events { mux }, Model::Cores { count: 2, mux }] {
        let server = start(model, Limits::default(), &address, Polite);
        let mut inside = server.let_in();
        let mut fillers = Vec::new();
        let mut fill_up_to = |number| {
            while fillers.last().map_or(0, AsRawFd::as_raw_fd) < number {
                fillers.push(fs::File::open("/dev/null").unwrap());
            }
        };
        fill_up_to(800);
        assert!(is_refused(server.connect()));
        // From here on nobody can be waited for: they get what goes at once.
        fill_up_to(1024);
        let mut said = Vec::new();
        server.connect().read_to_end(&mut said).unwrap();
        assert!(!said.is_empty() && BUSY.starts_with(&said));
        inside.write_all(b"x").unwrap();
        inside.read_exact(&mut [0]).unwrap();
        drop(fillers);
        assert!(server.echoes());
        server.stop();
    }
}
