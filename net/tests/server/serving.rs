//! Serving: each client gets its own bytes, whatever the others do.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown as End, TcpStream};
use std::thread;

use crate::common::{FOREVER, alone, models, until};
use crate::{echo, on_each_server};
use hythe_net::reactor::{self, yield_now};
use hythe_net::{Connection, How, Limits, Model, More, MuxKind, Reactor, Server, Stream};

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
fn each_of_many_clients_at_once_gets_its_own_bytes_in_order() {
    let limits = Limits {
        max_per_address: 4096,
        ..Limits::default()
    };
    on_each_server(
        limits,
        || echo,
        |server| {
            let clients = match server.model {
                // Both ends are of this process, and its numbers end at 1,023.
                Model::Events { mux } | Model::Cores { mux, .. } if mux == MuxKind::Select => 200,
                _ => 1000,
            };
            let reactor = Reactor::on(MuxKind::EpollEdge.open().unwrap()).unwrap();
            let talk = async |number: usize| {
                // A Unix listener with a full backlog says so, and TCP waits.
                let stream = loop {
                    match Stream::connect(&server.address, None, FOREVER).await {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => yield_now().await,
                        result => break result?,
                    }
                };
                let lines: String = (0..50).map(|line| format!("{number}.{line}\n")).collect();
                for line in lines.split_inclusive('\n') {
                    stream.send_all(line.as_bytes(), More::No).await?;
                }
                stream.shutdown(How::Write)?;
                let mut answer = Vec::new();
                let mut buffer = [0; 512];
                loop {
                    match stream.recv(&mut buffer).await? {
                        0 => break,
                        count => answer.extend_from_slice(&buffer[..count]),
                    }
                }
                assert_eq!(answer, lines.as_bytes());
                io::Result::Ok(())
            };
            let all = async {
                let talks = (0..clients).map(talk);
                for_all(talks).await
            };
            reactor
                .block_on(reactor::timeout(FOREVER, all))
                .unwrap()
                .unwrap()
                .unwrap();
            drop(reactor);
            server.stop();
        },
    );
}

/// Waits for all of them at once.
async fn for_all(
    futures: impl Iterator<Item = impl Future<Output = io::Result<()>>>,
) -> io::Result<()> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        let mut result = Ok(());
        futures.retain_mut(|future| match future.as_mut().poll(context) {
            std::task::Poll::Pending => true,
            std::task::Poll::Ready(ended) => {
                result = std::mem::replace(&mut result, Ok(())).and(ended);
                false
            }
        });
        match result {
            Ok(()) if !futures.is_empty() => std::task::Poll::Pending,
            result => std::task::Poll::Ready(result),
        }
    })
    .await
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
