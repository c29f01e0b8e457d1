//! Lines out of a Telnet stream (RFC 959 section 5.3, RFC 854).

use alloc::vec::Vec;

use super::{Command, Error};

/// The longest command line in bytes, line end excluded: twice Linux's `PATH_MAX`, so that the
/// longest path there is fits, with room for a verb and options.
pub const MAX_LINE: usize = 8192;

/// The most Telnet commands in one line. An ABOR brings two; a flood of them is an attack that
/// costs the sender nothing and never becomes a line.
pub const MAX_TELNET: usize = 16;

/// Cuts what arrives on a control connection into lines, without Telnet's commands.
///
/// A line ends with LF; a CR before it belongs to the line end. The line is collected in here,
/// since with Telnet commands in it it is no stretch of the input; at most [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    telnet: Telnet,
    telnet_commands: usize,
    /// The line was given out, and the next call begins another.
    given: bool,
    /// The line was too long, which has been said; what is left of it is dropped.
    discarding: bool,
}

#[derive(Debug, Default)]
enum Telnet {
    #[default]
    Text,
    /// After IAC.
    Command,
    /// After WILL, WONT, DO or DONT.
    Option,
}

const IAC: u8 = 255;
const FIRST_OPTION: u8 = 251; // WILL, then WONT, DO, DONT
/// The commands without an operand begin here (240, SE); DM is 242 and IP 244.
const FIRST_COMMAND: u8 = 240;

impl Lines {
    /// A decoder at the start of a line.
    pub const fn new() -> Self {
        Self {
            line: Vec::new(),
            telnet: Telnet::Text,
            telnet_commands: 0,
            given: false,
            discarding: false,
        }
    }

    /// The next line, without its line end; `input` is advanced past what was used. `Ok(None)`
    /// means that all of it was used and the line is not complete.
    ///
    /// # Errors
    /// 500 for a line longer than [`MAX_LINE`], once; the next call goes on after that line. 421
    /// for one that is a browser's, and for more than [`MAX_TELNET`] Telnet commands, after which
    /// the connection should be closed.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Error> {
        if core::mem::take(&mut self.given) {
            self.line.clear();
        }
        while let [byte, rest @ ..] = *input {
            *input = rest;
            let Some(byte) = self.strip_telnet(*byte)? else {
                continue;
            };
            if byte == b'\n' {
                self.telnet_commands = 0;
                if core::mem::take(&mut self.discarding) {
                    continue;
                }
                self.given = true;
                return Ok(Some(self.line.strip_suffix(b"\r").unwrap_or(&self.line)));
            }
            if self.discarding {
                continue;
            }
            if self.line.len() > MAX_LINE || (self.line.len() == MAX_LINE && byte != b'\r') {
                // A browser that was tricked into talking to us (ALPACA): a web page chooses how
                // long this line is, and what the commands after it are.
                let browser = Command::parse(&self.line) == Ok(Command::Http);
                self.line.clear();
                self.discarding = true;
                return Err(match browser {
                    true => Error::new(421, "This is not HTTP."),
                    false => Error::new(500, "Line too long."),
                });
            }
            self.line.push(byte);
        }
        Ok(None)
    }

    /// Forgets what has arrived of a line. To be called after `AUTH TLS`: what was sent before the
    /// handshake was not protected by it (CVE-2011-0411).
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// What `byte` amounts to as text, if anything.
    fn strip_telnet(&mut self, byte: u8) -> Result<Option<u8>, Error> {
        // Two in a row stand for one as text, and are no command.
        if matches!(self.telnet, Telnet::Command) && byte != IAC {
            self.telnet_commands += 1;
            if self.telnet_commands > MAX_TELNET {
                return Err(Error::new(421, "Too many Telnet commands."));
            }
        }
        let (next, text) = match (&self.telnet, byte) {
            (Telnet::Text, IAC) => (Telnet::Command, None),
            (Telnet::Text, _) => (Telnet::Text, Some(byte)),
            (Telnet::Command, IAC) => (Telnet::Text, Some(IAC)),
            (Telnet::Command, FIRST_OPTION..) => (Telnet::Option, None),
            (Telnet::Command, FIRST_COMMAND..) => (Telnet::Text, None),
            // The DM that follows an IAC comes as urgent data, and unless a socket asks for that
            // inline, the next byte here is the A of ABOR.
            (Telnet::Command, _) => (Telnet::Text, Some(byte)),
            (Telnet::Option, _) => (Telnet::Text, None),
        };
        self.telnet = next;
        Ok(text)
    }
}
