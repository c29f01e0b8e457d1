//! Serving: each client gets its own bytes, whatever the others do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown as End, TcpStream};
use std::thread;

use crate::common::{alone, models, until};
use crate::{echo, on_each_server};
use hythe_net::{Connection, Limits, Model, More, Server};

#[test]
fn a_client_that_ended_its_writing_is_still_answered() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            for _ in 0..20 {
                assert!(server.echoes());
            }
            server.stop();
        },
    );
}

#[test]
fn clients_that_read_nothing_block_no_others() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            if server.model != Model::Sequential {
                let flood = vec![0; 1 << 20];
                let slow: Vec<_> = (0..10)
                    .map(|_| {
                        let mut client = server.connect();
                        client.set_nonblocking(true).unwrap();
                        // Until the server's own buffers are full and it waits.
                        let full = |error: io::Error| error.kind() == ErrorKind::WouldBlock;
                        until("it is full", || (&client).write(&flood).is_err_and(full));
                        client.flush().unwrap();
                        client
                    })
                    .collect();
                assert!(server.echoes());
                drop(slow);
            }
            server.stop();
        },
    );
}

#[test]
fn what_waits_for_a_place_to_run_is_served_in_its_turn() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            let mut first = server.connect();
            first.write_all(b"x").unwrap();
            first.read_exact(&mut [0]).unwrap();
            let mut others: Vec<_> = (0..100).map(|_| server.connect()).collect();
            for client in &mut others {
                client.write_all(b"hello").unwrap();
                client.shutdown(End::Write).unwrap();
            }
            drop(first);
            for client in &mut others {
                let mut answer = String::new();
                client.read_to_string(&mut answer).unwrap();
                assert_eq!(answer, "hello");
            }
            server.stop();
        },
    );
}

#[test]
fn each_address_has_its_own_handler() {
    let _alone = alone();
    for model in models() {
        let address = "127.0.0.1:0".parse().unwrap();
        let says = |text: &'static [u8]| {
            move |connection: Connection| async move { connection.stream.send_all(text, More::No).await }
        };
        let server = Server::new(model)
            .listen(&address, says(b"one"))
            .unwrap()
            .listen(&address, says(b"two"))
            .unwrap();
        let addresses = server.addresses();
        let shutdown = server.shutdown();
        let serving = thread::spawn(move || server.serve());
        for (address, text) in addresses.iter().zip(["one", "two"]).cycle().take(10) {
            let mut said = String::new();
            let mut client = TcpStream::connect(address.to_string()).unwrap();
            client.read_to_string(&mut said).unwrap();
            assert_eq!(said, text);
        }
        shutdown.stop();
        serving.join().unwrap().unwrap();
    }
}
