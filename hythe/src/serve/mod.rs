//! Serving a share: one session per protocol, each made of a codec from
//! `hythe-wire` and a [`View`](crate::share::View).
//!
//! Each protocol is a [`Handler`](hythe_net::Handler) for `hythe-net`'s server,
//! so that limits, deadlines and shutdown are the same for all.

pub mod ftp;
pub mod gopher;
pub mod http;
pub mod log;
pub(crate) mod pump;
