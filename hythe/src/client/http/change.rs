//! What changes something over there: PUT and the methods of WebDAV, and
//! hythe's own accounts.

use std::cell::Cell;
use std::sync::Arc;

use hythe_wire::http::Method;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::super::{Begun, Content, Error, Kind, Login, Meter, Reason, RemotePath, Result};
use super::answer::Answer;
use super::connection::Outgoing;
use super::redirect::absolute;
use super::{HttpClient, MAX_REDIRECTS, Request};

impl HttpClient {
    pub(super) async fn put(
        &mut self,
        path: &RemotePath,
        begun: &Begun,
        content: Content,
        meter: &Meter,
    ) -> Result<()> {
        let mut request = Request::new(Method::Put, self.at(&path.as_file()));
        if let Some(modified) = begun.modified {
            // What ownCloud's clients send, and who doesn't know it leaves alone.
            request = request.field("X-OC-Mtime", modified.to_string());
        }
        let mut content = content;
        for _ in 0..=MAX_REDIRECTS {
            let again = match &content {
                Content::File(file, range) => Some((Arc::clone(file), range.clone())),
                Content::Pipe(_) => None,
            };
            let outgoing = Outgoing {
                content,
                meter,
                sent: &Cell::new(0),
            };
            let answer = self.upload(&request, outgoing).await?;
            match (self.moved(&request.url, &answer)?, again) {
                (Some(url), Some((file, range))) => {
                    request.url = url;
                    content = Content::File(file, range);
                }
                (Some(url), None) => {
                    return Err(Error::protocol(format!(
                        "the server redirects to {url}; send it there"
                    )));
                }
                (None, _) if is_file_itself(&answer) => {
                    self.settle().await;
                    let text = "this server takes no uploads there (it sends what is there)";
                    return Err(Error::unsupported(text));
                }
                (None, _) if answer.is_success() => return Ok(()),
                (None, _) => {
                    let status = answer.status;
                    let mut error = self.refused_upload(answer).await;
                    // It may be the folder that is missing (RFC 4918 section 9.7.1).
                    if status == 409
                        && let Err(folder) = self.stat_path(&path.parent()).await
                        && folder.reason == Reason::NotFound
                    {
                        error.reason = Reason::NotFound;
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::protocol("the server redirects without an end"))
    }

    /// DELETE of a folder takes all that is in it along (RFC 4918 section 9.6.1),
    /// which nobody has asked for who names a file, or an empty folder.
    pub(super) async fn remove_path(&mut self, path: &RemotePath, kind: Kind) -> Result<()> {
        self.check_removable(path, kind).await?;
        let path = match kind {
            Kind::Folder => path.as_folder(),
            _ => path.as_file(),
        };
        let request = Request::new(Method::Delete, self.at(&path));
        let answer = self.change(request).await?;
        if answer.status == 200 {
            // Caddy sends what is there, whatever the method, and leaves it.
            self.settle().await;
            return match self.stat_path(&path).await {
                Ok(_) => Err(Error::unsupported(
                    "this server removes nothing there (it says 200 OK, and it is there still)",
                )),
                Err(_) => Ok(()),
            };
        }
        self.done(answer, "removes nothing").await
    }

    async fn check_removable(&mut self, path: &RemotePath, kind: Kind) -> Result<()> {
        match kind {
            Kind::Folder if self.list_folder(path).await?.is_empty() => Ok(()),
            Kind::Folder => Err(Error::new(Reason::Exists, "the folder is not empty")),
            _ => match self.stat_path(path).await {
                Ok(entry) if entry.kind == Kind::Folder => {
                    let text = "it is a folder; end it with a slash to remove an empty one";
                    Err(Error::new(Reason::Unsupported, text))
                }
                Err(error) if error.reason == Reason::NotFound => Err(error),
                // The server may remove what it does not tell of.
                Ok(_) | Err(_) => Ok(()),
            },
        }
    }

    pub(super) async fn make(&mut self, path: &RemotePath) -> Result<()> {
        let request = Request::new(Method::Mkcol, self.at(&path.as_folder()));
        let answer = self.change(request).await?;
        match answer.status {
            // It is what WebDAV says of a name that is taken (RFC 4918 section 9.3.1).
            405 => {
                self.settle().await;
                match self.stat_path(path).await {
                    Ok(_) => Err(Error::new(Reason::Exists, "there is something already")),
                    Err(_) => self.done(answer, "makes no folders").await,
                }
            }
            409 => {
                let error = self.refused(answer).await;
                Err(Error {
                    reason: Reason::NotFound,
                    ..error
                })
            }
            _ => self.done(answer, "makes no folders").await,
        }
    }

    pub(super) async fn relocate(&mut self, from: &RemotePath, to: &RemotePath) -> Result<()> {
        let to = if from.is_folder() {
            to.as_folder()
        } else {
            to.clone()
        };
        let request = Request::new(Method::Move, self.at(from))
            .field("Destination", absolute(&self.at(&to)))
            .field("Overwrite", "F");
        let answer = self.change(request).await?;
        self.done(answer, "renames nothing").await
    }

    /// What an answer to a change means; `never` is what it means that the
    /// server does not know the method.
    async fn done(&mut self, answer: Answer, never: &str) -> Result<()> {
        if answer.status == 200 {
            // What has made or moved something says 201 or 204 (RFC 4918 sections
            // 9.3.1 and 9.9.4). Caddy takes methods it does not know for GET.
            self.settle().await;
            let text = format!("this server {never} there (it says 200 OK, and does nothing)");
            return Err(Error::unsupported(text));
        }
        // Of several things, which a 207 speaks of, one at least has failed.
        if answer.is_success() && answer.status != 207 {
            return Ok(());
        }
        let mut error = self.refused(answer).await;
        if error.reason == Reason::Unsupported {
            error.text = format!("this server {never} there ({})", error.text);
        }
        Err(error)
    }

    // --- Accounts ---

    pub(super) async fn sign_up(&mut self, name: &str, password: &[u8]) -> Result<()> {
        let form = format!(
            "name={}&password={}",
            percent_encode(name.as_bytes(), NON_ALPHANUMERIC),
            percent_encode(password, NON_ALPHANUMERIC)
        );
        let url = self.at(&RemotePath::from_url("/.hythe/sign-up", None));
        let request = Request::new(Method::Post, url)
            .field("Accept", "application/json")
            .field("Content-Type", "application/x-www-form-urlencoded")
            .body(form.into_bytes());
        // Who makes an account is nobody yet.
        let login = self.login.take();
        let answer = self.change(request).await;
        self.login = login;
        let answer = answer?;
        let status = answer.status;
        if status == 201 {
            return Ok(());
        }
        if answer.is_success() {
            return Err(Error::unsupported("this server makes no accounts that way"));
        }
        let mut error = self.refused(answer).await;
        error.reason = match status {
            409 => Reason::Exists,
            404 | 405 | 501 => Reason::Unsupported,
            400 => Reason::NotAllowed,
            _ => error.reason,
        };
        Err(error)
    }

    pub(super) async fn go_on_as(&mut self, login: Login) -> Result<()> {
        if login.name.contains(':') {
            // It is what ends the name there (RFC 7617 section 2).
            return Err(Error::new(
                Reason::NotAllowed,
                "over HTTP, a name can't have a colon in it",
            ));
        }
        let earlier = self.login.replace(login);
        self.tus = None;
        let request = Request::new(Method::Head, self.url.clone());
        let answer = match self.ask(&request).await {
            Ok(answer) => answer,
            Err(error) => {
                self.login = earlier;
                return Err(error);
            }
        };
        if answer.status == 401 {
            self.login = earlier;
            return Err(self.refused(answer).await);
        }
        Ok(())
    }
}

/// Whether the answer to a PUT is one to a GET: Caddy sends the file that is
/// there, whatever the method. Who has stored one has no parts of it to offer.
fn is_file_itself(answer: &Answer) -> bool {
    answer.status == 200 && answer.field("Accept-Ranges").is_some()
}
