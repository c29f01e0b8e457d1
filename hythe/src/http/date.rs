//! The `Date` field (RFC 9110 §6.6.1), made once a second on each thread.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use hythe_net::reactor;

/// The length of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) const LENGTH: usize = 29;

/// The text of one second, and a number that changes with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Date {
    pub(crate) text: [u8; LENGTH],
    pub(crate) second: u64,
}

thread_local! {
    /// The date, and when it will have become another.
    static CURRENT: Cell<Option<(Date, Instant)>> = const { Cell::new(None) };
}

/// The date of this turn of the reactor.
pub(crate) fn now() -> Date {
    let turn = reactor::now();
    match CURRENT.get() {
        Some((date, until)) if turn < until => date,
        _ => {
            let (date, left) = read_clock();
            CURRENT.set(Some((date, turn + left)));
            date
        }
    }
}

/// The date by the clock, and how long it stays so.
fn read_clock() -> (Date, Duration) {
    let time = SystemTime::now();
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let mut text = [b' '; LENGTH];
    let formatted = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since);
    text.copy_from_slice(formatted.as_bytes());
    let left = Duration::from_secs(1) - Duration::from_nanos(since.subsec_nanos().into());
    (
        Date {
            text,
            second: since.as_secs(),
        },
        left,
    )
}
