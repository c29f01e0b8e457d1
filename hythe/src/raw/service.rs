//! The small services of the first Internet, for trying a network: echo (RFC
//! 862), discard (RFC 863), character generator (RFC 864), daytime (RFC 867) and
//! time (RFC 868), over TCP and UDP.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::task::{Poll, ready};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_lite::future::race;
use hythe_net::reactor::{lease, now};
use hythe_net::{Addr, Connection, Datagram, More};
use jiff::Zoned;

use super::Talk;
use crate::tls::Channel;

/// A small service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Everything comes back.
    Echo,
    /// Everything is taken, and nothing said.
    Discard,
    /// Characters without end.
    Chargen,
    /// The time, for people.
    Daytime,
    /// The time, for machines.
    Time,
}

impl Talk for Service {
    async fn talk(&self, connection: Connection<Channel>) -> io::Result<()> {
        let channel = &connection.stream;
        match self {
            Self::Echo => echo(channel).await?,
            Self::Discard => discard(channel).await?,
            Self::Chargen => chargen(channel).await?,
            Self::Daytime => channel.send_all(daytime().as_bytes(), More::No).await?,
            Self::Time => channel.send_all(&time(), More::No).await?,
        }
        channel.close().await;
        Ok(())
    }
}

/// Sends back what comes, and while it waits holds no memory.
async fn echo(channel: &Channel) -> io::Result<()> {
    loop {
        // What is not taken at once.
        let mut rest = Vec::new();
        let count = poll_fn(|context| {
            let mut buffer = lease();
            let count = ready!(channel.poll_recv(context, &mut buffer))?;
            if count > 0 {
                let sent = match channel.poll_send(context, &buffer[..count], More::No) {
                    Poll::Ready(sent) => sent?,
                    Poll::Pending => 0,
                };
                rest.extend_from_slice(&buffer[sent..count]);
            }
            Poll::Ready(io::Result::Ok(count))
        })
        .await?;
        if count == 0 {
            return Ok(());
        }
        if !rest.is_empty() {
            channel.send_all(&rest, More::No).await?;
        } else if channel.is_encrypted() {
            channel.flush().await?;
        }
    }
}

async fn discard(channel: &Channel) -> io::Result<()> {
    let mut count = 1;
    while count > 0 {
        count = poll_fn(|context| channel.poll_recv(context, &mut lease())).await?;
    }
    Ok(())
}

/// The printing characters of ASCII, of which a line shows [`LINE`], and the
/// next line as many from one further on (RFC 864).
const FIRST: u8 = b' ';
const CHARACTERS: usize = 95;
const LINE: usize = 72;

/// The whole pattern, after which it begins again.
fn pattern() -> Vec<u8> {
    let mut pattern = Vec::with_capacity(CHARACTERS * (LINE + 2));
    for line in 0..CHARACTERS {
        let characters = (line..line + LINE).map(|at| FIRST + (at % CHARACTERS) as u8);
        pattern.extend(characters);
        pattern.extend(b"\r\n");
    }
    pattern
}

/// Whatever the peer says is thrown away meanwhile, and its end does not matter:
/// it ends by closing.
async fn chargen(channel: &Channel) -> io::Result<()> {
    let pattern = pattern();
    let talking = async {
        loop {
            channel.send_all(&pattern, More::No).await?;
        }
    };
    let deaf = async {
        discard(channel).await?;
        pending().await
    };
    // In turns: each of them could use up the budget of every turn.
    race(talking, deaf).await
}

/// `Saturday, November 28, 2026 14:01:09-UTC`, the first of the forms that RFC
/// 867 names.
fn daytime() -> String {
    Zoned::now()
        .strftime("%A, %B %-d, %Y %H:%M:%S-%Z\r\n")
        .to_string()
}

/// How many seconds lie between 1900, from which RFC 868 counts, and 1970.
const SINCE_1900: u64 = 2_208_988_800;

/// Seconds since 1900; from 2036 on they begin again, as the RFC's 32 bits do.
fn time() -> [u8; 4] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(0, |time| time.as_secs()) + SINCE_1900;
    (seconds as u32).to_be_bytes()
}

/// The longest datagram of characters (RFC 864).
const MOST_CHARACTERS: usize = 512;

/// Whose answer would be answered: a datagram that claims to come from such a
/// port would keep two machines talking for ever. Echo, daytime, quote of the
/// day, character generator and time; nobody sends from port 0.
const TALKATIVE: [u16; 6] = [0, 7, 13, 17, 19, 37];

/// How many answers an address gets in a second: more than people and their
/// tools ask for, and few enough that whoever answers answers soon misses one,
/// which is its last.
const ANSWERS: u16 = 100;

/// Among how many counts the addresses are spread. Two that share one have the
/// answers of one between them.
const COUNTS: usize = 1024;

/// A small service as it answers datagrams, of which nobody knows who sent them:
/// no answer is longer than what it answers, but for the few bytes of the time,
/// and none goes to who seems to be such a service, too.
#[derive(Debug)]
pub struct Answers {
    service: Service,
    own_port: Cell<Option<u16>>,
    rate: RefCell<Rate>,
}

