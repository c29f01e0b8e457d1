//! Checksums: what they don't fit is not kept, not even across a crash.

use std::fs;

use base64ct::{Base64, Encoding as _};
use sha2::Digest as _;

use crate::common::http::Client;
use crate::common::{content, eventually};
use crate::{BYTES, Quay, offset};

fn sums(bytes: &[u8]) -> [(&'static str, Vec<u8>); 4] {
    [
        ("sha1", sha1::Sha1::digest(bytes).to_vec()),
        ("sha256", sha2::Sha256::digest(bytes).to_vec()),
        ("md5", md5::Md5::digest(bytes).to_vec()),
        ("crc32", crc32fast::hash(bytes).to_be_bytes().to_vec()),
    ]
}

fn field((name, digest): &(&str, Vec<u8>)) -> String {
    format!("Upload-Checksum: {name} {}", Base64::encode_string(digest))
}

#[test]
fn each_algorithm_tells_right_from_wrong() {
    for arguments in [&[][..], &["--durability", "every"]] {
        let quay = Quay::new(arguments);
        let bytes = content(200_000);
        for sum in sums(&bytes) {
            let name = format!("by-{}", sum.0);
            let upload = quay.begin(&name, 200_003);
            assert_eq!(quay.patch(&upload, 0, b"abc").status, 204);
            let mut wrong = sum.clone();
            wrong.1[0] ^= 1;
            for (sum, sent) in [(&wrong, &bytes[..]), (&sum, &bytes[..199_999])] {
                let reply = quay.patch_with(&upload, 3, &[&field(sum)], sent);
                assert_eq!(reply.status, 460, "{name}: {reply:?}");
                assert_eq!(quay.offset(&upload), 3);
                assert_eq!(fs::metadata(quay.path(&upload[1..])).unwrap().len(), 3);
            }
            let reply = quay.patch_with(&upload, 3, &[&field(&sum)], &bytes);
            assert_eq!((reply.status, offset(&reply)), (204, 200_003), "{reply:?}");
            assert!(fs::read(quay.path(&name)).unwrap() == [b"abc", &bytes[..]].concat());
        }
    }
}

/// Sends all but the end of a piece with its checksum, in one packet, and waits
/// until it is in the file.
fn begin(quay: &Quay, upload: &str, bytes: &[u8]) -> Client {
    let [sum, ..] = sums(bytes);
    let fields = [BYTES, "Upload-Offset: 3", &field(&sum)];
    let mut request = crate::request("PATCH", upload, &fields, bytes);
    request.truncate(request.len() - 1000);
    let mut client = Client::new(quay.address());
    client.send(&request);
    let sent = bytes.len() as u64 - 1000 + 3;
    let part = quay.path(&upload[1..]);
    eventually("the piece", || fs::metadata(&part).unwrap().len() == sent);
    client
}

#[test]
fn what_is_not_verified_is_not_kept() {
    let mut quay = Quay::new(&[]);
    let bytes = content(20_000);
    let upload = quay.begin("a", 20_003);
    assert_eq!(quay.patch(&upload, 0, b"abc").status, 204);
    // A connection that dies, a request that comes between, a crash.
    drop(begin(&quay, &upload, &bytes));
    eventually("the verified offset", || quay.offset(&upload) == 3);
    let client = begin(&quay, &upload, &bytes);
    assert_eq!(quay.offset(&upload), 3);
    drop(client);
    let _client = begin(&quay, &upload, &bytes);
    quay.crash();
    assert_eq!(quay.offset(&upload), 3);
    assert_eq!(fs::metadata(quay.path(&upload[1..])).unwrap().len(), 3);
    let _client = begin(&quay, &upload, &bytes);
    quay.crash();
    assert_eq!(quay.patch(&upload, 3, &bytes).status, 204);
    assert!(fs::read(quay.path("a")).unwrap() == [b"abc", &bytes[..]].concat());
}
