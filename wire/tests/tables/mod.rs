//! Whole messages, one of each kind: the tests run each whole, split at every byte and with
//! trailing bytes, and the fuzz targets start from them.
#![allow(dead_code, reason = "each user needs some of the tables")]

use hythe_wire::transfer::{Entry, Hash, Kind, Message, Outcome};

/// Requests that are parsed.
pub(crate) const REQUESTS: &[&[u8]] = &[
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: quay\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\nHost: quay\r\n\r\n",
    b"HEAD /a%20b?c=d?e HTTP/1.1\nhost:[::1]:8000\n\n",
    b"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
    b"OPTIONS http://quay HTTP/1.1\r\nHost: other\r\n\r\n",
    b"GET http://quay:80?x HTTP/1.2\r\nHost: other\r\n\r\n",
    b"PUT /f HTTP/1.1\r\nHost: quay\r\nContent-Length: 5, 5\r\nExpect: 100-continue\r\n\r\n",
    b"POST /f HTTP/1.1\r\nHost: quay\r\nTransfer-Encoding: Chunked\r\nConnection: x, close\r\n\r\n",
    b"GET /f HTTP/1.1\r\nHost: quay\r\nIf-None-Match: \"a\"\r\nAccept: */*\r\nIf-None-Match: W/\"b\"\r\n\r\n",
    b"GET /f HTTP/1.0\r\nConnection: Keep-Alive\r\nRange: bytes=0-1\r\nIf-Range: \"a\"\r\n\r\n",
];

/// Responses that are parsed as the answer to a GET.
pub(crate) const RESPONSES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 206\r\nContent-Length: 5\r\nContent-Range: bytes 0-4/10\r\n\r\n",
    b"HTTP/1.0 200 \r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
];

