//! Bodies that are made while they are sent.

use std::io;

use hythe_net::reactor::unblock;

use crate::share::Pieces;
use crate::tls::Channel;

/// Has pieces made on the pool, one at a time, and gives each to `send` before
/// the next is begun: the pace of the reader is the pace of the work. The time
/// the work takes is not counted against the peer of `stream`.
///
/// # Errors
/// The disk's or `send`'s. What was sent is not whole then, and the peer must
/// be let know in the way of its protocol.
pub(crate) async fn pump(
    stream: &Channel,
    mut pieces: Box<dyn Pieces>,
    mut send: impl AsyncFnMut(&mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    let mut piece = Vec::new();
    loop {
        let more;
        (pieces, piece, more) = unblock(move || {
            piece.clear();
            let more = pieces.piece(&mut piece);
            (pieces, piece, more)
        })
        .await;
        stream.progressed();
        let more = more?;
        if !piece.is_empty() {
            send(&mut piece).await?;
        }
        if !more {
            return Ok(());
        }
    }
}
