//! Sending bodies.

use std::io;

use hythe_net::More;
use hythe_wire::http::{CHUNK_END, LAST_CHUNK, Version, chunk_head};

use super::reply::Body;
use crate::serve::pump::pump;
use crate::share::Pieces;
use crate::tls::Channel;

/// Up to this much is copied behind its head, to go out in one call; more than
/// that is cheaper to send by itself.
const TOGETHER: usize = 64 * 1024;

/// Sends a head and its body.
///
/// # Errors
/// The stream's, or the disk's once the head is out: then the connection must
/// be closed, which tells the peer that the body is not whole.
pub(super) async fn send(
    stream: &Channel,
    mut head: Vec<u8>,
    body: Body,
    version: Version,
) -> io::Result<()> {
    match body {
        Body::Nothing => stream.send_all(&head, More::No).await?,
        Body::Bytes(bytes) if bytes.len() <= TOGETHER => {
            head.extend_from_slice(&bytes);
            stream.send_all(&head, More::No).await?;
        }
        Body::Bytes(bytes) => {
            stream.send_all(&head, More::Follows).await?;
            stream.send_all(&bytes, More::No).await?;
        }
        Body::File { file, range } => {
            let more = if range.is_empty() {
                More::No
            } else {
                More::Follows
            };
            stream.send_all(&head, more).await?;
            stream.send_file(&file, range).await?;
        }
        Body::Parts { file, parts, end } => {
            stream.send_all(&head, More::Follows).await?;
            for part in parts {
                stream.send_all(&part.head, More::Follows).await?;
                stream.send_file(&file, part.range).await?;
            }
            stream.send_all(&end, More::No).await?;
        }
        Body::Pieces(pieces) => {
            stream.send_all(&head, More::Follows).await?;
            send_pieces(stream, pieces, version == Version::Http11).await?;
        }
    }
    Ok(())
}

/// Sends pieces as they are made, each as a chunk if the client knows chunks.
async fn send_pieces(stream: &Channel, pieces: Box<dyn Pieces>, chunked: bool) -> io::Result<()> {
    pump(stream, pieces, async |piece| {
        if chunked {
            let mut head = Vec::new();
            chunk_head(&mut head, piece.len());
            stream.send_all(&head, More::Follows).await?;
            piece.extend_from_slice(CHUNK_END);
        }
        stream.send_all(piece, More::No).await
    })
    .await?;
    if chunked {
        stream.send_all(LAST_CHUNK, More::No).await?;
    }
    Ok(())
}
