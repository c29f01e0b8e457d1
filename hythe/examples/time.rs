//! A page with a clock that is the server's, by server-sent events:
//!
//! ```text
//! cargo run --example time [HOST:PORT]
//! curl -N http://127.0.0.1:8080/clock
//! ```

use std::io;
use std::time::Duration;

use hythe::http::{Event, Events, Request, Response, Router, serve};
use hythe_net::reactor::sleep;
use jiff::Zoned;

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>The time here</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; font-family: system-ui, sans-serif }
  body { display: grid; place-content: center; min-height: 90vh; text-align: center }
  time { font-size: min(18vw, 9rem); font-variant-numeric: tabular-nums; line-height: 1.1 }
  p { opacity: .7; margin: .5rem }
</style>
<time id="time">--:--:--</time>
<p id="date"></p>
<p id="state" role="status">connecting…</p>
<script>
  const show = (id, text) => {
    const at = document.getElementById(id);
    // What stays the same is not read out again.
    if (at.textContent !== text) at.textContent = text;
  };
  const clock = new EventSource("clock");
  clock.addEventListener("tick", event => {
    const [date, time, zone] = event.data.split("\n");
    show("time", time);
    show("date", date);
    show("state", zone);
  });
  clock.onerror = () => show("state", "the server is gone; trying again…");
</script>
</html>
"#;

/// How soon a page asks again when the server is gone.
const RETRY: Duration = Duration::from_secs(1);

async fn clock(_: Request) -> Response {
    Events::response(async |mut events| {
        loop {
            let now = Zoned::now();
            let zone = now.time_zone().iana_name().unwrap_or("local time");
            let text = now.strftime("%A, %-d %B %Y\n%H:%M:%S");
            let event = Event::data(format!("{text}\n{zone}"));
            events
                .send(event.with_name("tick").with_retry(RETRY))
                .await?;
            // Until the next second begins.
            let millisecond: u64 = now.millisecond().unsigned_abs().into();
            sleep(Duration::from_millis(1000 - millisecond)).await;
        }
    })
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let router = Router::new()
        .get("/", async |_: Request| Response::html(PAGE))
        .get("/clock", clock);
    serve(address.as_deref().unwrap_or("127.0.0.1:8080"), router)
}
