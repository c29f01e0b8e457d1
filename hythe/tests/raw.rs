//! `hythe connect` and `hythe listen` against the programs that people use for
//! the same: OpenBSD's nc, ncat, socat, openssl and telnet, as clients and as
//! servers.

mod common;

#[path = "raw/broadcast.rs"]
mod broadcast;
#[path = "raw/datagrams.rs"]
mod datagrams;
#[path = "raw/exec.rs"]
mod exec;
#[path = "raw/failures.rs"]
mod failures;
#[path = "raw/interop.rs"]
mod interop;
#[path = "raw/large.rs"]
mod large;
#[path = "raw/limits.rs"]
mod limits;
#[path = "raw/peers.rs"]
mod peers;
#[path = "raw/services.rs"]
mod services;
#[path = "raw/shown.rs"]
mod shown;
#[path = "raw/standard.rs"]
mod standard;
#[path = "raw/stopping.rs"]
mod stopping;
#[path = "raw/talk.rs"]
mod talk;
#[path = "raw/tls.rs"]
mod tls;
