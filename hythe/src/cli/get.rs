//! `hythe get`: fetches files and folders.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;

use super::failure::{Exit, Failure, cause};
use super::progress::{Progress, Show};
use super::remote::{Effort, Reach, parse_url, run as run_on_reactor, told};
use super::several::for_each;
use crate::client::{Ask, Error, Reason, Remote, Url};
use crate::quantity::size;
use crate::transfer::{
    Checksum, Connections, Existing, Plan, Settings, Target, download, download_plan, safe_name,
};

/// Fetch files and folders
///
/// A download that was interrupted goes on where it was when the same command is
/// run again, if the file is still the same over there; else it begins anew and
/// says so. Until it is whole it is called NAME.part.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to fetch: http, https, ftp, ftps or gopher
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,

    /// What to call it; `-` is standard output
    #[arg(
        short,
        long,
        env = "HYTHE_OUTPUT",
        value_name = "FILE",
        conflicts_with = "directory"
    )]
    output: Option<PathBuf>,

    /// The folder to put it into
    #[arg(short, long, env = "HYTHE_DIRECTORY", value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Fetch folders, with all that is in them
    #[arg(short, long, env = "HYTHE_RECURSIVE", value_parser = BoolishValueParser::new())]
    recursive: bool,

    /// Replace files that are there already
    #[arg(long, env = "HYTHE_OVERWRITE", value_parser = BoolishValueParser::new())]
    overwrite: bool,

    /// What its checksum has to be: sha256, sha512, sha1, md5 or crc32
    #[arg(long, env = "HYTHE_CHECKSUM", value_name = "ALGO:HEX")]
    checksum: Option<Checksum>,

    /// Show the head of the response, too
    #[arg(short, long, env = "HYTHE_INCLUDE", value_parser = BoolishValueParser::new())]
    include: bool,

    /// Show the head of the response, and fetch nothing
    #[arg(long, env = "HYTHE_HEAD", value_parser = BoolishValueParser::new())]
    head: bool,

    #[command(flatten)]
    show: Show,

    #[command(flatten)]
    effort: Effort,

    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    args.check()?;
    let urls = args.urls.iter().map(|url| parse_url(url));
    let mut urls: Vec<Url> = urls.collect::<Result<_, _>>()?;
    let settings = args.effort.settings(args.reach.options(&mut urls)?);
    let mut progress = Progress::new(args.show.style(), args.include);
    let ended = run_on_reactor(fetch_all(args, &urls, &settings, &progress));
    progress.end_of(ended?, !args.is_output())
}

impl Args {
    fn is_output(&self) -> bool {
        self.output.as_deref() == Some(Path::new("-"))
    }

    fn check(&self) -> Result<(), Failure> {
        let usage = |text| Err(Failure::new(Exit::Usage, text));
        if self.output.is_some() && (self.urls.len() > 1 || self.recursive) {
            return usage("-o is for one file; -d DIR puts several into a folder");
        }
        if self.checksum.is_some() && (self.urls.len() > 1 || self.recursive) {
            return usage("--checksum is for one file");
        }
        if self.is_output() && self.show.json {
            return usage("--json and -o - would both write to standard output");
        }
        Ok(())
    }
}

/// Fetches all, as many at a time as there may be connections; the first failure
/// is the exit status, after all have been tried.
async fn fetch_all(
    args: &Args,
    urls: &[Url],
    settings: &Settings,
    progress: &Progress,
) -> Result<(), Failure> {
    let each = match urls {
        [_] => settings.clone(),
        _ => settings.for_each(),
    };
    let left = "not everything was fetched";
    for_each(urls, settings.connections, progress, left, async |url| {
        let connections = Connections::new(url.clone(), each.options.clone());
        let fetched = fetch(args, &connections, &each, progress).await;
        connections.close().await;
        fetched
    })
    .await
}

async fn fetch(
    args: &Args,
    connections: &Connections,
    settings: &Settings,
    progress: &Progress,
) -> Result<(), Failure> {
    let url = connections.url();
    if args.head {
        return show_head(connections).await;
    }
    if args.recursive {
        return fetch_folder(args, connections, settings, progress).await;
    }
    let file = match &args.output {
        Some(_) if args.is_output() => None,
        Some(file) => Some(file.clone()),
        None => Some(folder(args)?.join(name(connections).await?)),
    };
    let target = Target {
        file,
        // Who names the file means it.
        existing: if args.overwrite || args.output.is_some() {
            Existing::Replace
        } else {
            Existing::Keep
        },
        checksum: args.checksum.clone(),
    };
    let done = download(connections, &url.path, &target, settings, progress).await;
    match done {
        Ok(_) => Ok(()),
        // Whoever reads has seen enough.
        Err(error) if error.reason == Reason::Closed => Ok(()),
        Err(error) if matches!(error.reason, Reason::Exists | Reason::Local) => {
            Err(told_plainly(&error))
        }
        Err(error) => Err(told(url, &error)),
    }
}

