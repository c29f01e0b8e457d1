//! `hythe shell`: a session with a server, command by command.

use std::cell::RefCell;
use std::fs;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_lite::future::or;
use hythe_net::mux::Epoll;
use hythe_net::reactor::timeout;
use hythe_net::{Reactor, Sink, Stream};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use signal_hook::consts::SIGINT;

use super::completing::Completing;
use super::failure::{Exit, Failure, cause};
use super::ls::as_table;
use super::progress::{Progress, Style};
use super::remote::{Effort, Reach, exit, parse_url, shown, signals};
use super::secret;
use super::words::{Word, split};
use crate::client::{Ask, Entry, Error, Kind, Login, Reason, Remote, RemotePath, Result, Scheme};
use crate::pattern::{is_pattern, matches};
use crate::quantity::size;
use crate::transfer::{Connections, Existing, Settings, Source, Target, download, is_safe, upload};

/// Talk to a server, command by command
///
/// `help` lists the commands. A transfer that was interrupted by Ctrl-C goes on
/// with the same command. Commands may come from a pipe, too; then the first that
/// fails is the last.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server, and a folder there to begin in
    #[arg(value_name = "URL")]
    url: String,

    #[command(flatten)]
    effort: Effort,

    #[command(flatten)]
    reach: Reach,
}

/// What `help` says: a command, its arguments, and what it does.
pub(super) const COMMANDS: [(&str, &str, &str); 22] = [
    ("ls", "[-l] [FOLDER]", "list a folder"),
    (
        "cd",
        "[FOLDER]",
        "go to another folder; without one, to the first",
    ),
    ("pwd", "", "show where this is"),
    ("lcd", "[DIR]", "go to another folder on this machine"),
    ("lpwd", "", "show which folder of this machine files go to"),
    ("get", "FILE [LOCAL]", "fetch a file"),
    ("put", "LOCAL [FILE]", "send a file"),
    ("mget", "PATTERN...", "fetch several: *.txt"),
    ("mput", "PATTERN...", "send several"),
    ("rm", "FILE...", "remove files"),
    ("mkdir", "FOLDER...", "make folders"),
    ("rmdir", "FOLDER...", "remove empty folders"),
    ("mv", "FILE NAME", "give a file or folder another name"),
    ("cat", "FILE", "show a file"),
    ("stat", "FILE", "show what is known of a file"),
    ("register", "NAME", "make an account"),
    ("login", "NAME", "be somebody else"),
    ("help", "", "list the commands"),
    ("quit", "", "take leave"),
    ("exit", "", "the same"),
    ("bye", "", "the same"),
    ("?", "", "the same as help"),
];

pub(super) fn run(args: &Args) -> std::result::Result<(), Failure> {
    let mut url = parse_url(&args.url)?;
    let options = args.reach.options(std::slice::from_mut(&mut url))?;
    let settings = args.effort.settings(options.clone());
    let failed = |error: io::Error| {
        Failure::new(Exit::Other, format!("cannot wait for the network: {error}"))
    };
    let reactor = Reactor::new(Epoll::edge().map_err(failed)?).map_err(failed)?;
    let folder = url.path.as_folder();
    let connections = Connections::new(url, options);
    let shell = Shell {
        reactor,
        connections,
        settings,
        first: folder.clone(),
        folder: RefCell::new(folder),
        above: RefCell::default(),
        signals: match io::stdin().is_terminal() {
            true => Some(signals(&[SIGINT]).map_err(failed)?),
            false => None,
        },
    };
    shell.begin()?;
    let result = if io::stdin().is_terminal() {
        shell.converse()
    } else {
        shell.obey_input()
    };
    // Whether the server hears of it makes no difference.
    shell.reactor.block_on(shell.connections.close()).ok();
    result
}

/// How long the Tab key may take.
const SOON: Duration = Duration::from_secs(3);

