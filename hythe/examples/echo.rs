//! Answers any request with what was received, as JSON, for trying HTTP clients:
//!
//! ```text
//! cargo run --example echo [HOST:PORT]
//! curl -d 'name=来' 'http://127.0.0.1:8080/echo?page=2'
//! curl -c jar -b jar 'http://127.0.0.1:8080/cookie?visits=1'
//! curl -i http://127.0.0.1:8080/status/404
//! ```

use std::collections::BTreeMap;
use std::io;

use base64ct::{Base64, Encoding as _};
use hythe::http::{Cookie, Error, Json, Request, Response, Router, StatusCode, layer, serve};
use serde::Serialize;

/// More than a client that is tried has to say.
const BODY: u64 = 1024 * 1024;

#[derive(Serialize)]
struct Received {
    method: String,
    target: String,
    version: String,
    /// By name, in small letters; the values of one that repeats are a list (RFC
    /// 9110 section 5.3).
    headers: BTreeMap<String, String>,
    body: String,
    /// How the body is written here where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

async fn echo(request: Request) -> Result<Json<Received>, Error> {
    received(request).await.map(Json)
}

async fn received(mut request: Request) -> Result<Received, Error> {
    let (body, encoding) = match String::from_utf8(request.bytes().await?.into()) {
        Ok(text) => (text, None),
        Err(error) => (Base64::encode_string(error.as_bytes()), Some("base64")),
    };
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.to_string())
            .and_modify(|known| known.extend([", ", &value]))
            .or_insert_with(|| value.to_string());
    }
    Ok(Received {
        method: request.method().to_string(),
        target: String::from_utf8_lossy(request.target()).into_owned(),
        version: format!("{:?}", request.version()),
        headers,
        body,
        encoding,
    })
}

/// Sets what stands in the query as cookies, and shows those that came.
async fn cookie(request: Request) -> Result<Response, Error> {
    let wanted: BTreeMap<String, String> = request.query()?;
    let mut response = Response::json(&received(request).await?)?;
    for (name, value) in &wanted {
        let legal = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if name.is_empty() || !legal(name) || !legal(value) {
            let text = "cookies here are of letters and digits: /cookie?visits=1";
            return Err(Error::new(StatusCode::BAD_REQUEST, text));
        }
        response = response.with_cookie(&Cookie::new(name, value));
    }
    Ok(response)
}

/// Answers with the status that stands in the path.
async fn status(request: Request) -> Result<Response, Error> {
    let wanted = request.param("status").unwrap_or_default();
    let status = wanted
        .parse()
        .ok()
        .filter(|status| (200..600).contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let Some(status) = status else {
        let text = "give a status from 200 to 599: /status/404";
        return Err(Error::new(StatusCode::BAD_REQUEST, text));
    };
    Ok(Response::json(&received(request).await?)?.with_status(status))
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let router = Router::new()
        .layer(layer::max_body(BODY))
        .any("/echo", echo)
        .any("/cookie", cookie)
        .any("/status/{status}", status)
        .fallback(echo);
    serve(address.as_deref().unwrap_or("127.0.0.1:8080"), router)
}
