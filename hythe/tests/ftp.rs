//! FTP: every reply, every trap, and the clients that people use.

mod common;

#[path = "ftp/accounts.rs"]
mod accounts;
#[path = "ftp/clients.rs"]
mod clients;
#[path = "ftp/disk.rs"]
mod disk;
#[path = "ftp/during.rs"]
mod during;
#[path = "ftp/replies.rs"]
mod replies;
#[path = "ftp/secure.rs"]
mod secure;
#[path = "ftp/transfers.rs"]
mod transfers;
#[path = "ftp/traps.rs"]
mod traps;
#[path = "ftp/writing.rs"]
mod writing;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::thread::{self, JoinHandle};

use hythe::accounts::Gate;
use hythe::serve::ftp::{Ftp, FtpConfig};
use hythe::share::{Access, Share};
use hythe_net::{Limits, Model, MuxKind, Server, Shutdown};

use common::connect;

/// A server in this process, stopped when dropped.
struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    fn start(root: &Path) -> Self {
        Self::with(root, FtpConfig::default(), Limits::default())
    }

    fn with(root: &Path, config: FtpConfig, limits: Limits) -> Self {
        let model = Model::Events {
            mux: MuxKind::EpollEdge,
        };
        Self::on("127.0.0.1:0", model, root, config, limits)
    }

    fn start_ipv6(root: &Path) -> Self {
        let (config, limits) = (FtpConfig::default(), Limits::default());
        Self::on("[::1]:0", Model::Threads { max: 100 }, root, config, limits)
    }

    /// One in which visitors may do this.
    fn allowing(access: Access, root: &Path) -> Self {
        let gate = Gate::new(Share::open(root).unwrap(), access);
        Self::of(Ftp::new(gate, FtpConfig::default()))
    }

    fn on(address: &str, model: Model, root: &Path, config: FtpConfig, limits: Limits) -> Self {
        let gate = Gate::new(Share::open(root).unwrap(), Access::Read);
        Self::serving(address, model, limits, Ftp::new(gate, config))
    }

    fn of(handler: Ftp) -> Self {
        let model = Model::Events {
            mux: MuxKind::EpollEdge,
        };
        Self::serving("127.0.0.1:0", model, Limits::default(), handler)
    }

    fn serving(address: &str, model: Model, limits: Limits, handler: Ftp) -> Self {
        let server = Server::new(model)
            .limits(limits)
            .listen(&address.parse().unwrap(), handler)
            .unwrap();
        let address = server.addresses()[0].to_string().parse().unwrap();
        let shutdown = server.shutdown();
        let thread = Some(thread::spawn(move || server.serve()));
        Self {
            address,
            shutdown,
            thread,
        }
    }

    fn connect(&self) -> Client {
        Client::new(connect(self.address))
    }

    fn log_in(&self) -> Client {
        let mut client = self.connect();
        client.log_in();
        client
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.stop();
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

/// A control connection, as bare as can be.
struct Client<S = TcpStream>(BufReader<S>);

impl<S: Read + Write> Client<S> {
    /// Takes a fresh connection and reads the greeting.
    fn new(stream: S) -> Self {
        let mut client = Self(BufReader::new(stream));
        client.expect(220);
        client
    }

    fn log_in(&mut self) {
        self.command("USER anonymous", 331);
        self.command("PASS someone@", 230);
        self.command("TYPE I", 200);
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// A whole reply: its code, and all its lines.
    fn reply(&mut self) -> (u16, Vec<u8>) {
        let mut text = Vec::new();
        loop {
            let begin = text.len();
            assert_ne!(
                self.0.read_until(b'\n', &mut text).unwrap(),
                0,
                "closed: {}",
                show(&text)
            );
            let line = &text[begin..];
            assert!(line.ends_with(b"\r\n"), "{}", show(line));
            if line.starts_with(&[&text[..3], b" "].concat()) {
                let code = std::str::from_utf8(&text[..3]).unwrap().parse().unwrap();
                return (code, text);
            }
        }
    }

    fn expect(&mut self, code: u16) -> String {
        let (got, text) = self.reply();
        assert_eq!(got, code, "{}", show(&text));
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Sends a command and expects a reply with this code.
    fn command(&mut self, command: impl AsRef<[u8]>, code: u16) -> String {
        let command = command.as_ref();
        self.send([command, b"\r\n"].concat());
        let (got, text) = self.reply();
        assert_eq!(got, code, "{} was answered {}", show(command), show(&text));
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Expects the end of the connection, with nothing before it.
    fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).ok();
        assert_eq!(show(&rest), "");
    }
}

impl Client {
    fn peer_ip(&self) -> IpAddr {
        self.0.get_ref().peer_addr().unwrap().ip()
    }

    /// The port that EPSV opens.
    fn epsv(&mut self) -> SocketAddr {
        let text = self.command("EPSV", 229);
        let port = text.split('|').nth(3).unwrap().parse().unwrap();
        (self.peer_ip(), port).into()
    }

    /// Asks for a transfer over a passive connection, which it returns.
    fn begin(&mut self, command: impl AsRef<[u8]>) -> TcpStream {
        let data = connect(self.epsv());
        self.command(command, 150);
        data
    }

    /// All that a transfer brings.
    fn fetch(&mut self, command: impl AsRef<[u8]>) -> Vec<u8> {
        let mut data = self.begin(command);
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).unwrap();
        self.expect(226);
        bytes
    }

    /// Sends all of a file: what the transfer ended with.
    fn store(&mut self, command: impl AsRef<[u8]>, bytes: &[u8], code: u16) -> String {
        let mut data = self.begin(command);
        // Who is refused in the middle may hear of it while sending.
        data.write_all(bytes).ok();
        drop(data);
        self.expect(code)
    }

    fn fetch_lines(&mut self, command: impl AsRef<[u8]>) -> Vec<String> {
        let bytes = self.fetch(command);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.is_empty() || text.ends_with("\r\n"));
        text.split_terminator("\r\n").map(str::to_owned).collect()
    }
}

fn show(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// A command line with a name in it.
fn with_name(verb: &str, name: &[u8]) -> Vec<u8> {
    let mut line = [verb.as_bytes(), b" "].concat();
    for byte in name {
        line.push(*byte);
        if *byte == 0xff {
            line.push(*byte); // Telnet's escape
        }
    }
    line
}
