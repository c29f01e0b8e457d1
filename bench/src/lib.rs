//! Programs for measuring servers: what they share. See `README.md`.
//!
//! Two families live in `src/bin`. A *floor* is the smallest honest program
//! that does a server's job: it shows what the kernel alone costs, so a real
//! server can be judged by what it adds. A *load* is a client that asks a
//! fixed number of questions and checks the answers.
//!
//! Nothing here is meant for the open network: no timeouts, no limits, and
//! every request gets the same answer. `bench/run` starts these programs,
//! takes the times and prints the tables.

pub mod args;
pub mod floor;
pub mod ftp;
pub mod http;
