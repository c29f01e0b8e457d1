//! A server that the other tests try: this very program, run again in a process of
//! its own, so that what it holds can be counted.

use std::fs;
use std::future::Future;
use std::io::{self, BufRead as _, BufReader, Lines};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures_lite::future::or;
use hythe::http::{
    Error, Event, Events, Http, Message, Request, Response, Router, WebSocket, WebSocketUpgrade,
};
use hythe::tls::{Acceptor, SelfSigned};
use hythe_net::reactor::sleep;
use hythe_net::{Limits, Model, MuxKind, Patience, Server};
use serde::Deserialize;
use tempfile::TempDir;

use super::common::{PATIENCE, eventually, http};

/// Where the server keeps its certificate; without it, there is nothing to serve.
const FOLDER: &str = "LIVE_SERVER";

/// How long a peer of the server may take where a test waits for that.
const IMPATIENT: &str = "LIVE_IMPATIENT";

/// How long the server gives its handlers when it is told to stop: longer than a
/// test waits, so that none passes because of it.
const DRAIN: Duration = PATIENCE.saturating_mul(2);

// --- The server ----------------------------------------------------------------

/// Who is at work at present, by what they do.
#[derive(Clone, Default)]
struct Working(Arc<AtomicUsize>);

impl Working {
    fn begin(&self) -> Self {
        self.0.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&self.0))
    }

    fn end(self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One that is at work until it is dropped.
struct Work(Option<Working>);

impl Work {
    fn of(working: &Working) -> Self {
        Self(Some(working.begin()))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.take().unwrap().end();
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct Wishes {
    limit: usize,
    /// In milliseconds, both.
    ping: u64,
    heartbeat: u64,
    code: u16,
    reason: String,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            limit: 1024 * 1024,
            ping: 30_000,
            heartbeat: 15_000,
            code: 1000,
            reason: String::new(),
        }
    }
}

fn upgrade(request: &Request) -> Result<WebSocketUpgrade, Error> {
    let Wishes { limit, ping, .. } = request.query()?;
    let upgrade = WebSocketUpgrade::of(request)?.with_limit(limit);
    Ok(upgrade.with_ping(Duration::from_millis(ping)))
}

/// Has somebody speak, who counts as being at work.
fn speak<F, T>(upgrade: WebSocketUpgrade, working: &Working, speak: F) -> Response
where
    F: FnOnce(WebSocket) -> T + 'static,
    T: Future<Output = io::Result<()>> + 'static,
{
    let work = Work::of(working);
    upgrade.on_upgrade(async move |socket| {
        let _work = work;
        speak(socket).await
    })
}

async fn echo_all(mut socket: WebSocket) -> io::Result<()> {
    while let Some(message) = socket.receive().await? {
        socket.send(message).await?;
    }
    Ok(())
}

async fn echo(working: Working, request: Request) -> Result<Response, Error> {
    Ok(speak(upgrade(&request)?, &working, echo_all))
}

async fn open_to_all(working: Working, request: Request) -> Result<Response, Error> {
    let upgrade = WebSocketUpgrade::of_any_origin(&request)?;
    let upgrade = upgrade.with_protocols(&["chat.v2", "chat"]);
    let protocol = upgrade.protocol().unwrap_or("none").to_owned();
    Ok(speak(upgrade, &working, async move |mut socket| {
        socket.send(protocol).await?;
        echo_all(socket).await
    }))
}

/// Gives up waiting for a message again and again.
async fn impatient(working: Working, request: Request) -> Result<Response, Error> {
    Ok(speak(upgrade(&request)?, &working, async |mut socket| {
        loop {
            let tick = async {
                sleep(Duration::from_micros(100)).await;
                Ok(Some(Message::from("tick")))
            };
            match or(socket.receive(), tick).await? {
                Some(message) if message == Message::from("tick") => {}
                Some(message) => socket.send(message).await?,
                None => return Ok(()),
            }
        }
    }))
}

async fn once(working: Working, request: Request) -> Result<Response, Error> {
    Ok(speak(upgrade(&request)?, &working, async |mut socket| {
        socket.send("once").await
    }))
}

async fn failing(working: Working, request: Request) -> Result<Response, Error> {
    Ok(speak(upgrade(&request)?, &working, async |_| {
        Err(io::Error::other("it is broken"))
    }))
}

async fn closing(working: Working, request: Request) -> Result<Response, Error> {
    let Wishes { code, reason, .. } = request.query()?;
    Ok(speak(upgrade(&request)?, &working, async move |socket| {
        socket.close(code, &reason).await
    }))
}

/// Sends for as long as it is let.
async fn flood(working: Working, request: Request) -> Result<Response, Error> {
    Ok(speak(upgrade(&request)?, &working, async |mut socket| {
        loop {
            socket.send("x".repeat(64 * 1024)).await?;
        }
    }))
}

/// An event for each number behind the last that was heard.
async fn events(working: Working, request: Request) -> Response {
    let work = Work::of(&working);
    let last = request.header("last-event-id");
    let last: u64 = last.and_then(|last| last.parse().ok()).unwrap_or(0);
    Events::response(async move |mut events| {
        let _work = work;
        for number in last + 1.. {
            let id = number.to_string();
            let text = format!("{number}\n第{number}条");
            let event = Event::data(text).with_id(&id);
            let event = match number % 2 {
                0 => event.with_name("even"),
                _ => event.with_retry(Duration::from_millis(10)),
            };
            events.send(event).await?;
            if number % 4 == 0 {
                // The page has to ask for what is behind it.
                return Ok(());
            }
        }
        Ok(())
    })
}

async fn silence(working: Working, request: Request) -> Result<Response, Error> {
    let work = Work::of(&working);
    let heartbeat = Duration::from_millis(request.query::<Wishes>()?.heartbeat);
    Ok(Events::response_with_heartbeat(
        heartbeat,
        async move |_events| {
            let _work = work;
            std::future::pending().await
        },
    ))
}

async fn event_flood(working: Working, _: Request) -> Response {
    let work = Work::of(&working);
    Events::response(async move |mut events| {
        let _work = work;
        loop {
            events.send(Event::data("x".repeat(64 * 1024))).await?;
        }
    })
}

#[test]
#[ignore = "a server, run by the other tests in a process of its own"]
fn serving() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let working = Working::default();
    let router = Router::with_state(working.clone())
        .get("/", async |_: Request| Response::html(PAGE))
        .get("/echo", echo)
        .any("/open", open_to_all)
        .get("/impatient", impatient)
        .get("/once", once)
        .get("/failing", failing)
        .get("/closing", closing)
        .get("/flood", flood)
        .get("/events", events)
        .get("/events/silence", silence)
        .get("/events/flood", event_flood)
        .get("/working", async |working: Working, _: Request| {
            working.0.load(Ordering::SeqCst).to_string()
        });
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let identity = SelfSigned::kept_in(Path::new(&folder))
        .identity(now.try_into().unwrap(), vec!["127.0.0.1".to_owned()])
        .unwrap();
    let http = Http::new(router);
    let https = http.over_tls(Acceptor::new(&identity, None).unwrap());
    let mut limits = Limits {
        drain: DRAIN,
        ..Limits::default()
    };
    if let Ok(milliseconds) = std::env::var(IMPATIENT) {
        let idle = Duration::from_millis(milliseconds.parse().unwrap());
        limits.patience = Patience::new(idle);
    }
    let mux = MuxKind::EpollEdge;
    let server = Server::new(Model::Cores { count: 2, mux })
        .limits(limits)
        .listen(&"127.0.0.1:0".parse().unwrap(), http)
        .unwrap()
        .listen(&"127.0.0.1:0".parse().unwrap(), https)
        .unwrap()
        .stop_on(io::stdin().as_fd().try_clone_to_owned().unwrap());
    for address in server.addresses() {
        println!("\nlistening on {address}");
    }
    server.serve().unwrap();
}

