//! A guest book as an application: a page, a form, and JSON.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{env, io};

use askama::Template;
use hythe::http::{Error, Html, Json, Next, Request, Response, Router, StatusCode, layer, serve};
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, Serialize)]
struct Entry {
    name: String,
    text: String,
}

#[derive(Clone, Default)]
struct Book(Arc<Mutex<Vec<Entry>>>);

impl Book {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, entry: Entry) -> Result<usize, Error> {
        if entry.text.trim().is_empty() {
            let text = "an entry has a text";
            return Err(Error::new(StatusCode::UNPROCESSABLE_ENTITY, text));
        }
        let mut entries = self.entries();
        entries.push(entry);
        Ok(entries.len())
    }
}

#[derive(Template)]
#[template(
    ext = "html",
    source = "<!DOCTYPE html>
<title>Guest book</title>
<ul>{% for entry in entries %}
<li><b>{{ entry.name }}</b>: {{ entry.text }}{% endfor %}
</ul>
<form method=post><input name=name> <input name=text> <button>Sign</button></form>
"
)]
struct Page {
    entries: Vec<Entry>,
}

async fn show(book: Book, _: Request) -> Result<Html<String>, Error> {
    let entries = book.entries().clone();
    Ok(Html(Page { entries }.render().map_err(Error::internal)?))
}

async fn sign(book: Book, mut request: Request) -> Result<Response, Error> {
    book.write(request.form().await?)?;
    Ok(Response::redirect("/")) // so that reloading the page does not sign again
}

async fn list(book: Book, _: Request) -> Json<Vec<Entry>> {
    Json(book.entries().clone())
}

async fn add(book: Book, mut request: Request) -> Result<(StatusCode, Json<usize>), Error> {
    let number = book.write(request.json().await?)?;
    Ok((StatusCode::CREATED, Json(number)))
}

async fn one(book: Book, request: Request) -> Result<Json<Entry>, StatusCode> {
    let number = request
        .param("number")
        .and_then(|text| text.parse::<usize>().ok());
    let index = number.and_then(|number| number.checked_sub(1));
    let entry = index.and_then(|index| book.entries().get(index).cloned());
    entry.map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// A layer of our own: it sees the request before, and the response after.
async fn proud(request: Request, next: Next) -> Response {
    next.run(request).await.with_header("server", "guest book")
}

fn main() -> io::Result<()> {
    let book = Book::default();
    let api = Router::with_state(book.clone())
        .get("/entries", list)
        .post("/entries", add)
        .get("/entries/{number}", one);
    let router = Router::with_state(book)
        .layer(proud)
        .layer(layer::max_body(10_000))
        .layer(layer::same_origin)
        .get("/", show)
        .post("/", sign)
        .nest("/api", api);
    serve(
        env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8000"),
        router,
    )
}
