//! Sockets, multiplexers, a reactor and servers, from the bare system call up.
//!
//! Each layer stands on the one before, and each can be used alone:
//!
//! 1. [`Socket`]: an owned descriptor, each method one system call, with typed
//!    [options](option). [`TimedSocket`] is one with a timeout, for programs
//!    that do one thing at a time; [`dial`] connects it.
//! 2. [`mux`]: how one thread asks which of many descriptors are ready.
//! 3. [`Reactor`]: an event loop of tasks for one thread; [`Stream`] and
//!    [`Listener`] wait in it.
//! 4. [`Server`]: an address, a handler, and a [`Model`] that says who runs
//!    the handlers.
//!
//! An echo server, run by one event loop per core:
//!
//! ```no_run
//! use hythe_net::{Connection, Model, More, Server};
//!
//! async fn echo(connection: Connection) -> std::io::Result<()> {
//!     let mut buffer = [0; 4096];
//!     loop {
//!         match connection.stream.recv(&mut buffer).await? {
//!             0 => return Ok(()),
//!             count => connection.stream.send_all(&buffer[..count], More::No).await?,
//!         }
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! Server::new(Model::cores()).listen(&"127.0.0.1:7007".parse()?, echo)?.serve()
//! # }
//! ```
//!
//! With `Model::Threads { max: 100 }` in place of `Model::cores()` the same
//! function is run by a thread per connection instead.
//!
//! Not here: protocols. This crate moves bytes and does not know what they say.

pub mod mux;
pub mod option;
pub mod reactor;
pub mod server;

mod addr;
mod listener;
mod message;
mod socket;
mod stream;
mod sys;
mod timed;

pub use addr::{Addr, dial};
pub use listener::Listener;
pub use message::Message;
pub use reactor::Reactor;
pub use server::{
    Connection, Failure, Handler, Limits, Model, MuxKind, Server, Shutdown, raise_descriptor_limit,
};
pub use socket::{
    BACKLOG, Domain, How, Kind, More, ServerOptions, Socket, create_server, create_server_with,
};
pub use stream::{Input, Patience, Stream};
pub use timed::{TimedSocket, Unfinished};
