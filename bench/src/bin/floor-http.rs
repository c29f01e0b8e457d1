//! The floor for small files: every request is answered by one `send` of
//! bytes that were ready before the first client came.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use hythe_bench::args::run;
use hythe_bench::floor::{response_head, serve};
use rustix::net::{SendFlags, send};

fn main() -> ExitCode {
    run("floor-http ADDR FILE [--head FILE]", |mut args| {
        let head: Option<PathBuf> = args.option("--head")?;
        let addr = args.word("ADDR")?;
        let file: PathBuf = args.word("FILE")?;
        args.finish()?;

        let mut response = match head {
            Some(head) => fs::read(head)?,
            None => response_head(&file)?,
        };
        response.extend(fs::read(file)?);
        let length = response.len() as u64;
        serve(addr, length, |socket, offset| {
            send(socket, &response[offset as usize..], SendFlags::NOSIGNAL)
        })?;
        Ok(())
    })
}