/// A session.
pub(super) struct Shell {
    reactor: Reactor,
    connections: Connections,
    settings: Settings,
    /// Where it began.
    first: RemotePath,
    /// Where it is.
    folder: RefCell<RemotePath>,
    /// By which folders it came there. Only Gopher needs to know, whose paths
    /// don't tell what is above.
    above: RefCell<Vec<RemotePath>>,
    /// Ctrl-C. Scripts are ended by it as the kernel does it.
    signals: Option<UnixStream>,
}

/// What comes after a command.
enum Next {
    Go,
    End,
}

impl Shell {
    /// Finds out whether the server is there. What it does not show to strangers
    /// it may show to who logs in.
    fn begin(&self) -> std::result::Result<(), Failure> {
        let Err(error) = self.list(&self.first) else {
            return Ok(());
        };
        let text = format!("{}: {error}", self.connections.url());
        if error.is_passing() || error.reason == Reason::Local {
            return Err(Failure::new(exit(error.reason), text));
        }
        writeln!(io::stderr(), "{text}").ok();
        Ok(())
    }

    // --- Where commands come from ---

    fn converse(&self) -> std::result::Result<(), Failure> {
        let failed = |error: ReadlineError| {
            Failure::new(
                Exit::Other,
                format!("cannot read from the terminal: {error}"),
            )
        };
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .build();
        let mut editor: Editor<Completing<'_>, FileHistory> =
            Editor::with_config(config).map_err(failed)?;
        editor.set_helper(Some(Completing::new(self)));
        let history = self
            .settings
            .state
            .as_ref()
            .map(|state| state.join("history"));
        if let Some(history) = &history {
            // The first time there is none.
            editor.load_history(history).ok();
        }
        loop {
            let place = self
                .connections
                .url()
                .with_path(self.folder.borrow().clone());
            match editor.readline(&format!("{}{}> ", place.host, place.path)) {
                Ok(line) => {
                    editor.add_history_entry(&line).ok();
                    match self.obey(&line) {
                        Ok(Next::Go) => {}
                        Ok(Next::End) => break,
                        Err(failure) => _ = writeln!(io::stderr(), "{failure}"),
                    }
                }
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(failed(error)),
            }
        }
        if let Some(history) = &history {
            keep_history(&mut editor, history);
        }
        Ok(())
    }

    fn obey_input(&self) -> std::result::Result<(), Failure> {
        // Passwords are among the lines, so nobody holds on to the input.
        while let Some(line) = next_line()? {
            if let Next::End = self.obey(&line)? {
                break;
            }
        }
        Ok(())
    }

    // --- What they do ---

