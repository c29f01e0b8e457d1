//! Bodies poured into a sink: what it takes it gets, and nothing else is
//! touched; however it ends, nothing is left of it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown as End;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{FOREVER, until};
use crate::{on_each_server, on_each_server_with};
use hythe_net::option::RecvLowWater;
use hythe_net::reactor::timeout;
use hythe_net::{Connection, Handler, Limits, More, Patience, Poured, Sink};

/// How long the body of each request is: more than one buffer, and not a
/// multiple of any.
const BODY: usize = 700_001;

/// Takes so many bytes, or fewer if it fails before.
struct Barrel {
    room: u64,
    taken: Vec<u8>,
    /// Where it breaks.
    breaks: u64,
    dropped: Option<Arc<AtomicUsize>>,
}

impl Barrel {
    fn new(room: usize) -> Self {
        Self {
            room: room as u64,
            taken: Vec::new(),
            breaks: u64::MAX,
            dropped: None,
        }
    }

    fn is_broken(&self) -> bool {
        self.taken.len() as u64 >= self.breaks
    }
}

impl Sink for Barrel {
    fn room(&self) -> u64 {
        if self.is_broken() {
            return 0;
        }
        self.room - self.taken.len() as u64
    }

    fn expected(&self) -> u64 {
        self.room()
    }

    fn take(&mut self, bytes: &[u8]) {
        assert!(!bytes.is_empty() && bytes.len() as u64 <= self.room());
        self.taken.extend_from_slice(bytes);
    }
}

impl Drop for Barrel {
    fn drop(&mut self) {
        if let Some(dropped) = &self.dropped {
            dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn body(seed: usize) -> Vec<u8> {
    (0..BODY)
        .map(|at| (at * 31 + seed + at / 251) as u8)
        .collect()
}

fn sum(bytes: &[u8]) -> [u8; 8] {
    let step = |sum: u64, byte: &u8| sum.wrapping_mul(31).wrapping_add(u64::from(*byte));
    bytes.iter().fold(1, step).to_le_bytes()
}

/// Answers each body with its sum, and each byte between them with itself.
struct Sums;

impl Handler for Sums {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        let stream = &connection.stream;
        loop {
            let (barrel, poured) = stream.pour(Barrel::new(BODY)).await;
            let mark = stream
                .socket()
                .get::<RecvLowWater>()
                .map_or(1, |RecvLowWater(mark)| mark);
            assert_eq!(mark, 1, "the next request would wait for more than it is");
            match poured? {
                Poured::Full => assert_eq!(barrel.taken.len(), BODY),
                Poured::End => {
                    let taken = (barrel.taken.len() as u64).to_le_bytes();
                    return stream.send_all(&taken, More::No).await;
                }
            }
            stream.send_all(&sum(&barrel.taken), More::No).await?;
            let mut byte = [0];
            if stream.recv(&mut byte).await? == 0 {
                return Ok(());
            }
            stream.send_all(&byte, More::No).await?;
        }
    }
}

#[test]
fn a_sink_gets_all_it_wants_and_what_comes_behind_is_for_the_next() {
    on_each_server(
        Limits::default(),
        || Sums,
        |server| {
            let mut client = server.connect();
            for seed in 0..3 {
                let bytes = body(seed);
                // In one piece with what comes behind it, or that much later.
                let whole = [&bytes[..], &[seed as u8]].concat();
                let (one, other) = whole.split_at(if seed == 1 { BODY } else { BODY + 1 });
                client.write_all(one).unwrap();
                let mut answer = [0; 8];
                client.read_exact(&mut answer).unwrap();
                assert_eq!(answer, sum(&bytes));
                client.write_all(other).unwrap();
                let mut byte = [0xff];
                client.read_exact(&mut byte).unwrap();
                assert_eq!(byte, [seed as u8]);
            }
            // A body that ends before it is whole.
            client.write_all(&body(0)[..1234]).unwrap();
            client.shutdown(End::Write).unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, 1234_u64.to_le_bytes());
            server.stop();
        },
    );
}

#[test]
fn what_comes_in_small_pieces_comes_whole() {
    on_each_server(
        Limits::default(),
        || Sums,
        |server| {
            let mut client = server.connect();
            client.set_nodelay(true).ok();
            let bytes = body(7);
            // Pieces that are less than what is waited for together, with the
            // last of them alone.
            let (most, last) = bytes.split_at(BODY - 1);
            for piece in most.chunks(33_333) {
                client.write_all(piece).unwrap();
                thread::sleep(Duration::from_millis(3));
            }
            client.write_all(last).unwrap();
            let mut answer = [0; 8];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, sum(&bytes));
            drop(client);
            server.stop();
        },
    );
}

