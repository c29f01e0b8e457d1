//! Lines of listings: the facts of MLSD and MLST (RFC 3659 section 7), and what `ls -l` prints,
//! which no RFC describes and every client parses.
//!
//! A line can't hold a line end, and neither listing has a way to escape one. In names that are
//! written here CR, LF and NUL therefore become `?`: such a file is seen, but can't be fetched by
//! the name shown, and a file name can't forge an entry.

use alloc::vec::Vec;
use core::str;

use super::breaks_line;
use crate::http::{parse_decimal, push_decimal};

/// One line of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// When it was last modified, in Unix seconds.
    pub modified: Option<i64>,
    /// The permission bits, 0 to 0o777; MLSD does not carry them.
    pub mode: Option<u16>,
    /// The letters of the `perm` fact (RFC 3659 section 7.5.5); `ls` does not carry them.
    pub perm: Option<&'a [u8]>,
    /// The `unique` fact: the same for two names of one file; `ls` does not carry it.
    pub unique: Option<&'a [u8]>,
    /// Its name: any bytes.
    pub name: &'a [u8],
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// The folder that is listed (`cdir`).
    Listed,
    /// A parent of the folder that is listed (`pdir`).
    Parent,
    /// A symbolic link.
    Link,
    /// A device, socket or the like.
    Other,
}

/// A fact about an entry (RFC 3659 section 7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the fact it is named after")]
pub enum Fact {
    Type,
    Perm,
    Size,
    Modify,
    Unique,
}

impl Fact {
    /// Every fact, in the order they are written.
    pub const ALL: [Self; 5] = [
        Self::Type,
        Self::Perm,
        Self::Size,
        Self::Modify,
        Self::Unique,
    ];

    /// Its name, in lower case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Size => "size",
            Self::Modify => "modify",
            Self::Perm => "perm",
            Self::Unique => "unique",
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|fact| name.eq_ignore_ascii_case(fact.as_str().as_bytes()))
    }
}

/// A set of facts: those a client asked for with `OPTS MLST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts(u8);

impl Facts {
    /// All there are: what a session begins with.
    pub const ALL: Self = Self(0b11111);

    /// Reads `type;size;`; facts we don't know are left out (RFC 3659 section 7.9).
    pub fn parse(text: &[u8]) -> Self {
        let facts = text.split(|byte| *byte == b';').filter_map(Fact::parse);
        Self(facts.fold(0, |set, fact| set | 1 << fact as u8))
    }

    /// Whether `fact` is in the set.
    pub const fn contains(self, fact: Fact) -> bool {
        self.0 >> fact as u8 & 1 != 0
    }

    /// Appends `type;size;`, for the reply to `OPTS MLST`.
    pub fn write(self, out: &mut Vec<u8>) {
        for fact in Fact::ALL.into_iter().filter(|fact| self.contains(*fact)) {
            out.extend_from_slice(fact.as_str().as_bytes());
            out.push(b';');
        }
    }

    /// Appends `type*;size;`, for FEAT, which marks the facts that are switched on.
    pub fn write_feature(self, out: &mut Vec<u8>) {
        for fact in Fact::ALL {
            out.extend_from_slice(fact.as_str().as_bytes());
            out.extend_from_slice(if self.contains(fact) { b"*;" } else { b";" });
        }
    }
}

