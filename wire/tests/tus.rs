//! The fields of resumable uploads: legal, nasty, at their limits, and back again.

mod tables;

use hythe_wire::http::tus::*;
use proptest::prelude::*;

#[test]
fn lengths_are_numbers_that_a_file_can_have() {
    let table: &[(&[u8], Result<u64, u16>)] = &[
        (b"0", Ok(0)),
        (b"007", Ok(7)),
        (b" 10\t", Ok(10)),
        (b"9223372036854775807", Ok(MAX_LENGTH)),
        (b"9223372036854775808", Err(413)),
        (b"18446744073709551615", Err(413)),
        (b"18446744073709551616", Err(413)),
        (&[b'9'; 4000], Err(413)),
        (b"", Err(400)),
        (b" ", Err(400)),
        (b"-1", Err(400)),
        (b"+1", Err(400)),
        (b"0x10", Err(400)),
        (b"1e3", Err(400)),
        (b"1, 1", Err(400)),
        (b"1 1", Err(400)),
        (b"1.0", Err(400)),
        ("١".as_bytes(), Err(400)),
    ];
    for (value, wanted) in table {
        let read = length(value).map_err(|error| error.status);
        assert_eq!(read, *wanted, "{}", value.escape_ascii());
    }
    assert_eq!(defer_length(b"1"), Ok(()));
    for value in [&b""[..], b"0", b"01", b"2", b"1 1", b"true"] {
        assert!(defer_length(value).is_err(), "{}", value.escape_ascii());
    }
}

#[test]
fn metadata_are_keys_and_base64() {
    type Pairs<'a> = &'a [(&'a str, &'a [u8])];
    let table: &[(&[u8], Option<Pairs<'_>>)] = &[
        (b"", Some(&[])),
        (b"  ", Some(&[])),
        (b"a", Some(&[("a", b"")])),
        (b"a ", Some(&[("a", b"")])),
        (b"a,b", Some(&[("a", b""), ("b", b"")])),
        (b"a eA==", Some(&[("a", b"x")])),
        (b"a eA", Some(&[("a", b"x")])),
        (b"a  eA==", Some(&[("a", b"x")])),
        (b"a eA== , b eHk=", Some(&[("a", b"x"), ("b", b"xy")])),
        (b"a eA==,A eHk=", Some(&[("a", b"x"), ("A", b"xy")])),
        (b"a AP8v", Some(&[("a", b"\0\xff/")])),
        (b"a Li4vLi4v", Some(&[("a", b"../../")])),
        // Twice the same key; keys that are none.
        (b"a eA==,a eA==", None),
        (b"a,a", None),
        (b",", None),
        (b"a,", None),
        (b",a", None),
        ("ä eA==".as_bytes(), None),
        (b"a\x01b eA==", None),
        (b"a\teA==", None),
        // What is no base64, or not quite.
        (b"a !", None),
        (b"a e", None),
        (b"a eA=", None),
        (b"a eA===", None),
        (b"a eA== eA==", None),
        (b"a e A==", None),
        (b"a eB==", None),
        (b"a __8=", None),
        (b"a =", None),
        (b"a ====", None),
        (b"a eA==\r", None),
        (b"a \xff", None),
    ];
    for (value, wanted) in table {
        let shown = value.escape_ascii();
        match (Metadata::parse(value), wanted) {
            (Ok(read), Some(pairs)) => {
                assert_eq!(read.iter().collect::<Vec<_>>(), *pairs, "{shown}")
            }
            (Err(error), None) => assert_eq!(error.status, 400, "{shown}"),
            (read, wanted) => panic!("{shown}: {read:?}, wanted {wanted:?}"),
        }
    }
}

#[test]
fn metadata_have_limits() {
    let pairs = |count: usize| {
        let pairs: Vec<_> = (0..count).map(|number| format!("k{number} eA==")).collect();
        pairs.join(",").into_bytes()
    };
    assert!(Metadata::parse(&pairs(MAX_PAIRS - 1)).is_ok());
    assert!(Metadata::parse(&pairs(MAX_PAIRS)).is_ok());
    assert!(Metadata::parse(&pairs(MAX_PAIRS + 1)).is_err());
    for (length, status) in [
        (MAX_METADATA - 1, None),
        (MAX_METADATA, None),
        (MAX_METADATA + 1, Some(431)),
    ] {
        let mut value = b"k ".to_vec();
        value.resize(length, b'A');
        if (length - 2) % 4 == 1 {
            value[1] = b'k';
            value[2] = b' ';
        }
        let read = Metadata::parse(&value).map_err(|error| error.status);
        assert_eq!(read.err(), status, "{length}");
    }
}

#[test]
fn checksums_are_an_algorithm_and_its_digest() {
    for value in &tables::UPLOADS[2..6] {
        let checksum = Checksum::parse(value).unwrap();
        let mut written = Vec::new();
        checksum.write(&mut written);
        assert_eq!(written, *value);
    }
    for value in [
        &b""[..],
        b"sha1",
        b"sha1 ",
        b" sha1",
        b"sha1 eA==",
        b"SHA1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        b"sha512 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        b"md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
        b"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0= x",
        b"sha1 Kq5sNclPz7QV2_lfQIuc6R7oRu0=",
        b"sha1 !!!!",
        b"crc32 0d4a1185",
        b"crc32 DUoRhQ==,crc32 DUoRhQ==",
    ] {
        let error = Checksum::parse(value).unwrap_err();
        assert_eq!(error.status, 400, "{}", value.escape_ascii());
    }
    assert!(Checksum::parse(b" crc32  DUoRhQ").is_ok());
}

#[test]
fn concatenation_is_partial_or_names_its_parts() {
    assert_eq!(Concat::parse(b"partial"), Ok(Concat::Partial));
    assert_eq!(
        Concat::parse(b"final;/a  http://quay/b "),
        Ok(Concat::Final(vec![b"/a", b"http://quay/b"]))
    );
    for value in [
        &b""[..],
        b"final",
        b"final;",
        b"final;  ",
        b"final /a",
        b"Partial",
        b"partial;/a",
        b"partial /a",
    ] {
        assert!(Concat::parse(value).is_err(), "{}", value.escape_ascii());
    }
    let parts = |count| [&b"final;"[..], &b"/a ".repeat(count)].concat();
    assert!(Concat::parse(&parts(MAX_PARTS - 1)).is_ok());
    assert!(Concat::parse(&parts(MAX_PARTS)).is_ok());
    assert!(Concat::parse(&parts(MAX_PARTS + 1)).is_err());
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(
        pairs in proptest::collection::btree_map("[!-+\\--~]{1,20}", any::<Vec<u8>>(), 0..10)
    ) {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
        let mut written = Vec::new();
        write_metadata(&mut written, pairs.iter().copied());
        let read = Metadata::parse(&written).unwrap();
        prop_assert_eq!(read.iter().collect::<Vec<_>>(), pairs);
    }

    #[test]
    fn nothing_panics(value in any::<Vec<u8>>()) {
        length(&value).ok();
        Metadata::parse(&value).ok();
        Checksum::parse(&value).ok();
        Concat::parse(&value).ok();
    }

    #[test]
    fn any_number_comes_back(number in any::<u64>()) {
        let mut written = Vec::new();
        write_length(&mut written, number);
        prop_assert_eq!(length(&written).ok(), Some(number).filter(|number| *number <= MAX_LENGTH));
    }
}
