//! FTP commands, replies and listings: whole, in pieces, and nasty.

mod tables;

use hythe_wire::ftp::*;
use proptest::prelude::*;

/// The lines of `input`, given in pieces of `piece` bytes; errors by their code.
fn lines(input: &[u8], piece: usize) -> Vec<Result<Vec<u8>, u16>> {
    let mut decoder = Lines::new();
    let mut found = Vec::new();
    for mut piece in input.chunks(piece) {
        loop {
            match decoder.next(&mut piece) {
                Ok(Some(line)) => found.push(Ok(line.to_vec())),
                Ok(None) => break,
                Err(error) => found.push(Err(error.code)),
            }
        }
    }
    found
}

#[test]
fn lines_come_without_line_ends_and_telnet() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"NOOP\r\n", b"NOOP"),
        (b"NOOP\n", b"NOOP"),
        (b"\r\n", b""),
        (b"a\rb\r\r\n", b"a\rb\r"),
        (b"\xff\xf4\xff\xf2ABOR\r\n", b"ABOR"),
        (b"\xff\xf4\xffABOR\r\n", b"ABOR"), // DM came as urgent data
        (b"CWD \xff\xff\r\n", b"CWD \xff"),
        (b"\xff\xfb\x01\xff\xfe\nNOOP\r\n", b"NOOP"),
        (b"C\xff\xf1WD \xe6\x9d\xa5\n", b"CWD \xe6\x9d\xa5"),
    ];
    for (sent, line) in cases {
        let twice = [*sent, sent].concat();
        for piece in [1, 2, 3, twice.len()] {
            assert_eq!(lines(&twice, piece), [Ok(line.to_vec()), Ok(line.to_vec())]);
        }
        for end in 0..sent.len() {
            assert_eq!(lines(&sent[..end], end.max(1)), []);
        }
    }
}

#[test]
fn long_lines_are_refused_once_and_skipped() {
    let longest = b"a".repeat(MAX_LINE);
    let input = [
        &longest,
        &b"\r\n"[..],
        &longest,
        b"a",
        &longest,
        b"\r\nNOOP\r\n",
    ]
    .concat();
    for piece in [1, 1000, input.len()] {
        assert_eq!(
            lines(&input, piece),
            [Ok(longest.clone()), Err(500), Ok(b"NOOP".to_vec())]
        );
    }
    let flood = b"\xff\xf1".repeat(MAX_TELNET + 1);
    assert_eq!(lines(&flood, flood.len()), [Err(421)]);
    let doubled = b"\xff".repeat(MAX_TELNET * 4 + 2);
    assert_eq!(
        lines(&[&doubled, &b"\n"[..]].concat(), 3),
        [Ok(doubled[..doubled.len() / 2].to_vec())]
    );
    let spread = b"\xff\xf1NOOP\r\n".repeat(MAX_TELNET + 1);
    assert_eq!(lines(&spread, 7).len(), MAX_TELNET + 1);
}

#[test]
fn what_came_before_tls_is_forgotten() -> Result<(), Error> {
    let mut decoder = Lines::new();
    assert_eq!(decoder.next(&mut &b"DELE a"[..])?, None);
    decoder.clear();
    assert_eq!(decoder.next(&mut &b"NOOP\r\n"[..])?, Some(&b"NOOP"[..]));
    Ok(())
}

#[test]
fn every_command_survives_a_round_trip() -> Result<(), Error> {
    for line in tables::COMMANDS {
        let command = Command::parse(line)?;
        let mut sent = Vec::new();
        command.encode(&mut sent)?;
        let received = lines(&sent, 1);
        let [Ok(received)] = received.as_slice() else {
            panic!("{received:?}")
        };
        assert_eq!(
            Command::parse(received),
            Ok(command),
            "{}",
            line.escape_ascii()
        );
    }
    Ok(())
}

