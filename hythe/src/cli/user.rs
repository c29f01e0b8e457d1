//! `hythe user`: makes and changes the accounts of a server.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;

use super::failure::{Exit, Failure, cause};
use super::people::open;
use super::print;
use super::secret::new_password;
use crate::accounts::{Account, Accounts, AuditLine, Refused};
use crate::quantity;
use crate::share::{Access, RelPath, Visitor};

/// Add, change, list and remove the accounts of a server
///
/// They are in the file that is given to `hythe serve --accounts`, which may be
/// running meanwhile: what is changed here counts at once.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add an account
    ///
    /// The password is asked for twice; it is taken from HYTHE_PASSWORD where
    /// that is set, and from standard input where that is not a terminal.
    Add(Add),
    /// Give an account another password, and sign it out everywhere
    ///
    /// The password is asked for as with `add`.
    Passwd(Named),
    /// Give an account another role, home or quota
    #[command(visible_alias = "set")]
    Role(Role),
    /// Remove an account; its files stay
    Remove(Named),
    /// List the accounts
    List(List),
    /// Show who did what, the latest last
    Log(Log),
}

#[derive(Debug, clap::Args)]
struct Database {
    /// The file that the accounts are in
    #[arg(long, env = "HYTHE_ACCOUNTS", value_name = "FILE")]
    accounts: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Named {
    #[command(flatten)]
    database: Database,

    /// The account
    #[arg(value_name = "NAME")]
    name: OsString,
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    named: Named,

    /// What the account may do
    #[arg(long, env = "HYTHE_ROLE", default_value = "write")]
    role: RoleName,

    /// The folder of the share that is the root of all it sees; made when
    /// missing
    #[arg(long, env = "HYTHE_HOME", default_value = "/", value_name = "PATH")]
    home: OsString,

    /// How much it may store: bytes, or with K, M, G or T
    #[arg(long, env = "HYTHE_QUOTA", default_value = "none", value_name = "SIZE",
          value_parser = parse_quota)]
    quota: Quota,
}

#[derive(Debug, clap::Args)]
#[group(id = "changes", required = true, multiple = true, args = ["role", "home", "quota"])]
struct Role {
    #[command(flatten)]
    named: Named,

    /// What the account may do
    #[arg(long, env = "HYTHE_ROLE")]
    role: Option<RoleName>,

    /// The folder of the share that is the root of all it sees; made when
    /// missing
    #[arg(long, env = "HYTHE_HOME", value_name = "PATH")]
    home: Option<OsString>,

    /// How much it may store: bytes, or with K, M, G or T; `none` for no limit
    #[arg(long, env = "HYTHE_QUOTA", value_name = "SIZE", value_parser = parse_quota)]
    quota: Option<Quota>,
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    database: Database,

    /// As JSON: an array with an object for each account; times in seconds
    /// since 1970
    #[arg(long, env = "HYTHE_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Log {
    #[command(flatten)]
    database: Database,

    /// How many lines, counted from the end
    #[arg(long, env = "HYTHE_LINES", default_value = "100", value_name = "N")]
    lines: usize,

    /// As JSON: an object on each line; times in seconds since 1970
    #[arg(long, env = "HYTHE_JSON", value_parser = BoolishValueParser::new())]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// List folders and read files
    Read,
    /// Also put new files and folders there
    Upload,
    /// Also overwrite, rename and delete
    Write,
    /// Also manage accounts
    Admin,
}

impl RoleName {
    fn access(self) -> Access {
        match self {
            Self::Read => Access::Read,
            Self::Upload => Access::Upload,
            Self::Write => Access::Write,
            Self::Admin => Access::Admin,
        }
    }
}

/// Bytes, or no limit.
#[derive(Clone, Copy, Debug)]
struct Quota(Option<u64>);

fn parse_quota(text: &str) -> Result<Quota, String> {
    if text == "none" {
        return Ok(Quota(None));
    }
    quantity::parse_size(text)
        .map(|size| Quota(Some(size)))
        .map_err(|why| format!("{why}, or `none`"))
}

