//! Server-sent events: a page that hears what happens, as it happens
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::StreamExt as _;
use hythe_net::reactor;

use super::body::Writer;
use super::{Body, Response};

/// How often something is said where nothing happens: proxies and browsers close
/// what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A comment, which nobody hears.
const COMMENT: &[u8] = b":\n\n";

/// The way to a page that listens.
///
/// ```
/// use std::time::Duration;
/// use hythe::http::{Event, Events, Request, Response, Router};
/// use hythe_net::reactor::sleep;
///
/// async fn count(_: Request) -> Response {
///     Events::response(async |mut events| {
///         for number in 1.. {
///             events.send(Event::data(number.to_string())).await?;
///             sleep(Duration::from_secs(1)).await;
///         }
///         Ok(())
///     })
/// }
///
/// let router = Router::new().get("/count", count);
/// # let _ = router;
/// ```
///
/// The page asks by `new EventSource("/count")`. When it is closed, or the server is
/// told to stop, whoever sends is dropped where it waits.
#[derive(Debug)]
pub struct Events(Writer);

impl Events {
    /// A response that goes on for as long as `send` does, and its client listens.
    pub fn response<F, T>(send: F) -> Response
    where
        F: FnOnce(Self) -> T,
        T: Future<Output = io::Result<()>> + 'static,
    {
        Self::response_with_heartbeat(HEARTBEAT, send)
    }

    /// As [`response`](Self::response), with a comment after each silence of so
    /// long, in place of a quarter of a minute.
    pub fn response_with_heartbeat<F, T>(heartbeat: Duration, send: F) -> Response
    where
        F: FnOnce(Self) -> T,
        T: Future<Output = io::Result<()>> + 'static,
    {
        let sent = Body::written(|writer| send(Self(writer)));
        let alive = futures_lite::stream::try_unfold(sent, move |mut sent| async move {
            let silence = async {
                reactor::sleep(heartbeat).await;
                Some(Ok(Bytes::from_static(COMMENT)))
            };
            let next = futures_lite::future::or(sent.next(), silence).await;
            Ok(next.transpose()?.map(|bytes| (bytes, sent)))
        });
        Response::of(
            "text/event-stream",
            Body::stream(Box::pin(alive)).while_connected(),
        )
        .with_header("cache-control", "no-store")
        // nginx, asked by its own name for it, holds nothing back.
        .with_header("x-accel-buffering", "no")
    }

    /// Sends an event; returns when the next may follow.
    ///
    /// # Errors
    /// As [`Writer::send`].
    pub async fn send(&mut self, event: Event<'_>) -> io::Result<()> {
        self.0.send(event.text()).await
    }
}

/// Something that has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'e> {
    data: Cow<'e, str>,
    name: Option<&'e str>,
    id: Option<&'e str>,
    retry: Option<Duration>,
}

impl<'e> Event<'e> {
    /// What a page gets as `event.data`, line breaks included.
    pub fn data(data: impl Into<Cow<'e, str>>) -> Self {
        Self {
            data: data.into(),
            ..Self::default()
        }
    }

    /// For those who listen for this name, and not for `message`.
    #[must_use]
    pub fn with_name(self, name: &'e str) -> Self {
        let name = Some(name);
        Self { name, ..self }
    }

    /// What a page that was cut off tells when it asks again, as `Last-Event-ID`.
    #[must_use]
    pub fn with_id(self, id: &'e str) -> Self {
        let id = Some(id);
        Self { id, ..self }
    }

    /// After how long a page that is cut off asks again; in whole milliseconds.
    #[must_use]
    pub fn with_retry(self, retry: Duration) -> Self {
        let retry = Some(retry);
        Self { retry, ..self }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            text.extend([name, ": ", value, "\n"]);
        };
        // Neither can hold a line break: what is behind one would be a line of its
        // own.
        let first = |value: &'e str| value.split(['\r', '\n']).next().unwrap_or_default();
        if let Some(name) = self.name {
            line("event", first(name));
        }
        if let Some(id) = self.id {
            line("id", first(id));
        }
        if let Some(retry) = self.retry {
            line("retry", &retry.as_millis().to_string());
        }
        let data = self.data.replace("\r\n", "\n");
        for part in data.split(['\r', '\n']) {
            line("data", part);
        }
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_lines_and_nothing_in_them_begins_another() {
        for (event, expected) in [
            (Event::data("来"), "data: 来\n\n"),
            (Event::data(""), "data: \n\n"),
            (
                Event::data("a\nb\r\nc\rd\n"),
                "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n",
            ),
            (
                Event::data("x").with_name("tick").with_id("7"),
                "event: tick\nid: 7\ndata: x\n\n",
            ),
            (
                Event::data("x")
                    .with_name("a\ndata: forged")
                    .with_id("1\r2"),
                "event: a\nid: 1\ndata: x\n\n",
            ),
            (
                Event::data("x").with_retry(Duration::from_millis(1500)),
                "retry: 1500\ndata: x\n\n",
            ),
        ] {
            assert_eq!(event.text(), expected);
        }
    }
}
