//! What the tests of this crate share.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hythe_net::mux::Mux;
use hythe_net::{Listener, Model, MuxKind, Reactor, Stream, create_server};

/// Longer than anything here takes on the slowest machine: a test that gets
/// there has failed.
pub(crate) const FOREVER: Duration = Duration::from_secs(60);

pub(crate) const MUXES: [MuxKind; 4] = [
    MuxKind::Select,
    MuxKind::Poll,
    MuxKind::EpollLevel,
    MuxKind::EpollEdge,
];

/// Keeps the tests of one program apart that look at what all threads share:
/// descriptor numbers, and how many there are.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test on each multiplexer.
pub(crate) fn on_each_mux(test: impl Fn(&mut dyn Mux)) {
    let _alone = alone();
    for kind in MUXES {
        println!("on {kind:?}");
        test(&mut *kind.open().unwrap());
    }
}

/// Runs a test in a reactor on each multiplexer. A test that hangs fails.
pub(crate) fn in_each_reactor(test: impl AsyncFn() -> io::Result<()>) {
    for kind in MUXES {
        println!("on {kind:?}");
        let reactor = Reactor::on(kind.open().unwrap()).unwrap();
        let limited = hythe_net::reactor::timeout(FOREVER, test());
        reactor.block_on(limited).unwrap().unwrap().unwrap();
    }
}

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < FOREVER, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Two streams that are connected over TCP.
pub(crate) async fn tcp_pair() -> io::Result<(Stream, Stream)> {
    let listener = Listener::new(create_server(&"127.0.0.1:0".parse()?, false)?)?;
    let address = listener.socket().sock_name()?;
    let client = Stream::connect(&address, None, FOREVER).await?;
    Ok((client, listener.accept().await?))
}

/// Every model, on each multiplexer where it has the choice.
pub(crate) fn models() -> Vec<Model> {
    let events = MUXES.map(|mux| Model::Events { mux });
    let cores = MUXES.map(|mux| Model::Cores { count: 2, mux });
    let mut models = vec![Model::Sequential, Model::Threads { max: 64 }];
    models.extend(events.into_iter().chain(cores));
    models
}
