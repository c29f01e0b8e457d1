"""A visit with Python's own ftplib, as its one argument says in JSON."""

import ftplib
import hashlib
import json
import os
import socket
import ssl
import sys
import time


class Implicit:
    """TLS from the first byte on, which ftplib leaves to those who use it."""

    _sock = None

    @property
    def sock(self):
        return self._sock

    @sock.setter
    def sock(self, value):
        if isinstance(value, socket.socket) and not isinstance(value, ssl.SSLSocket):
            value = self.context.wrap_socket(value, server_hostname=self.host)
        self._sock = value


class Resuming:
    """Data connections resume the session of the control connection; without
    this, ftplib begins a new one each time."""

    def ntransfercmd(self, cmd, rest=None):
        data, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            data = self.context.wrap_socket(
                data, server_hostname=self.host, session=self.sock.session)
        return data, size


def connect(wish):
    """Logged in, with data protected where commands are."""
    mixins = ([Resuming] if wish.get("resume") else []) + (
        [Implicit] if wish["tls"] == "Implicit" else [])
    # In Latin-1, each byte of a name is a letter.
    if wish["tls"] == "Never":
        ftp = ftplib.FTP(encoding="latin-1")
    else:
        context = ssl.create_default_context(cafile=wish["trust"])
        kind = type("Client", (*mixins, ftplib.FTP_TLS), {})
        ftp = kind(context=context, encoding="latin-1")
    ftp.connect(wish["host"], wish["port"], timeout=60)
    ftp.login()
    if wish["tls"] != "Never":
        ftp.prot_p()
    ftp.set_pasv(not wish.get("active"))
    ftp.voidcmd("TYPE I")
    return ftp


def letters(text):
    """A name as Latin-1 has the bytes of its UTF-8."""
    return text.encode().decode("latin-1")


def fetch(ftp, there, here):
    os.makedirs(here, exist_ok=True)
    for name, facts in list(ftp.mlsd(there)):
        path, local = f"{there}/{name}", os.path.join(here, name.encode("latin-1"))
        if facts["type"] == "dir":
            fetch(ftp, path, local)
        elif facts["type"] == "file":
            with open(local, "wb") as file:
                ftp.retrbinary(f"RETR {path}", file.write)
            assert ftp.size(path) == os.path.getsize(local), path


def send(ftp, here, there):
    ftp.mkd(there)
    for entry in os.scandir(here):
        path = f"{there}/{entry.name.decode('latin-1')}"
        if entry.is_dir():
            send(ftp, entry.path, path)
        else:
            with open(entry.path, "rb") as file:
                ftp.storbinary(f"STOR {path}", file)


def go_on_down(ftp, there, here):
    with open(here, "ab") as file:
        ftp.retrbinary(f"RETR {there}", file.write, rest=file.tell())


def go_on_up(ftp, here, there, append=False):
    """From where the server's part ends."""
    try:
        size = ftp.size(there)
    except ftplib.error_perm:
        size = 0
    with open(here, "rb") as file:
        file.seek(size)
        if append:
            ftp.storbinary(f"APPE {there}", file)
        else:
            ftp.storbinary(f"STOR {there}", file, rest=size)


def send_input(ftp, there):
    """Sends what comes in, as soon as it comes."""
    with ftp.transfercmd(f"STOR {there}") as data:
        while block := os.read(0, 1 << 16):
            data.sendall(block)
    time.sleep(60)  # whoever sends the input ends this


def across(wish):
    """A download and an idle connection, and what happens meanwhile."""
    idle, busy = connect(wish), connect(wish)
    digest = hashlib.sha256()
    with busy.transfercmd(f"RETR {wish['there']}") as data:
        digest.update(data.recv(1))
        print("begun", flush=True)
        sys.stdin.readline()
        while block := data.recv(1 << 16):
            digest.update(block)
        data.unwrap()
    busy.voidresp()
    with open(wish["here"], "rb") as file:
        assert digest.digest() == hashlib.sha256(file.read()).digest()
    assert idle.pwd() == "/"
    for ftp in idle, busy:
        assert ftp.nlst() == [wish["there"][1:]]
        ftp.quit()
    print("done", flush=True)


def main():
    wish = json.loads(sys.argv[1])
    here, there = os.fsencode(wish["here"]), letters(wish["there"])

    if wish["task"] == "Across":
        return across(wish)

    def remote(name):
        return f"{there}/{letters(name)}"

    ftp = connect(wish)
    task = wish["task"]
    if task == "Down":
        fetch(ftp, remote("tree"), os.path.join(here, b"tree"))
    elif task == "Up":
        send(ftp, os.path.join(here, b"tree"), remote("tree"))
    elif task == "GoOnDown":
        go_on_down(ftp, remote("big.bin"), os.path.join(here, b"big.bin"))
    elif task == "GoOnUp":
        name = wish.get("name", "big.bin")
        go_on_up(ftp, os.path.join(here, os.fsencode(name)), remote(name), wish.get("append"))
    elif task == "Rename":
        ftp.rename(remote(wish["old"]), remote(wish["new"]))
    elif task == "Delete":
        ftp.delete(remote(wish["unwanted"]))
    elif task == "MakeFolder":
        assert letters(wish["folder"]) in ftp.mkd(remote(wish["folder"]))
    elif task == "RemoveFolder":
        ftp.rmd(remote(wish["folder"]))
    elif task == "SendInput":
        send_input(ftp, there)
    else:
        sys.exit(f"what is {task}?")
    ftp.quit()


if __name__ == "__main__":
    main()
