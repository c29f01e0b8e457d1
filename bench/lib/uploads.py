"""`put` and `uploads`: HTTP servers that take files in.

A command is one line in COMMANDS, a server one function in SERVERS, as in
files.py.
"""

import contextlib
import dataclasses
import os
import shutil
import subprocess

from . import report, rounds
from .files import GIB, MIB, nginx_with
from .machine import cpu_seconds
from .programs import (
    HOST,
    Problem,
    build,
    find,
    free_port,
    progress,
    python_with,
    run_load,
    running,
)

COPYPARTY = "copyparty==1.20.26"

# What the floor receives and writes at a time; nginx is given as much.
BUFFER = 256 * 1024


@dataclasses.dataclass
class Command:
    """What one subcommand measures and what it compares."""

    help: str
    measure: callable  # (bench, running server) -> {column: number}, main one first
    servers: str
    size: int
    rounds: int
    requests: int
    connections: int | None = None  # None: the command has no such option


def put(bench, server):
    spent, load = bench.timed(server, bench.options.requests, bench.send_big)
    gibibytes = bench.options.requests * bench.options.size / GIB
    return {
        "CPU s/GiB": spent / gibibytes,
        "both ends": (spent + load["cpu"]) / gibibytes,
        "s/GiB": load["seconds"] / gibibytes,
    }


