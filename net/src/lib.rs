//! Sockets, multiplexers, a reactor and servers, from the bare system call up.
//!
//! # A server is an address, a handler and a model
//!
//! The handler says what happens on a connection; the [`Model`] says who runs
//! it, and nothing but the model changes between a thread per connection and
//! an event loop per core:
//!
//! ```
//! use hythe_net::{Connection, Model, More, Server, dial};
//! use std::{io, thread};
//!
//! async fn echo(connection: Connection) -> io::Result<()> {
//!     let mut buffer = [0; 4096];
//!     loop {
//!         match connection.stream.recv(&mut buffer).await? {
//!             0 => return Ok(()), // the client has sent all it will
//!             count => connection.stream.send_all(&buffer[..count], More::No).await?,
//!         }
//!     }
//! }
//!
//! # fn main() -> io::Result<()> {
//! for model in [Model::Threads { max: 100 }, Model::cores()] {
//!     let server = Server::new(model).listen(&"127.0.0.1:0".parse()?, echo)?;
//!     let address = server.addresses()[0].to_string();
//!     let shutdown = server.shutdown();
//!     let serving = thread::spawn(|| server.serve());
//!
//!     let client = dial(&address, None, None)?;
//!     client.send(b"hello", More::No)?;
//!     let mut answer = [0; 16];
//!     assert_eq!(client.recv(&mut answer)?, 5);
//!     assert_eq!(&answer[..5], b"hello");
//!
//!     drop(client);
//!     shutdown.stop();
//!     serving.join().expect("no panic")?;
//! }
//! # Ok(()) }
//! ```
//!
//! # The layers
//!
//! Each stands on the one before, and each can be used alone:
//!
//! | layer | what it is | in Python |
//! |---|---|---|
//! | [`Socket`] | an owned descriptor, each method one system call, with typed [options](option) | `socket` |
//! | [`TimedSocket`], [`dial`] | a socket with a timeout, for programs that do one thing at a time | `socket` with `settimeout`, `create_connection` |
//! | [`mux`] | how one thread asks which of many descriptors are ready | `select`, `selectors` |
//! | [`Reactor`] | an event loop of tasks for one thread; [`Stream`] and [`Listener`] wait in it | `asyncio` |
//! | [`Server`] | an address, a [`Handler`], and a [`Model`] that says who runs the handlers | `socketserver` |
//!
//! # Where to begin
//!
//! With the examples: `net/examples/README.md` is a course of twelve programs
//! of under 60 lines, from one blocking `accept` to an event loop per core.
//! Then [`Server`] to write a server, [`mux::Selector`] to write a loop of
//! your own, and [`reactor`] to see how one works.
//!
//! Not here: protocols. This crate moves bytes and does not know what they say.

pub mod mux;
pub mod option;
pub mod reactor;
pub mod server;

mod addr;
mod datagram;
mod interface;
mod listener;
mod message;
mod socket;
mod stream;
mod sys;
mod timed;
mod watch;

pub use addr::{Addr, dial};
pub use datagram::{DatagramSocket, LONGEST_DATAGRAM};
pub use interface::{InterfaceAddress, interface_addresses};
pub use listener::Listener;
pub use message::Message;
pub use reactor::Reactor;
pub use server::{
    Connection, Datagram, DatagramServer, Failure, Full, Handler, Limits, Model, MuxKind, Server,
    Shutdown, SocketFile, bequeath_nothing, raise_descriptor_limit,
};
pub use socket::{
    BACKLOG, Domain, How, Kind, More, ServerOptions, Socket, create_server, create_server_with,
};
pub use stream::{Input, Patience, Poured, Sink, Stream};
pub use timed::{TimedSocket, Unfinished};
pub use watch::Watch;