/// Appends an MLSD line with those facts of `entry` that are known and in `facts`, without a line
/// end.
///
/// ```
/// use hythe_wire::ftp::{Entry, Facts, Kind, write_facts};
///
/// let entry = Entry {
///     kind: Kind::File,
///     size: Some(12),
///     modified: Some(0),
///     mode: None,
///     perm: Some(b"r"),
///     unique: None,
///     name: b"river.txt",
/// };
/// let mut out = Vec::new();
/// write_facts(&mut out, &entry, Facts::ALL);
/// assert_eq!(out, b"type=file;perm=r;size=12;modify=19700101000000; river.txt");
/// ```
pub fn write_facts(out: &mut Vec<u8>, entry: &Entry<'_>, facts: Facts) {
    let fact = |out: &mut Vec<u8>, fact: Fact, value: &[u8]| {
        if facts.contains(fact) {
            out.extend_from_slice(fact.as_str().as_bytes());
            out.push(b'=');
            let safe = |byte: &u8| byte.is_ascii_graphic() && *byte != b';';
            out.extend(value.iter().filter(|byte| safe(byte)));
            out.push(b';');
        }
    };
    fact(out, Fact::Type, type_name(entry.kind));
    if let Some(perm) = entry.perm {
        fact(out, Fact::Perm, perm);
    }
    if let Some(size) = entry.size {
        let mut digits = Vec::new();
        push_decimal(&mut digits, size);
        fact(out, Fact::Size, &digits);
    }
    if let Some(modified) = entry.modified {
        fact(out, Fact::Modify, &format_time(modified));
    }
    if let Some(unique) = entry.unique {
        fact(out, Fact::Unique, unique);
    }
    out.push(b' ');
    push_name(out, entry.name);
}

const fn type_name(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::File => b"file",
        Kind::Folder => b"dir",
        Kind::Listed => b"cdir",
        Kind::Parent => b"pdir",
        Kind::Link => b"OS.unix=slink",
        Kind::Other => b"OS.unix=other",
    }
}

/// Reads an MLSD line without its line end; `None` if it is none or has no name.
pub fn parse_facts(line: &[u8]) -> Option<Entry<'_>> {
    let at = memchr::memchr(b' ', line)?;
    let (facts, name) = (&line[..at], &line[at + 1..]);
    if name.is_empty() || name.iter().any(|byte| breaks_line(*byte)) {
        return None;
    }
    let mut entry = Entry {
        kind: Kind::Other,
        size: None,
        modified: None,
        mode: None,
        perm: None,
        unique: None,
        name,
    };
    for fact in facts
        .split(|byte| *byte == b';')
        .filter(|fact| !fact.is_empty())
    {
        let at = memchr::memchr(b'=', fact)?;
        let value = &fact[at + 1..];
        match Fact::parse(&fact[..at]) {
            Some(Fact::Type) => entry.kind = parse_type(value),
            Some(Fact::Size) => entry.size = parse_decimal(value),
            Some(Fact::Modify) => entry.modified = parse_time(value),
            Some(Fact::Perm) => entry.perm = Some(value),
            Some(Fact::Unique) => entry.unique = Some(value),
            None => {}
        }
    }
    Some(entry)
}

fn parse_type(value: &[u8]) -> Kind {
    // `OS.unix=slink:/target` is what some servers write.
    let value = value.split(|byte| *byte == b':').next().unwrap_or_default();
    [
        Kind::File,
        Kind::Folder,
        Kind::Listed,
        Kind::Parent,
        Kind::Link,
    ]
    .into_iter()
    .find(|kind| value.eq_ignore_ascii_case(type_name(*kind)))
    .unwrap_or(Kind::Other)
}

/// How long a file's time is shown to the minute, in seconds. `ls` changes to the year after half
/// a year, so that the month alone never names two years.
const RECENT: i64 = 180 * 86400;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Appends the line `ls -l` would print for `entry` at the time `now`, in UTC and without a line
/// end.
///
/// ```
/// use hythe_wire::ftp::{Entry, Kind, write_ls};
///
/// let entry = Entry {
///     kind: Kind::Folder,
///     size: Some(4096),
///     modified: Some(1_000_000_000),
///     mode: None,
///     perm: None,
///     unique: None,
///     name: b"boats",
/// };
/// let mut out = Vec::new();
/// write_ls(&mut out, &entry, 1_000_000_060);
/// assert_eq!(out, b"drwxr-xr-x   1 owner    group            4096 Sep 09 01:46 boats");
/// ```
pub fn write_ls(out: &mut Vec<u8>, entry: &Entry<'_>, now: i64) {
    let (letter, usual_mode) = match entry.kind {
        Kind::Folder | Kind::Listed | Kind::Parent => (b'd', 0o755),
        Kind::Link => (b'l', 0o777),
        Kind::File | Kind::Other => (b'-', 0o644),
    };
    let mode = entry.mode.unwrap_or(usual_mode);
    out.push(letter);
    for (bit, letter) in b"rwxrwxrwx".iter().enumerate() {
        out.push(if mode >> (8 - bit) & 1 != 0 {
            *letter
        } else {
            b'-'
        });
    }
    let modified = entry.modified.unwrap_or(0);
    let date = Date::from_unix(modified);
    let month = str::from_utf8(MONTHS[usize::from(date.month - 1)]).unwrap_or_default();
    let size = entry.size.unwrap_or(0);
    let day = date.day;
    let text = if (0..RECENT).contains(&now.saturating_sub(modified)) {
        let (hour, minute) = (date.hour, date.minute);
        alloc::format!("   1 owner    group {size:>15} {month} {day:02} {hour:02}:{minute:02} ")
    } else {
        let year = date.year;
        alloc::format!("   1 owner    group {size:>15} {month} {day:02}  {year:04} ")
    };
    out.extend_from_slice(text.as_bytes());
    push_name(out, entry.name);
}