/// Does what was asked, and says so where nothing else would.
pub(super) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Add(args) => add(&args),
        Command::Passwd(args) => {
            let (accounts, name) = (args.database.existing()?, args.text());
            // Before anything is typed for nobody.
            find(&accounts, &name)?;
            let password = new_password(&shown(&name))?;
            let changed = accounts.set_password(&name, &password, &Visitor::LOCAL);
            changed.map_err(|refused| told(&name, &refused))
        }
        Command::Role(args) => change(&args),
        Command::Remove(args) => {
            let (accounts, name) = (args.database.existing()?, args.text());
            let removed = accounts.remove(&name, &Visitor::LOCAL);
            removed.map_err(|refused| told(&name, &refused))
        }
        Command::List(args) => list(&args),
        Command::Log(args) => log(&args),
    }
}

impl Database {
    /// The accounts, which must be there already.
    fn existing(&self) -> Result<Accounts, Failure> {
        if let Err(error) = self.accounts.metadata() {
            let (file, why) = (self.accounts.display(), cause(&error));
            let text = format!("cannot use the accounts in {file}: {why}");
            return Err(Failure::new(Exit::of(&error), text));
        }
        open(&self.accounts)
    }
}

impl Named {
    /// Names are UTF-8; what isn't is the name of no account.
    fn text(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

fn add(args: &Add) -> Result<(), Failure> {
    let name = args.named.text();
    let home = parse_home(&args.home)?;
    let accounts = open(&args.named.database.accounts)?;
    let password = new_password(&shown(&name))?;
    let added = accounts.add(
        args.named.name.as_bytes(),
        &password,
        args.role.access(),
        home,
        args.quota.0,
        &Visitor::LOCAL,
    );
    added.map(|_| ()).map_err(|refused| told(&name, &refused))
}

fn change(args: &Role) -> Result<(), Failure> {
    let home = args.home.as_ref().map(parse_home).transpose()?;
    let (accounts, name) = (args.named.database.existing()?, args.named.text());
    let by = &Visitor::LOCAL;
    let change = || {
        if let Some(role) = args.role {
            accounts.set_role(&name, role.access(), by)?;
        }
        if let Some(home) = &home {
            accounts.set_home(&name, home, by)?;
        }
        if let Some(Quota(quota)) = args.quota {
            accounts.set_quota(&name, quota, by)?;
        }
        Ok(())
    };
    change().map_err(|refused| told(&name, &refused))
}

fn parse_home(typed: &OsString) -> Result<RelPath, Failure> {
    RelPath::root().resolve(typed.as_bytes()).map_err(|wrong| {
        let text = format!("--home {} is no path: {wrong}", Path::new(typed).display());
        Failure::new(Exit::Usage, text)
    })
}

fn find(accounts: &Accounts, name: &str) -> Result<Account, Failure> {
    match accounts.account(name) {
        Ok(Some(account)) => Ok(account),
        Ok(None) => Err(told(name, &Refused::Unknown)),
        Err(error) => Err(told(name, &error.into())),
    }
}

/// A name for the terminal.
fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}

fn told(name: &str, refused: &Refused) -> Failure {
    let name = shown(name);
    match refused {
        Refused::Taken => Failure::new(
            Exit::Other,
            format!("there is an account {name} already; see hythe user list"),
        ),
        Refused::Unknown => Failure::new(
            Exit::NotFound,
            format!("there is no account {name}; see hythe user list"),
        ),
        Refused::Unfit(why) => Failure::new(Exit::Usage, format!("account {name}: {why}")),
        Refused::Broken(error) => Failure::new(Exit::of(error), error.to_string()),
        refused => Failure::new(Exit::Other, refused.to_string()),
    }
}

// --- Lists -------------------------------------------------------------------

#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    role: &'static str,
    home: String,
    quota: Option<u64>,
    used: u64,
    created: i64,
    seen: Option<i64>,
}

