//! What the tests of this crate share.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hythe_net::mux::Mux;
use hythe_net::{Addr, Kind, Listener, Model, MuxKind, Reactor, Socket, Stream, create_server};

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

/// Runs a test over IPv4, IPv6, and Unix sockets by path and abstract name.
pub(crate) fn over_each_family(test: impl Fn(&Addr)) {
    let folder = tempfile::tempdir().unwrap();
    let unique = folder.path().file_name().unwrap().to_str().unwrap();
    for text in [
        "127.0.0.1:0",
        "[::1]:0",
        &format!("unix:{}", folder.path().join("a b").display()),
        &format!("unix:@hythe{unique}"),
    ] {
        println!("over {text}");
        test(&text.parse().unwrap());
    }
}

/// The two ends of a connection, over each family.
pub(crate) fn over_each_connection(test: impl Fn(Socket, Socket)) {
    over_each_family(|address| {
        let listener = create_server(address, false).unwrap();
        let client = Socket::new(address.domain(), Kind::STREAM).unwrap();
        client.connect(&listener.sock_name().unwrap()).unwrap();
        test(client, listener.accept().unwrap().0);
    });
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