    fn obey(&self, line: &str) -> std::result::Result<Next, Failure> {
        if line.trim_start().starts_with('#') {
            return Ok(Next::Go);
        }
        let words =
            split(line).map_err(|_| Failure::new(Exit::Usage, "a quotation mark is not closed"))?;
        let Some((verb, rest)) = words.split_first() else {
            return Ok(Next::Go);
        };
        let texts: Vec<&str> = rest.iter().map(|word| word.text.as_str()).collect();
        let done = match (verb.text.as_str(), texts.as_slice()) {
            ("quit" | "exit" | "bye", []) => return Ok(Next::End),
            ("help" | "?", []) => say(&help()),
            ("pwd", []) => say(&format!("{}\n", self.folder.borrow())),
            ("lpwd", []) => {
                local_folder().and_then(|folder| say(&format!("{}\n", folder.display())))
            }
            ("lcd", []) => go_home(),
            ("lcd", [folder]) => go(Path::new(folder)),
            ("cd", []) => self.cd((self.first.clone(), Vec::new())),
            ("cd", [folder]) => self.find(folder).and_then(|found| self.cd(found)),
            ("ls", []) => self.ls(false, self.folder.borrow().clone()),
            ("ls", ["-l"]) => self.ls(true, self.folder.borrow().clone()),
            ("ls", ["-l", path]) => self.found(path).and_then(|path| self.ls(true, path)),
            ("ls", [path]) => self.found(path).and_then(|path| self.ls(false, path)),
            ("cat", [path]) => self.found(path).and_then(|path| self.cat(&path)),
            ("stat", [path]) => self.found(path).and_then(|path| self.stat(&path)),
            ("get", [path]) => self.found(path).and_then(|path| self.get(&path, None)),
            ("get", [path, local]) => {
                let local = Some(Path::new(*local));
                self.found(path).and_then(|path| self.get(&path, local))
            }
            ("put", [local]) => self.put(Path::new(local), None),
            ("put", [local, path]) => self.put(Path::new(local), Some(self.path(path))),
            ("mget", [_, ..]) => self.mget(rest),
            ("mput", [_, ..]) => self.mput(rest),
            ("rm", [_, ..]) => self.for_each(&texts, Kind::File),
            ("rmdir", [_, ..]) => self.for_each(&texts, Kind::Folder),
            ("mkdir", [_, ..]) => self.mkdir(&texts),
            ("mv", [from, to]) => self.mv(&self.path(from), to),
            ("register", [name]) => self.register(name),
            ("login", [name]) => self.log_in(name),
            (verb, _) => Err(usage(verb)),
        };
        done.map(|()| Next::Go).map_err(|error| {
            let what = match error.reason {
                Reason::Unsupported if error.text.starts_with("usage") => String::new(),
                _ => format!("{}: ", verb.text),
            };
            Failure::new(exit(error.reason), format!("{what}{error}"))
        })
    }

    /// Where something that was typed is.
    fn path(&self, typed: &str) -> RemotePath {
        self.folder.borrow().resolve(typed.as_bytes())
    }

    /// Where something is that is there already, and what is above it. In Gopher,
    /// the names that `ls` shows are no parts of paths, and have to be looked up.
    fn find(&self, typed: &str) -> Result<(RemotePath, Vec<RemotePath>)> {
        if self.connections.url().scheme != Scheme::Gopher || typed.starts_with('/') {
            return Ok((self.path(typed), Vec::new()));
        }
        let mut path = self.folder();
        let mut above = self.above.borrow().clone();
        for name in typed.split('/') {
            match name {
                "" | "." => {}
                ".." => path = above.pop().unwrap_or_else(|| self.first.clone()),
                name => {
                    let found = self.list(&path)?;
                    let found = found
                        .into_iter()
                        .find(|entry| entry.name == name.as_bytes());
                    let found = found
                        .ok_or_else(|| Error::new(Reason::NotFound, "there is no such item"))?;
                    above.push(std::mem::replace(&mut path, found.path));
                }
            }
        }
        Ok((path, above))
    }

    fn found(&self, typed: &str) -> Result<RemotePath> {
        self.find(typed).map(|(path, _)| path)
    }