#[test]
fn arguments_are_the_bytes_that_were_sent() {
    assert_eq!(Command::parse(b"RETR  a "), Ok(Command::Retr(b" a ")));
    assert_eq!(
        Command::parse(b"pass :@$ \xe4"),
        Ok(Command::Pass(b":@$ \xe4"))
    );
    let both = ListOptions {
        all: true,
        long: true,
    };
    assert_eq!(
        Command::parse(b"LIST -la  x"),
        Ok(Command::List(both, Some(b" x")))
    );
    assert_eq!(Command::parse(b"LIST -a -l"), Ok(Command::List(both, None)));
    let none = ListOptions::default();
    assert_eq!(
        Command::parse(b"NLST -R a -l"),
        Ok(Command::Nlst(none, Some(b"a -l")))
    );
    let site = Site::Register(b"anna", b" a b ");
    assert_eq!(
        Command::parse(b"SITE register anna  a b "),
        Ok(Command::Site(site))
    );
    for (line, site) in [
        (
            &b"SITE PASSWD old new one"[..],
            Site::Passwd(b"old", b"new one"),
        ),
        (
            b"SITE PASSWD \"old one\" new",
            Site::Passwd(b"old one", b"new"),
        ),
        (b"SITE PASSWD \"old new", Site::Passwd(b"\"old", b"new")),
        (
            b"SITE PASSWD \"a\"b\" c\" d",
            Site::Passwd(b"a\"b", b"c\" d"),
        ),
        (
            b"SITE REGISTER \"an na\"  x",
            Site::Register(b"an na", b" x"),
        ),
        (b"SITE quota", Site::Quota),
        (b"SITE HELP", Site::Help(None)),
    ] {
        let shown = line.escape_ascii();
        assert_eq!(Command::parse(line), Ok(Command::Site(site)), "{shown}");
    }
    assert_eq!(
        Command::parse(b"XSHA a"),
        Ok(Command::Checksum(Hash::Sha1, b"a"))
    );
    assert_eq!(
        Command::parse(b"OPTS hash sha-512"),
        Ok(Command::Opts(Opts::Hash(Some(Hash::Sha512))))
    );
    assert_eq!(Command::parse(b"GET / HTTP/1.1"), Ok(Command::Http));
    let facts = Facts::parse(b"Size;nonsense;Modify");
    assert!(facts.contains(Fact::Size) && !facts.contains(Fact::Type));
    assert_eq!(
        Command::parse(b"OPTS mlst Modify;Size;"),
        Ok(Command::Opts(Opts::Mlst(facts)))
    );
}

#[test]
fn bad_commands_are_refused_with_the_right_code() {
    let cases: &[(u16, &[u8])] = &[
        (500, b""),
        (500, b"NOPE"),
        (500, b" NOOP"),
        (500, b"NOOPNOOPNOOP"),
        (500, b"NO\0P"),
        (500, b"\x16\x03\x01"),
        (501, b"USER"),
        (501, b"USER "),
        (501, b"NOOP x"),
        (501, b"QUIT now"),
        (501, b"RETR a\0b"),
        (501, b"RETR a\rb"),
        (501, b"RETR a\nb"),
        (501, b"PORT 1,2,3,4,5"),
        (501, b"PORT 1,2,3,4,5,6,7"),
        (501, b"PORT 1,2,3,4,5,256"),
        (501, b"PORT 1,2,3,4,5,-6"),
        (501, b"PORT 1, 2,3,4,5,6"),
        (501, b"EPRT |1|127.0.0.1|0|"),
        (501, b"EPRT |1|127.0.0.1|65536|"),
        (501, b"EPRT |1|::1|1025|"),
        (501, b"EPRT |2|127.0.0.1|1025|"),
        (501, b"EPRT |1|127.0.0.1|1025"),
        (501, b"EPRT 111127.0.0.1110251"),
        (522, b"EPRT |3|x|1025|"),
        (522, b"EPSV 3"),
        (501, b"EPSV some"),
        (501, b"REST -1"),
        (501, b"REST 18446744073709551616"),
        (501, b"REST x"),
        (501, b"ALLO x"),
        (501, b"PBSZ 4294967296"),
        (501, b"MFMT 20200230120000 a"),
        (501, b"MFMT 20200229120000"),
        (501, b"SITE CHMOD 888 a"),
        (501, b"SITE CHMOD 77777 a"),
        (501, b"SITE CHMOD 644"),
        (501, b"SITE REGISTER anna"),
        (501, b"SITE REGISTER \"an na\""),
        (501, b"SITE PASSWD old"),
        (501, b"SITE PASSWD \"\" new"),
        (501, b"SITE"),
        (501, b"OPTS HASH MD4"),
        (501, b"XCRC"),
        (501, b"HASH"),
        (501, b"EPRT ||||"),
        (501, b"STRU X"),
        (504, b"STRU P"),
        (504, b"MODE b"),
        (501, b"OPTS UTF8 maybe"),
        (501, b"OPTS RETR x"),
        (502, b"SMNT a"),
        (504, b"AUTH KERBEROS"),
        (504, b"TYPE E"),
        (504, b"TYPE L 7"),
        (504, b"TYPE A T"),
        (501, b"MODE Z"),
        (501, b"MODE SS"),
        (504, b"STRU R"),
        (504, b"SITE EXEC a"),
        (536, b"PROT S"),
        (504, b"PROT X"),
    ];
    for (code, line) in cases {
        let parsed = Command::parse(line).map_err(|error| error.code);
        assert_eq!(parsed, Err(*code), "{}", line.escape_ascii());
    }
    for command in [
        Command::Dele(b"a\r\nDELE b"),
        Command::Cwd(b""),
        Command::Retr(b"\0"),
    ] {
        let mut sent = Vec::new();
        assert!(command.encode(&mut sent).is_err() && sent.is_empty());
    }
}

