"""`ftp`: FTP servers, in four parts: sessions, downloads, uploads, idle sessions.

A part is one line in PARTS, a server one function in SERVERS, a goal one line
in GOALS. All parts of a round are measured before the next round begins.
"""

import contextlib
import dataclasses
import ftplib
import os
import pwd
import subprocess
import time

from . import report, rounds
from .files import CONNECTION_LIMIT
from .machine import (
    LOAD_CPU,
    adopt_orphans,
    children,
    cpu_seconds,
    end_of_orphan,
    pin,
    private_bytes,
)
from .programs import (
    HOST,
    START_TIMEOUT_SECONDS,
    WORKSPACE,
    Problem,
    build,
    find,
    free_port,
    progress,
    python_with,
    run_load,
    running,
)
from .uploads import filesystem

HELP = "FTP: processor time per session and per GiB, memory per idle session"

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

PYFTPDLIB = "pyftpdlib==2.2.0"

SMALL = "small.bin"  # what each session fetches
BIG = "big.bin"
UPLOAD = "incoming/upload.bin"  # vsftpd wants a root where visitors can't write


# -------------------------------------------------------------------- parts
#
# Each function gives {column: number} for a running server, main one first.


def sessions(bench, server):
    options = bench.options

    def load(count):
        words = ("--clients", options.clients, "--sessions", count)
        return bench.load("sessions", server, SMALL, *words)

    load(max(1, options.sessions // 10))  # to warm up, as elsewhere
    spent, done = bench.timed(server, lambda: load(options.sessions), options.sessions * KIB)
    return {
        "µs/session": spent * 1e6 / options.sessions,
        "both ends": (spent + done["cpu"]) * 1e6 / options.sessions,
        "sessions/s": options.sessions / done["seconds"],
        "busy %": 100 * spent / done["seconds"],
    }


def retr(bench, server):
    count = bench.options.downloads
    bench.load("retr", server, BIG, 1)
    spent, done = bench.timed(
        server, lambda: bench.load("retr", server, BIG, count), count * bench.options.size
    )
    return per_gibibyte(count * bench.options.size, spent, done)


def stor(bench, server):
    """One upload after another, each removed before the next."""
    os.sync()  # what others left to be written is not to be paid for here
    totals = []
    for _ in range(bench.options.uploads):
        totals.append(bench.timed(server, lambda: bench.send(server), bench.options.size))
        (bench.folder / UPLOAD).unlink()
    done = {key: sum(load[key] for _, load in totals) for key in totals[0][1]}
    spent = sum(spent for spent, _ in totals)
    return per_gibibyte(len(totals) * bench.options.size, spent, done)


def per_gibibyte(size, spent, done):
    return {
        "CPU s/GiB": spent / (size / GIB),
        "both ends": (spent + done["cpu"]) / (size / GIB),
        "s/GiB": done["seconds"] / (size / GIB),
    }


def idle(bench, server):
    count = bench.options.idle
    with bench.idling(server, 1):
        pass  # what the first session allocates once isn't per session
    settle(server)
    before = private_bytes(server.pid)
    with bench.idling(server, count):
        after = private_bytes(server.pid)
    return {
        "KiB/session": (after - before) / count / KIB,
        "MiB before": before / MIB,
        "MiB in all": after / MIB,
    }


@dataclasses.dataclass
class Part:
    title: str
    measure: callable
    servers: str


PARTS = {
    "sessions": Part(
        "processor time per session", sessions, "hythe,floor,pyftpdlib,vsftpd,vsftpd_lean"
    ),
    "retr": Part("processor time per GiB sent", retr, "hythe,floor,pyftpdlib,vsftpd"),
    "stor": Part(
        "processor time per GiB received", stor, "hythe,hythe_unsynced,floor,pyftpdlib,vsftpd"
    ),
    "idle": Part(
        "memory per idle logged-in session", idle, "hythe,pyftpdlib,vsftpd,vsftpd_lean"
    ),
}


@dataclasses.dataclass
class Goal:
    """What `server` should need in a part: itself, or compared with another."""

    part: str
    server: str
    beside: str | None
    at_most: float | None = None
    at_least: float | None = None


GOALS = [
    Goal("sessions", "hythe", None, at_most=120),
    Goal("sessions", "pyftpdlib", "hythe", at_least=6),
    Goal("sessions", "vsftpd", "hythe", at_least=15),
    Goal("retr", "hythe", "floor", at_most=1.05),
    Goal("stor", "hythe", "floor", at_most=1.1),
    Goal("stor", "hythe_unsynced", "floor", at_most=1.1),
    Goal("idle", "hythe", None, at_most=2),
]


# ------------------------------------------------------------------ servers
#
# Each function gives the command to run and the port it will listen on, or
# None when the server picks a free one and says so in its first line. All let
# anonymous visitors read and write, and keep no log.


def hythe(bench, *more):
    limit = str(CONNECTION_LIMIT)
    return [
        *(bench.programs["hythe"], "serve", bench.folder, "--ftp", f"{HOST}:0"),
        *("--http", "off", "--gopher", "off", "--log", "off", "--model", "events"),
        *("--max-connections", limit, "--max-per-address", limit),
        *("--allow", "write", *more),
    ], None


def hythe_unsynced(bench):
    """As the others do it: what was answered may be lost when the power goes."""
    return hythe(bench, "--durability", "none")


def floor(bench):
    return [bench.programs["floor-ftp"], f"{HOST}:0", bench.folder], None


def pyftpdlib(bench):
    port = free_port()
    script = WORKSPACE / "bench/src/pyftpd.py"
    return [python_with(PYFTPDLIB), "-B", script, port, bench.folder], port


def vsftpd(bench, settings=""):
    """As it comes: two processes for each session, apart from the network and
    from each other. Only its limits are lifted.
    """
    port = free_port()
    empty = bench.temp / "empty"
    empty.mkdir(exist_ok=True)
    config = bench.temp / "vsftpd.conf"
    config.write_text(f"""\
listen=YES
listen_address={HOST}
listen_port={port}
background=NO
{vsftpd_user()}
secure_chroot_dir={empty}
connect_from_port_20=NO
anonymous_enable=YES
anon_root={bench.folder}
write_enable=YES
anon_upload_enable=YES
xferlog_enable=NO
max_clients=0
max_per_ip=0
{settings}
""")
    library, program = bench.vsftpd
    return ["env", f"LD_LIBRARY_PATH={library}", program, config], port


def vsftpd_lean(bench):
    """With all switched off that costs a session processes or namespaces."""
    return vsftpd(
        bench,
        "one_process_model=YES\nisolate=NO\nisolate_network=NO\nseccomp_sandbox=NO",
    )


def vsftpd_user():
    """Whom visitors are: one with a home. Root's server becomes that user."""
    known = {user.pw_name for user in pwd.getpwall() if os.path.isdir(user.pw_dir)}
    name = next((name for name in ("ftp", "daemon") if name in known), None)
    if name is None:
        raise Problem("vsftpd needs a user ftp that has a home; leave it out with --only")
    more = "nopriv_user=nobody" if os.getuid() == 0 else "run_as_launching_user=YES"
    return f"ftp_username={name}\n{more}"


def vsftpd_program():
    """Where its libraries are, if not where all are, and the program.

    Debian's FTP servers exclude each other, so its package is only unpacked,
    with the one library that few systems have.
    """
    home = WORKSPACE / "bench/out/vsftpd"
    with contextlib.suppress(Problem):
        return "", find("vsftpd", "", "/usr/sbin")
    program = home / "usr/sbin/vsftpd"
    if not program.exists():
        progress(f"fetching vsftpd with apt-get into {home}")
        home.mkdir(parents=True, exist_ok=True)
        script = """
            apt-get -q download vsftpd libwrap0
            for package in *.deb; do dpkg -x "$package" .; done
        """
        done = subprocess.run(["sh", "-ec", script], cwd=home, capture_output=True, text=True)
        if done.returncode != 0 or not program.exists():
            raise Problem(
                f"vsftpd can't be fetched: {done.stderr.strip()}\n"
                "apt-get update may help, or apt-get install vsftpd; or leave it out with --only"
            )
    found = next(home.glob("usr/lib/*/libwrap.so.0"), None)
    return found.parent if found else "", program


SERVERS = {
    run.__name__: run
    for run in (hythe, hythe_unsynced, floor, pyftpdlib, vsftpd, vsftpd_lean)
}


# ------------------------------------------------------------------ one run


def settle(server):
    """Waits until every process that served a session has ended and was waited
    for: only then has the kernel added its time to the server's. Gives the time
    of those that the server itself did not wait for.
    """
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    spent = 0
    while True:
        orphans = [pid for pid in children(os.getpid()) if pid != server.pid]
        ended = [end_of_orphan(pid) for pid in orphans]
        spent += sum(seconds for seconds in ended if seconds is not None)
        if None not in ended and not any(children(server.pid)):
            return spent
        if time.monotonic() > deadline:
            raise Problem(f"{server.name} has processes left of sessions that are over")
        time.sleep(0.01)


class Bench:
    """One run: its options, its files, the built programs."""

    def __init__(self, options, temp):
        self.options = options
        self.temp = temp
        named = {name for _, name in measured(options)}
        ours = ["hythe"] if any(name.startswith("hythe") for name in named) else []
        self.programs = build("hythe-bench", *ours)
        if any(name.startswith("vsftpd") for name in named):
            self.vsftpd = vsftpd_program()
        if "pyftpdlib" in named:
            python_with(PYFTPDLIB)
        self.folder = temp / "site"
        self.block = temp / "block"

    def make_files(self):
        """Real bytes, and on the disk before timing so that nothing is written later.

        A server that root started may serve as someone else, so all may reach them.
        """
        self.temp.chmod(0o711)
        self.folder.mkdir()
        self.folder.chmod(0o755)
        incoming = (self.folder / UPLOAD).parent
        incoming.mkdir()
        incoming.chmod(0o777)
        self.block.write_bytes(os.urandom(min(MIB, self.options.size)))
        self.make_file(SMALL, KIB)
        if "retr" in self.options.parts:
            self.make_file(BIG, self.options.size)

    def make_file(self, name, size):
        with open(self.folder / name, "wb") as file:
            for start in range(0, size, MIB):
                file.write(os.urandom(min(MIB, size - start)))
            file.flush()
            os.fsync(file.fileno())
        (self.folder / name).chmod(0o644)

    @contextlib.contextmanager
    def running(self, name):
        command, port = SERVERS[name](self)
        with running(name, command, self.temp, port) as server:
            settle(server)  # a connection that tested whether it listens may have a process
            yield server

    def check(self):
        """Compares with the files what every server sends and stores."""
        wanted = {}
        for part, name in measured(self.options):
            wanted.setdefault(name, []).append(part)
        for name, parts in wanted.items():
            with self.running(name) as server:
                fetch(server, self.folder / SMALL)
                if "retr" in parts:
                    fetch(server, self.folder / BIG)
                if "stor" in parts:
                    self.send(server)
                    self.compare(server)

    def send(self, server):
        return self.load("stor", server, UPLOAD, self.block, self.options.size)

    def compare(self, server):
        """What was stored, with the block that was sent again and again."""
        stored, block = self.folder / UPLOAD, self.block.read_bytes()
        left = self.options.size
        with open(stored, "rb") as file:
            while left and file.read(len(block)) == block[:left]:
                left -= min(left, len(block))
            if left or file.read(1):
                raise Problem(f"what {server.name} stored differs from what was sent")
        stored.unlink()

    def measure(self):
        """Round after round over all parts and servers; samples by part and server."""

        def one(key):
            part, name = key.split()
            with self.running(name) as server:
                return PARTS[part].measure(self, server)

        keys = [f"{part} {name}" for part, name in measured(self.options)]
        samples = {part: {} for part in self.options.parts}
        for key, values in rounds.interleaved(self.options, one, keys).items():
            part, name = key.split()
            samples[part][name] = values
        return {part: values for part, values in samples.items() if values}

    def timed(self, server, load, size):
        """The server's processor time for a load of `size` bytes, and its numbers."""
        settle(server)
        before = cpu_seconds(server.pid)
        done = load()
        orphans = settle(server)
        spent = cpu_seconds(server.pid) - before + orphans
        if done["bytes"] != size:
            raise Problem(f"{server.name}: {done['bytes']:.0f} bytes went over, not {size}")
        return spent, done

    def load_command(self, mode, server, *words):
        return [self.programs["load-ftp"], mode, *map(str, (server.address, *words))]

    def load(self, mode, server, *words):
        return run_load(self.load_command(mode, server, *words), server)

    @contextlib.contextmanager
    def idling(self, server, count):
        """As many sessions, logged in, until the block is left."""
        command = self.load_command("idle", server, count)
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=pin(LOAD_CPU)
        ) as load:  # leaving the block closes its input, which ends it
            if load.stdout.readline() != b"ready\n":
                raise Problem(f"load-ftp failed against {server.name}; its reason is above")
            yield


def measured(options):
    """Every part and server to be measured, in the order of a round."""
    for part in options.parts:
        for name in PARTS[part].servers.split(","):
            if options.only is None or name in options.only:
                yield part, name


class Client(ftplib.FTP):
    """Python's own client, but with EPSV, as load-ftp has it and the floor knows it."""

    def makepasv(self):
        return ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())


