//! The `hythe` program.
#![forbid(unsafe_code)]
fn main() {}
