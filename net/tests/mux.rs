//! One suite for every multiplexer.

mod common;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{FOREVER, MUXES, alone, on_each_mux};
use hythe_net::MuxKind;
use hythe_net::mux::{Event, Interest, Mux, Ready, Token, Trigger};
use rustix::net::{SendFlags, send};

/// What is ready now.
fn now(mux: &mut dyn Mux) -> Vec<Event> {
    wait(mux, Duration::ZERO)
}

/// What is ready within a time, or as soon as anything is.
fn wait(mux: &mut dyn Mux, timeout: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    mux.wait(&mut events, Some(timeout)).unwrap();
    events
}

/// The one event there is, which must be of `token`.
fn only(events: Vec<Event>, token: Token) -> Ready {
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].token, token);
    events[0].ready
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

#[test]
fn what_is_readable_or_writable_is_reported_to_those_who_asked() {
    on_each_mux(|mux| {
        let (here, mut there) = pair();
        let token = mux.add(here.as_fd(), Interest::READ).unwrap();
        assert!(now(mux).is_empty());
        there.write_all(b"x").unwrap();
        assert_eq!(only(now(mux), token), Ready::READ);

        mux.modify(token, Interest::WRITE).unwrap();
        assert_eq!(only(now(mux), token), Ready::WRITE);
        mux.modify(token, Interest::READ | Interest::WRITE).unwrap();
        assert_eq!(only(now(mux), token), Ready::READ | Ready::WRITE);
    });
}

#[test]
fn modify_changes_the_interest_and_the_token_stays() {
    on_each_mux(|mux| {
        let (here, mut there) = pair();
        let token = mux.add(here.as_fd(), Interest::READ).unwrap();
        there.write_all(b"x").unwrap();
        assert_eq!(only(now(mux), token), Ready::READ);
        // What is no longer asked for is no longer told, though it is so.
        mux.modify(token, Interest::WRITE).unwrap();
        assert_eq!(only(now(mux), token), Ready::WRITE);
        // What is so already is told to who begins to ask, by edges as well.
        for _ in 0..2 {
            mux.modify(token, Interest::READ).unwrap();
            assert_eq!(only(now(mux), token), Ready::READ);
        }
    });
}

#[test]
fn a_descriptor_is_added_once() {
    on_each_mux(|mux| {
        let (here, _there) = pair();
        for interest in [Interest::READ, Interest::NONE] {
            let token = mux.add(here.as_fd(), interest).unwrap();
            let error = mux.add(here.as_fd(), Interest::READ).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            mux.remove(token).unwrap();
        }
    });
}