#[test]
fn replies_are_complete_at_their_last_byte_and_never_before() -> Result<(), Error> {
    for message in tables::REPLIES {
        let Some((whole, used)) = Reply::parse(message)? else {
            panic!("incomplete")
        };
        assert_eq!(used, message.len());
        for end in 0..message.len() {
            assert_eq!(
                Reply::parse(&message[..end])?,
                None,
                "{}",
                message.escape_ascii()
            );
        }
        let trailing = [message, &b"226 Done\r\n"[..]].concat();
        assert_eq!(Reply::parse(&trailing)?, Some((whole, used)));
    }
    let features = Reply::parse(tables::REPLIES[2])?.map(|(reply, _)| reply.lines());
    let texts: Vec<_> = features.into_iter().flatten().collect();
    assert_eq!(
        texts,
        [
            &b"Features:"[..],
            b"SIZE",
            b"MDTM",
            b"211 is a number",
            b"End"
        ]
    );
    Ok(())
}

#[test]
fn what_is_no_reply_is_refused_at_once() {
    for text in [
        &b"HTTP"[..],
        b"2x",
        b"099 x\r\n",
        b"600 x\r\n",
        b"\r\n",
        b"2000",
        b"SSH-2.0",
    ] {
        assert!(Reply::parse(text).is_err(), "{}", text.escape_ascii());
    }
    let endless = [b"220-", &b"x\r\n".repeat(MAX_REPLY / 3)[..]].concat();
    assert!(Reply::parse(&endless).is_err());
}

#[test]
fn names_cannot_forge_replies() {
    let mut out = Vec::new();
    reply(&mut out, 550, b"a\r\n226 done\x1b[2J");
    assert_eq!(out, b"550 a??226 done?[2J\r\n");
    out.clear();
    multiline(&mut out, 250, "a", ["x\n250 b"], "c");
    assert_eq!(out, b"250-a\r\n x?250 b\r\n250 c\r\n");
    out.clear();
    quote_path(&mut out, b"a\"\r\nb");
    assert_eq!(out, b"\"a\"\"??b\"");
    assert_eq!(
        parse_quoted_path(b"\"a\"\"b\" is here"),
        Some(b"a\"b".to_vec())
    );
    assert_eq!(parse_quoted_path(b"\"a"), None);
}

