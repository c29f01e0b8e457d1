//! Messages to bytes and back: HTTP/1.1, FTP and Gopher.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
