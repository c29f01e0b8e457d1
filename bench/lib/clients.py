"""`get`: what a download costs the client; `far`: what more connections bring.

`far` has a relay between client and server, which lets nothing pass before half
of 50 ms are over, either way, and no connection faster than a rate. `tc` would do
both, with `netem`, which not every kernel has, and for root only.
"""

import asyncio
import contextlib
import os
import shutil
import signal
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
    if name == "get":
        parser.add_argument(
            "--scheme", choices=["http", "ftp"], default="http", help="how the server is asked"
        )
    else:
        parser.set_defaults(scheme="http")
        parser.add_argument(
            "--rate", type=report.positive, default=4 * MIB, help="bytes a second of a connection"
        )


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

    def fetch(self, name, url):
        """Runs a client to its end: its own processor time, and how long it took."""
        file = self.temp / "fetched.bin"
        command = CLIENTS[name](self, url, file)
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


ONE_WAY_SECONDS = 0.025
CHUNK = 16 * 1024


@contextlib.contextmanager
def relay(port, rate):
    """Gives the port of a relay to `port`; `rate` is in bytes a second, of each
    connection and direction.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(relay_all(port, rate, writing))
        os._exit(0)
    try:
        yield int(os.read(reading, 16))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


async def relay_all(port, rate, announce):
    async def accept(here_in, here_out):
        there_in, there_out = await asyncio.open_connection(HOST, port)
        await asyncio.gather(
            pass_on(here_in, there_out, rate), pass_on(there_in, here_out, rate)
        )

    server = await asyncio.start_server(accept, HOST, 0)
    os.write(announce, str(server.sockets[0].getsockname()[1]).encode())
    await server.serve_forever()


async def pass_on(source, sink, rate):
    """What is on its way at one time is what the rate lets through in the delay."""
    under_way = asyncio.Queue(maxsize=max(2, int(rate * ONE_WAY_SECONDS / CHUNK) + 1))

    async def read():
        while True:
            chunk = await source.read(CHUNK)
            await under_way.put((time.monotonic() + ONE_WAY_SECONDS, chunk))
            if not chunk:
                return

    reading = asyncio.create_task(read())
    free = 0
    with contextlib.suppress(ConnectionError):
        while True:
            due, chunk = await under_way.get()
            if not chunk:
                break
            now = time.monotonic()
            begin = max(due, free, now)
            free = begin + len(chunk) / rate
            if begin > now:
                await asyncio.sleep(begin - now)
            sink.write(chunk)
            await sink.drain()
        sink.write_eof()
    await reading


def far(bench):
    def measure(name):
        with running("server", bench.server(HOST), bench.temp) as server:
            with relay(server.port, bench.options.rate) as port:
                spent, seconds = bench.fetch(name, f"http://{HOST}:{port}/big.bin")
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
