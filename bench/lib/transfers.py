"""`send`: what a file costs both ends together, straight from one machine to another.

Two ends of `nc` are what people use for it; they neither name nor verify what
they send. `hash` is what it costs to hash every byte once at each end.
"""

import os
import socket
import subprocess
import sys
import time

from . import report, rounds
from .machine import LOAD_CPU, SERVER_CPU, pin
from .programs import HOST, Problem, build, find, free_port, progress

MIB = 1 << 20
GIB = 1 << 30

HELP = "processor time of both ends per GiB sent from one to the other"

# ------------------------------------------------------------------ pairs
#
# Each function gives the commands of the receiving and the sending end; what
# they read, and what they write to, is redirected where they need it.


def nc(bench, port):
    program = find("nc", "apt-get install netcat-openbsd")
    return [program, "-l", HOST, port], [program, "-N", HOST, port]


def hythe(bench, port):
    program = bench.programs["hythe"]
    receive = [program, "receive", f"{HOST}:{port}", bench.folder, "--quiet"]
    return receive, [program, "send", bench.file, f"{HOST}:{port}", "--quiet"]


def hythe_secret(bench, port):
    secret = bench.temp / "secret"
    secret.write_text("a secret of both\n")
    return [[*end, "--secret-file", secret] for end in hythe(bench, port)]


def hash(bench, port):
    return [bench.programs["hash"], str(bench.options.size), "2"], None


PAIRS = {"nc": nc, "hythe": hythe, "hythe_secret": hythe_secret, "hash": hash}


def add_options(parser, name):
    parser.add_argument("--only", default=",".join(PAIRS), help="who takes part")
    parser.add_argument("--rounds", type=report.positive, default=7)
    parser.add_argument("--size", type=report.positive, default=GIB, help="bytes of the file")


class Bench:
    def __init__(self, options, temp):
        self.options = options
        options.only = report.names(options.only, PAIRS)
        self.temp = temp
        self.programs = build("hythe", "hythe-bench")
        self.folder = temp / "into"
        self.folder.mkdir()
        self.file = temp / "big.bin"
        with open(self.file, "wb") as file:
            for start in range(0, options.size, MIB):
                file.write(os.urandom(min(MIB, options.size - start)))

    def measure(self, name):
        port = str(free_port())
        receive, send = PAIRS[name](self, port)
        start = time.monotonic()
        with open(self.folder / "big.bin", "wb") as into:
            receiving = start_end(receive, SERVER_CPU, stdout=into)
        if name.startswith("hythe"):
            (self.folder / "big.bin").unlink()
        ends = [receiving]
        if send:
            wait_until_listening(port)
            start = time.monotonic()
            with open(self.file, "rb") as file:
                ends.append(start_end(send, LOAD_CPU, stdin=file))
        spent = sum(end_of(process, name) for process in ends)
        seconds = time.monotonic() - start
        arrived = self.folder / "big.bin"
        if send and arrived.stat().st_size != self.options.size:
            raise Problem(f"{name} moved {arrived.stat().st_size} bytes: not what was asked")
        arrived.unlink()
        os.sync()  # what one left to be written is not to be paid for by the next
        gibibytes = self.options.size / GIB
        return {"CPU s/GiB": spent / gibibytes, "s/GiB": seconds / gibibytes}


def start_end(command, cpu, **redirected):
    words = [str(word) for word in command]
    return subprocess.Popen(
        words, preexec_fn=pin(cpu), stderr=subprocess.DEVNULL, **redirected
    )


def end_of(process, name):
    """The processor time of an end, once it has ended."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Problem(f"an end of {name} failed with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def wait_until_listening(port):
    """Without connecting: `nc -l` takes the first who comes."""
    address = int.from_bytes(socket.inet_aton(HOST), sys.byteorder)
    local = f"{address:08X}:{int(port):04X}"
    for _ in range(1000):
        with open("/proc/net/tcp") as table:
            if any(line.split()[1] == local and line.split()[3] == "0A" for line in table):
                return
        time.sleep(0.01)
    raise Problem(f"nothing listens on port {port}")


def run(options, temp):
    report.warn_if_busy()
    bench = Bench(options, temp)
    progress("warming up")
    for name in options.only:
        bench.measure(name)
    main, rows = rounds.summarise(rounds.interleaved(options, bench.measure))
    rounds.table(main, rows)
    medians = {name: row["median"][main] for name, row in rows.items()}
    if {"nc", "hythe", "hash"} <= medians.keys():
        rest = medians["hythe"] - medians["hash"]
        print(
            f"\nhythe is {medians['hythe'] / medians['nc']:.2f} times nc; "
            f"without its hashing, {rest / medians['nc']:.2f} times"
        )
    return {"results": rows}
