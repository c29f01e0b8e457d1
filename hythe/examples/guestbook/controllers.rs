//! The controllers: which address does what, from the request over the models to
//! a view.

use askama::Template;
use hythe::accounts::{Accounts, Denied};
use hythe::http::{
    Error, HeaderValue, Layer, Next, Request, Response, Router, StatusCode, header, layer,
};
use hythe_net::reactor::unblock;
use serde::Deserialize;

use crate::models::{Book, Entry, Eyes, Page, Turn};
use crate::views::{AdminPage, BookPage, DeletePage, ErrorPage, Form, STYLE, SignInPage};
use crate::visit::{Visit, form, is_admin};

/// The most bytes that a form may have. An entry of a thousand characters with
/// four bytes each, three signs for every byte, has a fifth of that.
const FORM_LIMIT: u64 = 64 << 10;

/// What browsers may do with our pages: show them, in our style, and send forms
/// back to us. No script, no frame, nothing from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// What the controllers work on.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) book: Book,
    pub(crate) accounts: Option<Accounts>,
}

/// All addresses. Whatever is below `/admin`, nobody but admins comes to.
pub(crate) fn router(app: App) -> Router<App> {
    let admin = Router::with_state(app.clone())
        .layer(admins_only(app.clone()))
        .get("/", put_in_order)
        .get("/entries/{id}/delete", ask_before_deleting)
        .post("/entries/{id}/delete", delete)
        .post("/entries/{id}/hide", async |app, request| {
            set_hidden(app, request, true).await
        })
        .post("/entries/{id}/show", async |app, request| {
            set_hidden(app, request, false).await
        });
    Router::with_state(app)
        .layer(guarded)
        .layer(errors_as_pages)
        .layer(layer::panics)
        .layer(layer::max_body(FORM_LIMIT))
        .get("/", read)
        .post("/", write)
        .get("/sign-in", ask_who)
        .post("/sign-in", sign_in)
        .post("/sign-out", sign_out)
        .get("/style.css", style)
        .nest("/admin", admin)
}

// ------------------------------------------------------------- for everybody

/// Where a page begins, as its address says.
#[derive(Deserialize)]
struct Where {
    before: Option<i64>,
    after: Option<i64>,
}

async fn page_asked_for(app: &App, request: &Request, eyes: Eyes) -> Result<Page, Error> {
    let turn = match request.query()? {
        Where {
            before: Some(id), ..
        } => Turn::Before(id),
        Where {
            after: Some(id), ..
        } => Turn::After(id),
        _ => Turn::Newest,
    };
    let book = app.book.clone();
    Ok(unblock(move || book.page(turn, eyes)).await?)
}

async fn read(app: App, request: Request) -> Result<Response, Error> {
    let visit = Visit::of(&app, &request).await?;
    let page = page_asked_for(&app, &request, Eyes::Everybody).await?;
    let view = BookPage {
        frame: visit.frame(),
        page,
        form: Form::default(),
    };
    shown(&visit, &view)
}

/// What the form on the first page says. A field that is missing is an empty one.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    name: String,
    text: String,
}

async fn write(app: App, mut request: Request) -> Result<Response, Error> {
    let (visit, Written { name, text }) = form(&app, &mut request).await?;
    let book = app.book.clone();
    match Form::draft(name, text) {
        Ok(draft) => {
            let id = unblock(move || book.add(draft)).await?;
            // Elsewhere, so that nothing is sent twice when the page is loaded anew.
            Ok(Response::redirect(&format!("/#entry-{id}")))
        }
        Err(form) => {
            let page = unblock(move || book.page(Turn::Newest, Eyes::Everybody)).await?;
            let frame = visit.frame();
            let view = BookPage { frame, page, form };
            Ok(shown(&visit, &view)?.with_status(StatusCode::UNPROCESSABLE_ENTITY))
        }
    }
}

async fn style(_: Request) -> Response {
    Response::of("text/css; charset=utf-8", STYLE).with_header("cache-control", "max-age=3600")
}

// ---------------------------------------------------------------- signing in

async fn ask_who(app: App, request: Request) -> Result<Response, Error> {
    let visit = Visit::of(&app, &request).await?;
    ask_again(&visit, String::new(), None)
}

fn ask_again(visit: &Visit, name: String, wrong: Option<String>) -> Result<Response, Error> {
    let frame = visit.frame();
    shown(visit, &SignInPage { frame, name, wrong })
}

/// What the form to sign in says.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Credentials {
    name: String,
    password: String,
}

async fn sign_in(app: App, mut request: Request) -> Result<Response, Error> {
    let (visit, Credentials { name, password }) = form(&app, &mut request).await?;
    let peer = request.peer().clone();
    let who = name.clone();
    let signed_in = unblock(move || {
        // Without accounts, there are no right passwords either.
        let accounts = app.accounts.ok_or(Denied::Wrong)?;
        let account = accounts.sign_in(who.as_bytes(), password.as_bytes(), &peer, "http")?;
        let session = accounts.start_session(&account)?;
        Ok((account, session))
    });
    let (account, session) = match signed_in.await {
        Ok(signed_in) => signed_in,
        Err(denied) => return refuse(&visit, name, denied),
    };
    let next = if is_admin(&account) { "/admin" } else { "/" };
    Ok(visit.signed_in(Response::redirect(next), session.as_str()))
}

