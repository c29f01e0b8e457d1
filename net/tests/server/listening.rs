//! Listening: addresses that are taken, left behind, or shared.

use std::fs;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::common::{MUXES, alone, models, until};
use crate::{Running, addresses, echo, is_ended, left_behind, on_each_server, start};
use hythe_net::{Addr, Connection, Limits, Model, Server};

#[test]
fn an_address_in_use_is_named_and_nothing_is_left_behind() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    for first in models() {
        for address in addresses(&folder) {
            let holder = Server::new(first).listen(&address, echo).unwrap();
            let taken = holder.addresses()[0].clone();
            for second in models() {
                let before = left_behind();
                let error = Server::new(second).listen(&taken, echo).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::AddrInUse, "{first:?}, {second:?}");
                assert!(error.to_string().contains(&taken.to_string()), "{error}");
                assert_eq!(left_behind(), before);
            }
        }
    }
}

#[test]
fn a_process_with_threads_is_not_forked() {
    let _alone = alone();
    let model = Model::Forks { max: 1 };
    let server = Server::new(model).listen(&"127.0.0.1:0".parse().unwrap(), echo);
    // The harness has some.
    let error = server.unwrap().serve().unwrap_err();
    assert!(error.to_string().contains("threads"), "{error}");
}

#[test]
fn a_readable_descriptor_stops_a_server() {
    let _alone = alone();
    for model in models() {
        let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let server = Server::new(model)
            .listen(&"127.0.0.1:0".parse().unwrap(), echo)
            .unwrap()
            .stop_on(there);
        let serving = thread::spawn(move || server.serve());
        here.write_all(b"x").unwrap();
        serving.join().unwrap().unwrap();
    }
}

#[test]
fn what_is_to_be_done_at_a_sign_is_done_each_time() {
    let _alone = alone();
    for model in models() {
        let before = left_behind();
        let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let called = Arc::clone(&calls);
        let server = Server::new(model)
            .listen(&"127.0.0.1:0".parse().unwrap(), echo)
            .unwrap()
            .call_on(there, move || _ = called.fetch_add(1, Ordering::SeqCst));
        let running = Running {
            model,
            address: server.addresses()[0].clone(),
            shutdown: server.shutdown(),
            serving: thread::spawn(move || server.serve()),
        };
        for round in 1..=3 {
            here.write_all(b"several bytes").unwrap();
            until("the call", || calls.load(Ordering::SeqCst) == round);
            assert!(running.echoes(), "{model:?}");
        }
        // Its end is no sign.
        drop(here);
        assert!(running.echoes());
        running.stop();
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        until("nothing is left", || left_behind() == before);
    }
}

#[test]
fn a_unix_socket_is_removed_at_the_end_and_replaced_after_a_crash() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let address = Addr::unix(&path).unwrap();
    for model in models() {
        let first = start(model, Limits::default(), &address, echo);
        let second = Server::new(model).listen(&address, echo);
        assert!(second.is_err(), "it is in use");
        assert!(first.echoes());
        first.stop();
        assert!(!path.exists());
        // As a crash would leave it.
        drop(hythe_net::create_server(&address, false).unwrap());
        assert!(path.exists());
        let second = start(model, Limits::default(), &address, echo);
        assert!(second.echoes());
        second.stop();
    }
    fs::write(&path, "no socket").unwrap();
    assert!(hythe_net::create_server(&address, false).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "no socket");
}

#[test]
fn a_port_can_be_listened_on_again_at_once() {
    on_each_server(
        Limits::default(),
        || echo,
        |server| {
            // The side that closes first waits out its time: here, the server's.
            let mut client = server.let_in();
            let (address, model) = (server.address.clone(), server.model);
            server.stop();
            assert!(is_ended(&mut client));
            if matches!(address, Addr::Inet(_)) {
                start(model, Limits::default(), &address, echo).stop();
            }
        },
    );
}

#[test]
fn every_loop_of_a_server_takes_its_share() {
    let _alone = alone();
    for mux in MUXES {
        let threads: Arc<Mutex<Vec<thread::ThreadId>>> = Arc::default();
        let seen = Arc::clone(&threads);
        let handler = move |_: Connection| {
            let seen = Arc::clone(&seen);
            async move {
                let here = thread::current().id();
                let mut seen = seen.lock().unwrap();
                if !seen.contains(&here) {
                    seen.push(here);
                }
                Ok(())
            }
        };
        let model = Model::Cores { count: 2, mux };
        let server = start(
            model,
            Limits::default(),
            &"127.0.0.1:0".parse().unwrap(),
            handler,
        );
        // The kernel spreads connections by their ports.
        until("both loops had one", || {
            is_ended(&mut server.connect());
            threads.lock().unwrap().len() == 2
        });
        server.stop();
    }
}
