//! Gopher servers.

use std::env;
use std::process::Command;

use super::{Place, User, hythe_with, program, tool, unpacked};

/// It refuses to be root.
pub(super) fn gophernicus(place: &Place) -> Command {
    let program = program("gophernicus", "gophernicus");
    let mut command = if place.is_daemons() {
        let User { uid, gid, .. } = User::daemon();
        let mut command = tool("setpriv");
        command.arg(format!("--reuid={uid}"));
        command.arg(format!("--regid={gid}")).arg("--clear-groups");
        command.arg(program.get_program());
        command
    } else {
        Command::new(program.get_program())
    };
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap());
    }
    command.arg("-r").arg(&place.root);
    command.args(["-h", "127.0.0.1", "-p", &place.port.to_string()]);
    // Without hosts of other names, the folders of users, programs, and
    // statistics shared with others.
    command.args(["-nv", "-nu", "-nx", "-nm"]);
    command
}

pub(super) fn pygopherd(place: &Place) -> Command {
    let types = place.file("mime.types", "text/plain txt\ntext/html html\n");
    let root = place.root.display();
    // It would keep what it lists in a file in the folder itself; it can't in
    // one that does not exist.
    let config = format!(
        r"[pygopherd]
detach = no
interface = 127.0.0.1
servername = 127.0.0.1
port = {}
servertype = ForkingTCPServer
timeout = 60
abstract_headers = off
abstract_entries = unsupported
tracebacks = yes
usechroot = no
enable_tls = no
root = {root}
mimetypes = {}
encoding = []
[logger]
logmethod = file
[GopherEntry]
defaultmimetype = application/octet-stream
mapping = [['text/html', 'h'], ['text/.+', '0'], ['application/gopher-menu', '1'],
        ['application/gopher\\+-menu', '1'], ['image/gif', 'g'], ['image/.+', 'I'], ['.*', '9']]
eaexts = {{}}
[handlers.HandlerMultiplexer]
handlers = [url.HTMLURLHandler, gophermap.BuckGophermapHandler, UMN.UMNDirHandler,
        file.FileHandler]
[handlers.dir.DirHandler]
ignorepatt = /gophermap$
cachetime = 0
cachefile = no such folder/cache
[handlers.UMN.UMNDirHandler]
extstrip = none
[handlers.ZIP.ZIPHandler]
enabled = false
pattern = \.zip$
[protocols.ProtocolMultiplexer]
protocols = [gopherp.GopherPlusProtocol, rfc1436.GopherProtocol]
[protocols.gopherp.GopherPlusProtocol]
admin = nobody
",
        place.port,
        types.display()
    );
    let mut command = program("pygopherd", "pygopherd");
    let library = unpacked("pygopherd").join("usr/lib/python3/dist-packages");
    if library.is_dir() {
        let known = env::var_os("PYTHONPATH").unwrap_or_default();
        let folders = [library].into_iter().chain(env::split_paths(&known));
        command.env("PYTHONPATH", env::join_paths(folders).unwrap());
    }
    command.arg(place.file("pygopherd.conf", &config));
    command
}

pub(super) fn hythe(place: &Place) -> Command {
    hythe_with(place, "gopher")
}
