//! Commands that change the share.

use std::io;

use hythe_net::reactor::unblock;
use hythe_wire::ftp::{Error, Type, format_time, quote_path};

use super::files::told;
use super::intake::Intake;
use super::session::{Next, Session, refusal};
use super::transfer::Body;
use crate::share::{Existing, How, Modified, RelPath, View};

/// How many letters of a unique name are random: enough that two are never the
/// same by chance, and few enough to be read.
const UNIQUE: usize = 10;

const IN_ASCII: Error = refusal(554, "Restart in TYPE I only.");
const PENDING: Error = refusal(450, "A restart is for RETR and STOR; REST 0 takes it back.");

impl Session<'_> {
    // --- Content ---

    pub(super) async fn stor(&mut self, target: &[u8]) -> Result<Next, Error> {
        let how = match self.rest {
            0 => Ok(How::Truncate),
            _ if self.kind == Type::Ascii => Err(IN_ASCII),
            offset => Ok(How::At(offset)),
        };
        let body = match how {
            Ok(how) => self.intake(target, how).await,
            Err(error) => Err(error),
        };
        self.begin("STOR", target, body)
    }

    pub(super) async fn appe(&mut self, target: &[u8]) -> Result<Next, Error> {
        let body = match self.rest {
            0 => self.intake(target, How::Append).await,
            _ => Err(PENDING),
        };
        self.begin("APPE", target, body)
    }

    /// STOU: under a name that is nobody's, which begins with what the client
    /// may have proposed (RFC 1123 section 4.1.2.9).
    pub(super) async fn stou(&mut self, wish: Option<&[u8]>) -> Result<Next, Error> {
        let mut target = wish.unwrap_or(b"file").to_vec();
        let mut letters = [0; UNIQUE];
        getrandom::fill(&mut letters)
            .map_err(|_| refusal(451, "There is no randomness to be had."))?;
        target.push(b'.');
        target.extend(letters.map(|letter| b'a' + letter % 26));
        let body = match self.rest {
            0 => self.intake(&target, How::New).await,
            _ => Err(PENDING),
        };
        let body = body.map(|(body, _)| (body, [b"FILE: ", &*target].concat()));
        self.begin("STOU", &target, body)
    }

    async fn intake(&self, target: &[u8], how: How) -> Result<(Body, Vec<u8>), Error> {
        let (view, path) = (self.view()?.clone(), self.resolve(target)?);
        let intake = Intake {
            view,
            path,
            how,
            kind: self.kind,
        };
        let intake = unblock(move || {
            intake.view.check_in_place(&intake.path, how)?;
            io::Result::Ok(intake)
        });
        let intake = intake.await.map_err(not_stored)?;
        let opening = [b"Ready for ", target, b"."].concat();
        Ok((Body::In(Box::new(intake)), opening))
    }

    // --- Names ---

    pub(super) async fn dele(&mut self, target: &[u8]) -> Result<Next, Error> {
        let path = self.resolve(target)?;
        let done = self.change(move |view| view.remove_file(&path)).await;
        self.changed("DELE", target, done, "It is gone.")
    }

    pub(super) async fn rmd(&mut self, target: &[u8]) -> Result<Next, Error> {
        let path = self.resolve(target)?;
        let done = self.change(move |view| view.remove_folder(&path)).await;
        self.changed("RMD", target, done, "The folder is gone.")
    }

    pub(super) async fn mkd(&mut self, target: &[u8]) -> Result<Next, Error> {
        let path = self.resolve(target)?;
        let mut text = Vec::new();
        quote_path(&mut text, &[b"/", path.as_bytes()].concat());
        text.extend_from_slice(b" is made.");
        let done = self.change(move |view| view.make_folder(&path)).await;
        self.noted("MKD", target, 257, &done);
        done?;
        self.say(257, text)
    }

    pub(super) async fn rnfr(&mut self, target: &[u8]) -> Result<Next, Error> {
        self.renaming = None;
        let path = self.resolve(target)?;
        if path.is_root() {
            return Err(refusal(550, "That is the shared folder itself."));
        }
        let wanted = path.clone();
        self.change(move |view| view.check_rename(&wanted)).await?;
        self.renaming = Some(path);
        self.say(350, "And what is it to be called?")
    }

    pub(super) async fn rnto(&mut self, target: &[u8]) -> Result<Next, Error> {
        let from = self
            .renaming
            .take()
            .ok_or(refusal(503, "RNFR comes first."))?;
        let to = self.resolve(target)?;
        let done = self
            .change(move |view| view.rename(&from, &to, Existing::Replace))
            .await;
        self.changed("RNTO", target, done.map(drop), "It has its new name.")
    }

    // --- What is told of a file ---

    pub(super) async fn mfmt(&mut self, time: i64, target: &[u8]) -> Result<Next, Error> {
        let path = self.resolve(target)?;
        let modified = Modified {
            secs: time,
            nanos: 0,
        };
        let done = self
            .change(move |view| view.set_modified(&path, modified))
            .await;
        self.noted("MFMT", target, 213, &done);
        done?;
        let text = [b"Modify=", &format_time(time)[..], b"; ", target].concat();
        self.say(213, text)
    }

    pub(super) async fn chmod(&mut self, mode: u32, target: &[u8]) -> Result<Next, Error> {
        let path = self.resolve(target)?;
        let done = self.change(move |view| view.set_mode(&path, mode)).await;
        self.noted("CHMOD", target, 200, &done);
        done?;
        self.say(200, "Its permissions are changed.")
    }

    // ---

    /// Does something to the share, on the pool.
    async fn change<T: Send + 'static>(
        &self,
        act: impl FnOnce(&View) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let view = self.view()?.clone();
        unblock(move || act(&view)).await.map_err(told)
    }

    /// Tells how it went, the client and the log.
    fn changed(
        &mut self,
        verb: &str,
        target: &[u8],
        done: Result<(), Error>,
        text: &'static str,
    ) -> Result<Next, Error> {
        self.noted(verb, target, 250, &done);
        done?;
        self.say(250, text)
    }

    fn noted(&self, verb: &str, target: &[u8], code: u16, done: &Result<(), Error>) {
        let code = done.as_ref().map_or_else(|error| error.code, |()| code);
        self.record(verb, target, code, 0);
    }

    pub(super) fn resolve(&self, path: &[u8]) -> Result<RelPath, Error> {
        self.folder
            .resolve(path)
            .map_err(|_| refusal(553, "That is no name for a file."))
    }
}

/// What the client is told of a file that can't be stored.
pub(super) fn not_stored(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => refusal(554, "The file ends before that offset."),
        io::ErrorKind::AlreadyExists => refusal(553, "Something else has that name."),
        _ => told(error),
    }
}
