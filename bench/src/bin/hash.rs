//! What hashing costs alone: `hash BYTES TIMES` hashes so many bytes, block by
//! block as `hythe send` does, out of a block that stays in the cache.

use std::env;
use std::hint::black_box;
use std::process::ExitCode;

/// What `hythe send` hashes at once.
const BLOCK: u64 = 512 * 1024;

fn main() -> ExitCode {
    let numbers: Vec<u64> = env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let [bytes, times] = numbers[..] else {
        eprintln!("usage: hash BYTES TIMES");
        return ExitCode::from(2);
    };
    let block = vec![7; BLOCK as usize];
    for _ in 0..times * bytes.div_ceil(BLOCK) {
        black_box(blake3::hash(black_box(&block)));
    }
    ExitCode::SUCCESS
}