/// Reads a line of `ls -l` without its line end, as it was printed at the time `now` in UTC.
///
/// `None` for a line that is none, such as `total 12`. Owner and group may be missing or have
/// spaces in them: the month is what is looked for.
pub fn parse_ls(line: &[u8], now: i64) -> Option<Entry<'_>> {
    let kind = match line.first()? {
        b'-' => Kind::File,
        b'd' => Kind::Folder,
        b'l' => Kind::Link,
        b'b' | b'c' | b'p' | b's' | b'D' => Kind::Other,
        _ => return None,
    };
    let mode = Some(parse_mode(line.get(1..10)?)?);
    let mut start = memchr::memchr(b' ', line)?;
    loop {
        let (word, end) = next_word(line, start)?;
        if let Some((modified, name_at)) = parse_ls_time(line, end, now) {
            let (size, name) = (parse_decimal(word), line.get(name_at..)?);
            let name = match memchr::memmem::find(name, b" -> ") {
                Some(at) if kind == Kind::Link => &name[..at],
                _ => name,
            };
            if name.is_empty() || name.iter().any(|byte| breaks_line(*byte)) {
                return None;
            }
            let modified = Some(modified);
            return Some(Entry {
                kind,
                size,
                modified,
                mode,
                perm: None,
                unique: None,
                name,
            });
        }
        start = end;
    }
}

/// The permission bits of `rwxr-xr-x`. The letters of set-id and sticky bits count as `x` where
/// they are small.
fn parse_mode(letters: &[u8]) -> Option<u16> {
    let mut mode = 0;
    for letter in letters {
        mode = mode << 1
            | match letter {
                b'r' | b'w' | b'x' | b's' | b't' => 1,
                b'-' | b'S' | b'T' => 0,
                _ => return None,
            };
    }
    Some(mode)
}

/// The word that begins at or after `at`, and where it ends.
fn next_word(line: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = line.get(at..)?;
    let start = rest.iter().position(|byte| *byte != b' ')?;
    let length = memchr::memchr(b' ', &rest[start..]).unwrap_or(rest.len() - start);
    Some((&rest[start..start + length], at + start + length))
}

/// Reads `Mon DD HH:MM ` or `Mon DD  YYYY ` at `at`; also gives where the name begins: after one
/// space, since more belong to the name.
fn parse_ls_time(line: &[u8], at: usize, now: i64) -> Option<(i64, usize)> {
    let (month, at) = next_word(line, at)?;
    let month = MONTHS
        .iter()
        .position(|name| month.eq_ignore_ascii_case(*name))? as u8
        + 1;
    let (day, at) = next_word(line, at)?;
    let day = small(day)?;
    let (last, at) = next_word(line, at)?;
    let mut date = Date {
        year: 0,
        month,
        day,
        hour: 0,
        minute: 0,
        second: 0,
    };
    if let Some(colon) = memchr::memchr(b':', last) {
        date.hour = small(&last[..colon])?;
        date.minute = small(&last[colon + 1..])?;
        date.year = Date::from_unix(now).year;
        // No year is shown for the last half year, so what would be tomorrow or later was last
        // year; a day of grace is for servers that list in their own time zone. A 29 February
        // only exists in one of the two.
        if date
            .to_unix()
            .is_none_or(|time| time > now.saturating_add(86400))
        {
            date.year = date.year.checked_sub(1)?;
        }
    } else {
        date.year = u16::try_from(parse_decimal(last)?).ok()?;
    }
    Some((date.to_unix()?, at + 1))
}