    /// Runs work to its end, or until Ctrl-C.
    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let local = |error: io::Error| Error::local(&error);
        let Some(signals) = &self.signals else {
            return self.reactor.block_on(work).map_err(local)?;
        };
        // What was pressed before this command is not meant for it.
        while { signals }.read(&mut [0; 64]).is_ok_and(|bytes| bytes > 0) {}
        let signals = signals.try_clone().map_err(local)?;
        let interrupted = async {
            let stream = Stream::new(OwnedFd::from(signals).into()).map_err(local)?;
            stream.set_deadline(None);
            stream.recv(&mut [0; 64]).await.map_err(local)?;
            let text = "interrupted; the same command goes on";
            Err(Error::new(Reason::Interrupted, text))
        };
        self.reactor
            .block_on(or(work, interrupted))
            .map_err(local)?
    }

    fn work<T>(&self, work: impl AsyncFnOnce(&mut dyn Remote) -> Result<T>) -> Result<T> {
        self.wait(self.connections.with(work))
    }

    fn cd(&self, (folder, above): (RemotePath, Vec<RemotePath>)) -> Result<()> {
        let folder = folder.as_folder();
        self.list(&folder)?;
        *self.folder.borrow_mut() = folder;
        *self.above.borrow_mut() = above;
        Ok(())
    }

    /// What is in a folder, for the Tab key, at which nobody waits for long.
    pub(super) fn list_soon(&self, folder: &RemotePath) -> Result<Vec<Entry>> {
        self.wait(async {
            let listing = self
                .connections
                .with(async |remote| remote.list(folder).await);
            match timeout(SOON, listing).await {
                Ok(entries) => entries,
                Err(error) => Err(Error::lost(&error)),
            }
        })
    }

    /// What is in a folder, by name.
    pub(super) fn list(&self, folder: &RemotePath) -> Result<Vec<Entry>> {
        let mut entries = self.work(async |remote| remote.list(folder).await)?;
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// Where the session is.
    pub(super) fn folder(&self) -> RemotePath {
        self.folder.borrow().clone()
    }

    fn ls(&self, long: bool, path: RemotePath) -> Result<()> {
        let entries = match self.list(&path) {
            Err(error) if error.reason == Reason::NotFound && !path.is_folder() => {
                vec![self.stat_of(&path)?]
            }
            listed => listed?,
        };
        if long {
            return say(&as_table(&entries));
        }
        let line = |entry: &Entry| {
            let slash = if entry.kind == Kind::Folder { "/" } else { "" };
            format!("{}{slash}\n", shown(&entry.name))
        };
        say(&entries.iter().map(line).collect::<String>())
    }

    fn stat_of(&self, path: &RemotePath) -> Result<Entry> {
        self.work(async |remote| remote.stat(path).await)
    }

    fn stat(&self, path: &RemotePath) -> Result<()> {
        let entry = self.stat_of(path)?;
        let kind = match entry.kind {
            Kind::File => "file",
            Kind::Folder => "folder",
            Kind::Other => "something else",
        };
        let mut text = format!("{path}: a {kind}");
        if let Some(bytes) = entry.size {
            text.push_str(&format!(", {} ({bytes} bytes)", size(bytes)));
        }
        if let Some(seconds) = entry.modified {
            text.push_str(&format!(", changed {}", super::ls::minute(seconds)));
        }
        if let Some(mode) = entry.mode {
            text.push_str(&format!(", mode {mode:04o}"));
        }
        say(&(text + "\n"))
    }

    fn cat(&self, path: &RemotePath) -> Result<()> {
        let failed = Arc::new(Mutex::new(None));
        let sink = Output(Arc::clone(&failed));
        self.work(async |remote| {
            remote.open(path, &Ask::default()).await?;
            remote.receive(Box::new(sink)).await
        })?;
        let failed = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failed {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::local(&error)),
            _ => Ok(()),
        }
    }

    // --- Transfers ---

    fn get(&self, path: &RemotePath, local: Option<&Path>) -> Result<()> {
        // A selector of Gopher is one name in a path, with slashes in it.
        let name = path.name().unwrap_or_default();
        let name = name.rsplit(|byte| *byte == b'/').next();
        let name = name
            .map(<[u8]>::to_vec)
            .filter(|name| is_safe(name))
            .ok_or_else(|| Error::new(Reason::Protocol, format!("{path} is no name for a file")))?;
        let name = PathBuf::from(std::ffi::OsString::from_vec(name));
        let file = match local {
            Some(local) if local.is_dir() => local.join(name),
            Some(local) => local.to_path_buf(),
            None => name,
        };
        let mut target = Target {
            file: Some(file),
            existing: Existing::Keep,
            checksum: None,
        };
        let fetched = self.download(path, &target);
        match fetched {
            Err(error) if error.reason == Reason::Exists && agrees(&error) => {
                target.existing = Existing::Replace;
                self.download(path, &target)
            }
            fetched => fetched,
        }
    }

    fn download(&self, path: &RemotePath, target: &Target) -> Result<()> {
        self.transferring(async |progress| {
            download(&self.connections, path, target, &self.settings, progress).await
        })
    }

    fn put(&self, local: &Path, path: Option<RemotePath>) -> Result<()> {
        let name = local
            .file_name()
            .map(|name| name.as_bytes().to_vec())
            .unwrap_or_default();
        let path = match path {
            Some(path) if path.is_folder() => path.join(&name),
            Some(path) => path,
            None => self.folder.borrow().join(&name),
        };
        let source = || Source::File(local.to_path_buf());
        self.transferring(async |progress| {
            upload(&self.connections, source(), &path, &self.settings, progress).await
        })
    }

    fn transferring<T>(&self, work: impl AsyncFnOnce(&Progress) -> Result<T>) -> Result<()> {
        let mut progress = Progress::new(Style::People, false);
        let done = self.wait(work(&progress));
        progress.close();
        done.map(drop)
    }

    fn mget(&self, patterns: &[Word]) -> Result<()> {
        let folder = self.folder();
        let entries = self.list(&folder)?;
        for pattern in patterns {
            let files = entries.iter().filter(|entry| entry.kind == Kind::File);
            let mut found = files.filter(|entry| fits(pattern, &entry.name)).peekable();
            if found.peek().is_none() {
                return Err(nothing(pattern));
            }
            for entry in found {
                self.get(&entry.path, None)?;
            }
        }
        Ok(())
    }

    fn mput(&self, patterns: &[Word]) -> Result<()> {
        for pattern in patterns {
            let typed = Path::new(&pattern.text);
            let folder = typed
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or_else(|| Path::new("."));
            let last = Word {
                text: typed
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                ..pattern.clone()
            };
            let local = |error: io::Error| Error::local(&error);
            let names = fs::read_dir(folder).map_err(local)?;
            let names: io::Result<Vec<_>> = names.map(|entry| Ok(entry?.file_name())).collect();
            let mut names = names.map_err(local)?;
            names.retain(|name| fits(&last, name.as_bytes()) && folder.join(name).is_file());
            names.sort();
            if names.is_empty() {
                return Err(nothing(pattern));
            }
            for name in names {
                self.put(&folder.join(name), None)?;
            }
        }
        Ok(())
    }

    // --- Changes ---

    fn for_each(&self, names: &[&str], kind: Kind) -> Result<()> {
        for name in names {
            let path = self.path(name);
            let path = if kind == Kind::Folder {
                path.as_folder()
            } else {
                path
            };
            self.work(async |remote| remote.remove(&path, kind).await)
                .map_err(|error| about(&path, error))?;
        }
        Ok(())
    }

    fn mkdir(&self, names: &[&str]) -> Result<()> {
        for name in names {
            let path = self.path(name).as_folder();
            self.work(async |remote| remote.make_folder(&path).await)
                .map_err(|error| about(&path, error))?;
        }
        Ok(())
    }

    fn mv(&self, from: &RemotePath, to: &str) -> Result<()> {
        let mut to = self.path(to);
        if to.is_folder() {
            to = to.join(&from.name().unwrap_or_default());
        }
        self.work(async |remote| remote.rename(from, &to).await)
    }

    // --- Accounts ---

    fn register(&self, name: &str) -> Result<()> {
        let password = password(name, true)?;
        self.work(async |remote| remote.register(name, &password).await)?;
        say(&format!(
            "the account {name} is made; `login {name}` makes you it\n"
        ))
    }

    fn log_in(&self, name: &str) -> Result<()> {
        let login = Login {
            name: name.into(),
            password: Some(password(name, false)?),
        };
        self.wait(self.connections.log_in(login))
    }
}

