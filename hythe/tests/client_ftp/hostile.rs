//! Against servers that lie, stop in the middle, or want to lead astray: each
//! gets an error that says what happened, in bounded time.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hythe::client::{
    Ask, Begun, Content, Error, FtpClient, Meter, Options, Reason, Remote, RemotePath, Result,
};
use hythe::tls::SelfSigned;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Taken, get, options, path, run, url};

trait Link: Read + Write {}

impl<S: Read + Write> Link for S {}

/// A control connection, from the server's side.
struct Peer {
    stream: BufReader<Box<dyn Link>>,
    /// What is underneath, if TLS has begun.
    tcp: TcpStream,
    /// Where data is awaited.
    data: Option<TcpListener>,
}

impl Peer {
    /// As a client sees no more of it, neither does anybody else.
    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).ok();
    }

    fn hear(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let count = self.stream.read_until(b'\n', &mut line).unwrap_or(0);
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        (count > 0).then_some(line)
    }

    fn listen(&mut self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        self.data = Some(listener);
        port
    }

    fn accept(&mut self) -> TcpStream {
        self.data.take().expect("EPSV").accept().unwrap().0
    }

    /// Sends a file, and says so.
    fn serve(&mut self, bytes: &[u8], last: &str) {
        self.say("150 Here it comes.\r\n");
        self.accept().write_all(bytes).ok();
        self.say(last);
    }

    /// What an ordinary server answers.
    fn answer(&mut self, line: &str) {
        let verb = line.split(' ').next().unwrap_or_default();
        match verb {
            "USER" => self.say("331 Password?\r\n"),
            "PASS" => self.say("230 Welcome.\r\n"),
            "FEAT" => self.say("211-Features:\r\n MLST type*;\r\n211 End\r\n"),
            "TYPE" | "CWD" | "NOOP" => self.say("200 Fine.\r\n"),
            "PWD" => self.say("257 \"/\"\r\n"),
            "REST" => self.say("350 Go on.\r\n"),
            "MLST" => {
                self.say("250-\r\n type=file;size=10;modify=20240101000000; /x\r\n250 End\r\n")
            }
            "SIZE" => self.say("213 10\r\n"),
            "MDTM" => self.say("213 20240101000000\r\n"),
            "EPSV" => {
                let port = self.listen();
                self.say(format!("229 Here (|||{port}|)\r\n"));
            }
            "RETR" => self.serve(b"0123456789", "226 Done.\r\n"),
            "MLSD" => self.serve(b"type=file; x\r\n", "226 Done.\r\n"),
            "LIST" => self.serve(b"-rw-r--r-- 1 a b 10 Jan  1  2024 x\r\n", "226 Done.\r\n"),
            "QUIT" => self.say("221 Bye.\r\n"),
            _ => self.say("500 What?\r\n"),
        }
    }
}

/// A server of which each connection is greeted, and each line goes to a
/// script, which says whether it has dealt with it.
struct Scripted {
    address: SocketAddr,
    _thread: JoinHandle<()>,
}

impl Scripted {
    fn new(mut script: impl FnMut(&mut Peer, &str) -> bool + Send + 'static) -> Self {
        Self::greeting("220 Hello.\r\n", move |peer, line| script(peer, line))
    }

    fn greeting(
        greeting: &'static str,
        mut script: impl FnMut(&mut Peer, &str) -> bool + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                let tcp = stream.unwrap();
                let link: Box<dyn Link> = Box::new(tcp.try_clone().unwrap());
                let stream = BufReader::new(link);
                let data = None;
                let mut peer = Peer { stream, tcp, data };
                peer.say(greeting);
                while let Some(line) = peer.hear() {
                    if !script(&mut peer, &line) {
                        peer.answer(&line);
                    }
                }
            }
        });
        Self {
            address,
            _thread: thread,
        }
    }

    /// One that does something else when it hears a verb.
    fn at(verb: &'static str, act: impl Fn(&mut Peer, &str) + Send + 'static) -> Self {
        Self::new(move |peer, line| {
            let met = line.split(' ').next() == Some(verb);
            if met {
                act(peer, line);
            }
            met
        })
    }

    async fn connect(&self) -> Result<FtpClient> {
        FtpClient::connect(url("ftp", self.address), options()).await
    }

    async fn get(&self) -> Result<Vec<u8>> {
        let mut client = self.connect().await?;
        Ok(get(&mut client, &path("x"), &Ask::default()).await?.1)
    }

    async fn list(&self) -> Result<Vec<String>> {
        let entries = self.connect().await?.list(&RemotePath::root()).await?;
        let name = |entry: &hythe::client::Entry| String::from_utf8_lossy(&entry.name).into_owned();
        Ok(entries.iter().map(name).collect())
    }
}

