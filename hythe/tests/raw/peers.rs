//! The programs that hythe talks with, as clients and as servers.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::common::{eventually, run, tool};
use crate::talk::{Talk, apart, connecting, line_with, listen};

/// What there is for talking with sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Hythe,
    Nc,
    Ncat,
    Socat,
}

pub(crate) const PROGRAMS: [Program; 4] =
    [Program::Hythe, Program::Nc, Program::Ncat, Program::Socat];

/// What one can talk over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    Ipv4,
    Ipv6,
    Unix,
}

pub(crate) const ROADS: [Road; 3] = [Road::Ipv4, Road::Ipv6, Road::Unix];

impl Road {
    /// What `hythe listen` is told.
    pub(crate) fn place(self, folder: &Path) -> String {
        match self {
            Self::Ipv4 => "127.0.0.1:0".into(),
            Self::Ipv6 => "[::1]:0".into(),
            Self::Unix => format!("unix:{}/socket", folder.display()),
        }
    }

    /// A place that was free a moment ago, for those who can't choose one.
    fn free_place(self, folder: &Path, udp: bool) -> String {
        let place = self.place(folder);
        let Some((host, _)) = apart(&place) else {
            return place;
        };
        let address = if udp {
            UdpSocket::bind((host, 0)).unwrap().local_addr()
        } else {
            TcpListener::bind((host, 0)).unwrap().local_addr()
        };
        address.unwrap().to_string()
    }
}

/// OpenBSD's nc, and no other of that name, whose options have other meanings.
pub(crate) fn nc() -> Command {
    static OURS: OnceLock<bool> = OnceLock::new();
    let ours = OURS.get_or_init(|| {
        let help = tool("nc").arg("-h").output().unwrap();
        String::from_utf8_lossy(&help.stderr).contains("OpenBSD netcat")
    });
    assert!(
        ours,
        "the nc here is not OpenBSD's; install it with: apt-get install netcat-openbsd, \
         and choose it with: update-alternatives --set nc /bin/nc.openbsd"
    );
    tool("nc")
}

impl Program {
    /// A client of a listener, which ends its direction when its input ends.
    pub(crate) fn client(self, address: &str) -> Command {
        let unix = address.strip_prefix("unix:");
        let mut command = match self {
            Self::Hythe => return connecting(address, &[]),
            Self::Nc => nc(),
            Self::Ncat => tool("ncat"),
            Self::Socat => tool("socat"),
        };
        match (self, unix) {
            (Self::Socat, Some(path)) => command.args(["-t60", "-"]).arg(format!("UNIX:{path}")),
            (Self::Socat, None) => command.args(["-t60", "-"]).arg(format!("TCP:{address}")),
            (Self::Nc, _) => command.arg("-N"),
            _ => &mut command,
        };
        if self != Self::Socat {
            end_at(&mut command, address);
        }
        command
    }

    /// A server for one client, and where it listens.
    pub(crate) fn server(self, road: Road, folder: &Path) -> (Talk, String) {
        match self {
            Self::Hythe => listen(&[&road.place(folder)]),
            Self::Nc => at_a_free_place(road, folder, false, || {
                let mut command = nc();
                command.args(["-v", "-N", "-l"]);
                (command, "Listening on")
            }),
            Self::Ncat => at_a_free_place(road, folder, false, || {
                let mut command = tool("ncat");
                command.args(["-v", "-l"]);
                (command, "Ncat: Listening on")
            }),
            Self::Socat => socat_server(match road {
                Road::Ipv4 => "TCP4-LISTEN:0,bind=127.0.0.1".into(),
                Road::Ipv6 => "TCP6-LISTEN:0,bind=[::1]".into(),
                Road::Unix => format!("UNIX-LISTEN:{}/socket", folder.display()),
            }),
        }
    }

    /// A client that sends datagrams.
    pub(crate) fn datagram_client(self, address: &str) -> Command {
        let unix = address.strip_prefix("unix:");
        let mut command = match self {
            Self::Hythe => return connecting(address, &["--udp"]),
            Self::Nc => nc(),
            Self::Ncat => tool("ncat"),
            Self::Socat => tool("socat"),
        };
        match (self, unix) {
            (Self::Socat, Some(path)) => {
                // Without a name of its own nobody could answer it.
                let target = format!("UNIX-SENDTO:{path},bind={path}.socat");
                command.args(["-t60", "-"]).arg(target)
            }
            (Self::Socat, None) => command.args(["-t60", "-"]).arg(format!("UDP:{address}")),
            _ => command.arg("-u"),
        };
        if self != Self::Socat {
            end_at(&mut command, address);
        }
        command
    }

