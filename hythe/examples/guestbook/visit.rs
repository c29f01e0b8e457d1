//! Who asks, and whether what they send is a form of ours.
//!
//! Every browser has a secret of its own in the cookie `guest`, and whoever is
//! signed in another in `session`. A form carries a token that only we can make
//! of the two. Another site can have a browser send a form here, cookies and
//! all, but it can't know the token. Browsers also say where a form comes from
//! (`Sec-Fetch-Site`, `Origin`), which is looked at first.
//!
//! Pages with a token in them must not be compressed: their length would tell
//! it to somebody who can have a text of theirs on the same page (BREACH).

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use hythe::accounts::Account;
use hythe::http::{Cookie, Error, Request, Response, StatusCode};
use hythe::share::Access;
use hythe_net::reactor::unblock;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::controllers::App;
use crate::views::Frame;

/// How many random bytes are in the secret of a browser: beyond guessing.
const SECRET: usize = 32;

/// How long a browser keeps a session, which ends sooner if it is not used: as
/// long as a day's work.
const SESSION: Duration = Duration::from_secs(12 * 60 * 60);

/// Who asks.
pub(crate) struct Visit {
    /// The secret of this browser.
    guest: String,
    /// Whether the browser has still to be told.
    fresh: bool,
    /// That of who is signed in.
    session: Option<String>,
    /// Who is signed in.
    account: Option<Account>,
    /// Whether cookies may be for TLS alone.
    encrypted: bool,
    key: [u8; 32],
}

impl Visit {
    /// Who sent this request.
    pub(crate) async fn of(app: &App, request: &Request) -> Result<Self, Error> {
        let known = request.cookie("guest").filter(|secret| is_secret(secret));
        let (guest, fresh) = match known {
            Some(secret) => (secret.to_owned(), false),
            None => (new_secret()?, true),
        };
        let session = request.cookie("session").map(str::to_owned);
        let account = match (&app.accounts, &session) {
            (Some(accounts), Some(session)) => {
                let (accounts, session) = (accounts.clone(), session.clone());
                unblock(move || accounts.session(&session)).await?
            }
            _ => None,
        };
        Ok(Self {
            guest,
            fresh,
            session: session.filter(|_| account.is_some()),
            account,
            encrypted: request.is_encrypted(),
            key: *app.book.key(),
        })
    }

    pub(crate) fn is_signed_in(&self) -> bool {
        self.account.is_some()
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.account.as_ref().is_some_and(is_admin)
    }

    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// What pages for this visitor need.
    pub(crate) fn frame(&self) -> Frame {
        Frame {
            account: self
                .account
                .as_ref()
                .map(|account| account.name.to_string()),
            admin: self.is_admin(),
            token: self.token().to_hex().to_string(),
        }
    }

    /// What a form of ours brings back. `Hash` is compared in constant time.
    fn token(&self) -> blake3::Hash {
        let session = self.session.as_deref().unwrap_or_default();
        let whose = format!("{}\n{session}", self.guest);
        blake3::keyed_hash(&self.key, whose.as_bytes())
    }

    fn is_token(&self, token: &str) -> bool {
        blake3::Hash::from_hex(token).is_ok_and(|token| token == self.token())
    }

    /// The response, with the secret if the browser doesn't have it yet.
    pub(crate) fn told(&self, response: Response) -> Response {
        if !self.fresh {
            return response;
        }
        response.with_cookie(&Cookie::new("guest", &self.guest).secure(self.encrypted))
    }

    /// The response, after which the browser is signed in.
    pub(crate) fn signed_in(&self, response: Response, session: &str) -> Response {
        let cookie = Cookie::new("session", session).strict();
        let cookie = cookie.secure(self.encrypted).with_max_age(SESSION);
        response.with_cookie(&cookie)
    }

    /// The response, after which the browser isn't.
    pub(crate) fn signed_out(&self, response: Response) -> Response {
        response.with_cookie(&Cookie::forget("session").strict().secure(self.encrypted))
    }
}

/// A form and its token.
#[derive(Deserialize)]
struct Signed<T> {
    #[serde(default)]
    token: String,
    #[serde(flatten)]
    form: T,
}

/// What a form says that is one of ours. There is no other way to read one.
///
/// # Errors
/// 403 if it is another's; what the library says of bodies that are no forms.
pub(crate) async fn form<T: DeserializeOwned>(
    app: &App,
    request: &mut Request,
) -> Result<(Visit, T), Error> {
    if !is_ours(request) {
        let text = "this form was sent from another site. Open the guestbook and send it there.";
        return Err(Error::new(StatusCode::FORBIDDEN, text));
    }
    let visit = Visit::of(app, request).await?;
    let Signed { token, form } = request.form().await?;
    if !visit.is_token(&token) {
        let text = "this form is none of ours, or too old. Go back, load the page anew, and send it \
                    again.";
        return Err(Error::new(StatusCode::FORBIDDEN, text));
    }
    Ok((visit, form))
}

/// Whether the browser says that the request comes from here. One that says
/// nothing is old, or no browser; then the token has to do. Where forms have no
/// tokens, `layer::same_origin` is for that, which is stricter.
fn is_ours(request: &Request) -> bool {
    // One that is no text is there all the same.
    let field = |name: &str| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap_or_default())
    };
    match (field("sec-fetch-site"), field("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && host == request.host()
        }
        (None, None) => true,
    }
}

pub(crate) fn is_admin(account: &Account) -> bool {
    account.role == Access::Admin
}

fn new_secret() -> Result<String, Error> {
    let mut bytes = [0; SECRET];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    Ok(Base64UrlUnpadded::encode_string(&bytes))
}

fn is_secret(text: &str) -> bool {
    Base64UrlUnpadded::decode_vec(text).is_ok_and(|bytes| bytes.len() == SECRET)
}