/// Asks whether what is there may be replaced, if there is somebody to ask.
fn agrees(error: &Error) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    let what = error.text.split(';').next().unwrap_or_default();
    write!(io::stderr(), "{what}; replace it? [y/N] ").ok();
    next_line().is_ok_and(|line| line.is_some_and(|line| matches!(line.trim(), "y" | "Y" | "yes")))
}

/// The next line of standard input, without its end.
fn next_line() -> std::result::Result<Option<String>, Failure> {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned())),
        Err(error) => {
            let text = format!("cannot read commands: {error}");
            Err(Failure::new(Exit::of(&error), text))
        }
    }
}

/// A password: from `HYTHE_PASSWORD`, the terminal, or the next line.
fn password(question: &str, is_new: bool) -> Result<Vec<u8>> {
    let given = std::env::var_os("HYTHE_PASSWORD").is_some() || io::stdin().is_terminal();
    let password = match (given, is_new) {
        (true, true) => secret::new_password(question),
        (true, false) => secret::existing_password(&format!("Password of {question}: ")),
        (false, _) => next_line().map(|line| line.unwrap_or_default().into_bytes()),
    };
    password.map_err(|failure| told(&failure))
}

fn about(path: &RemotePath, error: Error) -> Error {
    Error {
        text: format!("{path}: {}", error.text),
        ..error
    }
}