    /// A server that talks with the first who sends it a datagram.
    pub(crate) fn datagram_server(self, road: Road, folder: &Path) -> (Talk, String) {
        match self {
            Self::Hythe => listen(&["--udp", &road.place(folder)]),
            Self::Nc => at_a_free_place(road, folder, true, || {
                let mut command = nc();
                command.args(["-v", "-u", "-l"]);
                (command, "Bound on")
            }),
            Self::Ncat => at_a_free_place(road, folder, true, || {
                let mut command = tool("ncat");
                command.args(["-v", "-u", "-l"]);
                (command, "Ncat: Listening on")
            }),
            Self::Socat => socat_server(match road {
                Road::Ipv4 => "UDP4-LISTEN:0,bind=127.0.0.1".into(),
                Road::Ipv6 => "UDP6-LISTEN:0,bind=[::1]".into(),
                Road::Unix => format!("UNIX-RECV:{}/socket", folder.display()),
            }),
        }
    }
}

/// The arguments with which nc and ncat end.
fn end_at(command: &mut Command, address: &str) {
    match (address.strip_prefix("unix:"), apart(address)) {
        (_, Some((host, port))) => command.args([host, port]),
        (Some(path), None) => command.args(["-U", path]),
        (None, None) => unreachable!(),
    };
}

/// Starts a server that can't choose a port itself, at one that is free, again if
/// somebody else was quicker; `make` says with it what it prints once it accepts.
fn at_a_free_place(
    road: Road,
    folder: &Path,
    udp: bool,
    make: impl Fn() -> (Command, &'static str),
) -> (Talk, String) {
    let mut started = None;
    eventually("a port is free", || {
        let place = road.free_place(folder, udp);
        let (mut command, ready) = make();
        end_at(&mut command, &place);
        let mut talk = Talk::start(&mut command);
        eventually("it accepts, or has ended", || {
            talk.complaints().contains(ready) || !talk.runs()
        });
        if talk.runs() {
            started = Some((talk, place));
        }
        started.is_some()
    });
    started.unwrap()
}

/// A socat that listens at this address of its own, and where.
pub(crate) fn socat_server(listen: String) -> (Talk, String) {
    let path = listen.split_once(':').unwrap().1.to_owned();
    let unix = listen.starts_with("UNIX");
    let talk = Talk::start(tool("socat").args(["-d", "-d", "-t60", "-"]).arg(listen));
    if unix {
        eventually("socat listens", || {
            // Bound and listening: its line comes before it does for datagrams.
            talk.complaints().contains("starting data transfer loop")
                || talk.complaints().contains("listening on")
        });
        return (talk, format!("unix:{path}"));
    }
    talk.complains(" listening on ");
    // `… listening on UDP AF=2 127.0.0.1:37279`
    eventually("the line is whole", || {
        line_with(&talk, " listening on ").is_some()
    });
    let line = line_with(&talk, " listening on ").unwrap();
    let address = line.rsplit(' ').next().unwrap().to_owned();
    let address = address.parse::<std::net::SocketAddr>().unwrap().to_string();
    (talk, address)
}

/// Whether a connection of this port has heard its peer's end, and not ended its
/// own direction: by the kernel's word.
pub(crate) fn half_closed(port: &str) -> bool {
    let port = format!("{:04X}", port.parse::<u16>().unwrap());
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
        let table = fs::read_to_string(table).unwrap_or_default();
        table.lines().skip(1).any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // CLOSE_WAIT
            fields[3] == "08" && fields[1..3].iter().any(|end| end.ends_with(&port))
        })
    })
}

/// An authority, and a certificate of it for `localhost`.
pub(crate) struct Trust {
    folder: TempDir,
}

impl Trust {
    pub(crate) fn new() -> Self {
        let trust = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let script = "
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
                -subj '/CN=authority of a test' -keyout authority.key -out authority.pem
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
                -subj /CN=localhost -keyout key.pem -out request.pem
            echo subjectAltName=DNS:localhost >extensions
            openssl x509 -req -in request.pem -CA authority.pem -CAkey authority.key \
                -CAcreateserial -days 2 -extfile extensions -out cert.pem
            ";
        tool("openssl");
        run(Command::new("sh")
            .args(["-ec", script])
            .current_dir(trust.folder.path()));
        trust
    }

    fn file(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        path.into_os_string().into_string().unwrap()
    }

    pub(crate) fn authority(&self) -> String {
        self.file("authority.pem")
    }

    pub(crate) fn certificate(&self) -> String {
        self.file("cert.pem")
    }

    pub(crate) fn key(&self) -> String {
        self.file("key.pem")
    }
}
