//! The selector, on every multiplexer.

mod common;

use std::io::{self, Read, Write};
use std::net::{Shutdown as End, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use common::{MUXES, alone};
use hythe_net::mux::{Interest, Ready, Selector};
use hythe_net::{More, Socket, create_server};

fn on_each_selector<F: std::os::fd::AsFd, D>(test: impl Fn(Selector<F, D>)) {
    let _alone = alone();
    for kind in MUXES {
        println!("on {kind:?}");
        test(Selector::on(kind.open().unwrap()).unwrap());
    }
    test(Selector::best().unwrap());
}

#[test]
fn files_are_kept_with_their_data_and_given_back() {
    on_each_selector(|mut selector| {
        let (here, mut there) = UnixStream::pair().unwrap();
        let token = selector.register(here, Interest::READ, "one").unwrap();
        assert!(selector.select(Some(Duration::ZERO)).unwrap().is_empty());
        there.write_all(b"x").unwrap();
        let events = selector.select(None).unwrap();
        assert_eq!((events[0].token, events[0].ready), (token, Ready::READ));
        assert_eq!(selector.get(token).unwrap().data, "one");

        selector.modify(token, Interest::WRITE).unwrap();
        let key = selector.get_mut(token).unwrap();
        assert_eq!(key.interest(), Interest::WRITE);
        key.data = "two";
        assert_eq!(selector.keys().count(), 1);
        let events = selector.select(None).unwrap();
        assert_eq!((events[0].token, events[0].ready), (token, Ready::WRITE));

        let mut key = selector.unregister(token).unwrap();
        assert_eq!(key.data, "two");
        key.file.read_exact(&mut [0]).unwrap();
        assert!(selector.get(token).is_none());
        let unknown = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        assert!(selector.unregister(token).is_err_and(unknown));
        assert!(selector.modify(token, Interest::READ).is_err_and(unknown));
    });
}

#[test]
fn modify_changes_the_interest_and_keeps_token_file_and_data() {
    on_each_selector(|mut selector| {
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"x").unwrap();
        let number = here.as_raw_fd();
        let token = selector.register(here, Interest::NONE, "kept").unwrap();
        for (interest, ready) in [
            (Interest::READ, Ready::READ),
            (Interest::WRITE, Ready::WRITE),
            (Interest::READ | Interest::WRITE, Ready::READ | Ready::WRITE),
        ] {
            selector.modify(token, interest).unwrap();
            let events = selector.select(None).unwrap();
            assert_eq!(events.len(), 1);
            assert_eq!((events[0].token, events[0].ready), (token, ready));
            let key = selector.get(token).unwrap();
            assert_eq!((key.interest(), key.data), (interest, "kept"));
            assert_eq!(key.file.as_raw_fd(), number);
        }
    });
}

#[test]
fn a_file_is_registered_once() {
    on_each_selector(|mut selector| {
        let here = Arc::new(UnixStream::pair().unwrap().0);
        let twice = Arc::clone(&here);
        selector.register(here, Interest::READ, ()).unwrap();
        let error = selector.register(twice, Interest::READ, ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(selector.keys().count(), 1);
    });
}

#[test]
fn another_thread_wakes_it_before_or_during_a_wait() {
    on_each_selector::<UnixStream, ()>(|mut selector| {
        let waker = selector.waker();
        for _ in 0..3 {
            waker.wake();
        }
        assert!(selector.select(None).unwrap().is_empty());
        // All three are spent: what ends this wait is the other thread.
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(10));
            waker.wake();
        });
        assert!(selector.select(None).unwrap().is_empty());
        other.join().unwrap();
    });
}

/// What the example in the documentation does, to an end.
#[test]
fn reading_and_writing_are_asked_for_apart() {
    on_each_selector(|mut selector| {
        let listener = create_server(&"127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = listener.sock_name().unwrap().to_string();
        let talk = thread::spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"hello").unwrap();
            client.shutdown(End::Write).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            answer
        });
        let listening = selector
            .register(listener, Interest::READ, Vec::new())
            .unwrap();
        let mut ended = false;
        while !ended {
            for event in selector.select(None).unwrap() {
                let key = selector.get_mut(event.token).unwrap();
                if event.token == listening {
                    let client: Socket = key.file.accept().unwrap().0;
                    selector
                        .register(client, Interest::READ, Vec::new())
                        .unwrap();
                } else if key.interest() == Interest::WRITE {
                    assert!(event.ready.contains(Ready::WRITE));
                    let sent = key.file.send(&key.data, More::No).unwrap();
                    key.data.drain(..sent);
                    selector.modify(event.token, Interest::READ).unwrap();
                } else {
                    let mut buffer = [0; 16];
                    let count = key.file.recv(&mut buffer).unwrap();
                    key.data.extend_from_slice(&buffer[..count]);
                    if count > 0 {
                        selector.modify(event.token, Interest::WRITE).unwrap();
                    } else {
                        selector.unregister(event.token).unwrap();
                        ended = true;
                    }
                }
            }
        }
        assert_eq!(talk.join().unwrap(), "hello");
    });
}
