//! The small services of the first Internet, for trying a network: echo (RFC
//! 862), discard (RFC 863), character generator (RFC 864), daytime (RFC 867) and
//! time (RFC 868), over TCP and UDP.

use std::future::{pending, poll_fn};
use std::io;
use std::task::{Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_lite::future::race;
use hythe_net::reactor::lease;
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

/// Answers a datagram. Since anybody can claim to be anybody, no answer is
/// longer than what it answers, but for the few bytes of the time.
///
/// # Errors
/// As [`Datagram::reply`].
pub async fn answer_datagram(service: Service, datagram: Datagram) -> io::Result<()> {
    let talkative = |peer: &Addr| peer.port().is_some_and(|port| TALKATIVE.contains(&port));
    if talkative(&datagram.peer) {
        return Ok(());
    }
    match service {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
}
