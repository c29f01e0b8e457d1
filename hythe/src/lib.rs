//! Serve a folder over HTTP, FTP and Gopher.
#![forbid(unsafe_code)]
pub mod accounts;
pub mod checksum;
pub mod cli;
pub mod client;
pub mod http;
mod pattern;
mod process;
mod quantity;
pub mod raw;
pub mod serve;
pub mod share;
pub mod tls;
pub mod transfer;
mod visible;
pub mod web;