def fetch(server, file):
    """RETRs `file` and compares it byte for byte."""
    with Client(timeout=START_TIMEOUT_SECONDS) as client, open(file, "rb") as expected:

        def compare(block):
            if expected.read(len(block)) != block:
                raise Problem(f"{server.name} sent something else than {file.name}")

        try:
            client.connect(HOST, server.port)
            client.login()
            client.retrbinary(f"RETR {file.name}", compare, blocksize=MIB)
        except (*ftplib.all_errors, EOFError) as error:
            raise Problem(f"{server.name} did not send {file.name}: {error}") from None
        if expected.read(1):
            raise Problem(f"{server.name} sent a part of {file.name} only")


# ------------------------------------------------------------- command line


def add_options(sub, name):
    sub.add_argument("--rounds", type=report.positive, default=5, help="per part and server")
    sub.add_argument("--sessions", type=report.positive, default=3000, help="per round")
    sub.add_argument("--clients", type=report.positive, default=16, help="at a time, in sessions")
    sub.add_argument("--downloads", type=report.positive, default=8, help="per round, in retr")
    sub.add_argument("--uploads", type=report.positive, default=2, help="per round, in stor")
    sub.add_argument("--size", type=report.positive, default=GIB, help="of a big file, bytes")
    sub.add_argument("--idle", type=report.positive, default=2000, help="sessions, in idle")
    sub.add_argument(
        "--parts", default=",".join(PARTS), metavar="NAMES", help="comma-separated, of these"
    )
    sub.add_argument(
        "--only",
        metavar="NAMES",
        help=f"comma-separated, of {','.join(SERVERS)}; without it all, each where it fits",
    )


