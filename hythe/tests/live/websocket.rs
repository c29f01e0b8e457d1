//! WebSocket (RFC 6455).
use super::server::Live;
#[test]
fn it_lives() {
    let live = Live::start();
    eprintln!("{} {} {}", live.plain, live.tls, live.memory());
    live.settled();
}
