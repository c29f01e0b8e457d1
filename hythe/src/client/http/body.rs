//! Bodies on their way into a sink.
//!
//! ```text
//!   channel.pour ─► Framed: so many bytes │ chunks │ to the end
//!                     └─► Coded: as it is │ gzip │ deflate │ br │ zstd
//!                           └─► the sink that was given
//! ```
//!
//! A body as long as announced and in no coding passes through as it came, in
//! the pieces that the channel received.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use hythe_net::Sink;
use hythe_wire::http::{Body, Chunked};

use super::super::{Error, Reason, Result};
use super::zstd::Zstd;

/// How content is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// What these codings amount to, as `Content-Encoding` has them.
    pub(super) fn of(codings: &[String]) -> Result<Self> {
        match codings {
            [] => Ok(Self::Identity),
            [one] if matches!(one.as_str(), "gzip" | "x-gzip") => Ok(Self::Gzip),
            [one] if one == "deflate" => Ok(Self::Deflate),
            [one] if one == "br" => Ok(Self::Brotli),
            [one] if one == "zstd" => Ok(Self::Zstd),
            others => Err(Error::unsupported(format!(
                "the server sends it in a coding that was not asked for ({})",
                super::answer::shown(others.join(", ").as_bytes())
            ))),
        }
    }
}

/// Takes a body as it comes over the wire.
pub(super) struct Framed {
    left: Left,
    /// How much is still to come, where that was announced besides.
    announced: Option<u64>,
    sink: Coded,
    wrong: Option<Error>,
}

enum Left {
    Bytes(u64),
    Chunks(Chunked),
    UntilClose,
}

/// How a body came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All of it was read; the next answer follows.
    Whole,
    /// The sink has all it wants, and there is more.
    Left,
}

impl Framed {
    pub(super) fn new(body: Body, coding: Coding, sink: Box<dyn Sink>) -> Self {
        Self {
            left: match body {
                Body::None => Left::Bytes(0),
                Body::Length(length) => Left::Bytes(length),
                Body::Chunked => Left::Chunks(Chunked::new()),
                Body::UntilClose => Left::UntilClose,
            },
            announced: None,
            sink: Coded::new(coding, sink),
            wrong: None,
        }
    }

    /// The same, and there must be so many bytes however they are framed.
    pub(super) fn announced(self, announced: Option<u64>) -> Self {
        Self { announced, ..self }
    }

    /// Takes what came together with the head, and leaves what is behind the
    /// body.
    pub(super) fn take_first(&mut self, bytes: &mut Vec<u8>) {
        let mut used = 0;
        while used < bytes.len() && self.room() > 0 {
            used += self.step(&bytes[used..]);
        }
        bytes.drain(..used);
    }

    /// One stretch of data, or of framing: how much was used.
    fn step(&mut self, bytes: &[u8]) -> usize {
        let room = usize::try_from(self.sink.room()).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(room)];
        let (used, data) = match &mut self.left {
            Left::Bytes(left) => {
                let used = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= used as u64;
                (used, &bytes[..used])
            }
            Left::UntilClose => (bytes.len(), bytes),
            Left::Chunks(chunks) => match chunks.decode(bytes) {
                Ok(step) => (step.consumed, step.data),
                Err(error) => {
                    self.wrong = Some(Error::protocol(format!("a broken body: {}", error.reason)));
                    return bytes.len();
                }
            },
        };
        if let Some(announced) = &mut self.announced {
            match announced.checked_sub(data.len() as u64) {
                Some(left) => *announced = left,
                None => {
                    self.wrong = Some(Error::protocol("more comes than was announced"));
                    return used;
                }
            }
        }
        if !data.is_empty()
            && let Err(error) = self.sink.take(data)
        {
            self.wrong = Some(error);
        }
        used
    }

    fn is_whole(&self) -> bool {
        match &self.left {
            Left::Bytes(left) => *left == 0,
            Left::Chunks(chunks) => chunks.is_done(),
            Left::UntilClose => false,
        }
    }

    /// What it comes to. `closed` is whether the server has ended the stream.
    pub(super) fn end(mut self, closed: bool) -> Result<End> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let whole = self.is_whole();
        if whole && self.announced.is_some_and(|left| left > 0) {
            return Err(Error::protocol("less came than was announced"));
        }
        if whole || (closed && matches!(self.left, Left::UntilClose)) {
            self.sink.finish()?;
        } else if self.sink.room() > 0 {
            let text = match self.left {
                Left::Bytes(left) => {
                    format!("the server ended the connection {left} bytes before the end")
                }
                _ => "the server ended the connection before the end".into(),
            };
            return Err(Error::new(Reason::Lost, text));
        }
        Ok(if whole { End::Whole } else { End::Left })
    }
}

