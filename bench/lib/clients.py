"""`get`: what a download costs the client; `far`: what more connections bring.

`far` makes two network namespaces with a link of 50 ms between them, on which
each connection gets its own share of the rate and no more. It needs root.
"""

import contextlib
import os
import shutil
import subprocess
import time

from . import report, rounds
from .machine import LOAD_CPU, pin
from .programs import HOST, Problem, build, find, progress, running

MIB = 1 << 20
GIB = 1 << 30

HELP = {
    "get": "processor time of a client per GiB received",
    "far": "how long a download takes over a link of 50 ms that is limited per connection",
}

# ------------------------------------------------------------------ clients
#
# Each function gives the command that fetches `url` into `file`. The server is
# the same for all: nginx, or what --server names.


def hythe(bench, url, file):
    return [bench.programs["hythe"], "get", "--quiet", url, "-o", file]


def hythe_segments(bench, url, file):
    return [bench.programs["hythe"], "get", "--quiet", "-j", "4", url, "-o", file]


def curl(bench, url, file):
    return [find("curl", "apt-get install curl"), "--silent", "--fail", url, "--output", file]


def wget(bench, url, file):
    return [find("wget", "apt-get install wget"), "--quiet", url, "-O", file]


CLIENTS = {
    "hythe": hythe,
    "hythe_segments": hythe_segments,
    "curl": curl,
    "wget": wget,
}


def add_options(parser, name):
    default = "hythe,curl,wget" if name == "get" else "hythe,hythe_segments,curl"
    size = GIB if name == "get" else 64 * MIB
    parser.add_argument("--only", default=default, help="which clients take part")
    parser.add_argument("--rounds", type=report.positive, default=7 if name == "get" else 3)
    parser.add_argument("--size", type=report.positive, default=size, help="bytes of the file")
    parser.add_argument(
        "--scheme", choices=["http", "ftp"], default="http", help="how the server is asked"
    )
    if name == "far":
        parser.add_argument("--rate", default="40mbit", help="of each connection, as tc has it")


class Bench:
    def __init__(self, options, temp):
        self.options = options
        options.only = report.names(options.only, CLIENTS)
        self.temp = temp
        self.programs = build("hythe")
        self.folder = temp / "share"
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.temp.chmod(0o755)
        with open(self.folder / "big.bin", "wb") as file:
            block = os.urandom(MIB)
            for start in range(0, options.size, MIB):
                file.write(block[: options.size - start])

    def server(self, host):
        others = {"http": "ftp", "ftp": "http"}[self.options.scheme]
        return [
            *(self.programs["hythe"], "serve", self.folder),
            *(f"--{self.options.scheme}", f"{host}:0", f"--{others}", "off"),
            *("--gopher", "off", "--log", "off", "--model", "events"),
        ]

    def fetch(self, name, url, before=()):
        """Runs a client to its end: its own processor time, and how long it took."""
        file = self.temp / "fetched.bin"
        command = [*before, *CLIENTS[name](self, url, file)]
        start = time.monotonic()
        process = subprocess.Popen([str(word) for word in command], preexec_fn=pin(LOAD_CPU))
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise Problem(f"{name} failed with {process.returncode}; its reason is above")
        if file.stat().st_size != self.options.size:
            raise Problem(f"{name} fetched {file.stat().st_size} bytes: not what was asked")
        file.unlink()
        os.sync()  # what one left to be written is not to be paid for by the next
        return usage.ru_utime + usage.ru_stime, seconds


def get(bench):
    scheme = bench.options.scheme

    def measure(name):
        with running("server", bench.server(HOST), bench.temp) as server:
            bench.fetch(name, f"{scheme}://{server.address}/big.bin")
            spent, seconds = bench.fetch(name, f"{scheme}://{server.address}/big.bin")
        gibibytes = bench.options.size / GIB
        return {"CPU s/GiB": spent / gibibytes, "s/GiB": seconds / gibibytes}

    return rounds.interleaved(bench.options, measure)