def run(options, temp):
    """Measures; prints the tables and goals, and gives what `--json` keeps."""
    options.parts = report.names(options.parts, PARTS)
    if options.only is not None:
        options.only = report.names(options.only, SERVERS)
    if not any(measured(options)):
        raise Problem("none of --only takes part in any of --parts")
    where = filesystem(temp)
    progress(f"files go to {temp} ({where}); TMPDIR chooses another place")
    adopt_orphans()
    bench = Bench(options, temp)
    bench.make_files()
    bench.check()
    report.warn_if_busy()
    results = {}
    for part, samples in bench.measure().items():
        main, rows = rounds.summarise(samples)
        print(f"\n{part}: {PARTS[part].title}\n")
        rounds.table(main, rows)
        results[part] = {"main": main, "servers": rows}
    return {"file system": where, "parts": results, "goals": list(goals(results))}


def goals(results):
    """Prints every goal that this run can tell about, and gives it."""
    print()
    for goal in GOALS:
        part = results.get(goal.part, {"servers": {}})
        rows = part["servers"]
        if goal.server not in rows or goal.beside and goal.beside not in rows:
            continue
        value = rows[goal.server]["median"][part["main"]]
        what = f"{goal.part}: {goal.server} {part['main']}"
        if goal.beside:
            value /= rows[goal.beside]["median"][part["main"]]
            what = f"{goal.part}: {goal.server} over {goal.beside}"
        if goal.at_most is not None:
            met, bound = value <= goal.at_most, f"at most {goal.at_most:g}"
        else:
            met, bound = value >= goal.at_least, f"at least {goal.at_least:g}"
        print(f"{what}: {value:.2f}, {bound}: {'met' if met else 'MISSED'}")
        yield {"what": what, "value": value, "bound": bound, "met": met}