impl Sink for Framed {
    fn room(&self) -> u64 {
        if self.wrong.is_some() || self.is_whole() {
            return 0;
        }
        match self.left {
            Left::Bytes(left) => left.min(self.sink.room()),
            // Framing makes it longer, and no part of it shorter.
            Left::Chunks(_) | Left::UntilClose => self.sink.room(),
        }
    }

    fn expected(&self) -> u64 {
        match &self.left {
            Left::Bytes(left) => *left,
            Left::Chunks(chunks) => chunks.expected(),
            Left::UntilClose => 0,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut used = 0;
        while used < bytes.len() && self.room() > 0 {
            used += self.step(&bytes[used..]);
        }
    }
}

/// How much a decoder of brotli writes at a time.
const BROTLI_BUFFER: usize = 64 * 1024;

/// Takes content as it is coded.
enum Coded {
    Identity(Box<dyn Sink>),
    Gzip(Box<MultiGzDecoder<Outlet>>),
    Zlib(Box<ZlibDecoder<Outlet>>),
    Deflate(Box<DeflateDecoder<Outlet>>),
    Brotli(Box<DecompressorWriter<Outlet>>),
    Zstd(Box<Zstd>),
    /// `deflate` is the format of zlib (RFC 9110 section 8.4.1.2), but some
    /// servers send it bare: the first byte tells.
    Unknown(Option<Outlet>),
}

impl Coded {
    fn new(coding: Coding, sink: Box<dyn Sink>) -> Self {
        match coding {
            Coding::Identity => Self::Identity(sink),
            Coding::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(Outlet(sink)))),
            Coding::Deflate => Self::Unknown(Some(Outlet(sink))),
            Coding::Brotli => {
                let decoder = DecompressorWriter::new(Outlet(sink), BROTLI_BUFFER);
                Self::Brotli(Box::new(decoder))
            }
            Coding::Zstd => Self::Zstd(Box::new(Zstd::new(Outlet(sink)))),
        }
    }

    fn outlet(&self) -> Option<&Outlet> {
        match self {
            Self::Identity(_) => None,
            Self::Gzip(decoder) => Some(decoder.get_ref()),
            Self::Zlib(decoder) => Some(decoder.get_ref()),
            Self::Deflate(decoder) => Some(decoder.get_ref()),
            Self::Brotli(decoder) => Some(decoder.get_ref()),
            Self::Zstd(decoder) => Some(decoder.outlet()),
            Self::Unknown(outlet) => outlet.as_ref(),
        }
    }

    fn room(&self) -> u64 {
        match self {
            Self::Identity(sink) => sink.room(),
            // How long it becomes, nobody knows before.
            _ => match self.outlet() {
                Some(outlet) if outlet.0.room() > 0 => u64::MAX,
                _ => 0,
            },
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if let Self::Unknown(outlet) = self
            && let Some(outlet) = outlet.take()
        {
            // The method in a zlib header is 8; a bare stream that began so
            // would be of a kind that no compressor makes.
            *self = if bytes.first().is_some_and(|first| first & 0x0f == 8) {
                Self::Zlib(Box::new(ZlibDecoder::new(outlet)))
            } else {
                Self::Deflate(Box::new(DeflateDecoder::new(outlet)))
            };
        }
        let taken = match self {
            Self::Identity(sink) => {
                sink.take(bytes);
                return Ok(());
            }
            Self::Gzip(decoder) => decoder.write_all(bytes),
            Self::Zlib(decoder) => decoder.write_all(bytes),
            Self::Deflate(decoder) => decoder.write_all(bytes),
            Self::Brotli(decoder) => decoder.write_all(bytes),
            Self::Zstd(decoder) => decoder.take(bytes),
            Self::Unknown(_) => return Ok(()),
        };
        self.judge(taken)
    }

    /// That all has come: what is compressed tells whether that is so.
    fn finish(&mut self) -> Result<()> {
        let finished = match self {
            Self::Identity(_) | Self::Unknown(_) => return Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Deflate(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
            Self::Zstd(decoder) => decoder.finish(),
        };
        self.judge(finished)
    }

    fn judge(&self, result: io::Result<()>) -> Result<()> {
        match result {
            // It fails where the sink wants no more, too.
            Err(_) if self.outlet().is_some_and(|outlet| outlet.0.room() > 0) => {
                Err(Error::protocol("what came can't be decompressed"))
            }
            _ => Ok(()),
        }
    }
}

/// A sink as a writer.
pub(super) struct Outlet(Box<dyn Sink>);

impl io::Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = usize::try_from(self.0.room()).unwrap_or(usize::MAX);
        let length = bytes.len().min(room);
        if length > 0 {
            self.0.take(&bytes[..length]);
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps what comes, up to a limit.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl Kept {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Arc::default(),
            limit,
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        std::mem::take(&mut self.bytes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Kept {
    fn room(&self) -> u64 {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        self.limit.saturating_sub(bytes.len()) as u64
    }

    fn expected(&self) -> u64 {
        0
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut kept = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn taken(body: Body, coding: Coding, bytes: &[u8], piece: usize) -> (Vec<u8>, Result<End>) {
        let kept = Kept::new(1000);
        let mut framed = Framed::new(body, coding, Box::new(kept.clone()));
        for piece in bytes.chunks(piece) {
            framed.take(piece);
        }
        let end = framed.end(true);
        (kept.into_bytes(), end)
    }

    /// `river water river water`, as Node has it.
    const BROTLI: &[u8] = &[
        27, 22, 0, 248, 165, 203, 210, 228, 236, 212, 42, 192, 212, 2, 231, 200, 41, 62,
    ];

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn large_bodies_come_out_whole_in_small_memory() {
        let text: Vec<u8> = (0..700_000_u32)
            .flat_map(|i| (i / 7).to_le_bytes())
            .collect();
        let bytes = zstd(&text);
        let kept = Kept::new(10_000_000);
        let length = bytes.len() as u64;
        let mut framed = Framed::new(Body::Length(length), Coding::Zstd, Box::new(kept.clone()));
        for piece in bytes.chunks(5000) {
            framed.take(piece);
        }
        assert_eq!(framed.end(true), Ok(End::Whole));
        assert!(kept.into_bytes() == text);
        // Four bytes a block, each of which stands for 128 KiB.
        let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
        bomb.extend([0x02, 0, 0x10, b'x'].repeat(100_000));
        let (kept, end) = taken(Body::UntilClose, Coding::Zstd, &bomb, 4096);
        assert_eq!((kept.len(), end), (1000, Ok(End::Left)));
    }

    #[test]
    fn bodies_come_out_whole_however_they_come() {
        let text = b"river water river water";
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text).unwrap();
        zlib.write_all(text).unwrap();
        deflate.write_all(text).unwrap();
        let (gzip, zlib) = (gzip.finish().unwrap(), zlib.finish().unwrap());
        let deflate = deflate.finish().unwrap();
        for (coding, bytes) in [
            (Coding::Identity, text.to_vec()),
            (Coding::Gzip, gzip),
            (Coding::Deflate, zlib),
            (Coding::Deflate, deflate),
            (Coding::Brotli, BROTLI.to_vec()),
            (Coding::Zstd, zstd(text)),
        ] {
            let length = bytes.len();
            let chunks = [
                format!("{length:x};x=y\r\n").as_bytes(),
                &bytes,
                b"\r\n0\r\nA: b\r\n\r\n",
            ]
            .concat();
            let cut = &bytes[..length - 1];
            for piece in [1, 2, 7, 1000] {
                let whole = taken(Body::Length(length as u64), coding, &bytes, piece);
                assert_eq!(whole, (text.to_vec(), Ok(End::Whole)), "{coding:?} {piece}");
                let whole = taken(Body::Chunked, coding, &chunks, piece);
                assert_eq!(whole, (text.to_vec(), Ok(End::Whole)), "{coding:?} {piece}");
                let whole = taken(Body::UntilClose, coding, &bytes, piece);
                assert_eq!(whole, (text.to_vec(), Ok(End::Left)), "{coding:?} {piece}");
                let (_, end) = taken(Body::Length(length as u64), coding, cut, piece);
                assert_eq!(end.unwrap_err().reason, Reason::Lost);
                let (_, end) = taken(Body::Chunked, coding, &chunks[..chunks.len() - 1], piece);
                assert_eq!(end.unwrap_err().reason, Reason::Lost);
            }
        }
        let (_, end) = taken(Body::Length(3), Coding::Gzip, b"abc", 1);
        assert_eq!(end.unwrap_err().reason, Reason::Protocol);
        let (_, end) = taken(Body::Chunked, Coding::Identity, b"z\r\n", 1);
        assert_eq!(end.unwrap_err().reason, Reason::Protocol);
    }

    #[test]
    fn a_sink_that_is_full_gets_no_more() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&[0; 1_000_000]).unwrap();
        let bytes = gzip.finish().unwrap();
        let (kept, end) = taken(Body::UntilClose, Coding::Gzip, &bytes, 100);
        assert_eq!((kept.len(), end), (1000, Ok(End::Left)));
        let (kept, end) = taken(Body::Length(2000), Coding::Identity, &[0; 2000], 300);
        assert_eq!((kept.len(), end), (1000, Ok(End::Left)));
    }
}
