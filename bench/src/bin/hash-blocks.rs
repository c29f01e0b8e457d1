//! What hashing alone costs: a file in blocks as `hythe send` reads them, each
//! through BLAKE3, with nobody to send it to.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use hythe_bench::args::run;
use hythe_wire::transfer::BLOCK;

fn main() -> ExitCode {
    run("hash-blocks FILE", |mut args| {
        let path: PathBuf = args.word("FILE")?;
        args.finish()?;

        let mut file = File::open(path)?;
        let mut block = vec![0; BLOCK as usize];
        let mut whole = blake3::Hasher::new();
        loop {
            let length = read_block(&mut file, &mut block)?;
            if length == 0 {
                break;
            }
            whole.update(blake3::hash(&block[..length]).as_bytes());
        }
        println!("{}", whole.finalize());
        Ok(())
    })
}

/// Fills a block, but for the last one.
fn read_block(file: &mut File, block: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match file.read(&mut block[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}