fn small(text: &[u8]) -> Option<u8> {
    parse_decimal(text)?.try_into().ok()
}

fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    out.extend(
        name.iter()
            .map(|byte| if breaks_line(*byte) { b'?' } else { *byte }),
    );
}

/// A moment in UTC, as a calendar has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// The year, 0 to 9999.
    pub year: u16,
    /// The month, 1 to 12.
    pub month: u8,
    /// The day of the month, 1 to 31.
    pub day: u8,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The minute, 0 to 59.
    pub minute: u8,
    /// The second, 0 to 59.
    pub second: u8,
}

impl Date {
    /// The first and last second of the years that four digits can name.
    const FIRST: i64 = -62_167_219_200;
    const LAST: i64 = 253_402_300_799;

    /// The date of a moment in Unix seconds; of the nearest one in the years 0 to 9999.
    pub fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(Self::FIRST, Self::LAST);
        let (days, time) = (seconds.div_euclid(86400), seconds.rem_euclid(86400));
        // Days are counted from 1 March of the year 0, so that a leap day is the last of its
        // year, and in eras of 400 years, after which the calendar repeats. (Howard Hinnant,
        // "chrono-Compatible Low-Level Date Algorithms".)
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self {
            year: year as u16,
            month: month as u8,
            day: (day_of_year - (153 * from_march + 2) / 5 + 1) as u8,
            hour: (time / 3600) as u8,
            minute: (time / 60 % 60) as u8,
            second: (time % 60) as u8,
        }
    }

    /// The moment in Unix seconds; `None` if there is no such date. A leap second (60) is the
    /// second after it.
    pub fn to_unix(self) -> Option<i64> {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self;
        let in_range = year <= 9999
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !in_range {
            return None;
        }
        // The same count from 1 March, the other way.
        let year = i64::from(year) - i64::from(month <= 2);
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let from_march = (i64::from(month) + 9) % 12;
        let day_of_year = (153 * from_march + 2) / 5 + i64::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        let midnight = days * 86400;
        // A day past the end of its month comes back as another day.
        (Self::from_unix(midnight).day == day)
            .then(|| midnight + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second))
    }
}

/// `YYYYMMDDHHMMSS` in UTC, for MDTM, MFMT and the `modify` fact (RFC 3659 section 2.3).
pub fn format_time(seconds: i64) -> [u8; 14] {
    let Date {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = Date::from_unix(seconds);
    let pairs = [
        (year / 100) as u8,
        (year % 100) as u8,
        month,
        day,
        hour,
        minute,
        second,
    ];
    let mut text = [0; 14];
    for (digits, pair) in text.chunks_exact_mut(2).zip(pairs) {
        digits.copy_from_slice(&[b'0' + pair / 10, b'0' + pair % 10]);
    }
    text
}

/// Reads `YYYYMMDDHHMMSS` with or without a fraction, which is dropped; in Unix seconds.
pub fn parse_time(text: &[u8]) -> Option<i64> {
    let (digits, fraction) = text.split_at_checked(14)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    match fraction {
        [] => {}
        [b'.', fraction @ ..] if !fraction.is_empty() => {
            if !fraction.iter().all(u8::is_ascii_digit) {
                return None;
            }
        }
        _ => return None,
    }
    let pair = |at: usize| (digits[at] - b'0') * 10 + digits[at + 1] - b'0';
    Date {
        year: u16::from(pair(0)) * 100 + u16::from(pair(2)),
        month: pair(4),
        day: pair(6),
        hour: pair(8),
        minute: pair(10),
        second: pair(12),
    }
    .to_unix()
}
