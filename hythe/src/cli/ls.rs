//! `hythe ls`: what is in a folder on a server.

use std::fmt::Write as _;

use clap::builder::BoolishValueParser;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::failure::Failure;
use super::remote::{Reach, finish, parse_url, shown, told};
use crate::client::{Entry, Error, Kind, Reason, Url};
use crate::quantity::size;
use crate::transfer::Connections;

/// List what is in a folder on a server
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder, or a file
    #[arg(value_name = "URL")]
    url: String,

    /// With sizes and times
    #[arg(short, long, env = "HYTHE_LONG", value_parser = BoolishValueParser::new())]
    long: bool,

    /// As JSON: an array of objects; times in seconds since 1970
    #[arg(long, env = "HYTHE_JSON", value_parser = BoolishValueParser::new())]
    json: bool,

    #[command(flatten)]
    reach: Reach,
}

#[derive(Serialize)]
struct Row<'a> {
    name: String,
    kind: Kind,
    size: Option<u64>,
    modified: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    url: &'a str,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut url = parse_url(&args.url)?;
    let options = args.reach.options(std::slice::from_mut(&mut url))?;
    let connections = Connections::new(url.clone(), options);
    let entries = finish(async {
        let entries = list(&connections).await.map_err(|error| told(&url, &error));
        connections.close().await;
        entries
    })?;
    let text = if args.json {
        as_json(&url, &entries)?
    } else if args.long {
        as_table(&entries)
    } else {
        entries.iter().map(|entry| label(entry) + "\n").collect()
    };
    super::print(text.as_bytes())
}

/// What is in a folder; of a file, the file itself.
async fn list(connections: &Connections) -> Result<Vec<Entry>, Error> {
    let path = &connections.url().path;
    connections
        .with(async |remote| match remote.list(path).await {
            Ok(mut entries) => {
                entries.sort_by(|one, other| one.name.cmp(&other.name));
                Ok(entries)
            }
            Err(error) if error.reason == Reason::NotFound && !path.is_folder() => {
                match remote.stat(path).await {
                    Ok(entry) if entry.kind != Kind::Folder => Ok(vec![entry]),
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        })
        .await
}

fn label(entry: &Entry) -> String {
    let mut label = shown(&entry.name);
    if entry.kind == Kind::Folder {
        label.push('/');
    }
    label
}

/// Sizes and times in columns, as `ls -l` has them.
pub(super) fn as_table(entries: &[Entry]) -> String {
    let sizes: Vec<String> = entries
        .iter()
        .map(|entry| match (entry.kind, entry.size) {
            (Kind::File, Some(bytes)) => size(bytes),
            _ => "-".into(),
        })
        .collect();
    let width = sizes.iter().map(String::len).max().unwrap_or(0);
    let mut out = String::new();
    for (entry, size) in entries.iter().zip(&sizes) {
        let time = entry.modified.map_or_else(|| "-".into(), minute);
        // Writing into memory does not fail.
        writeln!(out, "{size:>width$}  {time:<16}  {}", label(entry)).ok();
    }
    out
}

/// A time for people, in their zone.
pub(super) fn minute(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    let time = time.to_zoned(TimeZone::system());
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

fn as_json(url: &Url, entries: &[Entry]) -> Result<String, Failure> {
    let urls: Vec<String> = entries
        .iter()
        .map(|entry| {
            let authority = url.authority();
            format!(
                "{}://{authority}{}",
                url.scheme.as_str(),
                entry.path.encoded()
            )
        })
        .collect();
    let rows = entries.iter().zip(&urls).map(|(entry, url)| Row {
        name: String::from_utf8_lossy(&entry.name).into_owned(),
        kind: entry.kind,
        size: entry.size,
        modified: entry.modified,
        mode: entry.mode.map(|mode| format!("{mode:04o}")),
        url,
    });
    let rows: Vec<Row<'_>> = rows.collect();
    let text = serde_json::to_string_pretty(&rows).map_err(|error| {
        Failure::new(
            super::failure::Exit::Other,
            format!("cannot write JSON: {error}"),
        )
    })?;
    Ok(text + "\n")
}
