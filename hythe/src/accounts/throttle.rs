//! Who has failed so often that the next try has to wait.
//!
//! A try is written down before the password is looked at, so that a thousand
//! at one time are no more than a thousand one after the other; afterwards it
//! becomes a failure or is forgotten. It is all in the database, where every
//! protocol and every process sees it, and every line ends by itself.

use std::net::IpAddr;
use std::time::Duration;

use hythe_net::Addr;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

/// How many failures there may be within [`WINDOW`], of one address and for one
/// name: more than anybody needs who has forgotten which password it was.
pub const FAILURES: usize = 10;

/// How long a failure counts.
pub const WINDOW: Duration = Duration::from_secs(60);

/// How many accounts one address may make within [`REGISTRATION_WINDOW`]: a
/// class behind one router, and no more hashing than that.
pub const REGISTRATIONS: usize = 30;

/// How long a new account counts.
pub const REGISTRATION_WINDOW: Duration = Duration::from_secs(60 * 60);

/// After this long without an end, whoever looked at the password is gone.
const PENDING: Duration = Duration::from_secs(10);

/// Whom a try counts against.
type Subject = Vec<u8>;

/// A limit on how often something may be tried.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    subject: Subject,
    most: usize,
    window: Duration,
}

/// Whether a try may be made.
#[derive(Debug)]
pub(super) enum Begun {
    /// It may, and is to be ended.
    Go(Ticket),
    /// After this long.
    Banned(Duration),
    /// That is decided by those that are under way.
    Wait,
}

/// A try under way: its lines.
#[derive(Debug)]
pub(super) struct Ticket(Vec<i64>);

/// For signing in to this account from there.
pub(super) fn sign_in(name: &[u8], from: &Addr) -> Vec<Limit> {
    let limit = |subject| Limit {
        subject,
        most: FAILURES,
        window: WINDOW,
    };
    let address = address(b'a', from).map(limit);
    address.into_iter().chain([limit(account(name))]).collect()
}

/// For the password of this link from there.
pub(super) fn link(id: i64, from: &Addr) -> Vec<Limit> {
    let limit = |subject| Limit {
        subject,
        most: FAILURES,
        window: WINDOW,
    };
    let address = address(b'a', from).map(limit);
    let link = [b"l", &id.to_be_bytes()[..]].concat();
    address.into_iter().chain([limit(link)]).collect()
}

/// For making accounts from there.
pub(super) fn registration(from: &Addr) -> Vec<Limit> {
    let limit = |subject| Limit {
        subject,
        most: REGISTRATIONS,
        window: REGISTRATION_WINDOW,
    };
    address(b'r', from).map(limit).into_iter().collect()
}

/// Names may be long, and are not all anybody's business.
fn account(name: &[u8]) -> Subject {
    [b"n", &Sha256::digest(name)[..]].concat()
}

/// Of IPv6 the network, within which a host chooses its addresses. Whoever
/// comes by a Unix socket has none.
fn address(kind: u8, from: &Addr) -> Option<Subject> {
    let mut subject = vec![kind];
    match from.ip()? {
        IpAddr::V4(ip) => subject.extend(ip.octets()),
        IpAddr::V6(ip) => subject.extend(&ip.octets()[..8]),
    }
    Some(subject)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Begins a try, at this time in milliseconds. In a transaction.
pub(super) fn begin(db: &Connection, limits: &[Limit], now: i64) -> rusqlite::Result<Begun> {
    let mut wait = false;
    let mut banned = None;
    for limit in limits {
        let (failures, pending) = tries(db, limit, now)?;
        if let Some(at) = failures.len().checked_sub(limit.most) {
            let left = failures[at] + millis(limit.window) - now;
            banned = banned.max(Some(left));
        } else if failures.len() + pending >= limit.most {
            wait = true;
        }
    }
    if let Some(left) = banned {
        let left = u64::try_from(left).unwrap_or_default().max(1);
        return Ok(Begun::Banned(Duration::from_millis(left)));
    }
    if wait {
        return Ok(Begun::Wait);
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO attempts (subject, time, until, pending) VALUES (?, ?, ?, 1)",
    )?;
    let mut lines = Vec::with_capacity(limits.len());
    for limit in limits {
        let until = now.saturating_add(millis(limit.window));
        lines.push(insert.insert(params![limit.subject, now, until])?);
    }
    Ok(Begun::Go(Ticket(lines)))
}

/// When the failures were that count, oldest first, and how many are under way.
/// What lies in the future is from before the clock was set back.
fn tries(db: &Connection, limit: &Limit, now: i64) -> rusqlite::Result<(Vec<i64>, usize)> {
    let mut select = db.prepare_cached(
        "SELECT time, pending FROM attempts WHERE subject = ? AND time > ? AND time <= ?
         ORDER BY time",
    )?;
    let from = now.saturating_sub(millis(limit.window));
    let mut rows = select.query(params![limit.subject, from, now])?;
    let (mut failures, mut pending) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let time = row.get(0)?;
        if !row.get::<_, bool>(1)? {
            failures.push(time);
        } else if time > now.saturating_sub(millis(PENDING)) {
            pending += 1;
        }
    }
    Ok((failures, pending))
}

/// Ends a try in failure. Whether it was the last that may be made for now.
pub(super) fn failed(
    db: &Connection,
    limits: &[Limit],
    ticket: &Ticket,
    now: i64,
) -> rusqlite::Result<bool> {
    let mut update = db.prepare_cached("UPDATE attempts SET pending = 0 WHERE id = ?")?;
    for line in &ticket.0 {
        update.execute([line])?;
    }
    prune(db, now)?;
    for limit in limits {
        if tries(db, limit, now)?.0.len() >= limit.most {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Ends a try that shall not count.
pub(super) fn forget(db: &Connection, ticket: &Ticket) -> rusqlite::Result<()> {
    let mut delete = db.prepare_cached("DELETE FROM attempts WHERE id = ?")?;
    for line in &ticket.0 {
        delete.execute([line])?;
    }
    Ok(())
}

/// Forgets the failures for an account, whose owner has come.
pub(super) fn clear(db: &Connection, name: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM attempts WHERE subject = ? AND pending = 0")?
        .execute([account(name)])?;
    Ok(())
}

/// Removes lines that count no more, and those that never will. As each line
/// costs a hash, the others are few.
fn prune(db: &Connection, now: i64) -> rusqlite::Result<()> {
    let never = now.saturating_add(2 * millis(REGISTRATION_WINDOW));
    db.prepare_cached("DELETE FROM attempts WHERE until <= ? OR until > ?")?
        .execute([now, never])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(text: &str) -> Option<Subject> {
        address(b'a', &text.parse().unwrap())
    }

    #[test]
    fn an_address_is_a_host_or_the_network_of_one() {
        assert_eq!(subject("192.0.2.1:5"), subject("192.0.2.1:6"));
        assert_ne!(subject("192.0.2.1:5"), subject("192.0.2.2:5"));
        assert_eq!(subject("[2001:db8::1]:5"), subject("[2001:db8::2:3:4]:6"));
        assert_ne!(subject("[2001:db8::1]:5"), subject("[2001:db8:0:1::1]:5"));
        assert_eq!(subject("[::ffff:192.0.2.1]:5"), subject("192.0.2.1:5"));
        assert_eq!(subject("unix:/run/x"), None);
    }
}