/// Within the patience of `options`, with something to spare.
fn fails<T>(work: impl Future<Output = Result<T>>) -> Error {
    let start = Instant::now();
    let error = run(work).err().expect("an error");
    assert!(start.elapsed() < Duration::from_secs(10), "{error}");
    error
}

#[test]
fn an_ordinary_server_is_understood() {
    let server = Scripted::new(|_, _| false);
    assert_eq!(run(server.get()).unwrap(), b"0123456789");
    assert_eq!(run(server.list()).unwrap(), ["x"]);
}

/// The address in it would have us connect to whomever the server likes.
#[test]
fn the_address_of_a_pasv_reply_is_ignored() {
    let server = Scripted::new(|peer, line| {
        if line == "EPSV" {
            peer.say("500 What?\r\n");
        } else if line == "PASV" {
            let [high, low] = peer.listen().to_be_bytes();
            // Nobody has this one (RFC 5737).
            peer.say(format!("227 Here (192,0,2,1,{high},{low}).\r\n"));
        } else {
            return false;
        }
        true
    });
    assert_eq!(run(server.get()).unwrap(), b"0123456789");
    for reply in [
        "227 Here.\r\n",
        "227 (127,0,0,1,0,0)\r\n",
        "227 (1,2,3,4,5,999)\r\n",
    ] {
        let server = Scripted::new(move |peer, line| {
            match line.split(' ').next().unwrap_or_default() {
                "EPSV" | "EPRT" | "PORT" => peer.say("502 No.\r\n"),
                "PASV" => peer.say(reply),
                _ => return false,
            }
            true
        });
        fails(server.get());
    }
}

/// Where neither EPSV nor PASV work, the server connects: by EPRT, by PORT. It
/// is asked the right way the next time.
#[test]
fn the_server_may_connect() {
    for verb in ["EPRT", "PORT"] {
        let mut target: Option<SocketAddr> = None;
        let mut asked = 0;
        let server = Scripted::new(move |peer, line| {
            let (said, argument) = line.split_once(' ').unwrap_or((line, ""));
            match said {
                "EPSV" | "PASV" => {
                    asked += 1;
                    assert!(asked <= 2, "it was told before");
                    peer.say("502 No.\r\n");
                }
                "EPRT" | "PORT" if said != verb => peer.say("502 No.\r\n"),
                "EPRT" => {
                    target = hythe_wire::ftp::parse_extended(argument.as_bytes()).ok();
                    peer.say("200 There.\r\n");
                }
                "PORT" => {
                    let address = hythe_wire::ftp::parse_host_port(argument.as_bytes());
                    target = address.map(SocketAddr::V4);
                    peer.say("200 There.\r\n");
                }
                "RETR" => {
                    peer.say("150 Now.\r\n");
                    let stream = TcpStream::connect(target.take().unwrap());
                    stream.unwrap().write_all(b"0123456789").unwrap();
                    peer.say("226 Done.\r\n");
                }
                _ => return false,
            }
            true
        });
        run(async {
            let mut client = server.connect().await.unwrap();
            for _ in 0..2 {
                let (_, bytes) = get(&mut client, &path("x"), &Ask::default()).await.unwrap();
                assert_eq!(bytes, b"0123456789");
            }
        });
    }
    // One that says it will, and does not.
    let server = Scripted::new(|peer, line| {
        match line.split(' ').next().unwrap_or_default() {
            "EPSV" | "PASV" => peer.say("502 No.\r\n"),
            "EPRT" => peer.say("200 There.\r\n"),
            "RETR" => peer.say("150 Now.\r\n"),
            _ => return false,
        }
        true
    });
    assert_eq!(fails(server.get()).reason, Reason::Lost);
}

/// STARTTLS injection: somebody on the way adds replies in the clear.
#[test]
fn what_comes_behind_234_in_the_clear_is_refused() {
    for late in [false, true] {
        let server = Scripted::at("AUTH", move |peer, _| {
            peer.say("234 Go on.\r\n");
            if late {
                thread::sleep(Duration::from_millis(50));
            }
            peer.say("331 Password?\r\n230 Welcome.\r\n");
        });
        let insecure = Options {
            insecure: true,
            ..options()
        };
        let error = fails(FtpClient::connect(url("ftps", server.address), insecure));
        let reasons = [Reason::Protocol, Reason::NotAllowed];
        assert!(reasons.contains(&error.reason), "{error:?}");
    }
    // A server that begins it, and says no more.
    let server = Scripted::at("AUTH", |peer, _| {
        peer.say("234 Go on.\r\n");
        peer.stream.read_to_end(&mut Vec::new()).ok();
    });
    let error = fails(FtpClient::connect(url("ftps", server.address), options()));
    assert_eq!(error.reason, Reason::Lost);
}

