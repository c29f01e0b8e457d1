//! A Gopher client (RFC 1436, RFC 4266).
//!
//! ```text
//!   gopher://quay/0/boats/old.txt ─► type 0, selector /boats/old.txt
//!                                        │
//!      connect ── selector CRLF ──► menu, text to `.`, or bytes to the end
//! ```
//!
//! A path is an item's type and its selector, as in a URL; the root is the menu
//! that an empty selector stands for. Each request has a connection of its own.
//! There is nothing but reading, and always from the beginning.

use std::collections::HashMap;
use std::net::IpAddr;

use hythe_net::reactor::{lease, unblock};
use hythe_net::{Addr, More, Poured, Sink, Stream};
use hythe_wire::gopher::{Item, ItemType, Request, TextDecoder};
use percent_encoding::percent_decode_str;

use super::dial::dial;
use super::{
    Ask, Begun, Content, Entry, Error, Kind, Later, Login, Meter, Opening, Options, Reason, Remote,
    RemotePath, Result, Upload, Url,
};
use crate::visible::visible;

/// What asks a Gopher server.
pub struct GopherClient {
    url: Url,
    options: Options,
    opened: Option<Opened>,
}

/// A document that comes.
struct Opened {
    stream: Stream,
    /// How it begins: it was looked at.
    head: Vec<u8>,
    is_text: bool,
}

impl GopherClient {
    /// A client for the server of a URL. There is nothing to begin: Gopher knows
    /// requests only, and whether the server is there shows with the first.
    pub fn new(url: Url, options: Options) -> Self {
        Self {
            url,
            options,
            opened: None,
        }
    }

    /// Asks for an item.
    async fn ask(&self, target: &Target) -> Result<Stream> {
        let unfit = |_| Error::protocol("that can't be asked for in Gopher");
        let mut line = Vec::new();
        let request = Request::from_line(&target.line).map_err(unfit)?;
        request.encode(&mut line).map_err(unfit)?;
        let stream = dial(&self.url.host, self.url.port, &self.options).await?;
        let sent = stream.send_all(&line, More::No).await;
        sent.map_err(|error| Error::lost(&error))?;
        Ok(stream)
    }

    async fn list(&self, folder: &RemotePath) -> Result<Vec<Entry>> {
        let target = Target::of(folder);
        if !target.is_menu() {
            return Err(Error::new(Reason::NotFound, "that is no menu"));
        }
        let stream = self.ask(&target).await?;
        let here = Here {
            host: self.url.host.as_bytes(),
            port: self.url.port,
            ip: stream.socket().peer_name().ok().as_ref().and_then(Addr::ip),
        };
        let (menu, poured) = stream.pour(Menu(Vec::new())).await;
        match poured.map_err(|error| Error::lost(&error))? {
            Poured::End => {}
            Poured::Full => return Err(Error::protocol("the server's menu has no end")),
        }
        match Failure::of(&menu.0) {
            Failure::Whole(text) => Err(refused(text)),
            _ => Ok(here.entries(&menu.0)),
        }
    }

    async fn open(&mut self, path: &RemotePath, ask: &Ask) -> Result<Opening> {
        self.opened = None;
        let target = Target::of(path);
        let stream = self.ask(&target).await?;
        let head = beginning(&stream).await?;
        if !ask.head_only {
            self.opened = Some(Opened {
                stream,
                head,
                is_text: target.kind.is_text() || target.is_menu(),
            });
        }
        Ok(Opening {
            name: Some(target.name()),
            ..Opening::default()
        })
    }

    async fn receive(&mut self, sink: Box<dyn Sink>) -> Result<()> {
        let Some(opened) = self.opened.take() else {
            return Err(Error::new(Reason::Lost, "nothing is open"));
        };
        let mut body = Body {
            sink,
            decoder: opened.is_text.then(TextDecoder::new),
            full: false,
        };
        let head = opened.head;
        if !head.is_empty() {
            body = unblock(move || {
                body.take(&head);
                body
            })
            .await;
        }
        let (body, poured) = opened.stream.pour(body).await;
        poured.map_err(|error| Error::lost(&error))?;
        unblock(move || body.finish()).await;
        Ok(())
    }
}

impl Remote for GopherClient {
    fn list<'a>(&'a mut self, folder: &'a RemotePath) -> Later<'a, Vec<Entry>> {
        Box::pin(Self::list(self, folder))
    }

