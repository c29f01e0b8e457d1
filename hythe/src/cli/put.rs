//! `hythe put`: sends files and folders.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;

use super::failure::{Exit, Failure, cause};
use super::get::show_plan;
use super::progress::{Progress, Show};
use super::remote::{Effort, Reach, parse_url, run as run_on_reactor, told};
use super::several::for_each;
use crate::client::{Entry, Reason, RemotePath};
use crate::transfer::{Connections, Settings, Source, upload, upload_plan};

/// Send files and folders
///
/// An upload that was interrupted goes on where it was when the same command is
/// run again, where the server can do so: hythe and others with resumable uploads
/// (tus), and FTP. Else it begins anew.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to send, and where to: the last is a URL, and `URL/` a folder there;
    /// `-` is standard input
    #[arg(required = true, num_args = 2.., value_names = ["FILE", "URL"])]
    words: Vec<PathBuf>,

    /// Send folders, with all that is in them
    #[arg(short, long, env = "HYTHE_RECURSIVE", value_parser = BoolishValueParser::new())]
    recursive: bool,

    #[command(flatten)]
    show: Show,

    #[command(flatten)]
    effort: Effort,

    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Some((url, sources)) = args.words.split_last() else {
        return Err(Failure::new(Exit::Usage, "there is nothing to send"));
    };
    let mut url = parse_url(&url.to_string_lossy())?;
    if sources.len() > 1 && !url.path.is_folder() {
        let text = format!("{url} is one file; end it with a slash to send several into a folder");
        return Err(Failure::new(Exit::Usage, text));
    }
    let settings = args
        .effort
        .settings(args.reach.options(std::slice::from_mut(&mut url))?);
    let mut progress = Progress::new(args.show.style(), false);
    let connections = Connections::new(url, settings.options.clone());
    let ended = run_on_reactor(async {
        let sent = send_all(args, sources, &connections, &settings, &progress).await;
        connections.close().await;
        sent
    });
    let again = !sources.iter().any(|source| is_input(source));
    progress.end_of(ended?, again)
}

fn is_input(source: &Path) -> bool {
    source == Path::new("-")
}

async fn send_all(
    args: &Args,
    sources: &[PathBuf],
    connections: &Connections,
    settings: &Settings,
    progress: &Progress,
) -> Result<(), Failure> {
    let each = match sources {
        [_] => settings.clone(),
        _ => settings.for_each(),
    };
    let left = "not everything was sent";
    for_each(
        sources,
        settings.connections,
        progress,
        left,
        async |source| send(args, source, connections, &each, progress).await,
    )
    .await
}

async fn send(
    args: &Args,
    source: &Path,
    connections: &Connections,
    settings: &Settings,
    progress: &Progress,
) -> Result<(), Failure> {
    let path = &connections.url().path;
    if is_input(source) {
        if path.is_folder() {
            let text = "standard input has no name; say what to call it there: URL/NAME";
            return Err(Failure::new(Exit::Usage, text));
        }
        let sent = upload(
            connections,
            Source::Pipe(Box::new(io::stdin())),
            path,
            settings,
            progress,
        );
        return sent
            .await
            .map(drop)
            .map_err(|error| told(connections.url(), &error));
    }
    let shown = source.display();
    let meta = fs::metadata(source).map_err(|error| {
        let text = format!("cannot send {shown}: {}", cause(&error));
        Failure::new(Exit::of(&error), text)
    })?;
    if meta.is_dir() {
        if !args.recursive {
            let text = format!("{shown} is a folder; -r sends folders");
            return Err(Failure::new(Exit::Usage, text));
        }
        return send_folder(source, connections, settings, progress).await;
    }
    let target = if path.is_folder() {
        path.join(&name(source)?)
    } else {
        path.clone()
    };
    let file = Source::File(source.to_path_buf());
    let sent = upload(connections, file, &target, settings, progress).await;
    sent.map(drop).map_err(|error| match error.reason {
        Reason::Local => told(format!("cannot send {shown}"), &error),
        _ => told(connections.url().with_path(target.clone()), &error),
    })
}

fn name(source: &Path) -> Result<Vec<u8>, Failure> {
    let name = source.file_name().map(OsStr::as_bytes);
    name.map(<[u8]>::to_vec).ok_or_else(|| {
        let text = format!("{} has no name to have there", source.display());
        Failure::new(Exit::Usage, text)
    })
}

// --- Folders -----------------------------------------------------------------

async fn send_folder(
    source: &Path,
    connections: &Connections,
    settings: &Settings,
    progress: &Progress,
) -> Result<(), Failure> {
    let url = connections.url();
    // As cp does: into a folder that is there, under its own name.
    let target = match source
        .canonicalize()
        .ok()
        .as_deref()
        .and_then(Path::file_name)
    {
        Some(name) if url.path.is_folder() => url.path.join(name.as_bytes()),
        _ => url.path.clone(),
    };
    let plan = upload_plan(source, &target).map_err(|error| told("cannot send", &error))?;
    show_plan(&plan, url.with_path(target.clone()).to_string(), progress);
    progress.expect(plan.items.len(), plan.bytes());
    let there = make_folders(connections, &plan.remote_folders).await?;
    let alone = settings.for_each();
    let missing = plan.items.iter();
    let missing = missing.filter(|item| !is_there(&there, &item.local, &item.remote));
    let left = "not everything was sent; run the same command again for the rest";
    for_each(
        missing,
        settings.connections,
        progress,
        left,
        async |item| {
            let file = Source::File(item.local.clone());
            let sent = upload(connections, file, &item.remote, &alone, progress).await;
            let told = |error| told(connections.url().with_path(item.remote.clone()), &error);
            sent.map(drop).map_err(told)
        },
    )
    .await
}

/// Makes folders that are missing, and gives what is in those that are there.
async fn make_folders(
    connections: &Connections,
    folders: &[RemotePath],
) -> Result<Vec<Entry>, Failure> {
    let url = connections.url();
    let mut there = Vec::new();
    for folder in folders {
        let made = connections.with(async |remote| match remote.make_folder(folder).await {
            Err(error) if error.reason == Reason::Exists => remote.list(folder).await,
            made => made.map(|()| Vec::new()),
        });
        let entries = made.await;
        there.extend(entries.map_err(|error| told(url.with_path(folder.clone()), &error))?);
    }
    Ok(there)
}

/// Whether the same file is there already, by its size and time.
fn is_there(there: &[Entry], local: &Path, remote: &RemotePath) -> bool {
    let Some(entry) = there.iter().find(|entry| entry.path == *remote) else {
        return false;
    };
    let Ok(meta) = fs::metadata(local) else {
        return false;
    };
    let time = std::os::unix::fs::MetadataExt::mtime(&meta);
    entry.size == Some(meta.len()) && entry.modified == Some(time)
}
