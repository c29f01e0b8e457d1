//! HTTP servers.

use std::path::PathBuf;
use std::process::Command;

use super::{Place, User, hythe_with, program, tool, unpacked};

/// Which types files have is all the same here; those of `.txt` and `.html`
/// are said, and the rest are bytes.
const MIME_TYPES: &str = "text/plain txt\ntext/html html\n";

pub(super) fn nginx(place: &Place) -> Command {
    nginx_with(place, "")
}

pub(super) fn nginx_dav(place: &Place) -> Command {
    nginx_with(
        place,
        "dav_methods PUT DELETE MKCOL COPY MOVE;
         dav_access user:rw group:r all:r;",
    )
}

fn nginx_with(place: &Place, dav: &str) -> Command {
    // Otherwise root's workers are somebody else's.
    let user = if rustix::process::geteuid().is_root() {
        "user root root;"
    } else {
        ""
    };
    let own = place.folder.path().display();
    let root = place.root.display();
    let port = place.port;
    let config = format!(
        r#"{user}
daemon off;
worker_processes 1;
pid {own}/pid;
error_log {own}/error.log;
events {{}}
http {{
    access_log {own}/access.log;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    client_max_body_size 0;
    types {{ text/plain txt; text/html html; }}
    default_type application/octet-stream;
    server {{
        listen 127.0.0.1:{port};
        root "{root}";
        autoindex on;
        {dav}
    }}
}}
"#
    );
    let mut command = program("nginx", "nginx");
    command.arg("-p").arg(place.folder.path());
    command.arg("-e").arg(place.path("error.log"));
    command.arg("-c").arg(place.file("nginx.conf", &config));
    command
}

pub(super) fn apache(place: &Place) -> Command {
    apache_with(place, &[], "")
}

pub(super) fn apache_dav(place: &Place) -> Command {
    apache_with(place, &["dav", "dav_fs"], "Dav On")
}

fn apache_with(place: &Place, further: &[&str], dav: &str) -> Command {
    let folders =
        [unpacked("apache2-bin"), PathBuf::from("/")].map(|at| at.join("usr/lib/apache2/modules"));
    let modules = folders.iter().find(|folder| folder.is_dir());
    let modules = modules.unwrap_or(&folders[1]).display();
    let mut config = String::new();
    let needed = ["mpm_event", "authz_core", "mime", "dir", "autoindex"];
    for name in needed.iter().chain(further) {
        config += &format!("LoadModule {name}_module {modules}/mod_{name}.so\n");
    }
    if place.is_daemons() {
        let User { name, group, .. } = User::daemon();
        config += &format!("User {name}\nGroup {group}\n");
    }
    if !further.is_empty() {
        config += &format!("DavLockDB \"{}\"\n", place.path("locks").display());
    }
    place.file("mime.types", MIME_TYPES);
    let own = place.folder.path().display();
    let root = place.root.display();
    let port = place.port;
    // The options of lists are those that Debian has.
    config += &format!(
        r#"ServerRoot "{own}"
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile "{own}/pid"
DefaultRuntimeDir "{own}"
ErrorLog "{own}/error.log"
TypesConfig "{own}/mime.types"
DocumentRoot "{root}"
StartServers 1
ThreadsPerChild 8
MaxRequestWorkers 16
<Directory "{root}">
    Require all granted
    AllowOverride None
    Options Indexes FollowSymLinks
    IndexOptions FancyIndexing VersionSort HTMLTable NameWidth=* DescriptionWidth=* Charset=UTF-8
    {dav}
</Directory>
"#
    );
    let mut command = program("apache2-bin", "apache2");
    command.arg("-f").arg(place.file("apache.conf", &config));
    command.arg("-DFOREGROUND");
    command
}

pub(super) fn lighttpd(place: &Place) -> Command {
    let config = format!(
        r#"server.modules = ( "mod_dirlisting" )
server.bind = "127.0.0.1"
server.port = {}
server.document-root = "{}"
server.errorlog = "{}"
index-file.names = ( "index.html" )
dir-listing.activate = "enable"
dir-listing.encoding = "utf-8"
mimetype.assign = ( ".txt" => "text/plain", ".html" => "text/html", "" => "application/octet-stream" )
"#,
        place.port,
        place.root.display(),
        place.path("error.log").display(),
    );
    let mut command = program("lighttpd", "lighttpd");
    let modules = unpacked("lighttpd").join("usr/lib/lighttpd");
    if modules.is_dir() {
        command.arg("-m").arg(modules);
    }
    command
        .arg("-D")
        .arg("-f")
        .arg(place.file("lighttpd.conf", &config));
    command
}

pub(super) fn caddy(place: &Place) -> Command {
    let config = format!(
        r#"{{
    admin off
    auto_https off
}}
http://127.0.0.1:{} {{
    bind 127.0.0.1
    root * "{}"
    file_server browse
}}
"#,
        place.port,
        place.root.display(),
    );
    let mut command = program("caddy", "caddy");
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        command.env(name, place.folder.path());
    }
    command.args(["run", "--adapter", "caddyfile", "--config"]);
    command.arg(place.file("Caddyfile", &config));
    command
}

pub(super) fn python(place: &Place) -> Command {
    let mut command = tool("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
    command.arg(&place.root).arg(place.port.to_string());
    command
}

pub(super) fn hythe(place: &Place) -> Command {
    hythe_with(place, "http")
}
