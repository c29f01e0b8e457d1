"""An echo server over Python's selectors: src/bin/mux.rs in another language.

    mux.py select|poll|epoll-level unix:PATH

Python's selectors know no edge-triggered epoll.
"""

import contextlib
import selectors
import socket
import sys

SELECTORS = {
    "select": selectors.SelectSelector,
    "poll": selectors.PollSelector,
    "epoll-level": selectors.EpollSelector,
}


def main(kind, address):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address.removeprefix("unix:"))
    listener.listen(socket.SOMAXCONN)
    listener.setblocking(False)
    selector = SELECTORS[kind]()
    selector.register(listener, selectors.EVENT_READ)
    print(f"listening on {address}", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                accept(selector, listener)
            elif not echo(key.fileobj):
                selector.unregister(key.fileobj)
                key.fileobj.close()


def accept(selector, listener):
    with contextlib.suppress(BlockingIOError):
        while True:
            peer, _ = listener.accept()
            peer.setblocking(False)
            selector.register(peer, selectors.EVENT_READ)


def echo(peer):
    received = peer.recv(4096)
    return received and peer.send(received) == len(received)


main(*sys.argv[1:])
