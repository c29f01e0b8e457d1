//! What is understood of an upload's fields is within its limits, and what is written of it is
//! understood as the same again.
#![no_main]

use hythe_wire::http::tus::{
    Checksum, Concat, MAX_LENGTH, MAX_PAIRS, MAX_PARTS, Metadata, defer_length, length,
    write_length, write_metadata,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|value: &[u8]| {
    defer_length(value).ok();
    let mut out = Vec::new();
    if let Ok(number) = length(value) {
        assert!(number <= MAX_LENGTH);
        write_length(&mut out, number);
        assert_eq!(length(&out), Ok(number));
    }
    if let Ok(metadata) = Metadata::parse(value) {
        assert!(metadata.iter().count() <= MAX_PAIRS);
        out.clear();
        write_metadata(&mut out, metadata.iter());
        assert_eq!(Metadata::parse(&out).as_ref(), Ok(&metadata));
    }
    if let Ok(checksum) = Checksum::parse(value) {
        assert_eq!(checksum.digest.len(), checksum.algorithm.digest_length());
        out.clear();
        checksum.write(&mut out);
        assert_eq!(Checksum::parse(&out), Ok(checksum));
    }
    if let Ok(concat) = Concat::parse(value) {
        assert!(!matches!(&concat, Concat::Final(urls) if urls.is_empty() || urls.len() > MAX_PARTS));
        out.clear();
        concat.write(&mut out);
        assert_eq!(Concat::parse(&out), Ok(concat));
    }
});
