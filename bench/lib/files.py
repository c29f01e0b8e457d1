"""`http-small`, `http-big` and `idle`: HTTP servers that hand out one file.

A command is one line in COMMANDS: a way to measure, what to compare, defaults.
A server is one function in SERVERS: the command that starts it.
"""

import dataclasses
import getpass
import grp
import os
import re
import shutil
import socket
import subprocess

from . import report, rounds
from .machine import LOAD_CPU, cpu_seconds, pin, private_bytes
from .programs import (
    HOST,
    START_TIMEOUT_SECONDS,
    Problem,
    build,
    find,
    free_port,
    run_load,
    running,
)

MIB = 1 << 20
GIB = 1 << 30

# Enough connections for `idle` to stand far above its own noise; servers that
# want a limit up front are given one beyond it.
CONNECTION_LIMIT = 20_000


@dataclasses.dataclass
class Command:
    """What one subcommand measures and what it compares."""

    help: str
    measure: callable  # (bench, running server) -> {column: number}, main one first
    floor: str
    servers: str
    size: int
    rounds: int
    requests: int | None = None  # None: the command has no such option
    connections: int | None = None


def http_small(bench, server):
    options = bench.options
    return cpu_per(
        "µs/request",
        options.requests / 1e6,
        server,
        lambda count: bench.load(
            "load-http", server, "--connections", options.connections, "--requests", count
        ),
        options,
    )


def http_big(bench, server):
    def download(count):
        totals = [bench.load("load-big", server) for _ in range(count)]
        return {key: sum(total[key] for total in totals) for key in totals[0]}

    gibibytes = bench.options.requests * bench.options.size / GIB
    return cpu_per("CPU s/GiB", gibibytes, server, download, bench.options)