/// The thing is in the text already.
fn told_plainly(error: &Error) -> Failure {
    Failure::new(super::remote::exit(error.reason), error.to_string())
}

/// Where files go, which is made if it is missing.
fn folder(args: &Args) -> Result<PathBuf, Failure> {
    let Some(folder) = &args.directory else {
        return Ok(PathBuf::new());
    };
    fs::create_dir_all(folder).map_err(|error| {
        let text = format!("cannot make {}: {}", folder.display(), cause(&error));
        Failure::new(Exit::of(&error), text)
    })?;
    Ok(folder.clone())
}

/// What to call what a URL leads to: the last name in it, else what the server
/// calls it.
async fn name(connections: &Connections) -> Result<PathBuf, Failure> {
    let url = connections.url();
    let named = url.path.name().and_then(|name| safe_name(&name));
    if let Some(name) = named.filter(|_| !url.path.is_folder()) {
        return Ok(std::ffi::OsString::from_vec(name).into());
    }
    let ask = Ask::head();
    let open = async |remote: &mut dyn Remote| remote.open(&url.path, &ask).await;
    let named = match connections.with(open).await {
        Ok(opening) => opening.name.and_then(|name| safe_name(&name)),
        // The download will tell what is wrong, if it is.
        Err(_) => None,
    };
    let mut name = named.unwrap_or_else(|| b"index.html".to_vec());
    if name.starts_with(b".") {
        // Hidden files are settings, which are nobody else's to choose.
        name[0] = b'_';
    }
    Ok(std::ffi::OsString::from_vec(name).into())
}

async fn show_head(connections: &Connections) -> Result<(), Failure> {
    let url = connections.url();
    let failed = |error: Error| told(url, &error);
    let ask = Ask::head();
    let open = async |remote: &mut dyn Remote| remote.open(&url.path, &ask).await;
    let opening = connections.with(open).await.map_err(failed)?;
    if opening.head.is_empty() {
        let text = format!("{url}: {} has no heads", url.scheme.as_str());
        return Err(Failure::new(Exit::Other, text));
    }
    super::progress::show_head(&opening.head);
    Ok(())
}

// --- Folders -----------------------------------------------------------------

async fn fetch_folder(
    args: &Args,
    connections: &Connections,
    settings: &Settings,
    progress: &Progress,
) -> Result<(), Failure> {
    let url = connections.url();
    let name = url.path.name().and_then(|name| safe_name(&name));
    let name = name.map(std::ffi::OsString::from_vec);
    // What is in the root of a server goes where it was said, or into a folder of
    // its own, too.
    let name = name.unwrap_or_else(|| match &args.directory {
        Some(_) => std::ffi::OsString::new(),
        None => url.host.clone().into(),
    });
    let into = folder(args)?.join(name);
    let plan = download_plan(connections, &url.path.as_folder(), &into).await;
    let plan = plan.map_err(|error| told(url, &error))?;
    show_plan(&plan, &into, progress);
    progress.expect(plan.items.len(), plan.bytes());
    for folder in &plan.local_folders {
        if folder.as_os_str().is_empty() {
            continue;
        }
        fs::create_dir_all(folder).map_err(|error| {
            let text = format!("cannot make {}: {}", folder.display(), cause(&error));
            Failure::new(Exit::of(&error), text)
        })?;
    }
    let alone = settings.for_each();
    let left = "not everything was fetched; run the same command again for the rest";
    for_each(
        &plan.items,
        settings.connections,
        progress,
        left,
        async |item| {
            let target = Target {
                file: Some(item.local.clone()),
                existing: if args.overwrite {
                    Existing::Replace
                } else {
                    Existing::Keep
                },
                checksum: None,
            };
            let done = download(connections, &item.remote, &target, &alone, progress).await;
            let told = |error| told(connections.url().with_path(item.remote.clone()), &error);
            done.map(drop).map_err(told)
        },
    )
    .await
}

/// Says what there is to do, before it is done.
pub(super) fn show_plan(plan: &Plan, into: impl AsRef<Path>, progress: &Progress) {
    for (what, why) in &plan.left_out {
        progress.say(&format!("{what}: left out, {why}"));
    }
    if io::stderr().is_terminal() {
        let into = into.as_ref().display().to_string();
        let into = if into.is_empty() { "." } else { &into };
        progress.say(&format!(
            "{} files in {} folders, {}, to {into}",
            plan.items.len(),
            plan.local_folders.len(),
            size(plan.bytes()),
        ));
    }
}