def uploads(bench, server):
    options = bench.options
    bench.send_small(server, "warm-", max(1, options.requests // 10))
    spent, load = bench.timed(
        server, options.requests, lambda server, count: bench.send_small(server, "file-", count)
    )
    found = sum(1 for entry in os.scandir(bench.folder) if entry.name.startswith("file-"))
    if found != options.requests:
        raise Problem(f"{server.name} stored {found} files, not {options.requests}")
    return {
        "µs/upload": spent * 1e6 / options.requests,
        "uploads/s": options.requests / load["seconds"],
        "busy %": 100 * spent / load["seconds"],
    }


COMMANDS = {
    "put": Command(
        "processor time per GiB received",
        put, "hythe,hythe_unsynced,floor,nginx",
        size=GIB, rounds=7, requests=2,
    ),
    "uploads": Command(
        "small uploads per second, and processor time of one",
        uploads, "hythe,hythe_unsynced,floor,nginx,copyparty,copyparty_lean",
        size=4096, rounds=5, requests=10_000, connections=16,
    ),
}

# Compared too when it happens to be installed.
OPTIONAL = ["dufs"]


# ------------------------------------------------------------------ servers
#
# Each function gives the command to run and the port it will listen on, or
# None when the server picks a free one and says so in its first line. Every
# one may overwrite, does so only by a whole file, and keeps no log.


def hythe(bench, *more):
    return [
        *(bench.programs["hythe"], "serve", bench.folder, "--http", f"{HOST}:0"),
        *("--ftp", "off", "--gopher", "off", "--log", "off", "--model", "events"),
        *("--allow", "write", *more),
    ], None


def hythe_unsynced(bench):
    """As the others do it: what was answered may be lost when the power goes."""
    return hythe(bench, "--durability", "none")


def floor(bench):
    return [bench.programs["floor-put"], f"{HOST}:0", bench.folder], None


def nginx(bench):
    return nginx_with(bench, f"""
            dav_methods PUT;
            client_max_body_size 0;
            client_body_buffer_size {BUFFER};
        """)


def copyparty(bench, *more):
    """As it comes: it logs, and computes a checksum of what comes in."""
    port = free_port()
    return [
        *("env", f"XDG_CONFIG_HOME={bench.temp}", python_with(COPYPARTY), "-m", "copyparty"),
        *("-i", HOST, "-p", port, "-v", f"{bench.folder}::rw", "--wram", *more),
    ], port


def copyparty_lean(bench):
    """With all switched off that the others don't do either."""
    return copyparty(bench, "-q", "--put-ck", "no", "--no-thumb", "--no-ses", "--no-crt")


def dufs(bench):
    port = free_port()
    program = find("dufs", "cargo install dufs")
    flags = ["--bind", HOST, "--port", port, "--log-format", "", "--allow-upload"]
    return [program, *flags, "--allow-delete", bench.folder], port


SERVERS = {
    run.__name__: run for run in (hythe, hythe_unsynced, floor, nginx, copyparty, copyparty_lean, dufs)
}


# ------------------------------------------------------------------ one run


class Bench:
    """One run of a command: its options, its files, the built programs."""

    def __init__(self, options, temp):
        self.options = options
        self.command = COMMANDS[options.command]
        ours = ["hythe"] if any(name.startswith("hythe") for name in options.only) else []
        self.programs = build("hythe-bench", *ours)
        self.temp = temp
        self.folder = temp / "site"
        self.block = temp / "block"
        self.block.write_bytes(os.urandom(min(MIB, options.size)))

    @contextlib.contextmanager
    def running(self, name):
        """A server with an empty folder, which goes with it."""
        self.folder.mkdir()
        try:
            # What others left to be written is not to be paid for here.
            os.sync()
            command, port = SERVERS[name](self)
            with running(name, command, self.temp, port) as server:
                yield server
        finally:
            shutil.rmtree(self.folder)

    def check(self):
        """Has every server take one file, and compares it."""
        for name in self.options.only:
            with self.running(name) as server:
                if self.command.measure is put:
                    self.send_big(server, 1, keep=True)
                    stored = self.folder / "file"
                else:
                    self.send_small(server, "file-", 1)
                    stored = self.folder / "file-000000"
                self.compare(stored)

    def compare(self, stored):
        block = self.block.read_bytes()
        left = self.options.size
        if stored.stat().st_size != left:
            raise Problem(f"{stored} has {stored.stat().st_size} bytes, not {left}")
        with open(stored, "rb") as file:
            while left:
                expected = block[:left]
                if file.read(len(expected)) != expected:
                    raise Problem(f"{stored} differs from what was sent")
                left -= len(expected)

    def measure(self):
        def one(name):
            with self.running(name) as server:
                return self.command.measure(self, server)

        return rounds.interleaved(self.options, one)

    def timed(self, server, count, send):
        """The server's processor time for `count` uploads, and the load's numbers."""
        before = cpu_seconds(server.pid)
        load = send(server, count)
        spent = cpu_seconds(server.pid) - before
        if load["bytes"] != count * self.options.size:
            raise Problem(f"{server.name} was sent {load['bytes']:.0f} bytes: not what was meant")
        return spent, load

    def send_big(self, server, count, keep=False):
        """`count` uploads one after another, each removed before the next."""
        command = [self.programs["load-put"], server.address, "/file"]
        totals = {}
        for _ in range(count):
            load = run_load([*command, self.block, self.options.size], server)
            totals = {key: totals.get(key, 0) + value for key, value in load.items()}
            if not keep:
                (self.folder / "file").unlink()
        return totals

    def send_small(self, server, prefix, count):
        words = ["--requests", count, "--connections", self.options.connections]
        if self.options.per_connection:
            words += ["--per-connection", self.options.per_connection]
        command = [self.programs["load-uploads"], server.address, f"/{prefix}", self.block]
        return run_load([*command, *words], server)


def filesystem(folder):
    """The kind of file system that holds a folder: `ext4`, `tmpfs`."""
    command = ["stat", "--file-system", "--format", "%T", folder]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


# ------------------------------------------------------------- command line


def add_options(sub, name):
    command = COMMANDS[name]
    sub.add_argument("--rounds", type=report.positive, default=command.rounds, help="per server")
    sub.add_argument("--requests", type=report.positive, default=command.requests, help="per round")
    if command.connections:
        sub.add_argument("--connections", type=report.positive, default=command.connections)
        sub.add_argument(
            "--per-connection", type=report.positive, metavar="N",
            help="uploads, before it makes room for a new one; without it: all",
        )
    sub.add_argument("--size", type=report.positive, default=command.size, help="of a file, bytes")
    sub.add_argument(
        "--only",
        metavar="NAMES",
        help=f"comma-separated, of {','.join(SERVERS)}; without it: {command.servers},"
        f" and {' and '.join(OPTIONAL)} if installed",
    )


def run(options, temp):
    """Measures; prints the table and gives what `--json` keeps."""
    if options.only is None:
        found = [name for name in OPTIONAL if shutil.which(name)]
        options.only = COMMANDS[options.command].servers.split(",") + found
    else:
        options.only = report.names(options.only, SERVERS)
    if options.command == "uploads" and options.size > MIB:
        raise Problem(f"--size is for small files, up to {MIB}")
    where = filesystem(temp)
    progress(f"files go to {temp} ({where}); TMPDIR chooses another place")
    bench = Bench(options, temp)
    bench.check()
    report.warn_if_busy()
    main, rows = rounds.summarise(bench.measure())
    rounds.table(main, rows)
    if options.command == "uploads":
        compare_rates(rows)
    return {"file system": where, "servers": rows}


def compare_rates(rows):
    """How many times as many uploads a second as copyparty."""
    if "copyparty" not in rows:
        return
    slowest = rows["copyparty"]["median"]["uploads/s"]
    for name, row in rows.items():
        if name != "copyparty":
            ratio = row["median"]["uploads/s"] / slowest
            print(f"{name}: {ratio:.1f} times the uploads a second of copyparty")
