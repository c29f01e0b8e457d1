//! Bytes both ways, after the backend has switched protocols.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use futures_lite::future::try_zip;
use hythe_net::reactor::lease;
use hythe_net::{Input, More};

use super::super::upgrade::Upgraded;
use super::exchange::Upstream;
use crate::client::receive;
use crate::tls::Channel;

/// Carries what each says to the other until both have ended, one is lost, or
/// the server stops.
pub(super) async fn carry(client: Upgraded, upstream: Upstream) {
    let Upstream {
        channel, buffer, ..
    } = upstream;
    client.channel().progressed();
    channel.progressed();
    let there = there(&client, &channel);
    let back = back(&channel, buffer, client.channel());
    match try_zip(there, back).await {
        // Each has been told by the end of the other.
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "a connection to a backend ended"),
    }
}

async fn there(client: &Upgraded, backend: &Channel) -> io::Result<()> {
    let mut data = Vec::new();
    loop {
        if !client.has_early() && client.channel().input().await? == Input::Stopping {
            return Err(io::Error::other("the server stops"));
        }
        let count = poll_fn(|context| {
            let mut piece = lease();
            let polled = client.poll_recv(context, &mut piece);
            if let Poll::Ready(Ok(count)) = polled {
                data.extend_from_slice(&piece[..count]);
            }
            polled
        });
        if count.await? == 0 {
            return backend.end().await;
        }
        hand_over(&mut data, client.channel(), backend).await?;
    }
}

/// `data` is what has come with the answer's head.
async fn back(backend: &Channel, mut data: Vec<u8>, client: &Channel) -> io::Result<()> {
    loop {
        if !data.is_empty() {
            hand_over(&mut data, backend, client).await?;
        }
        if receive(backend, &mut data).await? == 0 {
            return client.end().await;
        }
    }
}

/// Sends what has come. Whoever only listens is no more idle than who speaks.
async fn hand_over(data: &mut Vec<u8>, from: &Channel, to: &Channel) -> io::Result<()> {
    from.progressed();
    to.progressed();
    to.send_all(data, More::No).await?;
    from.progressed();
    // Nothing is held while nothing comes.
    *data = Vec::new();
    Ok(())
}