/// Takes as much as its sink takes before that breaks, then says so.
struct Breaks;

impl Handler for Breaks {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        let stream = &connection.stream;
        let mut barrel = Barrel::new(BODY);
        barrel.breaks = 300_000;
        let (barrel, poured) = stream.pour(barrel).await;
        assert!(poured.is_ok() && barrel.is_broken());
        stream.send_all(b"broken", More::No).await?;
        stream.close().await;
        Ok(())
    }
}

#[test]
fn a_sink_that_wants_no_more_is_heard_of() {
    on_each_server(
        Limits::default(),
        || Breaks,
        |server| {
            let mut client = server.connect();
            // All of it is on its way when the answer comes, and it comes.
            client.write_all(&body(0)).unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "broken");
            drop(client);
            server.stop();
        },
    );
}

/// Says how it ended.
struct Tells;

impl Handler for Tells {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        let stream = &connection.stream;
        let (barrel, poured) = stream.pour(Barrel::new(BODY)).await;
        let kind = poured.expect_err("never whole").kind();
        assert_eq!(kind, ErrorKind::TimedOut);
        let taken = (barrel.taken.len() as u64).to_le_bytes();
        stream.progressed();
        stream.send_all(&taken, More::No).await
    }
}

#[test]
fn a_sender_that_makes_no_progress_is_not_waited_for_and_what_came_is_there() {
    let limits = Limits {
        patience: Patience {
            idle: Duration::from_millis(300),
            bytes: 1000,
        },
        ..Limits::default()
    };
    on_each_server(
        limits,
        || Tells,
        |server| {
            let mut client = server.connect();
            // Fewer than what is waited for together.
            client.write_all(&[1; 10]).unwrap();
            let mut answer = [0; 8];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(u64::from_le_bytes(answer), 10);
            drop(client);
            server.stop();
        },
    );
}

/// Gives up while it pours.
struct GivesUp(Arc<AtomicUsize>);

impl Handler for GivesUp {
    async fn handle(&self, connection: Connection) -> io::Result<()> {
        let stream = &connection.stream;
        let mut barrel = Barrel::new(BODY);
        barrel.dropped = Some(Arc::clone(&self.0));
        let given_up = timeout(Duration::from_millis(50), stream.pour(barrel)).await;
        let kind = given_up.err().map(|error| error.kind());
        assert_eq!(kind, Some(ErrorKind::TimedOut), "it never becomes whole");
        stream.send_all(b"given up", More::No).await?;
        stream.close().await;
        Ok(())
    }
}

#[test]
fn given_up_it_leaves_nothing() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let limits = |_| Limits::default();
    let handler = || GivesUp(Arc::clone(&dropped));
    on_each_server_with(limits, handler, |server| {
        for length in [0, 1, 10_000, BODY - 1] {
            let before = dropped.load(Ordering::SeqCst);
            let mut client = server.connect();
            client.set_write_timeout(Some(FOREVER)).unwrap();
            client.write_all(&body(0)[..length]).unwrap();
            let mut answer = [0; 8];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"given up");
            until("the sink is gone", || {
                dropped.load(Ordering::SeqCst) > before
            });
        }
        server.stop();
    });
}