fn told(failure: &Failure) -> Error {
    Error::new(Reason::Local, failure.to_string())
}

fn usage(verb: &str) -> Error {
    let text = match COMMANDS.iter().find(|(name, ..)| *name == verb) {
        Some((name, arguments, _)) => format!("usage: {name} {arguments}"),
        None => format!("usage: there is no command {verb}; `help` lists those there are"),
    };
    Error::unsupported(text.trim_end())
}

fn help() -> String {
    let lines = COMMANDS
        .iter()
        .filter(|(.., does)| !does.starts_with("the same"));
    lines
        .map(|(name, arguments, does)| {
            let what = format!("{name} {arguments}");
            format!("  {what:<22} {does}\n")
        })
        .collect()
}

fn fits(pattern: &Word, name: &[u8]) -> bool {
    let text = pattern.text.as_bytes();
    if pattern.quoted || !is_pattern(text) {
        return text == name;
    }
    // Hidden names are meant only by those who say so.
    (text.starts_with(b".") || !name.starts_with(b".")) && matches(text, name)
}

fn nothing(pattern: &Word) -> Error {
    Error::new(
        Reason::NotFound,
        format!("no file is called {}", pattern.text),
    )
}

fn local_folder() -> Result<PathBuf> {
    std::env::current_dir().map_err(|error| Error::local(&error))
}

fn go_home() -> Result<()> {
    match std::env::var_os("HOME") {
        Some(home) => go(Path::new(&home)),
        None => Err(Error::new(Reason::NotFound, "there is no HOME")),
    }
}

fn go(folder: &Path) -> Result<()> {
    std::env::set_current_dir(folder).map_err(|error| {
        let text = format!("{}: {}", folder.display(), cause(&error));
        Error::new(Reason::Local, text)
    })
}

fn say(text: &str) -> Result<()> {
    super::print(text).map_err(|failure| told(&failure))
}

fn keep_history(editor: &mut Editor<Completing<'_>, FileHistory>, file: &Path) {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).ok();
    }
    if let Err(error) = editor.save_history(file) {
        writeln!(
            io::stderr(),
            "cannot keep the history in {}: {error}",
            file.display()
        )
        .ok();
    }
}

/// Standard output, as a place for what comes.
struct Output(Arc<Mutex<Option<io::Error>>>);

impl Sink for Output {
    fn room(&self) -> u64 {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_some() { 0 } else { u64::MAX }
    }

    fn expected(&self) -> u64 {
        0
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut output = io::stdout().lock();
        if let Err(error) = output.write_all(bytes).and_then(|()| output.flush()) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    }
}
