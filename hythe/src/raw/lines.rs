//! What may be done to bytes on their way: line ends for protocols that want
//! CR LF, and a dump for people who want to see every byte.

use std::io::Write as _;

/// Makes line ends CR LF, across pieces; those that are, stay.
#[derive(Debug, Default)]
pub(super) struct CrLf {
    after_cr: bool,
}

impl CrLf {
    pub(super) fn convert(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut converted = Vec::with_capacity(bytes.len() + bytes.len() / 16);
        for &byte in bytes {
            if byte == b'\n' && !self.after_cr {
                converted.push(b'\r');
            }
            self.after_cr = byte == b'\r';
            converted.push(byte);
        }
        converted
    }
}

/// How many bytes a line of a dump shows, as `hexdump -C` does.
const WIDTH: usize = 16;

/// Shows the bytes of one direction, each piece on lines of its own:
///
/// ```text
/// < 00000000  48 54 54 50 2f 31 2e 31  20 32 30 30 20 4f 4b 0d  |HTTP/1.1 200 OK.|
/// ```
#[derive(Debug)]
pub(super) struct Dump {
    mark: char,
    offset: u64,
}

impl Dump {
    /// Of what is sent.
    pub(super) fn sent() -> Self {
        Self {
            mark: '>',
            offset: 0,
        }
    }

    /// Of what is received.
    pub(super) fn received() -> Self {
        Self {
            mark: '<',
            offset: 0,
        }
    }

    pub(super) fn show(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len() * 5);
        for row in bytes.chunks(WIDTH) {
            self.row(row, &mut text);
        }
        text
    }

    fn row(&mut self, row: &[u8], text: &mut Vec<u8>) {
        let mut columns = String::new();
        for (index, byte) in row.iter().enumerate() {
            let gap = if index == WIDTH / 2 { "  " } else { " " };
            columns.push_str(&format!("{gap}{byte:02x}"));
        }
        let shown: String = row
            .iter()
            .map(|byte| match byte {
                b' '..=b'~' => char::from(*byte),
                _ => '.',
            })
            .collect();
        // Writing to memory does not fail.
        _ = writeln!(
            text,
            "{} {:08x} {columns:<49}  |{shown}|",
            self.mark, self.offset
        );
        self.offset += row.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_converted_wherever_the_pieces_are_cut() {
        let text = "a\nb\r\n\n中文\r\r\n\n".as_bytes();
        let expected = "a\r\nb\r\n\r\n中文\r\r\n\r\n".as_bytes();
        for cut in 0..=text.len() {
            let mut crlf = CrLf::default();
            let pieces = [crlf.convert(&text[..cut]), crlf.convert(&text[cut..])];
            assert_eq!(pieces.concat(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_dump_has_offsets_bytes_and_letters() {
        let mut dump = Dump::received();
        let text = dump.show(b"HTTP/1.1 200 OK\r\n");
        let expected = "\
            < 00000000  48 54 54 50 2f 31 2e 31  20 32 30 30 20 4f 4b 0d  |HTTP/1.1 200 OK.|\n\
            < 00000010  0a                                                |.|\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        let next = dump.show("好".as_bytes());
        assert!(next.starts_with(b"< 00000011  e5 a5 bd  "));
    }
}
