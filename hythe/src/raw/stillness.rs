//! When nothing moves: one clock for both directions of a conversation, whoever
//! is waited for in each.

use std::time::Duration;

use hythe_net::Patience;
use hythe_net::reactor::sleep;

use crate::tls::Channel;

/// How often one looks within the time: it ends so much too late, at most.
const LOOKS: u32 = 8;

/// Ends when what is counted has stood still for `idle`; never without a limit.
pub(super) async fn stillness(idle: Option<Duration>, moved: impl Fn() -> u64) -> Duration {
    let Some(idle) = idle else {
        return std::future::pending().await;
    };
    let (mut before, mut looks) = (moved(), 0);
    while looks < LOOKS {
        sleep(idle / LOOKS).await;
        let now = moved();
        looks = if now == before { looks + 1 } else { 0 };
        before = now;
    }
    idle
}

/// What has moved on a connection so far, as far as the kernel tells: what was
/// received, and what the peer has taken of what was sent. Only that it changes
/// says something.
pub(super) fn moved(channel: &Channel, received: u64) -> u64 {
    let away = channel.socket().unacknowledged().unwrap_or_default() as u64;
    channel.sent().wrapping_sub(away).wrapping_add(received)
}

/// Patience of a stream whose time is looked after here.
pub(super) const ENDLESS: Patience = Patience {
    // So long that the clock can't tell the end of it.
    idle: Duration::MAX,
    bytes: usize::MAX,
};
