//! The FTP client: against our own server, and against servers that lie.

mod common;

#[path = "client_ftp/hostile.rs"]
mod hostile;
#[path = "client_ftp/ours.rs"]
mod ours;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hythe::accounts::Gate;
use hythe::client::{
    Ask, Credentials, FtpClient, Login, Opening, Options, Remote, RemotePath, Url,
};
use hythe::serve::ftp::{Ftp, FtpConfig};
use hythe::share::{Access, Share};
use hythe_net::{Model, MuxKind, Reactor, Server, Shutdown, Sink};

/// A server in this process, stopped when dropped.
struct Running {
    address: SocketAddr,
    shutdown: Shutdown,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// One in which visitors may do everything.
    fn open(root: &std::path::Path) -> Self {
        let gate = Gate::new(Share::open(root).unwrap(), Access::Write);
        Self::on("127.0.0.1:0", Ftp::new(gate, FtpConfig::default()))
    }

    fn on(address: &str, handler: Ftp) -> Self {
        let model = Model::Events {
            mux: MuxKind::EpollEdge,
        };
        let server = Server::new(model)
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

    fn url(&self, scheme: &str) -> Url {
        url(scheme, self.address)
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

fn url(scheme: &str, address: SocketAddr) -> Url {
    Url::parse(&format!("{scheme}://{address}/")).unwrap()
}

/// Little patience: nothing here is far away.
fn options() -> Options {
    Options {
        connect: Duration::from_secs(2),
        stall: Duration::from_secs(2),
        ..Options::default()
    }
}

fn as_anna(password: &str) -> Options {
    let given = Some(Login {
        name: "anna".into(),
        password: Some(password.into()),
    });
    Options {
        credentials: Credentials {
            given,
            netrc: String::new(),
        },
        ..options()
    }
}

/// Runs what a client does, to its end.
fn run<T>(work: impl Future<Output = T>) -> T {
    let mux = MuxKind::EpollEdge.open().unwrap();
    Reactor::on(mux).unwrap().block_on(work).unwrap()
}

fn path(text: &str) -> RemotePath {
    RemotePath::root().resolve(text.as_bytes())
}

/// What comes, up to a limit.
#[derive(Clone)]
struct Taken {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: u64,
}

impl Taken {
    fn new(limit: u64) -> Self {
        Self {
            bytes: Arc::default(),
            limit,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }
}

impl Sink for Taken {
    fn room(&self) -> u64 {
        self.limit - self.bytes.lock().unwrap().len() as u64
    }

    fn expected(&self) -> u64 {
        0
    }

    fn take(&mut self, bytes: &[u8]) {
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        assert!(self.bytes.lock().unwrap().len() as u64 <= self.limit);
    }
}

/// A whole download.
async fn get(
    client: &mut FtpClient,
    path: &RemotePath,
    ask: &Ask,
) -> hythe::client::Result<(Opening, Vec<u8>)> {
    let opening = client.open(path, ask).await?;
    let taken = Taken::new(u64::MAX);
    client.receive(Box::new(taken.clone())).await?;
    Ok((opening, taken.bytes()))
}