fn list(args: &List) -> Result<(), Failure> {
    let accounts = args.database.existing()?;
    let broken = |error: io::Error| Failure::new(Exit::of(&error), error.to_string());
    let listed = accounts.list().map_err(broken)?;
    let mut rows = Vec::with_capacity(listed.len());
    for account in &listed {
        rows.push(Row {
            name: &account.name,
            role: account.role.as_str(),
            home: account.home.to_string(),
            quota: account.quota,
            used: accounts.usage(&account.name).map_err(broken)?,
            created: account.created,
            seen: account.seen,
        });
    }
    if args.json {
        return print_json(&rows);
    }
    let cells = rows.iter().map(|row| {
        [
            row.name.to_owned(),
            row.role.to_owned(),
            quantity::size(row.used),
            row.quota.map_or_else(|| "none".into(), quantity::size),
            day(row.created),
            row.seen.map_or_else(|| "never".into(), minute),
            row.home.clone(),
        ]
    });
    let heads = ["NAME", "ROLE", "USED", "QUOTA", "CREATED", "SEEN", "HOME"];
    let heads = heads.map(str::to_owned);
    print(table(std::iter::once(heads).chain(cells).collect()))
}

#[derive(Debug, Serialize)]
struct Event<'a> {
    time: i64,
    account: Option<&'a str>,
    protocol: &'a str,
    address: Option<&'a str>,
    act: &'a str,
    path: &'a str,
    detail: &'a str,
}

impl<'a> From<&'a AuditLine> for Event<'a> {
    fn from(line: &'a AuditLine) -> Self {
        Self {
            time: line.time,
            account: line.account.as_deref(),
            protocol: &line.protocol,
            address: line.address.as_deref(),
            act: &line.act,
            path: &line.path,
            detail: &line.detail,
        }
    }
}

fn log(args: &Log) -> Result<(), Failure> {
    let accounts = args.database.existing()?;
    let mut lines = accounts
        .audit_log(args.lines)
        .map_err(|error| Failure::new(Exit::of(&error), error.to_string()))?;
    lines.reverse();
    let mut text = String::new();
    for line in &lines {
        let event = Event::from(line);
        if args.json {
            let json = serde_json::to_string(&event).map_err(|error| {
                Failure::new(Exit::Other, format!("cannot write JSON: {error}"))
            })?;
            text.push_str(&json);
        } else {
            let when = Timestamp::from_second(event.time).unwrap_or_default();
            let words = [
                event.protocol,
                event.address.unwrap_or("-"),
                event.account.unwrap_or("-"),
                event.act,
                event.path,
                event.detail,
            ];
            write!(text, "{when}").ok();
            for word in words.iter().filter(|word| !word.is_empty()) {
                // What a path can't hold, a detail might.
                let word = word.chars().flat_map(|letter| {
                    let control = letter.is_control().then(|| letter.escape_default());
                    let plain = (!letter.is_control()).then_some(letter);
                    control.into_iter().flatten().chain(plain)
                });
                text.push(' ');
                text.extend(word);
            }
        }
        text.push('\n');
    }
    print(text)
}

fn print_json(rows: &[Row<'_>]) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(rows)
        .map_err(|error| Failure::new(Exit::Other, format!("cannot write JSON: {error}")))?;
    print(format!("{json}\n"))
}

/// To standard output; a reader who has closed it has seen enough.
fn day(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y-%m-%d").to_string()
}

fn minute(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Rows in columns, as wide as their widest cell.
fn table<const COLUMNS: usize>(rows: Vec<[String; COLUMNS]>) -> String {
    let mut widths = [0; COLUMNS];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(cell));
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - columns(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How many columns of a terminal a text takes: Chinese, Japanese and Korean
/// letters take two.
fn columns(text: &str) -> usize {
    let wide = |letter: &char| {
        matches!(letter, '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}'
            | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}' | '\u{20000}'..='\u{3fffd}')
    };
    text.chars().count() + text.chars().filter(wide).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_whatever_the_letters() {
        let rows = [["NAME", "ROLE"], ["bob", "write"], ["李雷", "read"]];
        let rows = rows.map(|row| row.map(str::to_owned)).to_vec();
        assert_eq!(table(rows), "NAME  ROLE\nbob   write\n李雷  read\n");
    }
}