/// Chunked bodies, and what they carry.
pub(crate) const CHUNKED: &[(&[u8], &[u8])] = &[
    (b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (
        b"00000000000000A\r\n0123456789\r\n1;x=\"y\"\r\nz\r\n000\r\n\r\n",
        b"0123456789z",
    ),
    (b"2\r\n\r\n\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n", b"\r\n"),
];

/// Forms with the boundary `b`, and what they carry: the field, the file's name, and the content.
pub(crate) const FORMS: &[(&[u8], &[FormPart])] = &[
    (b"--b--", &[]),
    (b"--b--\r\nepilogue --b\r\n", &[]),
    (b"\r\n--b--\r\n", &[]),
    (
        b"preamble\r\n--\r\n--c\r\n-\r\n--b \t\r\n\r\n\r\n--b--",
        &[(None, None, b"")],
    ),
    (
        b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
          Content-Type: text/plain\r\n\r\n\r\n--\r\n-\r\r\n--\r\n--b\r\n\
          content-disposition: form-data; name=x\r\n\r\n\r\n\r\n\r\n--b--\r\n",
        &[
            (Some(b"file"), Some(b"a.txt"), b"\r\n--\r\n-\r\r\n--"),
            (Some(b"x"), None, b"\r\n\r\n"),
        ],
    ),
    (
        b"--b\r\nContent-Disposition: form-data; filename=\"\xe6\x9d\xa5%22\\\"\\\\C:\\x.txt\"\r\n\r\n1\r\n\
          --b\r\nContent-Disposition: form-data; filename*=utf-8''%e6%9d%a5; filename=old\r\n\r\n2\r\n\
          --b\r\nContent-Disposition: form-data; filename*=latin1''%e6; filename=old\r\n\r\n3\r\n\
          --b\r\nContent-Disposition: form-data; filename*=utf-8''%e; filename=\"\"\r\n\r\n4\r\n--b--",
        &[
            (None, Some(b"\xe6\x9d\xa5\"\"\\C:\\x.txt"), b"1"),
            (None, Some("来".as_bytes()), b"2"),
            (None, Some(b"old"), b"3"),
            (None, Some(b""), b"4"),
        ],
    ),
];

/// The field's name, the file's name, and the content.
pub(crate) type FormPart = (Option<&'static [u8]>, Option<&'static [u8]>, &'static [u8]);

/// Heads of scripts' responses.
pub(crate) const SCRIPT_HEADS: &[&[u8]] = &[
    b"Content-Type: text/html\n\n",
    b"content-type: text/html; charset=UTF-8\r\n\r\n",
    b"Status: 404 Not Found\r\nX-Own: 1\n\n",
    b"Status: 200\nContent-Length: 5\nContent-Length: 5\nContent-Type: a/b\n\n",
    b"Location: /here?a=b\n\n",
    b"Location: https://quay.example/\nStatus: 301\n\n",
    b"Content-type:text/plain\nSet-Cookie: a=b\nSet-Cookie: c=d\nConnection: X-Own, close\nX-own: 1\n\n",
    b"Content-Type: text/plain\nX-Name: \xe6\x9d\xa5\n\n",
];

/// Whole answers over FastCGI, with what they carry: output, complaints, and the exit status.
pub(crate) const FASTCGI: &[FastCgiAnswer] = &[
    (b"\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0", b"", b"", 0),
    (
        b"\x01\x06\0\x01\0\x05\0\0hello\x01\x03\0\x01\0\x08\x02\xff\x01\x02\x03\x04\0\0\0\0--",
        b"hello",
        b"",
        0x0102_0304,
    ),
    (
        b"\x01\x07\0\x01\0\x03\x05\0bad.....\x01\x06\0\x01\0\x01\x07\0a.......\
          \x01\x06\0\x01\0\0\x08\0........\x01\x07\0\x01\0\0\0\0\
          \x01\x03\0\x01\0\x08\0\0\0\0\0\x07\0\0\0\0",
        b"a",
        b"bad",
        7,
    ),
];

/// An answer, its output, its complaints, and its exit status.
pub(crate) type FastCgiAnswer = (&'static [u8], &'static [u8], &'static [u8], u32);

/// Range values.
pub(crate) const RANGES: &[&[u8]] = &[
    b"bytes=0-1,8-",
    b"bytes=-3",
    b"bytes=18446744073709551615-",
    b"bytes=0-18446744073709551615",
    b"Bytes= 0-0 , ,5-6",
    b"lines=1-2",
];

/// Values of the fields of resumable uploads.
pub(crate) const UPLOADS: &[&[u8]] = &[
    b"10",
    b"filename cXVheS50eHQ=,relativePath YS9i, filetype dGV4dC9wbGFpbg==,empty",
    b"sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=",
    b"sha256 uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek=",
    b"md5 XrY7u+Ae7tCTyyK7j1rNww==",
    b"crc32 DUoRhQ==",
    b"partial",
    b"final;/.hythe/uploads/a http://quay/.hythe/uploads/b",
];

/// FTP command lines, each a legal command.
pub(crate) const COMMANDS: &[&[u8]] = &[
    b"USER anna",
    b"PASS  a b ",
    b"PASS",
    b"ACCT x",
    b"HOST quay.example",
    b"AUTH tls",
    b"PBSZ 0",
    b"PROT P",
    b"CCC",
    b"REIN",
    b"QUIT",
    b"cwd  a",
    b"XCUP",
    b"XPWD",
    b"MKD a\"b",
    b"XRMD a",
    b"DELE a",
    b"RNFR a",
    b"RNTO b",
    b"TYPE A N",
    b"TYPE L 8",
    b"MODE S",
    b"STRU f",
    b"PORT 127,0,0,1,4,1",
    b"EPRT |2|::1|1025|",
    b"PASV",
    b"EPSV ALL",
    b"EPSV 2",
    b"REST 18446744073709551615",
    b"ALLO 12 R 3",
    b"RETR \xe6\x9d\xa5.txt",
    b"STOR a",
    b"APPE a",
    b"STOU",
    b"LIST -la -X a b",
    b"NLST -- -a",
    b"MLST",
    b"MLSD a",
    b"SIZE a",
    b"MDTM a",
    b"MFMT 20200229120000 a b",
    b"HASH a",
    b"XCRC a b",
    b"XMD5 a",
    b"XSHA1 a",
    b"XSHA256 a",
    b"XSHA512 a",
    b"STAT",
    b"HELP SITE",
    b"FEAT",
    b"OPTS UTF8 ON",
    b"OPTS MLST size;modify;x;",
    b"OPTS HASH SHA-256",
    b"OPTS HASH",
    b"SITE HELP",
    b"SITE HELP CHMOD",
    b"SITE QUOTA",
    b"SITE PASSWD \"old one\" new one",
    b"SITE REGISTER \"an na\" a b",
    b"SITE CHMOD 644 a b",
    b"SITE REGISTER anna  a b",
    b"SITE PASSWD a b",
    b"SYST",
    b"NOOP",
    b"ABOR",
    b"GET / HTTP/1.1",
];

/// FTP replies.
pub(crate) const REPLIES: &[&[u8]] = &[
    b"220 Welcome\r\n",
    b"200\r\n",
    b"211-Features:\r\n SIZE\r\n211-MDTM\r\n 211 is a number\r\n211 End\r\n",
    b"257 \"a \"\"b\"\"\" created\n",
];

/// Lines of FTP listings.
pub(crate) const LISTINGS: &[&[u8]] = &[
    b"type=file;size=12;modify=20200229120000.5;perm=r;unique=1U2; a b",
    b"Type=OS.unix=slink:/x;  leading space",
    b"drwxr-xr-x   1 owner    group            4096 Sep 09 01:46 boats",
    b"-rw-r--r-- 1 12 Feb 29  2020  a",
    b"lrwxrwxrwx 1 two words group 1 Jan  1 00:00 a -> b",
];

/// Gopher request lines.
pub(crate) const GOPHER_REQUESTS: &[&[u8]] = &[
    b"\r\n",
    b"/a b\n",
    b"/search\tboats\r\n",
    b"/search\tboats\t+\r\n",
    b"/a\t+text/plain\r\n",
    b"/a\t!\r\n",
    b"\t$+VIEWS\r\n",
];

/// Gopher menu lines.
pub(crate) const MENU_LINES: &[&[u8]] = &[
    b"0Old boats\t/boats/old.txt\tquay\t70",
    b"iText\t\terror.host\t1",
    b"1Bare",
    b"hWeb\tURL:https://example.org/\tquay\t70\t+",
];

/// Single frames.
pub(crate) const FRAMES: &[&[u8]] = &[
    b"\0\0\0\0",
    b"\0\0\0\x01\0",
    b"\0\0\0\x05hello",
    b"\0\0\0\x06\xe4\xbd\xa0\xe5\xa5\xbd",
    b"\0\0\0\x08\0\0\0\x04\xff\xfe\xfd\xfc",
];

/// Messages of a transfer, and what they say. A block's bytes are behind its head.
pub(crate) const TRANSFERS: &[(&[u8], Message<'static>)] = &[
    (
        b"\0\0\0\x0fhythe transfer\x01",
        Message::Hello { version: 1 },
    ),
    (
        b"\0\0\0\x0fhythe transfer\xff",
        Message::Hello { version: 255 },
    ),
    (b"\0\0\0\x01\x01", Message::Key(b"")),
    (b"\0\0\0\x05\x01\0\xff\r\n", Message::Key(b"\0\xff\r\n")),
    (b"\0\0\0\x01\x02", Message::Refuse("")),
    (b"\0\0\0\x04\x02\xe4\xb8\x8d", Message::Refuse("不")),
    (
        b"\0\0\0\x25\x03\0\0\0\0\0\0\0\0\x01\0\0\0\0\
          \0\0\0\0\x5e\x5a\x53\x40\x07\x5b\xcd\x15\x01\xa4boats/\xe6\x9d\xa5",
        Message::Entry(Entry {
            id: 0,
            kind: Kind::File,
            size: 1 << 32,
            seconds: 1_582_977_856,
            nanos: 123_456_789,
            mode: 0o644,
            path: "boats/来".as_bytes(),
        }),
    ),
    (
        b"\0\0\0\x1f\x03\xff\xff\xff\xff\0\xff\xff\xff\xff\xff\xff\xff\xff\
          \x80\0\0\0\0\0\0\0\x3b\x9a\xc9\xff\x01\xff\xe9/\0",
        Message::Entry(Entry {
            id: u32::MAX,
            kind: Kind::File,
            size: u64::MAX,
            seconds: i64::MIN,
            nanos: 999_999_999,
            mode: 0o777,
            path: b"\xe9/\0",
        }),
    ),
    (
        b"\0\0\0\x1c\x03\0\0\0\x01\x01\0\0\0\0\0\0\0\0\
          \xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0",
        Message::Entry(Entry {
            id: 1,
            kind: Kind::Folder,
            size: 0,
            seconds: -1,
            nanos: 0,
            mode: 0,
            path: b"",
        }),
    ),
    (b"\0\0\0\x05\x04\0\0\x01\0", Message::Ask { id: 256 }),
    (
        b"\0\0\0\x32\x05\0\0\0\x07\0\0\0\0\0\0\0\x01\
          0123456789abcdef0123456789ABCDEFhello",
        Message::Block {
            id: 7,
            index: 1,
            hash: SOME_HASH,
            length: 5,
        },
    ),
    (
        b"\0\0\0\x2e\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
          0123456789abcdef0123456789ABCDEF\0",
        Message::Block {
            id: u32::MAX,
            index: u64::MAX,
            hash: SOME_HASH,
            length: 1,
        },
    ),
    (
        b"\0\0\0\x15\x06\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01",
        Message::Zeros {
            id: 7,
            index: 2,
            count: 1,
        },
    ),
    (
        b"\0\0\0\x15\x06\0\0\0\x07\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\x10\0\0",
        Message::Zeros {
            id: 7,
            index: u64::MAX,
            count: 1 << 20,
        },
    ),
    (
        b"\0\0\0\x25\x07\0\0\0\x070123456789abcdef0123456789ABCDEF",
        Message::End {
            id: 7,
            hash: SOME_HASH,
        },
    ),
    (
        b"\0\0\0\x0b\x08\0\0\0\x07\xe5\x8f\x98\xe4\xba\x86",
        Message::Abandon {
            id: 7,
            text: "变了",
        },
    ),
    (b"\0\0\0\x01\x09", Message::Finish),
    (b"\0\0\0\x01\x10", Message::Wait),
    (
        b"\0\0\0\x06\x12\0\0\0\x07\0",
        Message::Want {
            id: 7,
            has_part: false,
        },
    ),
    (
        b"\0\0\0\x06\x12\0\0\0\x07\x01",
        Message::Want {
            id: 7,
            has_part: true,
        },
    ),
    (
        b"\0\0\0\x05\x13\0\0\0\x07",
        Message::Have { id: 7, hashes: b"" },
    ),
    (
        b"\0\0\0\x45\x13\0\0\0\x07\
          0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDEF",
        Message::Have {
            id: 7,
            hashes: b"0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDEF",
        },
    ),
    (
        b"\0\0\0\x09\x14\0\0\0\0\0\x08\0\0",
        Message::Ack(512 * 1024),
    ),
    (
        b"\0\0\0\x06\x15\0\0\0\x07\0",
        Message::Outcome {
            id: 7,
            outcome: Outcome::Stored,
            text: "",
        },
    ),
    (
        b"\0\0\0\x06\x15\0\0\0\x07\x01",
        Message::Outcome {
            id: 7,
            outcome: Outcome::Same,
            text: "",
        },
    ),
    (
        b"\0\0\0\x0b\x15\0\0\0\x07\x02there",
        Message::Outcome {
            id: 7,
            outcome: Outcome::Kept,
            text: "there",
        },
    ),
    (
        b"\0\0\0\x0c\x15\0\0\0\x07\x03\xe6\xbb\xa1\xe4\xba\x86",
        Message::Outcome {
            id: 7,
            outcome: Outcome::Refused,
            text: "满了",
        },
    ),
    (b"\0\0\0\x01\x16", Message::Finished),
];

/// What is in those messages where a hash is.
const SOME_HASH: Hash = *b"0123456789abcdef0123456789ABCDEF";