# ---------------------------------------------------------------------- far


@contextlib.contextmanager
def link(rate):
    """Two namespaces; gives the server's address and how to run something there
    and here. A class for each of 64 connections, by a hash of its ports.
    """
    ip = find("ip", "apt-get install iproute2")
    tc = find("tc", "apt-get install iproute2")
    near, far = f"hythe-near-{os.getpid()}", f"hythe-far-{os.getpid()}"

    def run(*words):
        if subprocess.run([str(word) for word in words]).returncode != 0:
            raise Problem(f"{' '.join(map(str, words))} failed: far needs root, and tc's htb and netem")

    try:
        for space in (near, far):
            run(ip, "netns", "add", space)
        run(ip, "link", "add", "n0", "netns", near, "type", "veth", "peer", "f0", "netns", far)
        for space, device, address in ((near, "n0", "10.77.0.1"), (far, "f0", "10.77.0.2")):
            inside = (ip, "netns", "exec", space)
            run(*inside, ip, "addr", "add", f"{address}/24", "dev", device)
            run(*inside, ip, "link", "set", device, "up")
            run(*inside, ip, "link", "set", "lo", "up")
        inside = (ip, "netns", "exec", near)
        run(*inside, tc, "qdisc", "add", "dev", "n0", "root", "netem", "delay", "25ms", "limit", 100000)
        inside = (ip, "netns", "exec", far)
        run(*inside, tc, "qdisc", "add", "dev", "f0", "root", "handle", "1:", "htb")
        for number in range(1, 65):
            run(*inside, tc, "class", "add", "dev", "f0", "parent", "1:", "classid", f"1:{number:x}", "htb", "rate", rate)
            run(*inside, tc, "qdisc", "add", "dev", "f0", "parent", f"1:{number:x}", "netem", "delay", "25ms", "limit", 10000)
        run(*inside, tc, "filter", "add", "dev", "f0", "parent", "1:", "protocol", "ip", "handle", 1,
            "flow", "hash", "keys", "dst,proto-src,proto-dst", "divisor", 64, "baseclass", "1:1")
        yield "10.77.0.2", (ip, "netns", "exec", far), (ip, "netns", "exec", near)
    finally:
        for space in (near, far):
            subprocess.run([ip, "netns", "del", space], stderr=subprocess.DEVNULL)


def far(bench):
    scheme = bench.options.scheme
    with link(bench.options.rate) as (host, there, here):

        def measure(name):
            command = [*there, *bench.server(host)]
            with running("server", command, bench.temp) as server:
                spent, seconds = bench.fetch(name, f"{scheme}://{server.address}/big.bin", here)
            return {"s": seconds, "MiB/s": bench.options.size / MIB / seconds, "CPU s": spent}

        return rounds.interleaved(bench.options, measure)


def run(options, temp):
    free = shutil.disk_usage(temp).free
    if free < 3 * options.size:
        raise Problem(f"{temp} has {free / GIB:.1f} GiB left; TMPDIR chooses another place")
    bench = Bench(options, temp)
    report.warn_if_busy()
    samples = {"get": get, "far": far}[options.command](bench)
    main, rows = rounds.summarise(samples)
    print()
    rounds.table(main, rows)
    compare(options, main, rows)
    return {"samples": samples}


def compare(options, main, rows):
    """The goals, where both sides took part."""
    def median(name):
        return rows[name]["median"][main] if name in rows else None

    print()
    if options.command == "get" and median("hythe") and median("curl"):
        ratio = median("hythe") / median("curl")
        verdict = "met" if ratio <= 1 else "MISSED"
        print(f"hythe over curl: {ratio:.2f}, at most 1: {verdict}")
    if options.command == "far" and median("hythe") and median("hythe_segments"):
        ratio = median("hythe") / median("hythe_segments")
        verdict = "met" if ratio >= 3 else "MISSED"
        print(f"one connection over four: {ratio:.2f}, at least 3: {verdict}")
