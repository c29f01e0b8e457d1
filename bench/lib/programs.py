"""Builds, starts and ends the programs that take part."""

import contextlib
import dataclasses
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from .machine import LOAD_CPU, SERVER_CPU, cpu_seconds, ended_children_cpu_seconds, pin

WORKSPACE = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"

# Longer than any honest run: a server that hangs must not hang the script.
LOAD_TIMEOUT_SECONDS = 600
START_TIMEOUT_SECONDS = 10


class Problem(Exception):
    """Something the person who runs this can put right."""


def build(*packages):
    """Builds the packages; gives each program's path as cargo tells it."""
    command = ["cargo", "build", "--release", "--message-format=json-render-diagnostics"]
    for package in packages:
        command += ["--package", package]
    progress("building " + " and ".join(packages))
    try:
        built = subprocess.run(command, cwd=WORKSPACE, stdout=subprocess.PIPE, check=True)
    except FileNotFoundError:
        raise Problem("cargo not found: install Rust from https://rustup.rs") from None
    except subprocess.CalledProcessError:
        raise Problem("the build failed; cargo's reason is above") from None
    messages = map(json.loads, built.stdout.splitlines())
    return {m["target"]["name"]: m["executable"] for m in messages if m.get("executable")}


def build_floor_mux(temp):
    """Compiles the floor that is written in C; Rust's own linker needs `cc` too."""
    program = temp / "floor-mux"
    source = WORKSPACE / "bench/src/floor-mux.c"
    compiler = find("cc", "apt-get install gcc")
    if subprocess.run([compiler, "-O2", "-o", program, source]).returncode != 0:
        raise Problem("floor-mux.c did not compile; the reason is above")
    return program


def find(program, install, *folders):
    path = shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *folders]))
    if path is None:
        raise Problem(f"{program} not found: {install}, or leave it out with --only")
    return path


def python_with(package):
    """The Python of a virtual environment in bench/out that has `package`, `name==version`."""
    name = package.partition("==")[0]
    home = WORKSPACE / "bench/out" / name
    python = home / "bin/python"
    done = home / package
    if not done.exists():
        progress(f"installing {package} from PyPI into {home}")
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        for command in ([sys.executable, "-m", "venv", home], [*pip, package]):
            if subprocess.run(command).returncode != 0:
                raise Problem(f"{name} can't be installed; leave it out with --only")
        done.touch()
    return python


def free_port():
    """A port that nobody has, below those that the kernel hands out: one of
    them might be some connection's before the server is there to take it.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(first // 2, first)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


@dataclasses.dataclass
class Running:
    name: str
    pid: int
    address: str  # HOST:PORT or unix:PATH

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])


@contextlib.contextmanager
def running(name, command, temp, port=None, cpus=(SERVER_CPU,)):
    """Starts a server on its processors; whatever happens next, ends it.

    Without a port, the first line it prints says where it listens.
    """
    with open(temp / f"{name}.log", "w+b") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if port is None else log,
            stderr=log,
            start_new_session=True,  # a group of its own, so that its workers end with it
            preexec_fn=pin(*cpus),
        )
        try:
            if port is None:
                address = announced_address(process)
            else:
                address = f"{HOST}:{port}" if accepts(process, port) else None
            if address is None:
                log.seek(0)
                said = log.read().decode(errors="replace").strip()
                raise Problem(f"{name} did not start: {said or 'it said nothing'}")
            yield Running(name, process.pid, address)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()


def announced_address(process):
    """Where `listening on ADDR` or `http    http://ADDR/` says; None if nothing does."""
    ready, _, _ = select.select([process.stdout], [], [], START_TIMEOUT_SECONDS)
    line = process.stdout.readline().decode() if ready else ""
    match = re.search(r"(unix:\S+|[\d.]+:\d+)/?\s*$", line)
    return match[1] if match else None


def accepts(process, port):
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((HOST, port)).close()
            return True
        time.sleep(0.01)
    return False


def run_load(command, server):
    """Runs a load to its end; gives its numbers, printed as `name value`, and its time."""
    before = ended_children_cpu_seconds()
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=LOAD_TIMEOUT_SECONDS,
        preexec_fn=pin(LOAD_CPU),
    )
    if done.returncode != 0:
        program = Path(command[0]).name
        raise Problem(f"{program} failed against {server.name}: {done.stderr.strip()}")
    pairs = re.findall(r"(\w+) ([\d.]+)", done.stdout)
    spent = ended_children_cpu_seconds() - before
    return {"cpu": spent, **{name: float(value) for name, value in pairs}}


class EchoLoad:
    """`load-echo` with its connections open; each `exchange` sends and receives anew.

    Leave the `with` block to end it.
    """

    def __init__(self, program, server, cpu=LOAD_CPU, **options):
        self.server = server
        words = [(f"--{name.replace('_', '-')}", str(value)) for name, value in options.items()]
        self.process = subprocess.Popen(
            [program, server.address, *(word for pair in words for word in pair)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            preexec_fn=pin(cpu),
        )

    def __enter__(self):
        self.answer("ready")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def exchange(self, count):
        """Does `count` round trips; gives the server's processor time and the time, seconds."""
        before = cpu_seconds(self.server.pid)
        print(count, file=self.process.stdin)
        seconds = float(self.answer("seconds"))
        return cpu_seconds(self.server.pid) - before, seconds

    def answer(self, expected):
        """The rest of the next line, which must begin with `expected`."""
        ready, _, _ = select.select([self.process.stdout], [], [], LOAD_TIMEOUT_SECONDS)
        line = self.process.stdout.readline() if ready else ""
        first, _, rest = line.strip().partition(" ")
        if first != expected:
            raise Problem(f"load-echo failed against {self.server.name}; its reason is above")
        return rest


def progress(text):
    print(text, file=sys.stderr, flush=True)
