//! Uploads that can be continued (tus 1.0.0), where the server offers it.
//!
//! ```text
//!   OPTIONS folder ─► Tus-Version? ─┬─ no: PUT
//!                                   └─ yes: HEAD token ─┬─ its offset
//!                                          POST folder ─┘      │
//!                                                  PATCH ◄─────┘
//! ```

use std::cell::Cell;

use hythe_wire::http::Method;
use hythe_wire::http::tus::{CONTENT_TYPE, DEFERRED, VERSION, write_metadata};

use super::super::{Begun, Content, Error, Meter, Reason, RemotePath, Result, Upload, Url};
use super::answer::Answer;
use super::connection::Outgoing;
use super::redirect::{absolute, resolve};
use super::{HttpClient, Request};

impl HttpClient {
    /// Whether uploads into a folder can be continued. A server is asked once.
    pub(super) async fn offers_tus(&mut self, folder: &RemotePath) -> Result<bool> {
        if let Some(offers) = self.tus {
            return Ok(offers);
        }
        let request = Request::new(Method::Options, self.url.with_path(folder.clone()));
        let answer = self.ask(&request).await?;
        let versions = answer.field("Tus-Version").unwrap_or_default();
        let offers = answer.is_success()
            && versions
                .split(|byte| *byte == b',')
                .any(|version| version.trim_ascii() == VERSION.as_bytes());
        // What is refused now may be allowed to somebody else.
        if answer.is_success() {
            self.tus = Some(offers);
        }
        Ok(offers)
    }

    /// Begins an upload, or finds out how far one has got.
    pub(super) async fn begin_tus(
        &mut self,
        path: &RemotePath,
        upload: &Upload,
        token: Option<&str>,
    ) -> Result<Begun> {
        let known = token.and_then(|token| self.own(token));
        let offset = match &known {
            Some(url) => self.tus_offset(url, upload).await?,
            None => None,
        };
        let (url, offset) = match (known, offset) {
            (Some(url), Some(offset)) => (url, offset),
            _ => (self.create(path, upload).await?, 0),
        };
        Ok(Begun {
            token: Some(absolute(&url)),
            offset,
            length: upload.length,
            modified: upload.modified,
        })
    }

    /// The address of an upload, if it is one of this server's.
    fn own(&self, reference: &str) -> Option<Url> {
        let url = resolve(&self.url, reference.as_bytes()).ok()?;
        url.is_same_origin(&self.url).then_some(url)
    }

    /// How much of an upload is there; `None` if it is gone, or another.
    async fn tus_offset(&mut self, url: &Url, upload: &Upload) -> Result<Option<u64>> {
        let request = Request::new(Method::Head, url.clone()).field("Tus-Resumable", VERSION);
        let answer = self.ask(&request).await?;
        if matches!(answer.status, 403 | 404 | 410) {
            return Ok(None);
        }
        if !answer.is_success() {
            return Err(self.refused(answer).await);
        }
        let length = answer.number("Upload-Length");
        // What has no offset is no upload.
        let Some(offset) = answer.number("Upload-Offset") else {
            return Ok(None);
        };
        let fits = match (length, upload.length) {
            (Some(there), Some(here)) => there == here && offset <= here,
            (None, Some(here)) => offset <= here,
            // A pipe can't be begun in the middle.
            (_, None) => false,
        };
        Ok(fits.then_some(offset))
    }

    async fn create(&mut self, path: &RemotePath, upload: &Upload) -> Result<Url> {
        let name = path
            .name()
            .ok_or_else(|| Error::new(Reason::Exists, "the root is a folder"))?;
        let modified = upload.modified.map(|seconds| {
            let milliseconds = seconds.saturating_mul(1000);
            milliseconds.to_string().into_bytes()
        });
        let mut metadata = Vec::new();
        let pairs = [
            ("filename", Some(&name)),
            ("lastModified", modified.as_ref()),
        ];
        let pairs = pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?.as_slice())));
        write_metadata(&mut metadata, pairs);
        let folder = self.url.with_path(path.parent());
        let request = Request::new(Method::Post, folder)
            .field("Tus-Resumable", VERSION)
            .field("Upload-Metadata", metadata)
            .body(Vec::new());
        let request = match upload.length {
            Some(length) => request.field("Upload-Length", length.to_string()),
            None => request.field("Upload-Defer-Length", DEFERRED),
        };
        let answer = self.ask(&request).await?;
        if answer.status != 201 {
            return Err(self.refused_upload(answer).await);
        }
        let location = answer.field("Location").map(<[u8]>::to_vec);
        let url = location.and_then(|location| resolve(&request.url, &location).ok());
        match url {
            Some(url) if url.is_same_origin(&self.url) => Ok(url),
            Some(url) => Err(Error::protocol(format!(
                "the server wants the upload sent elsewhere, to {url}"
            ))),
            None => Err(Error::protocol("the server does not say where to upload")),
        }
    }

    /// Sends what is not there yet.
    pub(super) async fn send_tus(
        &mut self,
        token: &str,
        begun: &Begun,
        content: Content,
        meter: &Meter,
    ) -> Result<()> {
        let url = self
            .own(token)
            .ok_or_else(|| Error::protocol("the upload is another server's"))?;
        // An upload that is whole is in its place already.
        if begun.length == Some(begun.offset) {
            return Ok(());
        }
        let sent = Cell::new(0);
        let outgoing = Outgoing {
            content,
            meter,
            sent: &sent,
        };
        let answer = self.upload(&patch(&url, begun.offset), outgoing).await?;
        let end = begun.offset.saturating_add(sent.get());
        self.check_tus(answer, end).await?;
        if begun.length.is_none() {
            // Now it is known how long it is.
            let request = patch(&url, end)
                .field("Upload-Length", end.to_string())
                .body(Vec::new());
            let answer = self.ask(&request).await?;
            self.check_tus(answer, end).await?;
        }
        Ok(())
    }

    /// Whether a part has arrived, and the upload stands at `end` now.
    async fn check_tus(&mut self, answer: Answer, end: u64) -> Result<()> {
        match answer.status {
            200 | 204 if answer.number("Upload-Offset") == Some(end) => Ok(()),
            200 | 204 => Err(Error::protocol(
                "the server has another part of the upload than was sent",
            )),
            // Both are found out, and set right, by asking how far it has got.
            409 if answer.field("Upload-Offset").is_some() => Err(Error::new(
                Reason::Lost,
                "the server has another part of the upload than thought",
            )),
            404 | 410 => Err(Error::new(
                Reason::Lost,
                "the server has forgotten the upload",
            )),
            460 => Err(Error::new(Reason::Mismatch, answer.line())),
            _ => Err(self.refused_upload(answer).await),
        }
    }
}

fn patch(url: &Url, offset: u64) -> Request {
    Request::new(Method::Patch, url.clone())
        .field("Tus-Resumable", VERSION)
        .field("Upload-Offset", offset.to_string())
        .field("Content-Type", CONTENT_TYPE)
}
