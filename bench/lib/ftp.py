"""`ftp`: FTP servers, by session, by GiB each way, and by idle session.

A part is one line in PARTS, a server one function in SERVERS; the floors are
those of files.py and uploads.py, which do the same without FTP.
"""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import time

from . import report, rounds
from .files import CONNECTION_LIMIT, GIB, MIB
from .machine import LOAD_CPU, cpu_seconds, pin, private_bytes
from .programs import HOST, WORKSPACE, Problem, build, find, free_port, progress, run_load, running

HELP = "processor time per FTP session and per GiB, memory per idle session"

PYFTPDLIB = "pyftpdlib==2.2.0"

# Of the one small file.
SMALL = 1024


@dataclasses.dataclass
class Part:
    """What is measured by itself, and of whom."""

    title: str
    measure: callable  # (bench, running server) -> {column: number}, main one first
    servers: str


def session(bench, server):
    """Connect, log in, EPSV, RETR of 1 KiB, QUIT."""
    count = bench.options.sessions
    if server.name == "vsftpd":
        count = max(1, count // 10)  # each takes so much longer

    def load(count):
        return bench.load(server, "sessions", count, bench.options.threads, bench.path(server, "small"))

    load(max(1, count // 10))  # to warm up
    spent, done = bench.timed(server, lambda: load(count))
    if done["bytes"] != count * SMALL:
        raise Problem(f"{server.name} sent {done['bytes']:.0f} bytes: not what was asked")
    return {
        "µs/session": spent * 1e6 / count,
        "sessions/s": count / done["seconds"],
        "busy %": 100 * spent / done["seconds"],
    }


def retr(bench, server):
    def load():
        if server.name == "floor":
            return run_load([bench.programs["load-big"], server.address], server)
        return bench.load(server, "retr", bench.path(server, "big"))

    load()
    return bench.per_gib(server, load)


def stor(bench, server):
    def load():
        if server.name == "floor":
            command = [bench.programs["load-put"], server.address, "/new"]
            done = run_load([*command, bench.block, bench.options.size], server)
        else:
            done = bench.load(server, "stor", bench.path(server, "new"), bench.block, bench.options.size)
        stored = bench.folder / "new"
        if stored.stat().st_size != bench.options.size:
            raise Problem(f"{server.name} stored {stored.stat().st_size} bytes")
        stored.unlink()
        return done

    return bench.per_gib(server, load)


def idle(bench, server):
    bench.load(server, "sessions", 1, 1, bench.path(server, "small"))  # what the first one allocates isn't per session
    count = bench.options.idle
    if server.name == "vsftpd":
        count = max(1, count // 10)  # each is two processes
    before = private_bytes(server.pid)
    command = [bench.programs["load-ftp"], server.address, "idle", count]
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pin(LOAD_CPU),
    ) as load:  # leaving the block closes its input, which ends it
        if load.stdout.readline() != b"ready\n":
            raise Problem(f"load-ftp failed against {server.name}; its reason is above")
        after = private_bytes(server.pid)
    return {
        "KiB/session": (after - before) / count / 1024,
        "MiB before": before / MIB,
        "MiB in all": after / MIB,
    }


PARTS = {
    "session": Part("a session: login, 1 KiB, QUIT", session, "hythe,vsftpd,pyftpdlib"),
    "retr": Part("RETR", retr, "hythe,floor,vsftpd,pyftpdlib"),
    "stor": Part("STOR", stor, "hythe,hythe_unsynced,floor,vsftpd,pyftpdlib"),
    "idle": Part("an idle session", idle, "hythe,vsftpd,pyftpdlib"),
}


# ------------------------------------------------------------------ servers
#
# Each function gives the command to run and the port it will listen on, or
# None when the server picks a free one and says so in its first line. Every
# one lets anyone in, to read and to write, and keeps no log.


def hythe(bench, *more):
    return [
        *(bench.programs["hythe"], "serve", bench.folder, "--ftp", f"{HOST}:0"),
        *("--http", "off", "--gopher", "off", "--log", "off", "--model", "events"),
        *("--max-connections", CONNECTION_LIMIT, "--max-per-address", CONNECTION_LIMIT),
        *("--allow", "write", *more),
    ], None


def hythe_unsynced(bench):
    """As the others do it: what was answered may be lost when the power goes."""
    return hythe(bench, "--durability", "none")


def floor(bench):
    """The same bytes by a bare loop, over HTTP: the head is nothing beside a GiB."""
    if bench.part == "stor":
        return [bench.programs["floor-put"], f"{HOST}:0", bench.folder], None
    return [bench.programs["floor-sendfile"], f"{HOST}:0", bench.folder / "big"], None


def vsftpd(bench):
    """As Debian has it, for anonymous users who may write."""
    port = free_port()
    empty = bench.temp / "empty"
    empty.mkdir(exist_ok=True)
    config = bench.temp / "vsftpd.conf"
    settings = {
        "listen": "YES", "listen_address": HOST, "listen_port": port, "background": "NO",
        "anonymous_enable": "YES", "local_enable": "NO", "no_anon_password": "NO",
        "anon_root": bench.temp,  # it wants one that nobody may write to
        "ftp_username": "daemon",  # whose home there is, unlike that of nobody
        "write_enable": "YES", "anon_upload_enable": "YES", "anon_other_write_enable": "YES",
        "anon_world_readable_only": "NO", "secure_chroot_dir": empty, "xferlog_enable": "NO",
        "max_clients": 0, "max_per_ip": 0, "idle_session_timeout": 600,
    }
    config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return [*vsftpd_program(), config], port


def pyftpdlib(bench):
    port = free_port()
    return [pyftpdlib_python(), WORKSPACE / "bench/src/ftpd.py", port, bench.folder], port


SERVERS = {run.__name__: run for run in (hythe, hythe_unsynced, floor, vsftpd, pyftpdlib)}


def vsftpd_program():
    """Debian's, unpacked and not installed: its packages of FTP servers exclude each other."""
    program = shutil.which("vsftpd", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if program:
        return [program]
    home = WORKSPACE / "bench/out/vsftpd"
    program = home / "usr/sbin/vsftpd"
    if not program.exists():
        home.mkdir(parents=True, exist_ok=True)
        apt = find("apt-get", "install vsftpd some other way")
        progress(f"unpacking Debian's vsftpd into {home}")
        got = subprocess.run([apt, "download", "-qq", "vsftpd", "libwrap0"], cwd=home)
        packages = sorted(home.glob("*.deb"))
        if got.returncode != 0 or not packages:
            raise Problem("vsftpd can't be had (apt-get update?); leave it out with --only")
        for package in packages:
            subprocess.run(["dpkg", "-x", package, home], check=True)
    libraries = next(home.glob("**/libwrap.so.0")).parent
    return ["env", f"LD_LIBRARY_PATH={libraries}", program]


def pyftpdlib_python():
    """The Python of a virtual environment in bench/out that has pyftpdlib."""
    home = WORKSPACE / "bench/out/pyftpdlib"
    python = home / "bin/python"
    done = home / PYFTPDLIB
    if not done.exists():
        progress(f"installing {PYFTPDLIB} from PyPI into {home}")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", home], [*pip, PYFTPDLIB]):
            if subprocess.run(command).returncode != 0:
                raise Problem("pyftpdlib can't be installed; leave it out with --only")
        done.touch()
    return python


# ------------------------------------------------------------------ one run


class Bench:
    """One run: its options, its files, the built programs."""

    def __init__(self, options, temp):
        self.options = options
        self.programs = build("hythe-bench", "hythe")
        self.temp = temp
        self.folder = temp / "site"
        self.folder.mkdir()
        # vsftpd has its sessions belong to another user.
        temp.chmod(0o755)
        self.folder.chmod(0o777)
        (self.folder / "small").write_bytes(os.urandom(SMALL))
        self.block = temp / "block"
        self.block.write_bytes(os.urandom(min(MIB, options.size)))
        with open(self.folder / "big", "wb") as big:
            for _ in range(options.size // MIB):
                big.write(self.block.read_bytes())
        self.part = None

    @contextlib.contextmanager
    def running(self, name):
        os.sync()
        command, port = SERVERS[name](self)
        with running(name, command, self.temp, port) as server:
            yield server

    def path(self, server, name):
        """As its visitors call it."""
        return f"{self.folder.name}/{name}" if server.name == "vsftpd" else name

    def load(self, server, *words):
        return run_load([self.programs["load-ftp"], server.address, *words], server)

    def timed(self, server, load):
        """The server's processor time while `load` runs, and its numbers."""
        before = cpu_seconds(server.pid)
        done = load()
        time.sleep(0.05)  # for processes of sessions to be waited for
        return cpu_seconds(server.pid) - before, done

    def per_gib(self, server, load):
        spent, done = self.timed(server, load)
        gibibytes = self.options.size / GIB
        return {
            "CPU s/GiB": spent / gibibytes,
            "both ends": (spent + done["cpu"]) / gibibytes,
            "s/GiB": done["seconds"] / gibibytes,
        }

    def measure(self, name, part):
        self.part = name

        def one(server):
            with self.running(server) as running:
                return part.measure(self, running)

        only = [server for server in part.servers.split(",") if server in self.options.only]
        plan = Rounds(self.options.rounds, only)
        return rounds.summarise(rounds.interleaved(plan, one))


@dataclasses.dataclass
class Rounds:
    rounds: int
    only: list


def against_hythe(main, rows):
    """How many times as much the others need."""
    for name, row in rows.items():
        if name not in ("hythe", "floor") and "hythe" in rows:
            ratio = row["median"][main] / rows["hythe"]["median"][main]
            print(f"{name}: {ratio:.2f} times hythe")


# ------------------------------------------------------------- command line


def add_options(sub, _name):
    sub.add_argument("--rounds", type=report.positive, default=5, help="per server and part")
    sub.add_argument("--sessions", type=report.positive, default=10_000, help="per round")
    sub.add_argument("--threads", type=report.positive, default=32, help="sessions at a time")
    sub.add_argument("--size", type=report.positive, default=GIB, help="of the big file, bytes")
    sub.add_argument("--idle", type=report.positive, default=5000, help="idle sessions")
    sub.add_argument("--parts", default=",".join(PARTS), help="comma-separated")
    sub.add_argument("--only", metavar="NAMES", default=",".join(SERVERS), help="comma-separated")


def run(options, temp):
    """Measures; prints the tables and gives what `--json` keeps."""
    options.only = report.names(options.only, SERVERS)
    bench = Bench(options, temp)
    report.warn_if_busy()
    result = {}
    for name in report.names(options.parts, PARTS):
        part = PARTS[name]
        progress(f"{name}: {part.title}")
        main, rows = bench.measure(name, part)
        print(f"\n{part.title}")
        rounds.table(main, rows)
        against_hythe(main, rows)
        result[name] = rows
    return result