#[test]
fn addresses() -> Result<(), Box<dyn std::error::Error>> {
    let address = "10.0.0.255:1025".parse()?;
    let mut out = Vec::new();
    write_host_port(&mut out, address);
    assert_eq!(out, b"10,0,0,255,4,1");
    for text in [
        &b"Entering Passive Mode (10,0,0,255,4,1)."[..],
        b"Entering Passive Mode 10,0,0,255,4,1",
        b"=10,0,0,255,4,1",
    ] {
        assert_eq!(parse_host_port(text), Some(address));
    }
    assert_eq!(parse_host_port(b"(10,0,0,255,4)"), None);
    out.clear();
    write_extended_port(&mut out, 1025);
    assert_eq!(
        parse_extended_port(&[b"Entering (", &out[1..]].concat()),
        Some(1025)
    );
    for bad in [
        &b"(|||0|)"[..],
        b"(|||65536|)",
        b"(||1|5|)",
        b"(|||5)",
        b"|||5|",
        b"()",
    ] {
        assert_eq!(parse_extended_port(bad), None);
    }
    assert_eq!(parse_extended(b"!2!::1!80!"), Ok("[::1]:80".parse()?));
    Ok(())
}

const NAMELESS: Entry<'_> = Entry {
    kind: Kind::File,
    size: Some(0),
    modified: Some(0),
    mode: None,
    perm: None,
    unique: None,
    name: b"x",
};

#[test]
fn listings_are_read() {
    let now = 1_600_000_000; // September 2020
    let [full, link, recent, old, between] = tables::LISTINGS else {
        panic!("five lines")
    };
    let leap_noon = 1_582_977_600;
    let entry = Entry {
        size: Some(12),
        modified: Some(leap_noon),
        perm: Some(b"r"),
        unique: Some(b"1U2"),
        name: b"a b",
        ..NAMELESS
    };
    assert_eq!(parse_facts(full), Some(entry));
    let entry = parse_facts(link).map(|entry| (entry.kind, entry.name));
    assert_eq!(entry, Some((Kind::Link, &b" leading space"[..])));
    let entry = parse_ls(recent, now).map(|entry| (entry.kind, entry.modified, entry.mode));
    assert_eq!(
        entry,
        Some((Kind::Folder, Some(1_599_615_960), Some(0o755)))
    );
    let entry = parse_ls(old, now).map(|entry| (entry.size, entry.modified, entry.name));
    assert_eq!(entry, Some((Some(12), Some(leap_noon - 43200), &b" a"[..])));
    let entry = parse_ls(between, now).map(|entry| (entry.modified, entry.name));
    assert_eq!(entry, Some((Some(1_577_836_800), &b"a"[..])));
    for line in [
        &b"total 12"[..],
        b"",
        b"-",
        b"-rw-r--r-- 1 a b 3 Foo 12 2020 x",
        b"d",
    ] {
        assert_eq!(parse_ls(line, now), None, "{}", line.escape_ascii());
        assert_eq!(parse_facts(line).filter(|_| line.len() < 8), None);
    }
}

#[test]
fn names_cannot_forge_entries() {
    let entry = Entry {
        name: b"a\r\ntype=dir; b\0",
        unique: Some(b"1;\r\n"),
        ..NAMELESS
    };
    let mut out = Vec::new();
    write_facts(&mut out, &entry, Facts::ALL);
    let line = "type=file;size=0;modify=19700101000000;unique=1; a??type=dir; b?";
    assert_eq!(out, line.as_bytes());
    out.clear();
    write_ls(&mut out, &entry, 0);
    assert!(out.ends_with(b" Jan 01 00:00 a??type=dir; b?"));
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (seconds, text) in [
        (0, "19700101000000"),
        (-1, "19691231235959"),
        (951_782_400, "20000229000000"),
        (4_107_542_399, "21000228235959"),
        (4_107_542_400, "21000301000000"),
        (253_402_300_799, "99991231235959"),
        (-62_167_219_200, "00000101000000"),
    ] {
        assert_eq!(format_time(seconds), text.as_bytes());
        assert_eq!(parse_time(text.as_bytes()), Some(seconds));
    }
    assert_eq!(&format_time(i64::MAX), b"99991231235959");
    assert_eq!(&format_time(i64::MIN), b"00000101000000");
    assert_eq!(parse_time(b"20161231235960"), Some(1_483_228_800));
    for bad in [
        "20010229000000",
        "20000230000000",
        "2000010100000",
        "20000101000000.",
        "+0000101000000",
    ] {
        assert_eq!(parse_time(bad.as_bytes()), None, "{bad}");
    }
}

