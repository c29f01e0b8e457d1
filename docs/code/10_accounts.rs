//! A guest book for people with accounts: a database, and TLS.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{env, io, path::Path, time::SystemTime};

use askama::Template;
use hythe::accounts::{Account, Accounts, Refused};
use hythe::http::{Cookie, Error, Html, Http, Request, Response, Router, StatusCode, layer};
use hythe::share::Access;
use hythe::tls::{Acceptor, SelfSigned};
use hythe_net::{Model, Server, reactor::unblock};
use rusqlite::Connection;
use serde::Deserialize;

#[derive(Clone)]
struct App {
    accounts: Accounts,
    book: Arc<Mutex<Connection>>,
}

impl App {
    /// Has the thread pool do what waits for a disk, so that no visitor waits for it.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce(Self) -> T + Send + 'static) -> T {
        let app = self.clone();
        unblock(move || work(app)).await
    }

    fn book(&self) -> MutexGuard<'_, Connection> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entries(&self) -> rusqlite::Result<Vec<(String, String)>> {
        let book = self.book();
        let mut select = book.prepare("SELECT name, text FROM entries ORDER BY number")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    /// Who asks, by the cookie that `enter` gave.
    async fn visitor(&self, request: &Request) -> Result<Option<Account>, Error> {
        match request.cookie("session").map(str::to_owned) {
            Some(token) => Ok(self.run(move |app| app.accounts.session(&token)).await?),
            None => Ok(None),
        }
    }
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<title>Guest book</title>
<ul>{% for (name, text) in entries %}
<li><b>{{ name }}</b>: {{ text }}{% endfor %}
</ul>
{% match visitor %}{% when Some with (account) -%}
<form method=post><input name=text> <button>Sign as {{ account.name }}</button></form>
<form method=post action=/leave><button>Leave</button></form>
{%- when None -%}
<form method=post action=/enter><input name=name> <input name=password type=password>
<button>Enter</button> <button formaction=/join>Join</button></form>
{%- endmatch %}
"#
)]
struct Page {
    entries: Vec<(String, String)>,
    visitor: Option<Account>,
}

async fn show(app: App, request: Request) -> Result<Html<String>, Error> {
    let visitor = app.visitor(&request).await?;
    let entries = app
        .run(|app| app.entries())
        .await
        .map_err(Error::internal)?;
    Ok(Html(
        Page { entries, visitor }
            .render()
            .map_err(Error::internal)?,
    ))
}

#[derive(Deserialize)]
struct Entry {
    text: String,
}

async fn sign(app: App, mut request: Request) -> Result<Response, Error> {
    let Some(visitor) = app.visitor(&request).await? else {
        return Err(Error::new(StatusCode::FORBIDDEN, "enter first"));
    };
    let entry: Entry = request.form().await?;
    let insert = "INSERT INTO entries (name, text) VALUES (?, ?)";
    let written = app.run(move |app| app.book().execute(insert, (&*visitor.name, entry.text)));
    written.await.map_err(Error::internal)?;
    Ok(Response::redirect("/"))
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

/// For those who have an account, and those who want one.
async fn enter(app: App, mut request: Request) -> Result<Response, Error> {
    let Credentials { name, password } = request.form().await?;
    let (joins, peer) = (request.path() == "/join", request.peer().clone());
    let begun = app.run(move |App { accounts, .. }| {
        let (name, password) = (name.as_bytes(), password.as_bytes());
        let account = match joins {
            true => accounts.register(name, password, (Access::Upload, None), &peer, "book")?,
            false => accounts.sign_in(name, password, &peer, "book")?,
        };
        Ok(accounts.start_session(&account)?)
    });
    match begun.await {
        Ok(token) => {
            let cookie = Cookie::new("session", token.as_str()).secure(true);
            Ok(Response::redirect("/").with_cookie(&cookie))
        }
        Err(Refused::Broken(error)) => Err(error.into()), // is for the log, and no visitor
        Err(refused) => Err(Error::new(StatusCode::FORBIDDEN, refused.to_string())),
    }
}

async fn leave(app: App, request: Request) -> Result<Response, Error> {
    if let Some(token) = request.cookie("session").map(str::to_owned) {
        app.run(move |app| app.accounts.end_session(&token)).await?;
    }
    Ok(Response::redirect("/").with_cookie(&Cookie::forget("session")))
}

fn main() -> io::Result<()> {
    let book = Connection::open("book.db").map_err(io::Error::other)?;
    let table = "CREATE TABLE IF NOT EXISTS entries (number INTEGER PRIMARY KEY, name, text)";
    book.execute(table, []).map_err(io::Error::other)?;
    let book = Arc::new(Mutex::new(book));
    let accounts = Accounts::open(Path::new("accounts.db"))?;
    let router = Router::with_state(App { accounts, book })
        .layer(layer::same_origin)
        .get("/", show)
        .post("/", sign)
        .post("/join", enter)
        .post("/enter", enter)
        .post("/leave", leave);
    let now = SystemTime::UNIX_EPOCH.elapsed().map_err(io::Error::other)?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let identity = SelfSigned::kept_in(Path::new(".")).identity(now.as_secs() as i64, names)?;
    let handler = Http::new(router).over_tls(Acceptor::new(&identity, Some("http/1.1"))?);
    let address = env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:8000").parse()?;
    let server = Server::new(Model::cores()).listen(&address, handler)?;
    println!("listening on {}", server.addresses()[0]);
    server.serve()
}
