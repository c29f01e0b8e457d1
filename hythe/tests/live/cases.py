"""What RFC 6455 asks of a server that echoes, as the Autobahn test suite groups it.

    cases.py HOST PORT [CERTIFICATE]

With a certificate, all over TLS.

A table of what is sent and what has to come, each row sent whole, in chops and
byte by byte, on raw sockets; answers are read by the frames of PyPI's websockets,
and its client tries what is legal.
"""

import os
import socket
import ssl
import struct
import sys

from websockets import exceptions, frames
from websockets.sync.client import connect

HOST, PORT = sys.argv[1], int(sys.argv[2])
TLS = ssl.create_default_context(cafile=sys.argv[3]) if sys.argv[3:] else None
PATIENCE = 60
LIMIT = 1024 * 1024

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

HANDSHAKE = (
    f"GET /echo HTTP/1.1\r\nHost: {HOST}:{PORT}\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


def frame(opcode, payload=b"", *, fin=True, rsv=0, mask=b"\x12\x34\x56\x78", said=None):
    """A frame, legal or not; `said` is a length that is not the payload's."""
    length = len(payload) if said is None else said
    head = bytes([fin << 7 | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if length < 126:
        head += bytes([bit | length])
    elif length < 65536:
        head += struct.pack("!BH", bit | 126, length)
    else:
        head += struct.pack("!BQ", bit | 127, length)
    if not mask:
        return head + payload
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return head + mask + masked.to_bytes(len(payload), "big")


def close(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


class Wire:
    """A WebSocket of which every byte is ours."""

    def __init__(self, behind=b""):
        self.socket = socket.create_connection((HOST, PORT), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if TLS:
            self.socket = TLS.wrap_socket(self.socket, server_hostname=HOST)
        self.socket.sendall(HANDSHAKE + behind)
        self.file = self.socket.makefile("rb")
        assert self.file.readline() == b"HTTP/1.1 101 Switching Protocols\r\n"
        while self.file.readline() != b"\r\n":
            pass

    def send(self, data, chop):
        try:
            for at in range(0, len(data), chop):
                self.socket.sendall(data[at : at + chop])
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            pass  # Refused already; what was answered is there.

    def read(self, count):
        data = self.file.read(count)
        if len(data) < count:
            raise EOFError
        return data
        yield

    def frame(self):
        """The next frame: opcode, payload and whether it is the last; None at the end."""
        steps = frames.Frame.parse(self.read, mask=False)
        try:
            next(steps)
        except StopIteration as stop:
            found = stop.value
            found.check()
            return found.opcode.value, bytes(found.data), found.fin
        except EOFError:
            return None
        raise AssertionError("it never waits")


def run(name, sent, expected, ending, chop):
    """Sends all, and expects frames and an end: a code, or None for a legal end of ours."""
    wire = Wire()
    data = b"".join(sent)
    if ending is None:
        data += close(1000)
        ending = 1000
    wire.send(data, chop)
    for opcode, payload in expected:
        came = wire.frame()
        assert came == (opcode, payload, True), (name, chop, came and (*came[:1], came[1][:80]))
    came = wire.frame()
    if ending == "empty":
        assert came == (CLOSE, b"", True), (name, chop, came)
    else:
        assert came is not None and came[0] == CLOSE, (name, chop, came)
        code = struct.unpack("!H", came[1][:2])[0] if came[1] else None
        allowed = ending if isinstance(ending, tuple) else (ending,)
        assert code in allowed, (name, chop, code, came[1])
    assert wire.frame() is None, (name, chop, "more after the close")
    wire.socket.close()


CASES = []


def case(name, sent, expected=(), ending=None):
    CASES.append((name, sent, list(expected), ending))


def framing():
    for length in [0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 300_000]:
        for opcode, payload in [(TEXT, b"*" * length), (BINARY, b"\xfe" * length)]:
            case(f"1 {opcode} {length}", [frame(opcode, payload)], [(opcode, payload)])
    # Masks are whatever the client likes.
    case("1 no mask's worth", [frame(TEXT, b"hello", mask=b"\0\0\0\0")], [(TEXT, b"hello")])
    case("1 unmasked", [frame(TEXT, b"hello", mask=b"")], [], 1002)
    case("1 unmasked ping", [frame(PING, b"hello", mask=b"")], [], 1002)
    # Lengths that are longer than they need to be are read as what they are.
    long = bytes([0x81, 0x80 | 126, 0, 5]) + b"\0\0\0\0" + b"hello"
    CASES.append(("1 long length", [long], [(TEXT, b"hello")], None))


def pings():
    for payload in [b"", b"hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125]:
        case(f"2 ping {len(payload)}", [frame(PING, payload)], [(PONG, payload)])
    case("2 ping too long", [frame(PING, b"\xfe" * 126)], [], 1002)
    case("2 pong too long", [frame(PONG, b"\xfe" * 126)], [], 1002)
    case("2 unasked pong", [frame(PONG)])
    case("2 unasked pong with payload", [frame(PONG, b"unasked")])
    case("2 pong and ping", [frame(PONG, b"unasked"), frame(PING, b"ping")], [(PONG, b"ping")])
    many = [b"payload-%d" % number for number in range(10)]
    case("2 many", [frame(PING, payload) for payload in many], [(PONG, payload) for payload in many])


def reserved_bits():
    for rsv in range(1, 8):
        case(f"3 text {rsv}", [frame(TEXT, b"hello", rsv=rsv)], [], 1002)
        case(
            f"3 text and {rsv}",
            [frame(TEXT, b"hello"), frame(TEXT, b"hello", rsv=rsv), frame(PING)],
            [(TEXT, b"hello")],
            1002,
        )
        case(f"3 ping {rsv}", [frame(PING, b"hello", rsv=rsv)], [], 1002)
        case(f"3 close {rsv}", [frame(CLOSE, b"\x03\xe8", rsv=rsv)], [], 1002)


def opcodes():
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]:
        case(f"4 {opcode}", [frame(opcode)], [], 1002)
        case(f"4 {opcode} payload", [frame(opcode, b"reserved")], [], 1002)
        case(
            f"4 {opcode} behind text",
            [frame(TEXT, b"hello"), frame(opcode, b"reserved"), frame(PING)],
            [(TEXT, b"hello")],
            1002,
        )


def fragments():
    first, last = frame(TEXT, b"frag1", fin=False), frame(CONT, b"frag2")
    whole = (TEXT, b"frag1frag2")
    case("5 ping in fragments", [frame(PING, b"a", fin=False), frame(CONT, b"b")], [], 1002)
    case("5 pong in fragments", [frame(PONG, b"a", fin=False), frame(CONT, b"b")], [], 1002)
    case("5 close in fragments", [frame(CLOSE, b"\x03", fin=False)], [], 1002)
    case("5 two", [first, last], [whole])
    case("5 ping between", [first, frame(PING, b"ping"), last], [(PONG, b"ping"), whole])
    case("5 pong between", [first, frame(PONG, b"pong"), last], [whole])
    case("5 close between", [first, close(1000)], [], 1000)
    case("5 many pings between", [first, *[frame(PING, b"%d" % n) for n in range(9)], last],
         [*[(PONG, b"%d" % n) for n in range(9)], whole])
    case("5 empty fragments", [frame(TEXT, fin=False), frame(CONT, fin=False), frame(CONT)],
         [(TEXT, b"")])
    case("5 empty and not", [frame(BINARY, fin=False), frame(CONT, b"a", fin=False), frame(CONT)],
         [(BINARY, b"a")])
    for fin in [True, False]:
        case(f"5 continuation of nothing {fin}", [frame(CONT, b"a", fin=fin)], [], 1002)
        case(f"5 continuation of what is whole {fin}",
             [frame(TEXT, b"a"), frame(CONT, b"b", fin=fin)], [(TEXT, b"a")], 1002)
        for opcode in [TEXT, BINARY]:
            case(f"5 begins inside {opcode} {fin}", [first, frame(opcode, b"x", fin=fin)], [], 1002)
    case("5 one after another", [first, last, first, last], [whole, whole])
    long = [frame(CONT, b"x", fin=False) for _ in range(500)]
    case("5 five hundred", [frame(TEXT, b"x", fin=False), *long, frame(CONT, b"x")],
         [(TEXT, b"x" * 502)])


VALID = [
    b"", b"a", "κόσμε".encode(), "来".encode(), "\0".encode(), "\x7f".encode(), "\x80".encode(),
    "\u07ff".encode(), "\u0800".encode(), "\ud7ff".encode(), "\ue000".encode(), "\ufffd".encode(),
    "\ufffe\uffff".encode(), "\U00010000".encode(), "\U0010ffff".encode(), "\ufeff".encode(),
    "Hello-µ@ßöäüàá-UTF-8!!".encode(),
]
INVALID = [
    b"\x80", b"\xbf", b"\x80\xbf\x80", b"\xc2", b"\xdf ", b"\xe0\xa0", b"\xef\xbf", b"\xf0\x90\x80",
    b"\xf4\x8f\xbf", b"\xfe", b"\xff", b"\xfe\xfe\xff\xff",
    # Longer than need be.
    b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xe0\x9f\xbf", b"\xf0\x80\x80\xaf",
    b"\xf0\x8f\xbf\xbf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf", b"\xc0\x80",
    b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80",
    # Surrogates, alone and in pairs.
    b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80",
    # Beyond the last.
    b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf", b"\xf5\x80\x80\x80",
    "κόσμε".encode() + b"\xed\xa0\x80edited", b"before\xce\xba\xe1\xbd\xb9\xff" + b"after" * 40,
]


def utf8():
    for text in VALID:
        case(f"6 {text!r}", [frame(TEXT, text)], [(TEXT, text)])
        for cut in range(len(text) + 1):
            case(f"6 {text!r} cut at {cut}",
                 [frame(TEXT, text[:cut], fin=False), frame(CONT, text[cut:])], [(TEXT, text)])
        single = [frame(CONT, bytes([byte]), fin=False) for byte in text]
        case(f"6 {text!r} byte by byte", [frame(TEXT, fin=False), *single, frame(CONT)],
             [(TEXT, text)])
    for text in INVALID:
        case(f"6 {text!r}", [frame(TEXT, text)], [], 1007)
        case(f"6 {text!r} behind good", [frame(TEXT, b"good"), frame(TEXT, b"good " + text)],
             [(TEXT, b"good")], 1007)
        for cut in range(len(text) + 1):
            case(f"6 {text!r} cut at {cut}",
                 [frame(TEXT, text[:cut], fin=False), frame(CONT, text[cut:])], [], 1007)
        case(f"6 {text!r} as bytes", [frame(BINARY, text)], [(BINARY, text)])
    # At once, although the message has not ended.
    for text in [b"\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "κόσμε".encode() + b"\xf4\x90"]:
        case(f"6 fast {text!r}", [frame(TEXT, b"a", fin=False), frame(CONT, text, fin=False)],
             [], 1007)


def closes():
    case("7 after a message", [frame(TEXT, b"hello"), close(1000)], [(TEXT, b"hello")], 1000)
    case("7 twice", [close(1000), close(1000)], [], 1000)
    case("7 ping behind", [close(1000), frame(PING)], [], 1000)
    case("7 text behind", [close(1000), frame(TEXT, b"late")], [], 1000)
    case("7 amid a message", [frame(TEXT, b"a", fin=False), close(1000), frame(CONT, b"b")], [], 1000)
    case("7 long behind", [close(1000), frame(TEXT, b"x" * 200_000), frame(PING)], [], 1000)
    case("7 no code", [close()], [], "empty")
    case("7 half a code", [frame(CLOSE, b"\x03")], [], 1002)
    case("7 with reason", [close(1000, b"Hello World!")], [], 1000)
    case("7 longest reason", [close(1000, b"*" * 123)], [], 1000)
    case("7 too long", [close(1000, b"*" * 124)], [], 1002)
    case("7 reason in Chinese", [close(1000, "再见".encode())], [], 1000)
    for reason in INVALID[:-2]:
        case(f"7 reason {reason!r}", [close(1000, reason)], [], (1002, 1007))
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]:
        case(f"7 code {code}", [close(code)], [], code)
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]:
        case(f"7 code {code}", [close(code)], [], 1002)
        case(f"7 code {code} and reason", [close(code, b"why")], [], 1002)


def limits():
    for length, ends in [(LIMIT - 1, None), (LIMIT, None), (LIMIT + 1, 1009)]:
        for opcode, payload in [(TEXT, b"*" * length), (BINARY, b"\xfe" * length)]:
            comes = [] if ends else [(opcode, payload)]
            case(f"9 {opcode} {length}", [frame(opcode, payload)], comes, ends)
            for size in [4096, 65536, LIMIT]:
                pieces = [payload[at : at + size] for at in range(0, length, size)]
                sent = [frame(opcode, pieces[0], fin=len(pieces) == 1)]
                for at, piece in enumerate(pieces[1:], 2):
                    sent.append(frame(CONT, piece, fin=at == len(pieces)))
                case(f"9 {opcode} {length} by {size}", sent, comes, ends)
    # What is too long is refused before it comes.
    for said in [LIMIT + 1, 2**31, 2**32, 2**63 - 1]:
        case(f"9 said {said}", [frame(BINARY, said=said)], [], 1009)
    case("9 said 2**63", [frame(BINARY, said=2**63)], [], (1002, 1009))
    case("9 endless pieces", [frame(BINARY, b"x" * 65536, fin=False),
                              *[frame(CONT, b"x" * 65536, fin=False)] * 16], [], 1009)


def table():
    for group in [framing, pings, reserved_bits, opcodes, fragments, utf8, closes, limits]:
        group()
    runs = 0
    for name, sent, expected, ending in CASES:
        length = sum(map(len, sent))
        chops = [length + 1]
        if length <= 200:
            chops += [1]
        elif length <= 2000:
            chops += [1, 64]
        elif length <= 100_000:
            chops += [997]
        for chop in chops:
            run(name, sent, expected, ending, chop)
            runs += 1
    print(f"{len(CASES)} cases, {runs} runs")


def behind_the_request():
    """Frames that come in one piece with the request."""
    wire = Wire(frame(TEXT, b"early") + frame(PING, b"bird"))
    assert wire.frame() == (TEXT, b"early", True)
    assert wire.frame() == (PONG, b"bird", True)
    wire.send(close(1000), 100)
    assert wire.frame() == (CLOSE, struct.pack("!H", 1000), True)
    assert wire.frame() is None


def vanishing():
    """Peers that are gone at each place; the server's part is seen from outside."""
    for data in [b"", frame(TEXT, b"half")[:3], frame(TEXT, b"half")[:-1],
                 frame(TEXT, b"a", fin=False), frame(TEXT, b"whole"), close(1000)]:
        for reset in [False, True]:
            wire = Wire()
            wire.send(data, 100)
            if reset:
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.file.close()
            wire.socket.close()
    if TLS:
        return  # Its end is the end of both directions.
    # One that says no more, but listens.
    wire = Wire()
    wire.send(frame(TEXT, b"last words"), 100)
    wire.socket.shutdown(socket.SHUT_WR)
    assert wire.frame() == (TEXT, b"last words", True)
    assert wire.frame() is None


def client():
    """What is legal, by a client that checks all it gets."""
    url = f"ws{'s' if TLS else ''}://{HOST}:{PORT}/echo"
    with connect(url, ssl=TLS, compression=None, max_size=None) as talk:
        for number in range(5000):
            talk.send(f"message {number} 来")
        for number in range(5000):
            assert talk.recv(PATIENCE) == f"message {number} 来"
        for message in ["", "来" * 100_000, b"", os.urandom(LIMIT), "x" * LIMIT]:
            talk.send(message)
            assert talk.recv(PATIENCE) == message
        # In fragments (10).
        talk.send(["κόσ", "με ", "来"])
        assert talk.recv(PATIENCE) == "κόσμε 来"
        talk.send([b"a" * 1300] * 50)
        assert talk.recv(PATIENCE) == b"a" * 65_000
        for payload in [None, b"", "来", b"\0" * 125]:
            assert talk.ping(payload).wait(PATIENCE)
        talk.close(4321, "够了")
        assert (talk.close_code, talk.close_reason) == (4321, "够了")
    with connect(f"{url}?limit=10", ssl=TLS, compression=None) as talk:
        talk.send("0123456789")
        assert talk.recv(PATIENCE) == "0123456789"
        talk.send("0123456789a")
        try:
            talk.recv(PATIENCE)
        except exceptions.ConnectionClosedError as closed:
            assert closed.rcvd.code == 1009, closed
        else:
            raise AssertionError("too long, and taken")


for part in [table, behind_the_request, vanishing, client]:
    part()