fn refuse(visit: &Visit, name: String, denied: Denied) -> Result<Response, Error> {
    let (status, seconds) = match denied {
        Denied::Broken(error) => return Err(error.into()),
        Denied::Wrong => (StatusCode::FORBIDDEN, None),
        Denied::Throttled(left) => (StatusCode::TOO_MANY_REQUESTS, Some(left.as_secs() + 1)),
        Denied::Busy => (StatusCode::SERVICE_UNAVAILABLE, Some(1)),
    };
    let response = ask_again(visit, name, Some(sentence(&denied.to_string())))?;
    let response = response.with_status(status);
    Ok(match seconds {
        Some(seconds) => response.with_header("retry-after", seconds.to_string()),
        None => response,
    })
}

/// A form without fields of its own.
#[derive(Deserialize)]
struct Nothing {}

async fn sign_out(app: App, mut request: Request) -> Result<Response, Error> {
    let (visit, Nothing {}) = form(&app, &mut request).await?;
    if let (Some(accounts), Some(session)) = (app.accounts, visit.session()) {
        let session = session.to_owned();
        unblock(move || accounts.end_session(&session)).await?;
    }
    Ok(visit.signed_out(Response::redirect("/")))
}

// ---------------------------------------------------------------- for admins

/// Lets admins through, and tells others what they can do about it.
fn admins_only(app: App) -> impl Layer {
    move |request: Request, next: Next| {
        let app = app.clone();
        async move {
            let visit = Visit::of(&app, &request).await?;
            if visit.is_admin() {
                Ok(next.run(request).await)
            } else if visit.is_signed_in() {
                let text = "only admins may put the guestbook in order";
                Err(Error::new(StatusCode::FORBIDDEN, text))
            } else {
                Ok(Response::redirect("/sign-in"))
            }
        }
    }
}

async fn put_in_order(app: App, request: Request) -> Result<Response, Error> {
    let visit = Visit::of(&app, &request).await?;
    let page = page_asked_for(&app, &request, Eyes::Admin).await?;
    let frame = visit.frame();
    shown(&visit, &AdminPage { frame, page })
}

async fn set_hidden(app: App, mut request: Request, hidden: bool) -> Result<Response, Error> {
    let (_, Nothing {}) = form(&app, &mut request).await?;
    let id = id(&request)?;
    if !unblock(move || app.book.set_hidden(id, hidden)).await? {
        return Err(no_entry());
    }
    // To the page that begins with it, which is the place where the admin was.
    let before = id.saturating_add(1);
    Ok(Response::redirect(&format!(
        "/admin?before={before}#entry-{id}"
    )))
}

async fn ask_before_deleting(app: App, request: Request) -> Result<Response, Error> {
    let visit = Visit::of(&app, &request).await?;
    let id = id(&request)?;
    let entry: Option<Entry> = unblock(move || app.book.entry(id)).await?;
    let entry = entry.ok_or_else(no_entry)?;
    let frame = visit.frame();
    shown(&visit, &DeletePage { frame, entry })
}

async fn delete(app: App, mut request: Request) -> Result<Response, Error> {
    let (_, Nothing {}) = form(&app, &mut request).await?;
    let id = id(&request)?;
    match unblock(move || app.book.delete(id)).await? {
        true => Ok(Response::redirect("/admin")),
        false => Err(no_entry()),
    }
}

/// Of which entry the address speaks.
fn id(request: &Request) -> Result<i64, Error> {
    let id = request.param("id").and_then(|id| id.parse().ok());
    id.ok_or_else(no_entry)
}

fn no_entry() -> Error {
    Error::new(StatusCode::NOT_FOUND, "there is no such entry any more")
}

// ------------------------------------------------------------- for all pages

fn shown(visit: &Visit, view: &impl Template) -> Result<Response, Error> {
    let page = view.render().map_err(Error::internal)?;
    Ok(visit.told(Response::html(page)))
}

/// Says with every response what browsers may do with it, and that nobody keeps
/// it who isn't told otherwise: pages hold a token that is for one visitor.
async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let fields = response.headers_mut();
    fields.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    fields.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    fields
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Makes pages of errors, which are otherwise a line of text.
async fn errors_as_pages(request: Request, next: Next) -> Result<Response, Error> {
    let response = next.run(request).await;
    let status = response.status();
    let is_line = response.headers().get(header::CONTENT_TYPE);
    let is_line = is_line.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !is_line || !(status.is_client_error() || status.is_server_error()) {
        return Ok(response);
    }
    let line = String::from_utf8_lossy(response.body().as_bytes().unwrap_or_default());
    let text = line.split_once(": ").map_or("", |(_, text)| text);
    let view = ErrorPage {
        title: status.canonical_reason().unwrap_or("Error"),
        text: sentence(text.trim_end()),
    };
    let page = view.render().map_err(Error::internal)?;
    // With the fields that it has, such as `Allow`.
    Ok(response
        .with_header("content-type", "text/html; charset=utf-8")
        .with_body(page))
}

/// With a capital letter, and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let stop = if text.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    first
        .into_iter()
        .chain(letters)
        .chain(stop.chars())
        .collect()
}