def cpu_per(unit, amount, server, load, options):
    """The server's processor time for one `unit` while `load` runs."""
    load(max(1, options.requests // 10))  # to warm up: caches, buffers, branch predictors
    before = cpu_seconds(server.pid)
    done = load(options.requests)
    spent = cpu_seconds(server.pid) - before
    if done["bytes"] != options.requests * options.size:
        raise Problem(f"{server.name} sent {done['bytes']:.0f} body bytes: not what was asked")
    return {
        unit: spent / amount,
        "both ends": (spent + done["cpu"]) / amount,
        "busy %": 100 * spent / done["seconds"],
    }


def idle(bench, server):
    fetch(server.port, bench.file)  # what the first request allocates once isn't per connection
    before = private_bytes(server.pid)
    command = bench.load_command("load-idle", server, bench.options.connections)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pin(LOAD_CPU)
    ) as load:  # leaving the block closes its input, which ends it
        if load.stdout.readline() != b"ready\n":
            raise Problem(f"load-idle failed against {server.name}; its reason is above")
        after = private_bytes(server.pid)
    return {
        "KiB/connection": (after - before) / bench.options.connections / 1024,
        "MiB before": before / MIB,
        "MiB in all": after / MIB,
    }


COMMANDS = {
    "http-small": Command(
        "processor time per small response",
        http_small, "floor-http", "hythe,floor,nginx,nginx_read",
        size=1024, rounds=7, requests=300_000, connections=64,
    ),
    "http-big": Command(
        "processor time per GiB sent",
        http_big, "floor-sendfile", "hythe,floor,nginx",
        size=GIB, rounds=7, requests=8,
    ),
    "idle": Command(
        "memory per idle keep-alive connection",
        idle, "floor-http", "hythe,nginx",
        size=1024, rounds=3, connections=8000,
    ),
}

# Compared too when they happen to be installed.
OPTIONAL = ["miniserve", "dufs"]


# ------------------------------------------------------------------ servers
#
# Each function gives the command to run and the port it will listen on, or
# None when the server picks a free one and says so in its first line.


def hythe(bench):
    limit = str(CONNECTION_LIMIT)
    return [
        *(bench.programs["hythe"], "serve", bench.folder, "--http", f"{HOST}:0"),
        *("--ftp", "off", "--gopher", "off", "--log", "off", "--model", "events"),
        *("--max-connections", limit, "--max-per-address", limit),
    ], None


def floor(bench):
    head = ["--head", bench.head] if bench.head else []
    return [bench.programs[bench.command.floor], f"{HOST}:0", bench.file, *head], None


def nginx(bench, sendfile="on"):
    return nginx_with(bench, f"""
            sendfile {sendfile};
            tcp_nopush on;
            open_file_cache max=100 inactive=1h;
        """)


def nginx_with(bench, settings):
    """As fast as its manual makes it: one worker for the one processor, no log,
    and no connection closed for having asked often; `settings` say what for.
    """
    program = find("nginx", "apt-get install nginx-light", "/usr/sbin")
    port = free_port()
    work = bench.temp / "nginx"
    work.mkdir(exist_ok=True)
    group = grp.getgrgid(os.getgid()).gr_name
    config = f"""
        {f"user {getpass.getuser()} {group};" if os.getuid() == 0 else ""}
        daemon off;
        pid {work}/pid;
        error_log stderr;
        worker_processes 1;
        worker_rlimit_nofile {CONNECTION_LIMIT};
        events {{ worker_connections {CONNECTION_LIMIT}; }}
        http {{
            access_log off;
            server_tokens off;
            default_type application/octet-stream;
            keepalive_timeout 1h;
            keepalive_requests 1000000000;
            {settings}
            client_body_temp_path {work}/body;
            proxy_temp_path {work}/proxy;
            fastcgi_temp_path {work}/fastcgi;
            uwsgi_temp_path {work}/uwsgi;
            scgi_temp_path {work}/scgi;
            server {{
                listen {HOST}:{port} backlog=4096;
                root {bench.folder};
            }}
        }}
    """
    (work / "nginx.conf").write_text(config)
    return [program, "-e", "stderr", "-p", work, "-c", work / "nginx.conf"], port


def nginx_read(bench):
    """Without sendfile, which is off by default, nginx is quicker with small files."""
    return nginx(bench, sendfile="off")


def miniserve(bench):
    port = free_port()
    program = find("miniserve", "cargo install miniserve")
    return [program, "--interfaces", HOST, "--port", port, bench.folder], port


def dufs(bench):
    port = free_port()
    program = find("dufs", "cargo install dufs")
    return [program, "--bind", HOST, "--port", port, "--log-format", "", bench.folder], port


SERVERS = {run.__name__: run for run in (hythe, floor, nginx, nginx_read, miniserve, dufs)}


# ------------------------------------------------------------------ one run


class Bench:
    """One run of a command: its options, its files, the built programs."""

    def __init__(self, options, temp):
        self.options = options
        self.command = COMMANDS[options.command]
        self.programs = build("hythe-bench", *(["hythe"] if "hythe" in options.only else []))
        self.temp = temp
        self.folder = temp / "site"
        self.file = self.folder / "file.bin"
        self.head = None
        self.response_bytes = {}

    def running(self, name):
        command, port = SERVERS[name](self)
        return running(name, command, self.temp, port)

    def make_file(self):
        """Real bytes, and on the disk before timing so that nothing is written later."""
        self.folder.mkdir()
        with open(self.file, "wb") as file:
            for start in range(0, self.options.size, MIB):
                file.write(os.urandom(min(MIB, self.options.size - start)))
            file.flush()
            os.fsync(file.fileno())

    def check(self):
        """Compares every server's answer with the file.

        The floor comes last: it gets the head of the first real server, ours if
        it takes part, and so sends the very same bytes.
        """
        for name in sorted(self.options.only, key=lambda name: name == "floor"):
            with self.running(name) as server:
                head = fetch(server.port, self.file)
            self.response_bytes[name] = len(head) + self.options.size
            if self.head is None and name != "floor":
                self.head = self.temp / "head"
                self.head.write_bytes(head)

    def measure(self):
        def one(name):
            with self.running(name) as server:
                return self.command.measure(self, server)

        return rounds.interleaved(self.options, one)

    def load_command(self, program, server, *words):
        words = (server.address, f"/{self.file.name}", *words)
        return [self.programs[program], *map(str, words)]

    def load(self, program, server, *words):
        return run_load(self.load_command(program, server, *words), server)


def fetch(port, file, path=None):
    """GETs `file` and compares the body with it byte for byte; gives the head.
    Without a path it is asked for by its name.
    """
    path = path or f"/{file.name}"
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n"
    with socket.create_connection((HOST, port)) as peer, open(file, "rb") as expected:
        peer.settimeout(START_TIMEOUT_SECONDS)
        peer.sendall(request.encode())
        answer = peer.makefile("rb")
        lines = [answer.readline()]
        while lines[-1] not in (b"\r\n", b""):
            lines.append(answer.readline())
        head = b"".join(lines)
        length = re.search(rb"^content-length: *(\d+)", head, re.I | re.M)
        if b" 200 " not in lines[0] or not length or int(length[1]) != file.stat().st_size:
            raise Problem(f"expected the file, got:\n{head.decode(errors='replace')}")
        while block := expected.read(MIB):
            if answer.read(len(block)) != block:
                raise Problem("the body differs from the file")
    return head


# ------------------------------------------------------------- command line


def add_options(sub, name):
    command = COMMANDS[name]
    sub.add_argument("--rounds", type=report.positive, default=command.rounds, help="per server")
    if command.requests:
        sub.add_argument(
            "--requests", type=report.positive, default=command.requests, help="per round"
        )
    if command.connections:
        sub.add_argument("--connections", type=report.positive, default=command.connections)
    sub.add_argument(
        "--size", type=report.positive, default=command.size, help="of the file, bytes"
    )
    sub.add_argument(
        "--only",
        metavar="NAMES",
        help=f"comma-separated, of {','.join(SERVERS)}; without it: {command.servers},"
        f" and {' and '.join(OPTIONAL)} if installed",
    )


def run(options, temp):
    """Measures; prints the table and gives what `--json` keeps."""
    options.only = chosen(options)
    bench = Bench(options, temp)
    bench.make_file()
    bench.check()
    report.warn_if_busy()
    main, rows = rounds.summarise(bench.measure())
    for name, row in rows.items():
        row["response bytes"] = bench.response_bytes[name]
    rounds.table(main, rows, "response bytes")
    return {"servers": rows}


def chosen(options):
    if options.only is None:
        found = [name for name in OPTIONAL if shutil.which(name)]
        return COMMANDS[options.command].servers.split(",") + found
    return report.names(options.only, SERVERS)