    /// By the type alone: Gopher has no other way to tell than to fetch it.
    fn stat<'a>(&'a mut self, path: &'a RemotePath) -> Later<'a, Entry> {
        Box::pin(async move {
            let target = Target::of(path);
            Ok(Entry {
                name: target.name(),
                path: path.clone(),
                kind: match target.is_menu() {
                    true => Kind::Folder,
                    false => Kind::File,
                },
                size: None,
                modified: None,
                mode: None,
            })
        })
    }

    fn open<'a>(&'a mut self, path: &'a RemotePath, ask: &'a Ask) -> Later<'a, Opening> {
        Box::pin(self.open(path, ask))
    }

    fn receive<'a>(&'a mut self, sink: Box<dyn Sink>) -> Later<'a, ()> {
        Box::pin(self.receive(sink))
    }

    fn begin_upload<'a>(
        &'a mut self,
        _: &'a RemotePath,
        _: &'a Upload,
        _: Option<&'a str>,
    ) -> Later<'a, Begun> {
        only_reads()
    }

    fn send<'a>(
        &'a mut self,
        _: &'a RemotePath,
        _: &'a Begun,
        _: Content,
        _: &'a Meter,
    ) -> Later<'a, ()> {
        only_reads()
    }

    fn remove<'a>(&'a mut self, _: &'a RemotePath, _: Kind) -> Later<'a, ()> {
        only_reads()
    }

    fn make_folder<'a>(&'a mut self, _: &'a RemotePath) -> Later<'a, ()> {
        only_reads()
    }

    fn rename<'a>(&'a mut self, _: &'a RemotePath, _: &'a RemotePath) -> Later<'a, ()> {
        only_reads()
    }

    fn register<'a>(&'a mut self, _: &'a str, _: &'a [u8]) -> Later<'a, ()> {
        only_reads()
    }

    fn log_in<'a>(&'a mut self, _: Login) -> Later<'a, ()> {
        Box::pin(async { Err(Error::unsupported("Gopher knows no accounts")) })
    }

    fn close<'a>(&'a mut self) -> Later<'a, ()> {
        self.opened = None;
        Box::pin(async { Ok(()) })
    }
}

fn only_reads<'a, T>() -> Later<'a, T> {
    Box::pin(async { Err(Error::unsupported("Gopher can only read")) })
}

/// An item's type, and the line that asks for it.
struct Target {
    kind: ItemType,
    /// The selector, and behind a TAB what is searched for.
    line: Vec<u8>,
}

impl Target {
    fn of(path: &RemotePath) -> Self {
        let encoded = path.encoded().trim_start_matches('/');
        // What a selector has of slashes is encoded in the paths that are made
        // here: one behind it only says that it is a folder.
        let ours = |rest: &&str| rest.len() == 1 || rest.to_ascii_uppercase().contains("%2F");
        let encoded = match encoded.strip_suffix('/').filter(ours) {
            Some(rest) if !rest.contains('/') => rest,
            _ => encoded,
        };
        let decoded: Vec<u8> = percent_decode_str(encoded).collect();
        match decoded.split_first() {
            Some((kind, line)) => Self {
                kind: ItemType(*kind),
                line: line.to_vec(),
            },
            None => Self {
                kind: ItemType::MENU,
                line: Vec::new(),
            },
        }
    }

    fn is_menu(&self) -> bool {
        matches!(self.kind, ItemType::MENU | ItemType::SEARCH)
    }

    /// What to call it.
    fn name(&self) -> Vec<u8> {
        let selector = self.line.split(|byte| *byte == b'\t').next();
        last_part(selector.unwrap_or_default()).unwrap_or_else(|| UNNAMED.to_vec())
    }
}

/// Which server's items are listed.
struct Here<'a> {
    host: &'a [u8],
    port: u16,
    ip: Option<IpAddr>,
}

