"""A WebSocket server of its own, and a client that reaches it through a proxy."""

import asyncio
import functools
import ssl
import sys

import websockets
from websockets.asyncio import client
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus


async def answer(socket):
    if socket.request.path == "/api/push":
        for number in range(100):
            await socket.send(f"push {number}")
        await socket.close(4001, "enough")
        return
    # The first words come right with the handshake's answer.
    await socket.send(f"{socket.request.headers['Host']} {socket.subprotocol}")
    async for message in socket:
        await socket.send(message)


def gate(connection, request):
    if request.path == "/api/closed":
        return connection.respond(403, "not here\n")


async def main():
    async with serve(
        answer, "127.0.0.1", 0, process_request=gate, subprotocols=["quay"], max_size=None
    ) as server:
        port = server.sockets[0].getsockname()[1]
        print(port, flush=True)
        proxy = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        scheme, host = proxy.strip().split("://")
        url = f"{scheme}://{host}/api"
        connect = client.connect
        if scheme == "wss":
            anybody = ssl.create_default_context()
            anybody.check_hostname = False
            anybody.verify_mode = ssl.CERT_NONE
            connect = functools.partial(client.connect, ssl=anybody)

        async with connect(f"{url}/echo", subprotocols=["pier", "quay"], max_size=None) as socket:
            assert socket.subprotocol == "quay"
            assert await socket.recv() == f"{host} quay"
            for message in ["", "hello", "来去", b"\x00\xff", "x" * 4_000_000, b"y" * 4_000_000]:
                await socket.send(message)
                assert await socket.recv() == message
            await asyncio.wait_for(await socket.ping(), 30)
            # Both directions at once, more than sockets hold.
            count = 200
            piece = "z" * 100_000

            async def send():
                for _ in range(count):
                    await socket.send(piece)

            sending = asyncio.create_task(send())
            for _ in range(count):
                assert await socket.recv() == piece
            await sending
        assert socket.close_code == 1000

        async with connect(f"{url}/push", subprotocols=["quay"]) as socket:
            try:
                number = 0
                while True:
                    assert await socket.recv() == f"push {number}"
                    number += 1
            except ConnectionClosed as closed:
                assert number == 100
                assert (closed.rcvd.code, closed.rcvd.reason) == (4001, "enough")

        try:
            async with connect(f"{url}/closed"):
                raise AssertionError("it was refused")
        except InvalidStatus as refused:
            assert refused.response.status_code == 403
            assert refused.response.body == b"not here\n"

        sockets = [await connect(f"{url}/echo", subprotocols=["quay"]) for _ in range(50)]
        for number, socket in enumerate(sockets):
            await socket.recv()
            await socket.send(str(number))
            assert await socket.recv() == str(number)
        for socket in sockets:
            await socket.close()
    print("done", flush=True)


asyncio.run(main())
