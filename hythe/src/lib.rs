//! Serve a folder over HTTP, FTP and Gopher.
#![forbid(unsafe_code)]
pub mod accounts;
pub mod cli;
pub mod serve;
pub mod share;
pub mod web;