#[test]
fn a_token_that_was_removed_is_unknown() {
    on_each_mux(|mux| {
        let (here, _there) = pair();
        let token = mux.add(here.as_fd(), Interest::READ).unwrap();
        mux.remove(token).unwrap();
        let modified = mux.modify(token, Interest::READ).unwrap_err();
        assert_eq!(modified.kind(), io::ErrorKind::NotFound);
        let removed = mux.remove(token).unwrap_err();
        assert_eq!(removed.kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn a_token_is_never_used_again() {
    on_each_mux(|mux| {
        let (here, mut there) = pair();
        there.write_all(b"x").unwrap();
        let old = mux.add(here.as_fd(), Interest::READ).unwrap();
        mux.remove(old).unwrap();
        let new = mux.add(here.as_fd(), Interest::READ).unwrap();
        assert_ne!(old, new);
        assert_eq!(old.index(), new.index());
        assert_eq!(only(now(mux), new), Ready::READ);
        assert!(mux.remove(old).is_err());
        assert!(mux.modify(old, Interest::NONE).is_err());
        mux.remove(new).unwrap();
        assert!(now(mux).is_empty());
    });
}

#[test]
fn a_descriptor_can_be_removed_after_it_was_closed() {
    on_each_mux(|mux| {
        let (here, mut there) = pair();
        there.write_all(b"x").unwrap();
        let token = mux.add(here.as_fd(), Interest::READ).unwrap();
        drop(here);
        assert!(now(mux).is_empty());
        mux.remove(token).unwrap();
    });
}

#[test]
fn a_closed_descriptor_does_not_end_a_wait() {
    on_each_mux(|mux| {
        const TIME: Duration = Duration::from_millis(50);
        let (here, _there) = pair();
        let _token = mux.add(here.as_fd(), Interest::READ).unwrap();
        drop(here);
        let begun = Instant::now();
        assert!(wait(mux, TIME).is_empty());
        assert!(begun.elapsed() >= TIME);
    });
}

#[test]
fn a_descriptor_can_be_removed_after_its_number_was_reused() {
    on_each_mux(|mux| {
        let (old, _there) = pair();
        let token = mux.add(old.as_fd(), Interest::READ).unwrap();
        let number = old.as_raw_fd();
        drop(old);
        let (new, mut there) = pair();
        assert_eq!(new.as_raw_fd(), number);
        assert!(mux.add(new.as_fd(), Interest::READ).is_err());
        mux.remove(token).unwrap();
        there.write_all(b"x").unwrap();
        assert!(now(mux).is_empty());
        let token = mux.add(new.as_fd(), Interest::READ).unwrap();
        assert_eq!(only(now(mux), token), Ready::READ);
    });
}

#[test]
fn what_was_closed_but_lives_on_elsewhere_is_neither_reported_nor_a_busy_loop() {
    on_each_mux(|mux| {
        const TIME: Duration = Duration::from_millis(50);
        let (here, mut there) = pair();
        let (other, mut its_peer) = pair();
        let _duplicate = here.try_clone().unwrap();
        let closed = mux.add(here.as_fd(), Interest::READ).unwrap();
        let open = mux.add(other.as_fd(), Interest::READ).unwrap();
        drop(here);
        mux.remove(closed).unwrap();
        there.write_all(b"x").unwrap();

        let begun = Instant::now();
        assert!(wait(mux, TIME).is_empty());
        assert!(begun.elapsed() >= TIME);
        its_peer.write_all(b"x").unwrap();
        assert_eq!(only(wait(mux, FOREVER), open), Ready::READ);
    });
}

#[test]
fn a_descriptor_set_aside_reports_nothing_not_even_its_end() {
    on_each_mux(|mux| {
        let (here, there) = pair();
        let token = mux.add(here.as_fd(), Interest::NONE).unwrap();
        drop(there);
        assert!(now(mux).is_empty());
        mux.modify(token, Interest::READ).unwrap();
        assert!(only(now(mux), token).contains(Ready::READ | Ready::HANGUP));
        mux.modify(token, Interest::NONE).unwrap();
        mux.modify(token, Interest::NONE).unwrap();
        assert!(now(mux).is_empty());
        mux.remove(token).unwrap();
    });
}

#[test]
fn nothing_ready_returns_empty_after_the_timeout() {
    on_each_mux(|mux| {
        const TIME: Duration = Duration::from_millis(30);
        let (here, _there) = pair();
        mux.add(here.as_fd(), Interest::READ).unwrap();
        let begun = Instant::now();
        assert!(wait(mux, TIME).is_empty());
        assert!((TIME..FOREVER).contains(&begun.elapsed()));
        assert!(wait(mux, Duration::ZERO).is_empty());
    });
}

#[test]
fn waiting_on_nothing_sleeps_for_the_timeout() {
    on_each_mux(|mux| {
        const TIME: Duration = Duration::from_millis(30);
        let begun = Instant::now();
        assert!(wait(mux, TIME).is_empty());
        assert!((TIME..FOREVER).contains(&begun.elapsed()));
    });
}

#[test]
fn a_wait_without_end_ends_when_another_thread_writes() {
    on_each_mux(|mux| {
        for timeout in [None, Some(Duration::MAX)] {
            let (here, mut there) = pair();
            let token = mux.add(here.as_fd(), Interest::READ).unwrap();
            let writer = thread::spawn(move || {
                thread::sleep(Duration::from_millis(10));
                there.write_all(b"x").unwrap();
                there
            });
            let mut events = Vec::new();
            mux.wait(&mut events, timeout).unwrap();
            assert_eq!(only(events, token), Ready::READ);
            writer.join().unwrap();
            mux.remove(token).unwrap();
        }
    });
}

#[test]
fn level_reports_again_and_edge_once_for_each_change() {
    on_each_mux(|mux| {
        let (mut here, mut there) = pair();
        let token = mux.add(here.as_fd(), Interest::READ).unwrap();
        there.write_all(b"one").unwrap();
        assert_eq!(only(now(mux), token), Ready::READ);
        match mux.trigger() {
            Trigger::Level => assert_eq!(only(now(mux), token), Ready::READ),
            Trigger::Edge => assert!(now(mux).is_empty()),
        }
        there.write_all(b"two").unwrap();
        assert_eq!(only(now(mux), token), Ready::READ);
        here.read_exact(&mut [0; 6]).unwrap();
        assert!(now(mux).is_empty());
    });
}

#[test]
fn the_peers_end_is_reported_when_only_reading_was_asked_for() {
    on_each_mux(|mux| {
        let (here, there) = pair();
        let token = mux.add(here.as_fd(), Interest::READ).unwrap();
        there.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(only(now(mux), token), Ready::READ | Ready::HANGUP);
        drop(there);
        assert!(only(now(mux), token).contains(Ready::READ | Ready::WRITE | Ready::HANGUP));
    });
}

#[test]
fn an_error_is_reported_when_only_reading_was_asked_for() {
    on_each_mux(|mux| {
        let (here, mut there) = pair();
        let token = mux.add(here.as_fd(), Interest::READ).unwrap();
        // A Unix peer that goes without reading what it was sent is an error.
        (&here).write_all(b"unread").unwrap();
        there.write_all(b"x").unwrap();
        drop(there);
        let ready = only(now(mux), token);
        assert!(ready.contains(Ready::ERROR | Ready::READ), "{ready:?}");
    });
}

#[test]
fn urgent_data_shows_as_priority() {
    on_each_mux(|mux| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (here, _) = listener.accept().unwrap();
        let token = mux.add(here.as_fd(), Interest::PRIORITY).unwrap();
        (&there).write_all(b"usual").unwrap();
        assert!(now(mux).is_empty());
        send(&there, b"!", SendFlags::OOB).unwrap();
        assert_eq!(only(wait(mux, FOREVER), token), Ready::PRIORITY);
    });
}

#[test]
fn a_regular_file_is_refused_by_epoll_and_always_ready_for_select_and_poll() {
    let _alone = alone();
    for kind in MUXES {
        let mut mux = kind.open().unwrap();
        let file = File::open("/proc/self/exe").unwrap();
        let both = Interest::READ | Interest::WRITE;
        match (kind, mux.add(file.as_fd(), both)) {
            (MuxKind::Select | MuxKind::Poll, added) => {
                let ready = only(now(&mut *mux), added.unwrap());
                assert_eq!(ready, Ready::READ | Ready::WRITE);
            }
            (_, added) => {
                assert_eq!(added.unwrap_err().raw_os_error(), Some(libc::EPERM));
                // The refusal has left nothing behind.
                assert!(mux.add(file.as_fd(), both).is_err());
            }
        }
    }
}

#[test]
fn more_than_1024_descriptors_are_watched_save_by_select_which_names_its_limit() {
    const PAIRS: usize = 1100;
    hythe_net::raise_descriptor_limit().unwrap();
    let _alone = alone();
    for kind in MUXES {
        println!("on {kind:?}");
        let mut mux = kind.open().unwrap();
        let pairs: Vec<_> = (0..PAIRS).map(|_| pair()).collect();
        let mut tokens = std::collections::HashSet::new();
        for (here, _) in &pairs {
            match mux.add(here.as_fd(), Interest::READ) {
                Ok(token) => assert!(tokens.insert(token)),
                Err(error) => {
                    assert!(kind == MuxKind::Select && here.as_raw_fd() >= 1024);
                    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
                    let text = error.to_string();
                    assert!(text.contains("1023") && text.contains("epoll"), "{text}");
                }
            }
        }
        assert_eq!(tokens.len() == PAIRS, kind != MuxKind::Select);
        for (_, there) in &pairs {
            (&*there).write_all(b"x").unwrap();
        }
        // A wait may report them in several portions, and level ones again.
        let mut seen = std::collections::HashSet::new();
        while seen.len() < tokens.len() {
            for event in now(&mut *mux) {
                assert_eq!(event.ready, Ready::READ);
                seen.insert(event.token);
            }
        }
        assert_eq!(seen, tokens);
    }
}