/// A name that both kinds of listing can hold.
fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..30).prop_filter("no line ends", |name| {
        !name.iter().any(|byte| b"\r\n\0".contains(byte))
    })
}

proptest! {
    #[test]
    fn paths_survive_a_round_trip(path in name(), all in any::<bool>(), long in any::<bool>()) {
        let options = ListOptions { all, long };
        for command in [Command::Stor(&path), Command::List(options, Some(&path))] {
            let mut sent = Vec::new();
            command.encode(&mut sent)?;
            for piece in [1, sent.len()] {
                let received = lines(&sent, piece);
                let [Ok(line)] = received.as_slice() else { panic!("{received:?}") };
                prop_assert_eq!(Command::parse(line), Ok(command));
            }
        }
        let mut quoted = Vec::new();
        quote_path(&mut quoted, &path);
        if !path.iter().any(u8::is_ascii_control) {
            prop_assert_eq!(parse_quoted_path(&quoted), Some(path));
        }
    }

    #[test]
    fn replies_survive_a_round_trip(
        code in 100u16..600,
        first in "[ -~]{0,20}",
        middle in prop::collection::vec("[ -~]{0,20}", 0..4),
        last in "[ -~]{0,20}",
    ) {
        let mut out = Vec::new();
        multiline(&mut out, code, &first, &middle, &last);
        let (read, used) = Reply::parse(&out)?.expect("it is complete");
        prop_assert_eq!((read.code, used), (code, out.len()));
        let mut texts = vec![first.as_bytes()];
        texts.extend(middle.iter().map(String::as_bytes));
        texts.push(last.as_bytes());
        prop_assert_eq!(read.lines().collect::<Vec<_>>(), texts);
    }

    #[test]
    fn entries_survive_a_round_trip(
        name in name(),
        size in any::<u64>(),
        modified in 0i64..4_000_000_000,
        now in 0i64..4_000_000_000,
        mode in 0u16..0o1000,
    ) {
        let entry = Entry { name: &name, size: Some(size), modified: Some(modified), ..NAMELESS };
        let mut line = Vec::new();
        write_facts(&mut line, &entry, Facts::ALL);
        prop_assert_eq!(parse_facts(&line), Some(entry));

        let entry = Entry { mode: Some(mode), ..entry };
        line.clear();
        write_ls(&mut line, &entry, now);
        let read = parse_ls(&line, now).expect("it was just written");
        prop_assert_eq!((read.name, read.size, read.mode), (entry.name, entry.size, entry.mode));
        let recent = (0..180 * 86400).contains(&(now - modified));
        let grain = if recent { 60 } else { 366 * 86400 };
        prop_assert!((0..grain).contains(&(modified - read.modified.expect("it has one"))));
    }

    #[test]
    fn dates_survive_a_round_trip(seconds in -62_167_219_200i64..253_402_300_800) {
        prop_assert_eq!(Date::from_unix(seconds).to_unix(), Some(seconds));
        prop_assert_eq!(parse_time(&format_time(seconds)), Some(seconds));
    }

    #[test]
    fn addresses_survive_a_round_trip(address in any::<std::net::SocketAddr>(), port in 1u16..) {
        let address = std::net::SocketAddr::new(address.ip(), port);
        let mut text = Vec::new();
        write_extended(&mut text, address);
        prop_assert_eq!(parse_extended(&text), Ok(address));
        if let std::net::SocketAddr::V4(address) = address {
            text.clear();
            write_host_port(&mut text, address);
            prop_assert_eq!(parse_host_port(&text), Some(address));
        }
    }
}
