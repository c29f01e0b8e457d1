//! A guestbook: what an application on `hythe::http` looks like that has a
//! database, templates, forms and an admin, each in its place.
//!
//! - `models.rs` knows entries and the database, and nothing of HTTP;
//! - `views.rs` and `templates/` make HTML of them;
//! - `controllers.rs` has the table of addresses and what is done at each;
//! - `visit.rs` knows who asks, and whether a form is one of ours.
//!
//! ```console
//! $ hythe user add --accounts accounts.db anna --role admin
//! $ cargo run -p hythe --example guestbook -- 127.0.0.1:8000 --accounts accounts.db
//! listening on http://127.0.0.1:8000/
//! ```
//!
//! What it doesn't do: hold up who writes a thousand entries a minute, and TLS,
//! which `Http::over_tls` or a proxy would do.

mod controllers;
mod models;
mod views;
mod visit;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hythe::accounts::Accounts;

use controllers::App;
use models::Book;

/// A guestbook in a browser
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(default_value = "127.0.0.1:8000")]
    address: String,
    /// The database of entries, made where there is none
    #[arg(long, value_name = "FILE", default_value = "guestbook.db")]
    data: PathBuf,
    /// The accounts, as `hythe user` makes them; those with the role admin may
    /// put the guestbook in order
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("guestbook: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let accounts = options
        .accounts
        .as_deref()
        .map(Accounts::open)
        .transpose()?;
    let app = App {
        book: Book::open(&options.data)?,
        accounts,
    };
    hythe::http::serve(&options.address, controllers::router(app))
}
