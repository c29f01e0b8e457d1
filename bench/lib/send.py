"""`send`: what it costs both ends to bring a file from one to the other."""

import contextlib
import os
import select
import shutil
import subprocess
import time
from pathlib import Path

from . import report, rounds
from .machine import LOAD_CPU, SERVER_CPU, pin
from .programs import HOST, START_TIMEOUT_SECONDS, Problem, build, find, free_port

MIB = 1 << 20
GIB = 1 << 30

HELP = "processor time of both ends per GiB from one program to another"

# ---------------------------------------------------------------------- pairs
#
# Each function starts a receiver into `folder/received`, and gives it with the
# command that sends to it and the sender's standard input.


def nc(bench, folder):
    program = find("nc", "apt-get install netcat-openbsd")
    port = free_port()
    with open(folder / "received", "wb") as received:
        receiver = bench.start([program, "-l", HOST, port], stdout=received)
    wait_for_listener(receiver, port)
    return receiver, [program, "-N", HOST, port], open(bench.file, "rb")


def hythe(bench, folder, secret=None):
    program = bench.programs["hythe"]
    # The name that the file has here and the one that it gets are the same.
    receiver = bench.start(
        [program, "receive", f"{HOST}:0", folder], stderr=subprocess.PIPE, secret=secret
    )
    ready, _, _ = select.select([receiver.stderr], [], [], START_TIMEOUT_SECONDS)
    line = receiver.stderr.readline().decode() if ready else ""
    if not line.startswith("listening on "):
        raise Problem(f"hythe receive did not start: {line.strip() or 'it said nothing'}")
    return receiver, [program, "send", "--quiet", bench.file, line.split()[-1]], None


def hythe_secret(bench, folder):
    return hythe(bench, folder, secret="a secret of two")


PAIRS = {"nc": nc, "hythe": hythe, "hythe_secret": hythe_secret}

# ---------------------------------------------------------------------- measuring


def add_options(parser, name):
    parser.add_argument(
        "--only", default="nc,hythe,hythe_secret,hash", help="which of them take part"
    )
    parser.add_argument("--rounds", type=report.positive, default=7)
    parser.add_argument("--size", type=report.positive, default=GIB, help="bytes of the file")


class Bench:
    def __init__(self, options, temp):
        self.options = options
        options.only = report.names(options.only, {*PAIRS, "hash"})
        self.temp = temp
        self.programs = build("hythe", "hythe-bench")
        self.file = temp / "received"  # of the same name, so that one check does for all
        with open(self.file, "wb") as file:
            block = os.urandom(MIB)
            for start in range(0, options.size, MIB):
                file.write(block[: options.size - start])
        os.sync()

    def start(self, command, cpu=SERVER_CPU, secret=None, **more):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HYTHE_")}
        if secret:
            environment["HYTHE_SECRET"] = secret
        more.setdefault("stdin", subprocess.DEVNULL)
        words = [str(word) for word in command]
        return subprocess.Popen(words, env=environment, preexec_fn=pin(cpu), **more)

    def pair(self, name):
        folder = self.temp / "to"
        folder.mkdir()
        begin = time.monotonic()
        receiver, command, source = PAIRS[name](self, folder)
        try:
            with contextlib.ExitStack() as stack:
                words = {"stdin": stack.enter_context(source)} if source else {}
                secret = "a secret of two" if name == "hythe_secret" else None
                sender = self.start(command, cpu=LOAD_CPU, secret=secret, **words)
            spent = end(name, sender) + end(name, receiver)
        finally:
            receiver.kill()
            if receiver.stderr:
                receiver.stderr.close()
        seconds = time.monotonic() - begin
        size = (folder / "received").stat().st_size
        if size != self.options.size:
            raise Problem(f"{name} brought {size} bytes: not what was sent")
        shutil.rmtree(folder)
        os.sync()  # what one left to be written is not to be paid for by the next
        return spent, seconds

    def hash(self):
        begin = time.monotonic()
        command = [self.programs["hash-blocks"], self.file]
        process = self.start(command, cpu=LOAD_CPU, stdout=subprocess.DEVNULL)
        return end("hash", process), time.monotonic() - begin


def end(name, process):
    """Waits for a program; gives its processor time."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Problem(f"{name} failed with {process.returncode}; its reason is above")
    return usage.ru_utime + usage.ru_stime


def wait_for_listener(process, port):
    """Without a connection, which would be the only one that is served."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:  # TCP_LISTEN
                return
        time.sleep(0.005)
    raise Problem("nc did not listen")


def run(options, temp):
    free = shutil.disk_usage(temp).free
    if free < 3 * options.size:
        raise Problem(f"{temp} has {free / GIB:.1f} GiB left; TMPDIR chooses another place")
    bench = Bench(options, temp)
    report.warn_if_busy()

    def measure(name):
        spent, seconds = bench.hash() if name == "hash" else bench.pair(name)
        gibibytes = options.size / GIB
        return {"CPU s/GiB": spent / gibibytes, "s/GiB": seconds / gibibytes}

    samples = rounds.interleaved(options, measure)
    main, rows = rounds.summarise(samples)
    print()
    table(main, rows)
    return {"samples": samples}


def table(main, rows):
    base = rows["nc"]["median"][main] if "nc" in rows else None
    lines = [["pair", main, "min–max", "× nc", "s/GiB"]]
    for name, row in rows.items():
        median = row["median"]
        lines.append([
            name,
            f"{median[main]:.3f}",
            f"{row['min']:.3f}–{row['max']:.3f}",
            f"{median[main] / base:.2f}" if base else "",
            rounds.short(median["s/GiB"]),
        ])
    report.table(lines)
