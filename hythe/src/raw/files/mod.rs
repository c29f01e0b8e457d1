//! Files from one machine to another: `hythe send` and `hythe receive`.
//!
//! ```text
//!   send:     folders ─► entries ─► blocks, hashed ─► Channel ──┐
//!                           ▲ outcomes, hashes that are there   │
//!   receive:  Share ◄── Receiving (a machine, on the pool) ◄────┘
//! ```
//!
//! What goes over the wire is told in `docs/src/transfer.md`, and its messages are
//! in [`hythe_wire::transfer`]. Whoever is interrupted on either side begins
//! anew: what is there already is known by the hashes of its blocks, and is not
//! sent again.
//!
//! Not here: who connects to whom, and what is shown of it.

mod blocks;
mod outbox;
mod receive;
mod receiving;
mod secret;
mod send;
mod wanted;

pub use receive::{Answer, Asking, Question, Receiver, Replacing};
pub use receiving::Counts;
pub use secret::{Secret, WRONG_SECRETS};
pub use send::{Item, Plan, Sender, plan};

use std::io;
use std::time::Duration;

use crate::client::{Error, Reason};

/// The folder in which files are on their way, below the one they are received
/// into. No sender may name it.
pub const PARTS: &[u8] = b".hythe-receive";

/// How often the other end is told that we are still at work.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// A peer that does not keep to the protocol.
fn protocol(text: impl std::fmt::Display) -> Error {
    Error::protocol(format!(
        "the other end does not speak as hythe does: {text}"
    ))
}

/// A connection that was lost.
fn lost(error: &io::Error) -> Error {
    let text = match error.kind() {
        io::ErrorKind::TimedOut => "the other end makes no progress",
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            "the other end has closed the connection"
        }
        io::ErrorKind::ConnectionReset => "the other end has reset the connection",
        _ => return Error::lost(error),
    };
    Error::new(Reason::Lost, text)
}