// --- The server, as a test has it ---------------------------------------------

pub(crate) struct Live {
    child: Child,
    /// It stops when this is closed.
    stdin: Option<ChildStdin>,
    /// It may go on to write.
    _stdout: Lines<BufReader<ChildStdout>>,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    folder: TempDir,
    /// How many descriptors and threads it had when nobody was there.
    before: (usize, usize),
}

impl Live {
    pub(crate) fn start() -> Self {
        Self::start_with(None)
    }

    /// One whose peers may take no longer than this.
    pub(crate) fn impatient(patience: Duration) -> Self {
        Self::start_with(Some(patience))
    }

    fn start_with(patience: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "server::serving", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some(patience) = patience {
            command.env(IMPATIENT, patience.as_millis().to_string());
        }
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = || loop {
            let line = lines.next().expect("the server has ended").unwrap();
            if let Some(address) = line.strip_prefix("listening on ") {
                return address.parse().unwrap();
            }
        };
        let (plain, tls) = (address(), address());
        let mut live = Self {
            child,
            stdin,
            _stdout: lines,
            plain,
            tls,
            folder,
            before: (0, 0),
        };
        // What is made once and kept, is there from now on: a thread for each core
        // and what TLS needs.
        assert_eq!(live.working(), 0);
        live.before = live.holds();
        live
    }

    pub(crate) fn certificate(&self) -> std::path::PathBuf {
        SelfSigned::kept_in(self.folder.path()).file().to_owned()
    }

    fn proc(&self, file: &str) -> std::path::PathBuf {
        format!("/proc/{}/{file}", self.child.id()).into()
    }

    fn holds(&self) -> (usize, usize) {
        let count = |folder| fs::read_dir(self.proc(folder)).unwrap().count();
        (count("fd"), count("task"))
    }

    /// Its private memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let text = fs::read_to_string(self.proc("smaps_rollup")).unwrap();
        let mut lines = text.lines();
        let written = lines.find_map(|line| line.strip_prefix("Private_Dirty:"));
        let kib = written.unwrap().trim().strip_suffix(" kB");
        kib.unwrap().parse().unwrap()
    }

    /// How many speak or send events at present.
    pub(crate) fn working(&self) -> usize {
        let reply = http::get(self.plain, "/working", &["Connection: close"]);
        String::from_utf8(reply.body).unwrap().parse().unwrap()
    }

    /// Waits until nothing is left of those who were here.
    pub(crate) fn settled(&self) {
        eventually("nobody at work", || self.working() == 0);
        eventually("as many descriptors and threads as before", || {
            let (descriptors, threads) = self.holds();
            descriptors <= self.before.0 && threads <= self.before.1
        });
    }

    /// Tells it to stop.
    pub(crate) fn stop(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

const PAGE: &str = include_str!("page.html");
