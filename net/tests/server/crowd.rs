//! A thousand clients. Those at once are of a process of their own, which
//! leaves this one's descriptor numbers to the servers.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown as End;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use crate::common::{FOREVER, until};
use crate::{echo, on_each_server, on_each_server_with, threads};
use hythe_net::reactor::{self, sleep, spawn, yield_now};
use hythe_net::{Addr, Full, How, Limits, Model, More, MuxKind, Reactor, Stream};

const CLIENTS: usize = 1000;

/// Where the clients' process finds the server's address.
const ADDRESS: &str = "HYTHE_TEST_CROWD";
/// Set if all clients are inside before the first leaves.
const TOGETHER: &str = "HYTHE_TEST_TOGETHER";

/// What fits below 1,024 beside this process's own descriptors and those that
/// a server keeps in reserve there.
const ROOM_OF_SELECT: usize = 700;

#[test]
fn each_of_a_thousand_clients_at_once_gets_its_own_bytes_in_order() {
    hythe_net::raise_descriptor_limit().unwrap();
    let limits = |model| Limits {
        max: if is_on_select(model) {
            ROOM_OF_SELECT
        } else {
            4096
        },
        max_per_address: 4096,
        full: Full::Wait,
        ..Limits::default()
    };
    on_each_server_with(
        limits,
        || echo,
        |server| {
            let mut clients = Command::new(std::env::current_exe().unwrap());
            clients.args(["--exact", "crowd::clients", "--ignored"]);
            clients.env(ADDRESS, server.address.to_string());
            let has_loop = matches!(server.model, Model::Events { .. } | Model::Cores { .. });
            if has_loop && !is_on_select(server.model) {
                clients.env(TOGETHER, "yes");
            }
            let output = clients.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && said.contains("1 passed"),
                "{said}"
            );
            server.stop();
        },
    );
}

fn is_on_select(model: Model) -> bool {
    let mux = match model {
        Model::Events { mux } | Model::Cores { mux, .. } => Some(mux),
        _ => None,
    };
    mux == Some(MuxKind::Select)
}

#[test]
#[ignore = "these are the clients, run by the test above in a process of its own"]
fn clients() {
    // Nobody to talk to where somebody asks for all that is ignored.
    let Ok(address) = std::env::var(ADDRESS) else {
        return;
    };
    hythe_net::raise_descriptor_limit().unwrap();
    let address: Addr = address.parse().unwrap();
    let together = std::env::var_os(TOGETHER).is_some();
    let reactor = Reactor::on(MuxKind::EpollEdge.open().unwrap()).unwrap();
    let all = async {
        let crowd: Rc<Crowd> = Rc::default();
        for number in 0..CLIENTS {
            let (crowd, address) = (Rc::clone(&crowd), address.clone());
            spawn(async move {
                talk(number, &address, &crowd, together).await.unwrap();
                crowd.served.set(crowd.served.get() + 1);
            });
        }
        while crowd.served.get() < CLIENTS {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let done = reactor.block_on(reactor::timeout(FOREVER, all)).unwrap();
    done.unwrap();
}

/// How far the clients are.
#[derive(Default)]
struct Crowd {
    inside: Cell<usize>,
    served: Cell<usize>,
}

async fn talk(number: usize, address: &Addr, crowd: &Crowd, together: bool) -> io::Result<()> {
    // A Unix listener with a full backlog says so, and TCP waits.
    let stream = loop {
        match Stream::connect(address, None, FOREVER).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock => yield_now().await,
            result => break result?,
        }
    };
    let lines: Vec<_> = (0..50).map(|line| format!("{number}.{line}\n")).collect();
    let mut answer = Vec::new();
    let mut buffer = [0; 512];
    for (line, sent) in lines.iter().zip(1..) {
        stream.send_all(line.as_bytes(), More::No).await?;
        if sent == 1 && together {
            let count = stream.recv(&mut buffer).await?;
            answer.extend_from_slice(&buffer[..count]);
            crowd.inside.set(crowd.inside.get() + 1);
            while crowd.inside.get() < CLIENTS {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
    stream.shutdown(How::Write)?;
    loop {
        match stream.recv(&mut buffer).await? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    assert_eq!(answer, lines.concat().as_bytes());
    Ok(())
}

#[test]
fn after_a_thousand_connections_no_thread_is_left_though_the_server_goes_on() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            let inside = server.let_in();
            let has_threads = matches!(server.model, Model::Threads { .. });
            assert_eq!(threads("connection"), usize::from(has_threads));
            drop(inside);
            for _ in 0..CLIENTS / 50 {
                let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
                for client in &mut clients {
                    client.write_all(b"hello").unwrap();
                    client.shutdown(End::Write).unwrap();
                }
                for client in &mut clients {
                    let mut answer = String::new();
                    client.read_to_string(&mut answer).unwrap();
                    assert_eq!(answer, "hello");
                }
            }
            until("all were reaped", || threads("connection") == 0);
            assert!(server.echoes());
            server.stop();
        },
    );
}
