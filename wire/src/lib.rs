//! Messages to bytes and back: HTTP/1.1, CGI and FastCGI, FTP, Gopher, plain frames, and those of
//! files sent from machine to machine.
//!
//! Every decoder here takes the bytes that have arrived so far and answers one of three things:
//! a message, `Ok(None)` for "need more", or an error that says which reply to send. Every
//! encoder appends to a buffer the caller owns.
//!
//! In scope: syntax, framing, limits, and the small grammars inside field values.
//!
//! Out of scope: reading and writing sockets, timeouts (there is no clock here; where time matters
//! it is an argument), paths on a disk, and deciding who may do what.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod fastcgi;
pub mod frame;
pub mod ftp;
pub mod gopher;
pub mod http;
pub mod transfer;