impl Here<'_> {
    /// What a menu has of this server's.
    fn entries(&self, menu: &[u8]) -> Vec<Entry> {
        let mut names = Names::default();
        let lines = menu.split(|byte| *byte == b'\n');
        let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let items = lines
            .take_while(|line| *line != b".")
            .filter_map(Item::parse)
            .filter(|item| !matches!(item.kind, ItemType::INFO | ItemType::ERROR))
            .filter(|item| self.has(item));
        items.filter_map(|item| entry(&item, &mut names)).collect()
    }

    /// Whether an item is on this server: menus name it, or the address by which
    /// it was reached.
    fn has(&self, item: &Item<'_>) -> bool {
        let named = item.host.is_empty() || item.host.eq_ignore_ascii_case(self.host);
        let host = std::str::from_utf8(item.host).unwrap_or_default();
        let address = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        let local = host.eq_ignore_ascii_case("localhost");
        let reached = self
            .ip
            .is_some_and(|ip| address == Some(ip) || local && ip.is_loopback());
        item.port == self.port && (named || reached)
    }
}

/// `None` for an item that can't be asked for.
fn entry(item: &Item<'_>, names: &mut Names) -> Option<Entry> {
    Request::from_line(item.selector).ok()?;
    // The way back, which Gophernicus pads to the width of its columns.
    if matches!(item.display.trim_ascii(), b"." | b"..") {
        return None;
    }
    let path = [&[item.kind.0], item.selector].concat();
    let decoded = without_octal(item.selector);
    let named = [item.selector, &decoded].map(last_part);
    let row = |name: &&Vec<u8>| is_row_of(item.display, name);
    let shown = named.iter().flatten().find(row).cloned();
    let [named, _] = named;
    let name = shown.or_else(|| fit(item.display)).or(named);
    Some(Entry {
        name: names.distinct(name.unwrap_or_else(|| UNNAMED.to_vec())),
        path: RemotePath::root().join(&path),
        kind: kind(item),
        size: None,
        modified: None,
        mode: None,
    })
}

fn kind(item: &Item<'_>) -> Kind {
    let selector = item.selector.strip_prefix(b"/").unwrap_or(item.selector);
    match item.kind.0 {
        b'1' => Kind::Folder,
        // Phone books, sessions of Telnet, other servers; searches want a query.
        b'2' | b'8' | b'T' | b'+' | b'7' => Kind::Other,
        b'h' if selector.starts_with(b"URL:") => Kind::Other,
        _ => Kind::File,
    }
}

/// What can be the name of a file, made of what is shown.
fn fit(text: &[u8]) -> Option<Vec<u8>> {
    let bad = |byte: u8| byte.is_ascii_control() || byte == b'/';
    let safe = text
        .iter()
        .map(|byte| if bad(*byte) { b'_' } else { *byte });
    let name: Vec<u8> = safe.collect();
    let empty = name.trim_ascii().is_empty() || name == b"." || name == b"..";
    (!empty).then_some(name)
}

fn last_part(selector: &[u8]) -> Option<Vec<u8>> {
    let mut parts = selector.rsplit(|byte| *byte == b'/');
    parts.find(|part| !part.is_empty()).and_then(fit)
}

/// Whether what is shown is a row about `name`: Gophernicus has dates and sizes
/// in columns after it, and `...` where it is too long for its own.
fn is_row_of(display: &[u8], name: &[u8]) -> bool {
    let same = display
        .iter()
        .zip(name)
        .take_while(|(one, other)| one == other);
    let (begun, rest) = display.split_at(same.count());
    let columns = match rest.strip_prefix(b"...") {
        Some(columns) if !begun.is_empty() => columns,
        _ if begun.len() == name.len() => rest,
        _ => return false,
    };
    columns.starts_with(b"  ")
}

