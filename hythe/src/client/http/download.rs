//! Files, whole and in parts: what is asked for, and what of the answer to
//! believe.

use std::time::{Duration, UNIX_EPOCH};

use hythe_wire::http::{Body, Method};

use super::super::{Ask, Error, Opening, Reason, RemotePath, Result, Version};
use super::answer::Answer;
use super::body::Coding;
use super::{HttpClient, Request};

impl HttpClient {
    pub(super) async fn open_file(&mut self, path: &RemotePath, ask: &Ask) -> Result<Opening> {
        let empty = ask.to.is_some_and(|to| to <= ask.from);
        let head_only = ask.head_only || empty;
        let partial = !head_only && (ask.from > 0 || ask.to.is_some());
        let method = if head_only { Method::Head } else { Method::Get };
        let whole = || {
            Request::new(method, self.url.with_path(path.clone()))
                .field("Accept", "*/*")
                // Offsets and lengths are those of the file.
                .field("Accept-Encoding", "identity")
        };
        let plain = whole();
        let mut request = whole();
        if partial {
            request = request.field("Range", range(ask));
            if let Some(validator) = ask.version.as_ref().and_then(validator) {
                request = request.field("If-Range", validator);
            }
        }
        let (answer, _) = self.follow(request).await?;
        match answer.status {
            206 if partial => match self.part(&answer, ask)? {
                Some(opening) => Ok(opening),
                None => self.open_anew(plain, path, ask, false).await,
            },
            416 if partial => match nothing_left(&answer, ask) {
                Some(opening) => {
                    self.settle().await;
                    Ok(opening)
                }
                None => {
                    let total = answer.content_range().and_then(|range| range.total);
                    let shorter = total.is_some_and(|total| total < ask.from);
                    self.open_anew(plain, path, ask, shorter).await
                }
            },
            206 => {
                self.give_up();
                Err(Error::protocol(
                    "the server sends a part that nobody asked for",
                ))
            }
            200..300 => {
                let mut opening = self.whole(answer, path, ask)?;
                if empty && !ask.head_only {
                    (opening.offset, opening.length) = (ask.from, Some(0));
                }
                Ok(opening)
            }
            _ => Err(self.refused(answer).await),
        }
    }

    /// All of it, since the part that was asked for is no use.
    async fn open_anew(
        &mut self,
        request: Request,
        path: &RemotePath,
        ask: &Ask,
        changed: bool,
    ) -> Result<Opening> {
        let (answer, _) = self.follow(request).await?;
        if !answer.is_success() || answer.status == 206 {
            return Err(self.refused(answer).await);
        }
        let mut opening = self.whole(answer, path, ask)?;
        opening.changed |= changed;
        Ok(opening)
    }

    fn whole(&mut self, answer: Answer, path: &RemotePath, ask: &Ask) -> Result<Opening> {
        let coding = self.coding(&answer, path)?;
        let length = match answer.body {
            Body::Length(length) => Some(length),
            Body::None if ask.head_only => answer.number("Content-Length"),
            Body::None => Some(0),
            Body::Chunked | Body::UntilClose => None,
        };
        // What is compressed on its way has another length, and its bytes
        // can't be counted from anywhere.
        let length = length.filter(|_| coding == Coding::Identity);
        let version = match coding {
            Coding::Identity => Version {
                size: length,
                ..answer.version()
            },
            Coding::Gzip | Coding::Deflate | Coding::Brotli | Coding::Zstd => Version::default(),
        };
        let asked = ask.version.as_ref();
        Ok(Opening {
            offset: 0,
            length,
            total: length,
            changed: asked.is_some_and(|asked| !asked.is(&version)),
            version,
            name: answer.name(),
            head: answer.head,
        })
    }

    /// The part that was asked for; `None` if it is one of something else.
    fn part(&mut self, answer: &Answer, ask: &Ask) -> Result<Option<Opening>> {
        let wrong = |text: &str| Err(Error::protocol(format!("the server sends {text}")));
        let range = answer.content_range();
        let (Some(range), Some((start, end))) = (range, range.and_then(|range| range.part)) else {
            self.give_up();
            return wrong("a part without saying which");
        };
        let length = end - start;
        let fits = start == ask.from
            && ask.to.is_none_or(|to| end <= to)
            && !matches!(answer.body, Body::Length(announced) if announced != length);
        if !fits {
            self.give_up();
            return wrong("another part than was asked for");
        }
        if !answer.codings().is_empty() {
            self.give_up();
            return Ok(None);
        }
        let version = Version {
            size: range.total,
            ..answer.version()
        };
        if ask
            .version
            .as_ref()
            .is_some_and(|asked| !asked.is(&version))
        {
            self.give_up();
            return Err(Error::new(
                Reason::Changed,
                "the file is not the one it was before",
            ));
        }
        if let Some(pending) = &mut self.pending {
            pending.announced = Some(length);
            if pending.body == Body::UntilClose {
                // Now its end is known.
                pending.body = Body::Length(length);
            }
        }
        Ok(Some(Opening {
            offset: start,
            length: Some(length),
            total: range.total,
            version,
            changed: false,
            name: answer.name(),
            head: answer.head.clone(),
        }))
    }

    /// How the body that waits is coded, which is told to who pours it.
    fn coding(&mut self, answer: &Answer, path: &RemotePath) -> Result<Coding> {
        let coding = match Coding::of(&answer.codings()) {
            Ok(coding) => coding,
            Err(error) => {
                self.give_up();
                return Err(error);
            }
        };
        // Of a file that is compressed itself, some servers say that it is
        // compressed on its way.
        let name = path.name().unwrap_or_default().to_ascii_lowercase();
        let is_archive = name.ends_with(b".gz") || name.ends_with(b".tgz");
        let coding = match coding {
            Coding::Gzip if is_archive => Coding::Identity,
            coding => coding,
        };
        if let Some(pending) = &mut self.pending {
            pending.coding = coding;
        }
        Ok(coding)
    }
}

/// That what was asked for begins where the file ends, if it does.
fn nothing_left(answer: &Answer, ask: &Ask) -> Option<Opening> {
    let total = answer.content_range()?.total?;
    let version = Version {
        size: Some(total),
        ..answer.version()
    };
    let same = ask.version.as_ref().is_none_or(|asked| asked.is(&version));
    (total == ask.from && same).then(|| Opening {
        offset: ask.from,
        length: Some(0),
        total: Some(total),
        version,
        head: answer.head.clone(),
        ..Opening::default()
    })
}

/// The part that is asked for.
fn range(ask: &Ask) -> String {
    match ask.to {
        Some(to) => format!("bytes={}-{}", ask.from, to - 1),
        None => format!("bytes={}-", ask.from),
    }
}

/// By what the server can tell whether it is still the same file.
fn validator(version: &Version) -> Option<String> {
    version.etag.clone().or_else(|| {
        let seconds = u64::try_from(version.modified?).ok()?;
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
        // The form has four digits for the year.
        (seconds < 253_402_300_800).then(|| httpdate::fmt_http_date(time))
    })
}
