//! `hythe rm`, `mkdir`, `mv` and `register`: changes on a server.

use clap::builder::BoolishValueParser;

use super::failure::Failure;
use super::remote::{Reach, finish, parse_url, told};
use super::secret::new_password;
use crate::client::{Error, Kind, Remote, RemotePath, Url};
use crate::transfer::{Connections, download_plan};

/// Remove a file, or with -r a folder and all that is in it
#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// What to remove; `URL/` is a folder, which has to be empty without -r
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,

    /// With all that is in it
    #[arg(short, long, env = "HYTHE_RECURSIVE", value_parser = BoolishValueParser::new())]
    recursive: bool,

    #[command(flatten)]
    reach: Reach,
}

/// Make a folder
#[derive(Debug, clap::Args)]
pub(super) struct MakeFolder {
    /// The folder
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,

    /// Also those above it that are missing; no failure if it is there
    #[arg(short, long, env = "HYTHE_PARENTS", value_parser = BoolishValueParser::new())]
    parents: bool,

    #[command(flatten)]
    reach: Reach,
}

/// Give a file or folder another name
#[derive(Debug, clap::Args)]
pub(super) struct Rename {
    /// What to rename
    #[arg(value_name = "URL")]
    url: String,

    /// Its new name in the same folder, or a path on the same server (`/a/b`);
    /// with a slash at the end, the folder to move it into
    #[arg(value_name = "NAME")]
    name: std::ffi::OsString,

    #[command(flatten)]
    reach: Reach,
}

/// Make an account on a hythe server that lets visitors do so
///
/// The password is asked for twice; it is taken from HYTHE_PASSWORD where that is
/// set, and from standard input where that is not a terminal.
#[derive(Debug, clap::Args)]
pub(super) struct Register {
    /// The server
    #[arg(value_name = "URL")]
    url: String,

    /// The name of the account
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    reach: Reach,
}

pub(super) fn remove(args: &Remove) -> Result<(), Failure> {
    for_each(&args.urls, &args.reach, async |connections| {
        let path = &connections.url().path;
        if args.recursive {
            remove_all(connections, path).await
        } else {
            let kind = if path.is_folder() {
                Kind::Folder
            } else {
                Kind::File
            };
            connections
                .with(async |remote| remote.remove(path, kind).await)
                .await
        }
    })
}

/// Removes the files of a folder, and then the folders, the deepest first.
async fn remove_all(connections: &Connections, path: &RemotePath) -> Result<(), Error> {
    let is_folder = async |remote: &mut dyn Remote| {
        Ok(path.is_folder() || remote.stat(path).await?.kind == Kind::Folder)
    };
    if !connections.with(is_folder).await? {
        let remove = async |remote: &mut dyn Remote| remote.remove(path, Kind::File).await;
        return connections.with(remove).await;
    }
    let plan = download_plan(connections, &path.as_folder(), "".as_ref()).await?;
    connections
        .with(async |remote| {
            for item in &plan.items {
                remote.remove(&item.remote, Kind::File).await?;
            }
            for folder in plan.remote_folders.iter().rev() {
                remote.remove(folder, Kind::Folder).await?;
            }
            Ok(())
        })
        .await
}

pub(super) fn make_folder(args: &MakeFolder) -> Result<(), Failure> {
    for_each(&args.urls, &args.reach, async |connections| {
        let path = connections.url().path.as_folder();
        let make = async |remote: &mut dyn Remote| match args.parents {
            true => make_missing(remote, &path).await,
            false => remote.make_folder(&path).await,
        };
        connections.with(make).await
    })
}

async fn make_missing(remote: &mut dyn Remote, path: &RemotePath) -> Result<(), Error> {
    let mut missing = Vec::new();
    let mut folder = path.clone();
    while !folder.is_root() && remote.stat(&folder).await.is_err() {
        missing.push(folder.clone());
        folder = folder.parent();
    }
    for folder in missing.iter().rev() {
        remote.make_folder(folder).await?;
    }
    Ok(())
}

pub(super) fn rename(args: &Rename) -> Result<(), Failure> {
    use std::os::unix::ffi::OsStrExt as _;
    for_each(
        std::slice::from_ref(&args.url),
        &args.reach,
        async |connections| {
            let from = &connections.url().path;
            let mut to = from.parent().resolve(args.name.as_bytes());
            if to.is_folder() {
                to = to.join(&from.name().unwrap_or_default());
            }
            connections
                .with(async |remote| remote.rename(from, &to).await)
                .await
        },
    )
}

pub(super) fn register(args: &Register) -> Result<(), Failure> {
    // Whoever it was, the new account is somebody else.
    let url = parse_url(&args.url)?;
    let password = new_password(&format!("{} at {}", args.name, url.host))?;
    for_each(
        std::slice::from_ref(&args.url),
        &args.reach,
        async |connections| {
            connections
                .with(async |remote| remote.register(&args.name, &password).await)
                .await
        },
    )
}

/// Does the same for each URL, up to the first failure.
fn for_each(
    urls: &[String],
    reach: &Reach,
    work: impl AsyncFn(&Connections) -> Result<(), Error>,
) -> Result<(), Failure> {
    let mut urls: Vec<Url> = urls
        .iter()
        .map(|url| parse_url(url))
        .collect::<Result<_, _>>()?;
    let options = reach.options(&mut urls)?;
    finish(async {
        for url in &urls {
            let connections = Connections::new(url.clone(), options.clone());
            let done = work(&connections).await;
            connections.close().await;
            done.map_err(|error| told(url, &error))?;
        }
        Ok(())
    })
}
