//! TLS: RFC 4217.
//!
//! ```text
//!   in the clear ── AUTH TLS ──► TLS, nobody logged in ── PBSZ 0 ──► PROT P or C
//!                     234           (as after the greeting)
//! ```

use std::io;
use std::rc::Rc;

use hythe_wire::ftp::{Error, Protection};

use super::Ftp;
use super::data::{Protected, Terms};
use super::session::{Next, Session, refusal};

/// Whether the client has said how large its buffer is. With TLS there is none,
/// and yet it has to say so (RFC 4217 section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pbsz {
    Unknown,
    Said,
}

const NO_TLS: Error = refusal(502, "There is no TLS here.");
const NOT_SECURE: Error = refusal(503, "AUTH TLS comes first.");
const REQUIRED: Error = refusal(522, "Log in under TLS only: AUTH TLS comes first.");
const PRIVATE_ONLY: Error = refusal(
    521,
    "Data connections are for TLS only: PBSZ 0 and PROT P come first.",
);

impl Ftp {
    /// How data connections are protected until the client says.
    pub(super) fn first_protection(&self) -> Protection {
        // As the clients of the time before RFC 4217 expect it.
        if self.implicit {
            Protection::Private
        } else {
            Protection::Clear
        }
    }
}

impl Session<'_> {
    pub(super) fn auth_tls(&mut self) -> Result<Next, Error> {
        if self.ftp.tls.is_none() {
            return Err(NO_TLS);
        }
        if self.control.stream().is_encrypted() {
            return Err(refusal(503, "TLS is there already."));
        }
        self.control.reply(234, "Begin TLS.");
        Ok(Next::Secure)
    }

    /// What follows the 234 reply, or on a port of its own the connection.
    pub(super) async fn secure(&mut self) -> io::Result<()> {
        let Some(acceptor) = &self.ftp.tls else {
            return Ok(());
        };
        let acceptor = acceptor.apart()?;
        self.control.secure(&acceptor).await?;
        self.tls = Some(acceptor);
        // Whoever it was that said so, it was in the clear.
        self.forget();
        Ok(())
    }

    pub(super) fn pbsz(&mut self) -> Result<Next, Error> {
        self.need_tls()?;
        self.pbsz = Pbsz::Said;
        self.say(200, "PBSZ=0")
    }

    pub(super) fn protect(&mut self, protection: Protection) -> Result<Next, Error> {
        self.need_tls()?;
        if self.pbsz == Pbsz::Unknown {
            return Err(refusal(503, "PBSZ 0 comes first."));
        }
        match protection {
            Protection::Clear if self.ftp.config.private_data() => {
                Err(refusal(534, "Data connections are for TLS only: PROT P."))
            }
            Protection::Clear => {
                self.protection = protection;
                self.say(200, "Data connections are in the clear.")
            }
            Protection::Private => {
                self.protection = protection;
                self.say(200, "Data connections are under TLS.")
            }
        }
    }

    /// CCC would have commands and names cross the network in the clear again,
    /// where anybody could add to them (RFC 4217 section 12.4).
    pub(super) fn clear_control(&mut self) -> Result<Next, Error> {
        self.need_tls()?;
        Err(refusal(533, "Commands stay under TLS."))
    }

    fn need_tls(&self) -> Result<(), Error> {
        match (&self.ftp.tls, self.control.stream().is_encrypted()) {
            (None, _) => Err(NO_TLS),
            (Some(_), false) => Err(NOT_SECURE),
            (Some(_), true) => Ok(()),
        }
    }

    /// Whether a name or a password may be said now.
    pub(super) fn not_in_the_clear(&self) -> Result<(), Error> {
        if self.ftp.config.tls_required && !self.control.stream().is_encrypted() {
            return Err(REQUIRED);
        }
        Ok(())
    }

    /// Whether a data connection may be opened as it is to be protected now.
    pub(super) fn well_protected(&self) -> Result<(), Error> {
        if self.ftp.config.private_data() && self.protection == Protection::Clear {
            return Err(PRIVATE_ONLY);
        }
        Ok(())
    }

    /// What the next data connection needs; `None` where there can be none.
    pub(super) fn terms(&self) -> Option<Terms> {
        let config = &self.ftp.config;
        let tls = match self.protection {
            Protection::Clear => None,
            Protection::Private => Some(Protected {
                acceptor: self.tls.clone()?,
                must_resume: config.tls_session_required,
                closing: Rc::clone(&self.closing),
            }),
        };
        Some(Terms {
            ends: self.ends?,
            deadline: config.data_deadline,
            patience: config.patience,
            tls,
        })
    }
}
