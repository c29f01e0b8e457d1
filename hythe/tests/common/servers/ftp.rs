//! FTP servers.

use std::fs;
use std::process::Command;

use super::{Place, User, hythe_with, program, tool, tools};

/// The name and the password where there must be some.
const NAME: &str = "hythe";

/// What crypt(3) makes of the password.
const PASSWORD: &str = "$6$hythe$.5GCe9FQhRmf8U6tdRBfYfx8bw4JHs5oYSgmPWXJC4G9fvPpW9XgPg8xejynyW1e7yQaAUvcTyfr/q4yOH8tw.";

/// It serves nobody a root that they may write to, so that what they may write
/// to is in one. It has to be mounted there, and is for this program alone.
pub(super) fn vsftpd(place: &Place) -> Command {
    let empty = place.path("empty");
    fs::create_dir(&empty).unwrap();
    let root = place.path("root");
    let share = root.join("share");
    fs::create_dir_all(&share).unwrap();
    let user = User::daemon().name;
    let config = format!(
        "listen=YES
listen_ipv6=NO
listen_address=127.0.0.1
listen_port={}
background=NO
anonymous_enable=YES
no_anon_password=YES
ftp_username={user}
nopriv_user={user}
anon_root={}
anon_world_readable_only=NO
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=YES
anon_other_write_enable=YES
anon_umask=022
secure_chroot_dir={}
xferlog_enable=YES
vsftpd_log_file={}
",
        place.port,
        root.display(),
        empty.display(),
        place.path("vsftpd.log").display(),
    );
    let program = program("vsftpd", "vsftpd");
    let mut command = tool("unshare");
    for (name, value) in program.get_envs() {
        command.env(name, value.unwrap());
    }
    let script = r#"mount --bind "$1" "$2" && exec "$3" "$4""#;
    command.args(["--mount", "sh", "-c", script, "sh"]);
    command.arg(&place.root).arg(share);
    command.arg(program.get_program());
    command.arg(place.file("vsftpd.conf", &config));
    command
}

pub(super) fn proftpd(place: &Place) -> Command {
    let own = place.folder.path().display();
    let port = place.port;
    let root = place.root.display();
    let User { name, group, .. } = User::daemon();
    let config = format!(
        r#"ServerType standalone
ServerIdent on "proftpd"
DefaultAddress 127.0.0.1
Port {port}
UseIPv6 off
UseReverseDNS off
User {name}
Group {group}
PidFile {own}/pid
ScoreboardFile {own}/scoreboard
DelayTable {own}/delay
SystemLog {own}/proftpd.log
TransferLog none
WtmpLog off
AuthPAM off
ControlsEngine off
ControlsSocket {own}/controls
RequireValidShell off
<Anonymous "{root}">
    User {name}
    Group {group}
    UserAlias anonymous {name}
    AllowOverwrite on
    AllowStoreRestart on
    <Limit ALL>
        AllowAll
    </Limit>
</Anonymous>
"#
    );
    let mut command = program("proftpd-core", "proftpd");
    command.arg("--nodaemon").arg("--config");
    command.arg(place.file("proftpd.conf", &config));
    command
}

/// Its anonymous visitors would need an account `ftp`; this is one that it
/// keeps itself.
pub(super) fn pure_ftpd(place: &Place) -> Command {
    let User { uid, gid, .. } = User::daemon();
    let account = format!(
        "{NAME}:{PASSWORD}:{uid}:{gid}::{}/./::::::::::::\n",
        place.root.display()
    );
    let accounts = place.path("accounts.pdb");
    let mut made = program("pure-ftpd", "pure-pw");
    made.arg("mkdb").arg(&accounts);
    made.arg("-f").arg(place.file("accounts", &account));
    super::super::run(&mut made);

    let mut command = program("pure-ftpd", "pure-ftpd");
    command.arg("-S").arg(format!("127.0.0.1,{}", place.port));
    command
        .arg("-l")
        .arg(format!("puredb:{}", accounts.display()));
    command.arg("-g").arg(place.path("pid"));
    // Everybody stays in their folder, nobody is anonymous, and no names are
    // looked up. All files are listed.
    command.args(["-A", "-E", "-H", "-D"]);
    command
}

pub(super) fn pyftpdlib(place: &Place) -> Command {
    let python = tools().join("python/bin/python");
    let library = tools().join("pyftpdlib");
    assert!(
        python.exists() && library.is_dir(),
        "pyftpdlib is not here: run scripts/test, which fetches it"
    );
    let mut command = Command::new(python);
    command.env("PYTHONPATH", library);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(["-m", "pyftpdlib", "--write", "--interface", "127.0.0.1"]);
    command.arg("--port").arg(place.port.to_string());
    command.arg("--directory").arg(&place.root);
    command
}

pub(super) fn hythe(place: &Place) -> Command {
    hythe_with(place, "ftp")
}
