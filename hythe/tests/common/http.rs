//! An HTTP/1.1 client for tests, which takes nothing on trust: whatever the
//! server sends that no server should is a failed assertion.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::connect;

/// A connection to the server under test.
pub struct Client {
    stream: BufReader<TcpStream>,
    /// Whether it is a program behind the server that answers, which says of its
    /// content what it likes.
    of_program: bool,
}

/// A reply, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One GET on a connection of its own.
pub fn get(address: SocketAddr, target: &str, fields: &[&str]) -> Reply {
    Client::new(address).ask("GET", target, fields)
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self::read_from(connect(address))
    }

    /// On a connection that is there already.
    pub fn read_from(stream: TcpStream) -> Self {
        Self {
            stream: BufReader::new(stream),
            of_program: false,
        }
    }

    /// The same, where programs answer.
    pub fn of_program(address: SocketAddr) -> Self {
        Self {
            of_program: true,
            ..Self::new(address)
        }
    }

    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// One exchange, after which the connection is ready for another unless
    /// the reply says that it is not.
    pub fn ask(&mut self, method: &str, target: &str, fields: &[&str]) -> Reply {
        self.send(&request(method, target, fields));
        self.reply(method)
    }

    /// Reads the reply to a request with this method.
    pub fn reply(&mut self, method: &str) -> Reply {
        let mut reply = self.head();
        reply.body = self.body(method, &reply).unwrap();
        reply
    }

    /// The same, of a server that does not keep our promises.
    pub fn lenient_reply(&mut self, method: &str) -> Reply {
        let mut reply = self.any_head(&["HTTP/1.1 ", "HTTP/1.0 "]);
        reply.body = self.body(method, &reply).unwrap();
        reply
    }

    /// Reads a reply's head and no further.
    pub fn head(&mut self) -> Reply {
        let reply = self.any_head(&["HTTP/1.1 "]);
        reply.check(self.of_program);
        reply
    }

    fn any_head(&mut self, versions: &[&str]) -> Reply {
        let line = self.line();
        let status = versions
            .iter()
            .find_map(|version| line.strip_prefix(version))
            .unwrap_or_else(|| panic!("no status line: {line:?}"));
        let (status, reason) = status.split_once(' ').unwrap();
        // Only what is not registered has none.
        let known = http::StatusCode::from_bytes(status.as_bytes()).unwrap();
        let named = known.canonical_reason().is_none_or(|_| !reason.is_empty());
        assert!(named || status == "418", "{line:?}");
        let mut reply = Reply {
            status: status.parse().unwrap(),
            fields: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").unwrap();
            let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            assert!(!name.is_empty() && name.bytes().all(token), "{line:?}");
            assert!(!value.contains(char::is_control), "{line:?}");
            assert_eq!(reply.field(name), None, "twice: {line:?}");
            reply.fields.push((name.to_owned(), value.to_owned()));
        }
        reply
    }

    /// Reads the body that belongs to a head.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ends before the body does.
    pub fn body(&mut self, method: &str, head: &Reply) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if method == "HEAD" || matches!(head.status, 204 | 304) {
            return Ok(body);
        }
        if head.field("Transfer-Encoding").is_some() {
            while self.chunk(&mut body)? {}
        } else if let Some(length) = head.field("Content-Length") {
            body.resize(length.parse().unwrap(), 0);
            self.stream.read_exact(&mut body)?;
        } else {
            assert!(head.closes(), "a body without end: {head:?}");
            self.stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }

    /// Reads one chunk; false if it was the last.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ends first.
    pub fn chunk(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8(line).unwrap();
        let size = usize::from_str_radix(line.strip_suffix("\r\n").unwrap(), 16).unwrap();
        let begin = body.len();
        body.resize(begin + size, 0);
        self.stream.read_exact(&mut body[begin..])?;
        let mut end = [0; 2];
        self.stream.read_exact(&mut end)?;
        assert_eq!(&end, b"\r\n");
        Ok(size > 0)
    }

    /// Whether the server has ended the connection, once it has said
    /// something or done so.
    pub fn has_ended(&mut self) -> bool {
        match self.stream.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => true,
            Err(error) => panic!("neither a word nor an end: {error}"),
        }
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        let line = String::from_utf8(line).unwrap();
        line.strip_suffix("\r\n")
            .unwrap_or_else(|| panic!("a line without its end: {line:?}"))
            .to_owned()
    }
}

impl Reply {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self
            .fields
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// Whether the server says that it will close the connection.
    pub fn closes(&self) -> bool {
        self.field("Connection") == Some("close")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The fields but for the date and the nonce of scripts, in the order of
    /// their names.
    pub fn lasting_fields(&self) -> Vec<(String, String)> {
        let mut fields = self.fields.clone();
        fields.retain(|(name, _)| name != "Date");
        for (_, value) in &mut fields {
            if let Some((before, after)) = value.split_once("'nonce-") {
                let after = after.split_once('\'').map_or("", |(_, after)| after);
                *value = format!("{before}{after}");
            }
        }
        fields.sort();
        fields
    }

    /// What holds of every reply.
    fn check(&self, of_program: bool) {
        let sized = self.field("Content-Length").is_some();
        let chunked = self.field("Transfer-Encoding").is_some();
        assert!(!(sized && chunked), "{self:?}");
        if matches!(self.status, 100..200 | 204 | 304) {
            assert!(!sized && !chunked, "{self:?}");
        }
        // A reply without a date is that of a server too busy for a clock, or
        // none yet.
        if let Some(date) = self.field("Date") {
            httpdate::parse_http_date(date).unwrap();
            assert_eq!(date.len(), "Sun, 06 Nov 1994 08:49:37 GMT".len());
        } else {
            assert!(matches!(self.status, 100 | 503), "{self:?}");
        }
        if self.field("Content-Type").is_some() && self.status != 503 && !of_program {
            let sniffed = self.field("X-Content-Type-Options") != Some("nosniff");
            assert!(!sniffed, "{self:?}");
        }
    }
}

/// A request head: HTTP/1.1, with a Host.
pub fn request(method: &str, target: &str, fields: &[&str]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: quay\r\n");
    for field in fields {
        head.push_str(field);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}