/// A selector as Gophernicus means it, where `#040` is a space.
fn without_octal(selector: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(selector.len());
    let mut rest = selector;
    while let [first, after @ ..] = rest {
        let octal = match rest {
            [b'#', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        decoded.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &rest[4..] } else { after };
    }
    decoded
}

/// For what has no name in any way.
const UNNAMED: &[u8] = b"item";

/// The names that are taken, and the number that makes the next one another.
#[derive(Default)]
struct Names(HashMap<Vec<u8>, u64>);

impl Names {
    fn distinct(&mut self, name: Vec<u8>) -> Vec<u8> {
        let mut candidate = name.clone();
        while self.0.contains_key(&candidate) {
            let number = self.0.entry(name.clone()).or_insert(1);
            *number += 1;
            candidate = [&name[..], format!(" ({number})").as_bytes()].concat();
        }
        self.0.insert(candidate.clone(), 1);
        candidate
    }
}

/// Whether an answer is no more than an item that says what went wrong.
#[derive(Debug, PartialEq, Eq)]
enum Failure<'a> {
    No,
    /// If nothing else follows.
    Perhaps,
    Whole(&'a [u8]),
}

impl<'a> Failure<'a> {
    fn of(answer: &'a [u8]) -> Self {
        if answer.len() > FAILURE || !matches!(answer.first(), None | Some(b'3')) {
            return Self::No;
        }
        let Some(end) = answer.iter().position(|byte| *byte == b'\n') else {
            return Self::Perhaps;
        };
        let line = answer[..end].strip_suffix(b"\r").unwrap_or(&answer[..end]);
        let fields = line.iter().filter(|byte| **byte == b'\t').count();
        let rest = &answer[end + 1..];
        match Item::parse(line) {
            Some(item) if fields >= 3 && b".\r\n".starts_with(rest) => Self::Whole(item.display),
            Some(item) if fields >= 3 && rest == b".\n" => Self::Whole(item.display),
            _ => Self::No,
        }
    }
}

/// The beginning of an answer, as far as it takes to tell that it is one.
async fn beginning(stream: &Stream) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    while Failure::of(&head) != Failure::No {
        let mut buffer = lease();
        let received = stream.recv(&mut buffer).await;
        match received.map_err(|error| Error::lost(&error))? {
            0 => break,
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    match Failure::of(&head) {
        Failure::Whole(text) => Err(refused(text)),
        Failure::No | Failure::Perhaps => Ok(head),
    }
}

/// Gopher has no codes: what can't be had is not there.
fn refused(text: &[u8]) -> Error {
    let text = visible(&String::from_utf8_lossy(text));
    let shown: String = text.chars().take(SHOWN).collect();
    Error::new(Reason::NotFound, format!("the server says: {shown}"))
}

/// A document on its way into a sink.
struct Body {
    sink: Box<dyn Sink>,
    /// For text, and for menus.
    decoder: Option<TextDecoder>,
    /// The sink has had all it wants.
    full: bool,
}

impl Body {
    fn give(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room =
                usize::try_from(self.sink.room()).map_or(bytes.len(), |n| n.min(bytes.len()));
            if room == 0 {
                self.full = true;
                return;
            }
            self.sink.take(&bytes[..room]);
            bytes = &bytes[room..];
        }
    }

    /// A text without its last line may have ended with half of it.
    fn finish(mut self) {
        let mut rest = Vec::new();
        if let Some(decoder) = self.decoder.take() {
            decoder.finish(&mut rest);
        }
        self.give(&rest);
    }
}

impl Sink for Body {
    fn room(&self) -> u64 {
        let done = self.decoder.as_ref().is_some_and(TextDecoder::is_done);
        if done || self.full {
            0
        } else {
            self.sink.room()
        }
    }

    fn expected(&self) -> u64 {
        0
    }

    fn take(&mut self, bytes: &[u8]) {
        match &mut self.decoder {
            Some(decoder) => {
                let mut text = Vec::with_capacity(bytes.len());
                decoder.decode(bytes, &mut text);
                self.give(&text);
            }
            None => self.give(bytes),
        }
    }
}

/// A menu, in memory.
struct Menu(Vec<u8>);

impl Sink for Menu {
    fn room(&self) -> u64 {
        MENU - self.0.len() as u64
    }

    fn expected(&self) -> u64 {
        0
    }

    fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// The longest menu: a hundred thousand items of a long line each.
const MENU: u64 = 16 * 1024 * 1024;

/// The longest answer that can be nothing but an error: one line, and more than
/// anybody reads of it.
const FAILURE: usize = 2048;

/// How much of an error is shown, in characters: a few lines.
const SHOWN: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> (char, String) {
        let target = Target::of(&Url::parse(url).unwrap().path);
        let line = String::from_utf8(target.line).unwrap();
        (char::from(target.kind.0), line)
    }

    #[test]
    fn rows_with_columns_are_about_the_name_in_the_selector() {
        for (display, name, expected) in [
            (
                "a b                  2001-Feb-06 04:05     0.1 KB",
                "a b",
                true,
            ),
            (
                "deep                 2026-Nov-28 11:28   --------",
                "deep",
                true,
            ),
            (
                "a very long na...    2026-Nov-28 11:28   --------",
                "a very long name",
                true,
            ),
            ("a b", "a b", false),
            ("a b c", "a b", false),
            ("A boat  of mine", "a boat", false),
            ("...  and more", "x", false),
        ] {
            let is = is_row_of(display.as_bytes(), name.as_bytes());
            assert_eq!(is, expected, "{display}");
        }
        assert_eq!(without_octal(b"/a#040b#045#8#"), b"/a b%#8#");
    }

    #[test]
    fn urls_are_a_type_and_a_selector() {
        for (url, kind, line) in [
            ("gopher://quay", '1', ""),
            ("gopher://quay/1", '1', ""),
            ("gopher://quay/1/", '1', ""),
            ("gopher://quay/0/a%20b/c.txt", '0', "/a b/c.txt"),
            ("gopher://quay/0readme", '0', "readme"),
            ("gopher://quay/1/a/", '1', "/a/"),
            ("gopher://quay/1%2Fa%2F/", '1', "/a/"),
            ("gopher://quay/9/100%2525", '9', "/100%25"),
            ("gopher://quay/7/find%09two words", '7', "/find\ttwo words"),
            ("gopher://quay/0/what?", '0', "/what?"),
        ] {
            assert_eq!(target(url), (kind, line.to_owned()), "{url}");
        }
    }

    #[test]
    fn menus_become_entries_with_safe_and_distinct_names() {
        let here = Here {
            host: b"quay",
            port: 70,
            ip: Some([192, 0, 2, 1].into()),
        };
        let menu = b"iWelcome\t\terror.host\t1\r\n\
            0Same\t/a\tQuay\t70\r\n0Same\t/a//../b\tquay\t70\r\n0Same (2)\t/c\tquay\t70\r\n\
            1..\t/x/..\t192.0.2.1\t70\r\n1../../etc\t/d\tquay\t70\r\n9\x1b[2J\t/e\tquay\t70\r\n\
            9 \t/f.bin\tquay\t70\r\n0elsewhere\t/g\tother\t70\r\n0other port\t/g\tquay\t71\r\n\
            hlink\tURL:http://x/\tquay\t70\r\nhpage\t/h.html\tquay\t70\r\n7find\t/s\tquay\t70\r\n\
            8telnet\tx\tquay\t70\r\n.\r\n0after\t/z\tquay\t70\r\n";
        let entries = here.entries(menu);
        let shown = entries.iter().map(|entry| {
            let name = String::from_utf8_lossy(&entry.name).into_owned();
            (name, entry.path.to_string(), entry.kind)
        });
        let expected = [
            ("Same", "/0/a", Kind::File),
            ("Same (2)", "/0/a//../b", Kind::File),
            ("Same (2) (2)", "/0/c", Kind::File),
            (".._.._etc", "/1/d", Kind::Folder),
            ("_[2J", "/9/e", Kind::File),
            ("f.bin", "/9/f.bin", Kind::File),
            ("link", "/hURL:http://x/", Kind::Other),
            ("page", "/h/h.html", Kind::File),
            ("find", "/7/s", Kind::Other),
            ("telnet", "/8x", Kind::Other),
        ];
        let expected = expected.map(|(name, path, kind)| (name.to_owned(), path.to_owned(), kind));
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        // A selector is sent as it was shown.
        assert_eq!(Target::of(&entries[1].path).line, b"/a//../b");
        assert_eq!(Target::of(&entries[3].path.as_folder()).line, b"/d");
    }

    #[test]
    fn an_error_is_one_only_alone() {
        for (answer, expected) in [
            (&b""[..], Failure::Perhaps),
            (b"3No such", Failure::Perhaps),
            (b"3No such\t\terror.host\t1\r\n", Failure::Whole(b"No such")),
            (
                b"3No such\t\terror.host\t1\r\n.\r\n",
                Failure::Whole(b"No such"),
            ),
            (
                b"3No such\t\terror.host\t1\n.\n",
                Failure::Whole(b"No such"),
            ),
            (
                b"3No such\t\terror.host\t1\r\n0a\t/a\tx\t70\r\n.\r\n",
                Failure::No,
            ),
            (b"30 days\r\n.\r\n", Failure::No),
            (b"hello", Failure::No),
        ] {
            assert_eq!(Failure::of(answer), expected, "{}", answer.escape_ascii());
        }
    }
}
