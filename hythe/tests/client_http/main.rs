//! The client of HTTP, as a library: against our own server, and against
//! servers and proxies that say what no server should.

#[path = "../common/mod.rs"]
mod common;

mod downloads;
mod hostile;
mod ours;
mod proxies;
mod python;
mod redirects;
mod scripted;
mod uploads;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hythe::client::{
    Ask, Credentials, Error, HttpClient, Opening, Options, Proxies, Remote, RemotePath, Result, Url,
};
use hythe_net::mux::Epoll;
use hythe_net::{Reactor, Sink};

/// Keeps what comes.
#[derive(Clone, Default)]
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: Option<u64>,
}

impl Sink for Kept {
    fn room(&self) -> u64 {
        let length = self.bytes.lock().unwrap().len() as u64;
        self.limit.map_or(u64::MAX, |limit| limit - length)
    }

    fn expected(&self) -> u64 {
        0
    }

    fn take(&mut self, bytes: &[u8]) {
        assert!(!bytes.is_empty() && bytes.len() as u64 <= self.room());
        self.bytes.lock().unwrap().extend_from_slice(bytes);
    }
}

/// Servers here answer at once, or never.
fn options() -> Options {
    Options {
        connect: Duration::from_secs(2),
        stall: Duration::from_secs(2),
        ..Options::default()
    }
}

fn trusting(ca: PathBuf) -> Options {
    Options {
        ca: Some(ca),
        ..options()
    }
}

/// Runs what is done with a session with the server of `url`.
fn with<T>(url: &str, work: impl AsyncFnOnce(&mut HttpClient) -> T) -> T {
    with_options(url, options(), Proxies::none(), work)
}

fn with_options<T>(
    url: &str,
    options: Options,
    proxies: Proxies,
    work: impl AsyncFnOnce(&mut HttpClient) -> T,
) -> T {
    let url = Url::parse(url).unwrap();
    let mut client = HttpClient::connect_through(url, options, proxies).unwrap();
    let reactor = Reactor::new(Epoll::edge().unwrap()).unwrap();
    reactor
        .block_on(async {
            let result = work(&mut client).await;
            client.close().await.unwrap();
            result
        })
        .unwrap()
}

fn path(text: &str) -> RemotePath {
    RemotePath::from_url(text, None)
}

/// What is downloaded, to a sink that takes this much.
async fn fetch_at_most(
    client: &mut HttpClient,
    at: &str,
    ask: &Ask,
    limit: Option<u64>,
) -> Result<(Opening, Vec<u8>)> {
    let opening = client.open(&path(at), ask).await?;
    let kept = Kept {
        limit,
        ..Kept::default()
    };
    client.receive(Box::new(kept.clone())).await?;
    let bytes = kept.bytes.lock().unwrap().clone();
    Ok((opening, bytes))
}

async fn fetch(client: &mut HttpClient, at: &str, ask: &Ask) -> Result<(Opening, Vec<u8>)> {
    fetch_at_most(client, at, ask, None).await
}

/// One download of all there is, in a session of its own.
fn get(url: &str) -> Result<(Opening, Vec<u8>)> {
    let at = Url::parse(url).unwrap().path.encoded().to_owned();
    with(url, async |client| {
        fetch(client, &at, &Ask::default()).await
    })
}

/// Why a download failed.
fn refused(url: &str) -> Error {
    match get(url) {
        Ok((opening, bytes)) => panic!("{url} came: {opening:?} {bytes:?}"),
        Err(error) => error,
    }
}

fn as_somebody(name: &str, password: &str) -> Options {
    Options {
        credentials: Credentials {
            given: Some(hythe::client::Login {
                name: name.into(),
                password: Some(password.into()),
            }),
            netrc: String::new(),
        },
        ..options()
    }
}
