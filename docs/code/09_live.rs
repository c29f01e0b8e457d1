//! A guest book that is alive: whoever looks at it sees what others write.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::{env, future::poll_fn, io};

use futures_lite::future::or;
use hythe::http::{
    Error, Event, Events, Html, Message, Request, Response, Router, WebSocketUpgrade, layer, serve,
};
use serde::Deserialize;

#[derive(Clone, Default)]
struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    entries: Vec<String>,
    waiting: Vec<Waker>,
}

impl Book {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, entry: String) {
        let mut pages = self.pages();
        pages.entries.push(entry);
        pages.waiting.drain(..).for_each(Waker::wake);
    }

    /// The entry with this index, as soon as there is one.
    async fn entry(&self, index: usize) -> String {
        poll_fn(|context| {
            let mut pages = self.pages();
            if let Some(entry) = pages.entries.get(index) {
                return Poll::Ready(entry.clone());
            }
            let waits = |waker: &Waker| waker.will_wake(context.waker());
            if !pages.waiting.iter().any(waits) {
                pages.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

/// For who only listens: a response that does not end.
async fn events(book: Book, request: Request) -> Response {
    let seen = request
        .header("last-event-id")
        .and_then(|id| id.parse().ok());
    Events::response(async move |mut events| {
        for index in seen.unwrap_or(0).. {
            let entry = book.entry(index).await;
            let id = (index + 1).to_string();
            events.send(Event::data(entry).with_id(&id)).await?;
        }
        Ok(())
    })
}

enum Heard {
    Said(Option<Message>),
    Written(String),
}

/// For who listens and speaks: the connection is HTTP's no more.
async fn socket(book: Book, request: Request) -> Result<Response, Error> {
    let upgrade = WebSocketUpgrade::of(&request)?.with_limit(1000);
    Ok(upgrade.on_upgrade(async move |mut socket| {
        let mut index = 0;
        loop {
            let said = async { io::Result::Ok(Heard::Said(socket.receive().await?)) };
            let written = async { Ok(Heard::Written(book.entry(index).await)) };
            match or(said, written).await? {
                Heard::Said(Some(Message::Text(text))) => book.write(text),
                Heard::Said(Some(Message::Binary(_))) => {} // no text, no entry
                Heard::Said(None) => return Ok(()),
                Heard::Written(entry) => {
                    socket.send(entry).await?;
                    index += 1;
                }
            }
        }
    }))
}

#[derive(Deserialize)]
struct Entry {
    text: String,
}

async fn sign(book: Book, mut request: Request) -> Result<(), Error> {
    let Entry { text } = request.form().await?;
    book.write(text);
    Ok(())
}

const PAGE: &str = r#"<!DOCTYPE html>
<title>Guest book</title>
<ul></ul>
<form><input name=text> <button>Sign</button></form>
<script>
new EventSource("/events").onmessage = event => {
  const item = document.createElement("li");
  item.textContent = event.data;
  document.querySelector("ul").append(item);
};
document.querySelector("form").onsubmit = event => {
  event.preventDefault();
  fetch("/", { method: "POST", body: new URLSearchParams(new FormData(event.target)) });
  event.target.reset();
};
</script>
"#;

fn main() -> io::Result<()> {
    let router = Router::with_state(Book::default())
        .layer(layer::max_body(10_000))
        .layer(layer::same_origin)
        .get("/", async |_: Request| Html(PAGE))
        .post("/", sign)
        .get("/events", events)
        .get("/socket", socket);
    serve(
        env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8000"),
        router,
    )
}
