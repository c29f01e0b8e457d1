"""`hello`: what a handler's answer costs through a router, beside the bare loop.

A server is one line in SERVERS: the program, its arguments, the path that is
asked for. All answer with the same text.
"""

import dataclasses

from . import report, rounds
from .files import cpu_per, fetch
from .programs import HOST, build, run_load, running

HELP = "processor time per answer of a handler, by HTTP library"
TEXT = b"Hello, world!"


@dataclasses.dataclass
class Server:
    program: str
    arguments: list = dataclasses.field(default_factory=list)
    path: str = "/"


SERVERS = {
    "floor": Server("floor-http"),
    "hyper": Server("hello-hyper"),
    "hythe": Server("hello"),
    "router20": Server("hello", ["--routes", "20"], "/hello/world"),
}


@dataclasses.dataclass
class Aim:
    """What a server's time may be at most, as a ratio to another's in the same round."""

    server: str
    beside: str
    at_most: float


AIMS = [
    Aim("hythe", "floor", 1.3),
    Aim("hythe", "hyper", 1.0),
]


class Bench:
    """One run: its options, the built programs, the text as a file."""

    def __init__(self, options, temp):
        self.options = options
        self.programs = build("hythe-bench")
        self.temp = temp
        self.file = temp / "hello"
        self.file.write_bytes(TEXT)
        self.head = []
        self.response_bytes = {}

    def running(self, name):
        server = SERVERS[name]
        words = [*server.arguments]
        if name == "floor":
            words = [self.file, *self.head]
        return running(name, [self.programs[server.program], f"{HOST}:0", *words], self.temp)

    def check(self):
        """Compares every answer with the text. The floor comes last: it gets the
        head of ours if that takes part, and so sends the very same bytes.
        """
        order = ["hythe", "router20", "hyper", "floor"]
        for name in sorted(self.options.only, key=order.index):
            with self.running(name) as server:
                head = fetch(server.port, self.file, SERVERS[name].path)
            self.response_bytes[name] = len(head) + len(TEXT)
            if not self.head:
                (self.temp / "head").write_bytes(head)
                self.head = ["--head", self.temp / "head"]

    def measure(self, name):
        def load(count):
            words = ("--connections", self.options.connections, "--requests", count)
            path = SERVERS[name].path
            return run_load([self.programs["load-http"], server.address, path, *words], server)

        with self.running(name) as server:
            return cpu_per(
                "µs/request", self.options.requests / 1e6, server, load, self.options
            )


def add_options(sub, _):
    sub.add_argument("--rounds", type=report.positive, default=7, help="per server")
    sub.add_argument("--requests", type=report.positive, default=300_000, help="per round")
    sub.add_argument("--connections", type=report.positive, default=64)
    sub.add_argument("--only", metavar="NAMES", default=",".join(SERVERS))


def run(options, temp):
    """Measures; prints the table and the aims, and gives what `--json` keeps."""
    options.only = report.names(options.only, SERVERS)
    options.size = len(TEXT)  # what cpu_per expects of every body
    bench = Bench(options, temp)
    bench.check()
    report.warn_if_busy()
    main, rows = rounds.summarise(rounds.interleaved(options, bench.measure))
    for name, row in rows.items():
        row["response bytes"] = bench.response_bytes[name]
    rounds.table(main, rows, "response bytes")
    return {"servers": rows, "aims": list(aims(rows, main))}


def aims(rows, main):
    """Prints every aim that this run can tell about, and gives it."""
    for aim in AIMS:
        if aim.server not in rows or aim.beside not in rows:
            continue
        ratio = rounds.ratio(rows, aim.server, aim.beside, main)
        met = ratio <= aim.at_most
        what = f"{aim.server} over {aim.beside}"
        print(f"{what}: {ratio:.2f}, at most {aim.at_most:g}: {'met' if met else 'MISSED'}")
        yield {"what": what, "value": ratio, "at most": aim.at_most, "met": met}
