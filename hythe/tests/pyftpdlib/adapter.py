"""A plugin for pytest that has pyftpdlib's functional tests try hythe.

The tests come unchanged from pyftpdlib's source distribution. In place of
pyftpdlib's server in a thread they are given a `Hythe`: the program, started
with the flags that mean what a test has set. Besides:

- `left_out.txt` lists the tests that are about pyftpdlib's own code and ways, each
  with its reason;
- `words.txt` gives hythe's replies in the words that the tests look for. Codes
  are compared as they are; the text after them is for people, and is each
  server's own (RFC 959 section 4.2).

Run by `tests/pyftpdlib.rs`, which sets HYTHE_BIN to the program under test.
"""

import ftplib
import importlib
import os
import socket
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path
from types import SimpleNamespace

import pytest

HERE = Path(__file__).parent


# --- The server ---


class Hythe:
    """Has what the tests use of pyftpdlib's FtpdThreadWrapper."""

    # The class that a subclass for TLS replaces, and from which the tests take
    # the list of pyftpdlib's commands.
    handler = None

    def __init__(self, addr=None):
        self.host, self.port = addr or ("127.0.0.1", 0)
        kind = type(self).handler or pyftpdlib_handler()
        # What tests set before start(): these become flags.
        self.handler = SimpleNamespace(
            proto_cmds=kind.proto_cmds,
            certfile=getattr(kind, "certfile", None),
            timeout=None,
            masquerade_address=None,
            masquerade_address_map={},
            passive_ports=None,
            tls_control_required=False,
            # What tests set and reset where it does not matter here.
            dtp_handler=SimpleNamespace(),
            passive_dtp=SimpleNamespace(),
            active_dtp=SimpleNamespace(),
        )
        self.server = SimpleNamespace(max_cons=0, max_cons_per_ip=0)
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [os.environ["HYTHE_BIN"], "serve", ".", *self.flags()],
            env={k: v for k, v in os.environ.items() if not k.startswith("HYTHE_")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        if not line.startswith("ftp "):
            self.process.kill()
            raise RuntimeError(f"hythe did not start: {' '.join(self.process.args)}")
        self.port = int(line.strip().rstrip("/").rpartition(":")[2])

    def stop(self):
        self.process.terminate()
        self.process.stdout.close()
        try:
            status = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert status == 0, f"hythe ended with {status}"

    def flags(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        flags = {
            "--ftp": f"{host}:{self.port}",
            "--http": "off",
            "--gopher": "off",
            "--allow": "read",
            "--user": "user:12345:write",
            # A download that a failed test left open is no reason to wait.
            "--drain": "1",
        }
        handler, server = self.handler, self.server
        if handler.certfile:
            # One file holds both.
            flags["--tls-cert"] = flags["--tls-key"] = handler.certfile
            flags["--https"] = "off"
        if handler.tls_control_required:
            flags["--ftp-tls"] = "required"
        if handler.timeout:
            flags["--idle"] = f"{handler.timeout:g}"
        masquerade = handler.masquerade_address_map.get(self.host)
        if masquerade or handler.masquerade_address:
            flags["--passive-address"] = masquerade or handler.masquerade_address
        if handler.passive_ports:
            # Of a list with gaps one port has to do.
            port = next(port for port in handler.passive_ports if is_free(port))
            flags["--passive-ports"] = f"{port}-{port}"
        if server.max_cons:
            # pyftpdlib counts its listener, too.
            flags["--max-connections"] = f"{server.max_cons - 1}"
        if server.max_cons_per_ip:
            flags["--max-per-address"] = f"{server.max_cons_per_ip}"
        return [word for flag in flags.items() for word in flag]


def pyftpdlib_handler():
    return importlib.import_module("pyftpdlib.handlers").FTPHandler


def is_free(port):
    with socket.socket() as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# --- Words ---


def read_words(text):
    """Lines of `COMMAND: hythe's reply = pyftpdlib's`, the command as a pattern."""
    words = []
    for line in significant(text):
        command, _, replies = line.partition(": ")
        ours, _, theirs = replies.replace("\\s", " ").partition(" = ")
        assert ours[:3] == theirs[:3], f"only words may differ, not codes: {line}"
        words.append((command, ours, theirs))
    return words


def translate(words):
    """Has ftplib's clients hear pyftpdlib's words."""
    putline, getline = ftplib.FTP.putline, ftplib.FTP.getline

    def put(self, line):
        self.said = line.upper()
        return putline(self, line)

    def get(self):
        line = getline(self)
        said = getattr(self, "said", "")
        for command, ours, theirs in words:
            if line == ours and fnmatchcase(said, command):
                return theirs
        return line

    ftplib.FTP.putline, ftplib.FTP.getline = put, get


# --- Which tests ---


class Left:
    """Tests that are left out, from lines of `Class::test  reason`. Each names
    the same test of the classes that inherit it, too; `*` is all of a class."""

    def __init__(self, text):
        self.reasons, self.used = {}, set()
        for line in significant(text):
            name, _, reason = line.partition(" ")
            assert reason.strip(), f"{name} is left out for no reason"
            assert name not in self.reasons, f"{name} is there twice"
            self.reasons[name] = reason.strip()

    def has(self, item):
        for kind in item.cls.__mro__:
            for test in (item.name, "*"):
                name = f"{kind.__name__}::{test}"
                if name in self.reasons:
                    self.used.add(name)
                    return True
        return False

    def unused(self):
        return self.reasons.keys() - self.used


def significant(text):
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def data(name):
    return (HERE / name).read_text()


# --- Hooks of pytest ---


def pytest_configure(config):
    # The tests take it from their package when they are imported, which is after
    # this.
    importlib.import_module("tests").FtpdThreadWrapper = Hythe
    translate(read_words(data("words.txt")))


def pytest_collection_modifyitems(config, items):
    left_out = Left(data("left_out.txt"))
    # The tests for TLS import those that they inherit from, and pytest finds
    # these there once more.
    own = [item for item in items if item.cls.__module__ == item.module.__name__]
    run, out = [], []
    for item in own:
        (out if left_out.has(item) else run).append(item)
    unused = sorted(left_out.unused())
    # Who runs one file or one test has not seen them all.
    if unused and len({item.module for item in items}) > 1:
        raise pytest.UsageError(f"no such tests: {', '.join(unused)}")
    config.hook.pytest_deselected(items=out)
    items[:] = run
