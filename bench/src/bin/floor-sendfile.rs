//! The floor for big files: a head, then `sendfile` until the file is out.
//!
//! The socket is corked meanwhile (tcp(7), `TCP_CORK`): only full packets
//! leave until the last byte is there. `sendfile` hands TCP the file in pieces
//! that are no multiple of a packet, and without the cork many of them end in
//! a small packet of their own; on loopback the cost about doubles.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitCode;

use hythe_bench::args::run;
use hythe_bench::floor::{response_head, serve};
use rustix::fs::sendfile;
use rustix::net::sockopt::set_tcp_cork;
use rustix::net::{SendFlags, send};

fn main() -> ExitCode {
    run("floor-sendfile ADDR FILE [--head FILE]", |mut args| {
        let head: Option<PathBuf> = args.option("--head")?;
        let addr = args.word("ADDR")?;
        let path: PathBuf = args.word("FILE")?;
        args.finish()?;

        let head = match head {
            Some(head) => fs::read(head)?,
            None => response_head(&path)?,
        };
        let file = File::open(&path)?;
        let file_length = file.metadata()?.len();
        let length = head.len() as u64 + file_length;
        serve(addr, length, |socket, offset| {
            if offset == 0 {
                set_tcp_cork(socket, true)?;
            }
            let sent = match offset.checked_sub(head.len() as u64) {
                None => send(socket, &head[offset as usize..], SendFlags::NOSIGNAL)?,
                Some(mut at) => {
                    let left = (file_length - at) as usize;
                    sendfile(socket, &file, Some(&mut at), left)?
                }
            };
            if offset + sent as u64 == length {
                set_tcp_cork(socket, false)?;
            }
            Ok(sent)
        })?;
        Ok(())
    })
}