impl Answers {
    /// Answers of this service.
    pub fn new(service: Service) -> Self {
        Self {
            service,
            own_port: Cell::new(None),
            rate: RefCell::new(Rate::new(Instant::now())),
        }
    }

    /// Answers nothing that comes from a port of this number either: where another
    /// machine has the same service.
    pub fn set_own_port(&self, port: Option<u16>) {
        self.own_port.set(port);
    }

    /// Answers a datagram, or not.
    ///
    /// # Errors
    /// As [`Datagram::reply`].
    pub async fn answer(&self, datagram: Datagram) -> io::Result<()> {
        if !self.may_answer(&datagram.peer, now()) {
            return Ok(());
        }
        match self.service {
            Service::Echo => datagram.reply(&datagram.bytes).await,
            Service::Discard => Ok(()),
            Service::Chargen => {
                let most = datagram.bytes.len().min(MOST_CHARACTERS);
                let length = getrandom::u32().map_err(io::Error::other)? as usize % (most + 1);
                datagram.reply(&pattern()[..length]).await
            }
            Service::Daytime => datagram.reply(daytime().as_bytes()).await,
            Service::Time => datagram.reply(&time()).await,
        }
    }

    fn may_answer(&self, peer: &Addr, now: Instant) -> bool {
        let answers = |port| TALKATIVE.contains(&port) || self.own_port.get() == Some(port);
        !peer.port().is_some_and(answers) && self.rate.borrow_mut().allows(peer, now)
    }
}

/// How many answers went where in this second. Nobody can choose whom to share a
/// count with, since the hash has a secret.
#[derive(Debug)]
struct Rate {
    since: Instant,
    hash: RandomState,
    counts: Box<[u16]>,
}

impl Rate {
    fn new(now: Instant) -> Self {
        Self {
            since: now,
            hash: RandomState::new(),
            counts: vec![0; COUNTS].into(),
        }
    }

    fn allows(&mut self, peer: &Addr, now: Instant) -> bool {
        if now.duration_since(self.since) >= Duration::from_secs(1) {
            self.since = now;
            self.counts.fill(0);
        }
        let hash = match peer.ip() {
            Some(ip) => self.hash.hash_one(ip),
            None => self.hash.hash_one(peer),
        };
        let count = &mut self.counts[hash as usize % COUNTS];
        let allowed = *count < ANSWERS;
        *count += u16::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use hythe_net::mux::Epoll;
    use hythe_net::reactor::{spawn, timeout};
    use hythe_net::{Reactor, Stream};

    use super::*;

    /// Has a client meet a service.
    fn meet(service: Service, client: impl AsyncFnOnce(Stream) -> io::Result<()>) {
        let reactor = Reactor::new(Epoll::edge().unwrap()).unwrap();
        let met = reactor.block_on(async {
            let (client_end, server_end) = Stream::pair()?;
            let peer = "127.0.0.1:1024".parse()?;
            let connection = Connection::new(Channel::plain(server_end), peer);
            spawn(async move { drop(service.talk(connection).await) });
            timeout(Duration::from_secs(60), client(client_end)).await?
        });
        met.unwrap().unwrap();
    }

    #[test]
    fn characters_come_while_what_is_sent_is_thrown_away() {
        meet(Service::Chargen, async |client| {
            // More than the kernel keeps on the way.
            client.send_all(&vec![b'x'; 4 << 20], More::No).await?;
            client.shutdown(hythe_net::How::Write)?;
            let (mut got, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
            while got.len() < 4 << 20 {
                let count = client.recv(&mut buffer).await?;
                got.extend_from_slice(&buffer[..count]);
            }
            let wanted = pattern();
            assert!(
                got.chunks(wanted.len())
                    .all(|part| wanted.starts_with(part))
            );
            Ok(())
        });
    }

    #[test]
    fn the_pattern_is_that_of_the_rfc() {
        let pattern = pattern();
        let text = String::from_utf8(pattern).unwrap();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 95);
        assert!(lines.iter().all(|line| line.len() == 72));
        assert!(lines[0].starts_with(" !\"#$%&'()*+,-./0123456789"));
        assert!(lines[1].starts_with("!\"#"));
        assert!(lines[94].starts_with("~ !\""));
    }

    #[test]
    fn no_datagram_is_answered_that_would_begin_an_endless_talk() {
        let answers = Answers::new(Service::Echo);
        answers.set_own_port(Some(7007));
        let begin = Instant::now();
        let answered = |peer: &str, millis| {
            let now = begin + Duration::from_millis(millis);
            answers.may_answer(&peer.parse().unwrap(), now)
        };
        for port in [0, 7, 19, 7007] {
            assert!(!answered(&format!("192.0.2.1:{port}"), 0));
        }
        // A loop at whatever port ends at the first answer that is left out.
        let count = |millis| {
            (0..1000)
                .filter(|_| answered("192.0.2.1:9", millis))
                .count()
        };
        assert_eq!(count(0), usize::from(ANSWERS));
        assert_eq!(count(900), 0);
        assert_eq!(count(1100), usize::from(ANSWERS));
        let others = (0..20).filter(|n| answered(&format!("198.51.100.{n}:9"), 1100));
        assert!(others.count() > 10, "others are answered meanwhile");
    }
}
