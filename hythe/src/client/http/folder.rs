//! What is in a folder, and what there is at a path.

use hythe_net::reactor::unblock;
use hythe_wire::http::Method;

use super::super::{Entry, Error, Kind, Reason, RemotePath, Result};
use super::body::{Coding, Kept};
use super::listing::{self, LISTING_LIMIT};
use super::{HttpClient, Request};

/// What is accepted as a listing: JSON is for programs.
const LISTINGS: &str = "application/json, text/html;q=0.5";

impl HttpClient {
    pub(super) async fn list_folder(&mut self, path: &RemotePath) -> Result<Vec<Entry>> {
        let request = Request::new(Method::Get, self.at(&path.as_folder()))
            .field("Accept", LISTINGS)
            .field("Accept-Encoding", "gzip, br, zstd");
        let (answer, found) = self.follow(request).await?;
        if !answer.is_success() {
            return Err(self.refused(answer).await);
        }
        let media_type = answer.media_type();
        let is_html = matches!(media_type.as_str(), "text/html" | "application/xhtml+xml");
        if !is_html && media_type != "application/json" {
            self.give_up();
            return Err(Error::new(
                Reason::NotFound,
                "it is no folder that the server lists",
            ));
        }
        let coding = Coding::of(&answer.codings())?;
        if let Some(pending) = &mut self.pending {
            pending.coding = coding;
        }
        let kept = Kept::new(LISTING_LIMIT);
        self.pour(Box::new(kept.clone())).await?;
        let text = kept.into_bytes();
        if text.len() == LISTING_LIMIT {
            return Err(Error::protocol("the listing is too long to be one"));
        }
        let folder = if found.is_same_origin(&self.url) {
            found.path.as_folder()
        } else {
            path.as_folder()
        };
        unblock(move || {
            if is_html {
                Ok(listing::from_html(&text, &found, &folder))
            } else {
                listing::from_json(&text, &folder)
            }
        })
        .await
    }

    pub(super) async fn stat_path(&mut self, path: &RemotePath) -> Result<Entry> {
        let request = |method| {
            Request::new(method, self.url.with_path(path.clone()))
                .field("Accept", LISTINGS)
                .field("Accept-Encoding", "identity")
        };
        let (head, get) = (request(Method::Head), request(Method::Get));
        let (mut answer, mut found) = self.follow(head).await?;
        if matches!(answer.status, 405 | 501) {
            (answer, found) = self.follow(get).await?;
        }
        if !answer.is_success() {
            return Err(self.refused(answer).await);
        }
        let kind = if path.is_folder() || found.path.is_folder() {
            Kind::Folder
        } else {
            Kind::File
        };
        let size = answer.number("Content-Length");
        let plain = answer.codings().is_empty();
        Ok(Entry {
            name: path.name().unwrap_or_default(),
            path: match kind {
                Kind::Folder => path.as_folder(),
                _ => path.clone(),
            },
            kind,
            size: size.filter(|_| plain && kind == Kind::File),
            modified: answer.version().modified,
            mode: None,
        })
    }
}