#[test]
fn replies_are_bounded() {
    let long = || {
        Scripted::at("USER", |peer, _| {
            peer.say("331 ");
            for _ in 0..160 {
                peer.say([b'x'; 65536]);
            }
            peer.say("\r\n");
        })
    };
    assert_eq!(fails(long().get()).reason, Reason::Protocol);
    let endless = Scripted::at("USER", |peer, _| {
        while peer.stream.get_mut().write_all(b"331-more\r\n").is_ok() {}
    });
    assert_eq!(fails(endless.get()).reason, Reason::Protocol);
    // A byte at a time, which never is a whole one.
    let slow = Scripted::at("USER", |peer, _| {
        while peer.stream.get_mut().write_all(b"331-more\r\n").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    assert_eq!(fails(slow.get()).reason, Reason::Lost);
    let begins = Scripted::at("USER", |peer, _| {
        while peer.stream.get_mut().write_all(b"110 Soon.\r\n").is_ok() {}
    });
    assert_eq!(fails(begins.get()).reason, Reason::Protocol);
    let silent = Scripted::at("USER", |_, _| {});
    assert_eq!(fails(silent.get()).reason, Reason::Lost);
    let gone = Scripted::at("USER", |peer, _| {
        peer.tcp.shutdown(std::net::Shutdown::Both).unwrap();
    });
    assert_eq!(fails(gone.get()).reason, Reason::Lost);
    let other = Scripted::greeting("SSH-2.0-x\r\n", |_, _| false);
    assert_eq!(fails(other.get()).reason, Reason::Protocol);
}

#[test]
fn a_server_that_is_busy_says_so() {
    let server = Scripted::greeting("421 Too many \x1b[31mvisitors.\r\n", |_, _| true);
    let error = fails(server.get());
    assert_eq!(error.reason, Reason::Busy(None));
    assert_eq!(
        error.text,
        "the server says: 421 Too many \\u{1b}[31mvisitors."
    );
    let server = Scripted::greeting("120 In a minute.\r\n220 Hello.\r\n", |_, _| false);
    assert_eq!(run(server.get()).unwrap(), b"0123456789");
}

#[test]
fn what_a_server_says_is_made_visible() {
    let server = Scripted::at("RETR", |peer, _| {
        peer.say("550 \x1b]0;owned\x07\x1b[2J\r\n")
    });
    let error = fails(server.get());
    assert_eq!(error.reason, Reason::NotFound);
    assert!(!error.text.contains(char::is_control), "{error:?}");
}

#[test]
fn data_that_is_cut_short_is_lost() {
    for last in ["226 Done.\r\n", "426 Cut.\r\n", "451 Disk.\r\n", ""] {
        let server = Scripted::at("RETR", move |peer, _| peer.serve(b"01234", last));
        assert_eq!(fails(server.get()).reason, Reason::Lost, "{last}");
    }
    // All of it, and no word that it is all.
    for last in ["", "426 Cut.\r\n"] {
        let server = Scripted::at("RETR", move |peer, _| peer.serve(b"0123456789", last));
        assert_eq!(fails(server.get()).reason, Reason::Lost, "{last}");
    }
    let stuck = Scripted::at("RETR", |peer, _| {
        peer.say("150 Here.\r\n");
        let mut data = peer.accept();
        data.write_all(b"01234").unwrap();
        data.read_to_end(&mut Vec::new()).ok();
    });
    assert_eq!(fails(stuck.get()).reason, Reason::Lost);
    let listing = Scripted::at("MLSD", |peer, _| {
        peer.serve(b"type=file; x\r\n", "426 Cut.\r\n")
    });
    assert_eq!(fails(listing.list()).reason, Reason::Lost);
}

#[test]
fn names_of_a_listing_stay_in_their_folder() {
    let server = Scripted::at("MLSD", |peer, _| {
        let listing = b"type=file; ../x\r\ntype=file; a/b\r\ntype=file; /etc/passwd\r\n\
            type=dir; ..\r\ntype=file; \x1b[2J\r\ntype=file; \r\nno facts\r\ntype=file; good\r\n";
        peer.serve(listing, "226 Done.\r\n");
    });
    assert_eq!(run(server.list()).unwrap(), ["good"]);
    let server = Scripted::new(|peer, line| {
        match line {
            "FEAT" => peer.say("500 What?\r\n"),
            "LIST -a" => {
                let listing = b"total 2\r\ndrwxr-xr-x 1 a b 0 Jan  1  2024 ..\r\n\
                    -rw-r--r-- 1 a b 10 Jan  1  2024 ../x\r\n\
                    -rw-r--r-- 1 a b 10 Jan  1  2024 .good\r\n";
                peer.serve(listing, "226 Done.\r\n");
            }
            _ => return false,
        }
        true
    });
    assert_eq!(run(server.list()).unwrap(), [".good"]);
}

/// Servers of the old kind: no FEAT, no MLSD, no `LIST -a`, no SIZE.
#[test]
fn old_servers_are_understood() {
    let old = |size: bool| {
        Scripted::new(move |peer, line| {
            let verb = line.split(' ').next().unwrap_or_default();
            match verb {
                "FEAT" | "MDTM" => peer.say("500 What?\r\n"),
                "SIZE" if !size => peer.say("500 What?\r\n"),
                "CWD" if line != "CWD /" => peer.say("550 No such folder.\r\n"),
                "LIST" if line == "LIST -a" => peer.say("550 -a: No such file.\r\n"),
                _ => return false,
            }
            true
        })
    };
    for has_size in [false, true] {
        let server = old(has_size);
        run(async {
            assert_eq!(server.list().await.unwrap(), ["x"]);
            let mut client = server.connect().await.unwrap();
            let entry = client.stat(&path("x")).await.unwrap();
            assert_eq!(entry.size, Some(10));
            let (_, bytes) = get(&mut client, &path("x"), &Ask::default()).await.unwrap();
            assert_eq!(bytes, b"0123456789");
        });
    }
}

#[test]
fn a_restart_that_is_refused_begins_anew() {
    let server = Scripted::at("REST", |peer, _| peer.say("502 No.\r\n"));
    run(async {
        let mut client = server.connect().await.unwrap();
        let ask = Ask {
            from: 4,
            ..Ask::default()
        };
        let (opening, bytes) = get(&mut client, &path("x"), &ask).await.unwrap();
        assert_eq!((opening.offset, opening.changed), (0, false));
        assert_eq!(opening.length, Some(10));
        assert_eq!(bytes, b"0123456789");
    });
}

/// Goes on by APPE where REST is not known, and only at the very end.
#[test]
fn an_upload_goes_on_by_appending() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let server = Scripted::new(move |peer, line| {
        match line.split(' ').next().unwrap_or_default() {
            "REST" => peer.say("502 No.\r\n"),
            "APPE" => {
                peer.say("150 Go on.\r\n");
                let mut bytes = Vec::new();
                peer.accept().read_to_end(&mut bytes).unwrap();
                sender.send(bytes).unwrap();
                peer.say("226 Done.\r\n");
            }
            _ => return false,
        }
        true
    });
    run(async {
        let mut client = server.connect().await.unwrap();
        let mut begun = Begun {
            offset: 10,
            ..Begun::default()
        };
        let rest = || Content::Pipe(Box::new(&b"the rest"[..]));
        let meter = Meter::default();
        client
            .send(&path("x"), &begun, rest(), &meter)
            .await
            .unwrap();
        assert_eq!(receiver.recv().unwrap(), b"the rest");
        begun.offset = 9;
        let refused = client.send(&path("x"), &begun, rest(), &meter).await;
        assert_eq!(refused.unwrap_err().reason, Reason::Unsupported);
    });
}

/// Why an upload ended in its middle is what the server says of it.
#[test]
fn an_upload_that_is_refused_in_the_middle_says_why() {
    let server = Scripted::at("STOR", |peer, _| {
        peer.say("150 Go on.\r\n");
        let mut data = peer.accept();
        data.read_exact(&mut [0; 1000]).unwrap();
        drop(data);
        peer.say("552 Full \x07.\r\n");
    });
    let error = fails(async {
        let mut client = server.connect().await?;
        let content = Content::Pipe(Box::new(std::io::repeat(7).take(50_000_000)));
        let (begun, meter) = (Begun::default(), Meter::default());
        client.send(&path("x"), &begun, content, &meter).await
    });
    assert_eq!(error.reason, Reason::NoSpace);
    assert_eq!(error.text, "the server says: 552 Full \\u{7}.");
    let missing = Scripted::at("STOR", |peer, _| {
        peer.say("150 Go on.\r\n");
        peer.accept().read_to_end(&mut Vec::new()).unwrap();
    });
    let error = fails(async {
        let mut client = missing.connect().await?;
        let content = Content::Pipe(Box::new(&b"all"[..]));
        let (begun, meter) = (Begun::default(), Meter::default());
        client.send(&path("x"), &begun, content, &meter).await
    });
    assert_eq!(error.reason, Reason::Lost);
}

/// A listing without end fills no memory; a folder's name is quoted as it is.
#[test]
fn listings_are_bounded_and_paths_are_as_the_server_says() {
    let endless = Scripted::at("MLSD", |peer, _| {
        peer.say("150 Here.\r\n");
        let mut data = peer.accept();
        let lines = b"type=file; x\r\n".repeat(10_000);
        while data.write_all(&lines).is_ok() {}
        peer.say("426 Cut.\r\n");
    });
    assert_eq!(fails(endless.list()).reason, Reason::Protocol);
    let server = Scripted::new(|peer, line| {
        match line {
            "PWD" => peer.say("257 \"/home/\"\"anna\"\"\" is here\r\n"),
            "MKD /home/\"anna\"/new" => peer.say("257 Made.\r\n"),
            _ => return false,
        }
        true
    });
    run(async {
        let mut client = server.connect().await.unwrap();
        client.make_folder(&path("new")).await.unwrap();
    });
}

/// What idles is hung up on, with a word or without.
#[test]
fn a_session_that_the_server_ended_begins_anew() {
    for word in ["421 Idle for too long.\r\n", ""] {
        let server = Scripted::at("SIZE", move |peer, _| {
            peer.say("213 10\r\n");
            peer.say(word);
            peer.tcp.shutdown(std::net::Shutdown::Both).ok();
        });
        run(async {
            let mut client = server.connect().await.unwrap();
            for _ in 0..3 {
                let upload = hythe::client::Upload::default();
                // Its MDTM is lost, and says so; what follows is in another.
                let begun = client.begin_upload(&path("x"), &upload, None).await;
                assert!(begun.unwrap_err().is_passing());
                let (_, bytes) = get(&mut client, &path("x"), &Ask::default()).await.unwrap();
                assert_eq!(bytes, b"0123456789");
            }
            let taken = Taken::new(1);
            assert!(client.receive(Box::new(taken)).await.is_err());
        });
    }
}

/// Under TLS, an end that is not announced may be somebody's on the way who cut
/// the connection: whatever the control connection says, and however little is
/// known of the size.
#[test]
fn data_without_its_end_announced_is_lost() {
    let kept = tempfile::tempdir().unwrap();
    let pair = SelfSigned::kept_in(kept.path());
    pair.identity(1_795_000_000, vec!["127.0.0.1".into()])
        .unwrap();
    let file = pair.file();
    let certificate = CertificateDer::from_pem_file(file).unwrap();
    let key = PrivateKeyDer::from_pem_file(file).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    let config = Arc::new(config.unwrap());
    let secure = move |stream: TcpStream| {
        let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        StreamOwned::new(tls, stream)
    };
    for announced in [true, false] {
        let secure = secure.clone();
        let server = Scripted::new(move |peer, line| {
            match line.split(' ').next().unwrap_or_default() {
                "AUTH" => {
                    peer.say("234 Go on.\r\n");
                    let tls: Box<dyn Link> = Box::new(secure(peer.tcp.try_clone().unwrap()));
                    peer.stream = BufReader::new(tls);
                }
                "PBSZ" | "PROT" => peer.say("200 Fine.\r\n"),
                "FEAT" | "SIZE" => peer.say("500 What?\r\n"),
                "RETR" => {
                    peer.say("150 Here.\r\n");
                    let mut data = secure(peer.accept());
                    data.write_all(b"01234").unwrap();
                    if announced {
                        data.conn.send_close_notify();
                    }
                    data.flush().unwrap();
                    drop(data);
                    peer.say("226 Done.\r\n");
                }
                _ => return false,
            }
            true
        });
        let insecure = Options {
            insecure: true,
            ..options()
        };
        let got = run(async {
            let url = url("ftps", server.address);
            let mut client = FtpClient::connect(url, insecure).await?;
            get(&mut client, &path("x"), &Ask::default()).await
        });
        match announced {
            true => assert_eq!(got.unwrap().1, b"01234"),
            false => assert_eq!(got.unwrap_err().reason, Reason::Lost),
        }
    }
}
