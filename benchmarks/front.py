"""What the front door costs: aiohttp's own request protocol against ours, on transports that are stand-ins.

Run `python benchmarks/front.py`: processor time for each request of 850 bytes with an answer of 600, read, parsed,
handed to a handler that answers at once, and written. Neither routes nor forwards.
"""

import argparse
import asyncio
import gc
import time
from collections.abc import Callable

import uvloop
from aiohttp import web
from hot_path import REQUEST, Transport

from proxy.config.settings_spec import Limits
from proxy.downstream.assembly import Request
from proxy.downstream.connection import DownstreamConnection
from proxy.downstream.server import DownstreamServer
from proxy.wire.clock import Sweeper

BODY = b"x" * 600
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


async def by_aiohttp(request: web.BaseRequest) -> web.StreamResponse:
    """A bare handler of aiohttp's low-level server."""
    await request.read()
    return web.Response(body=BODY, content_type="application/json")


async def by_ours(connection: DownstreamConnection, _request: Request) -> None:
    """The same for ours."""
    connection.write(ANSWER)
    connection.finish(keep_alive=True)


async def measured(make: Callable[[], asyncio.Protocol], count: int) -> float:
    """Seconds of processor time per request, with 64 connections at once."""
    loop = asyncio.get_running_loop()
    finished = loop.create_future()
    left = count

    def connect() -> asyncio.Protocol:
        def answered(data: bytes) -> None:
            nonlocal left
            if not data.startswith(b"HTTP/1.1 200"):
                return
            left -= 1
            if left > 0:
                loop.call_soon(protocol.data_received, REQUEST)
            elif not finished.done():
                finished.set_result(None)

        protocol = make()
        protocol.connection_made(Transport(answered))
        return protocol

    protocols = [connect() for _ in range(64)]
    await asyncio.sleep(0)
    began = time.process_time()
    for protocol in protocols:
        protocol.data_received(REQUEST)
    await finished
    spent = (time.process_time() - began) / count
    for protocol in protocols:
        protocol.connection_lost(None)
    return spent


async def main(count: int, rounds: int) -> None:
    loop = asyncio.get_running_loop()
    sweeper = Sweeper(loop)
    ours = DownstreamServer(by_ours, limits=Limits(), sweeper=sweeper, loop=loop, on_refusal=lambda *_: None)
    theirs = web.Server(by_aiohttp, access_log=None)
    gc.freeze()
    for name, make in (("aiohttp's request protocol", theirs), ("ours", ours)):
        best = min([await measured(make, count) for _ in range(rounds)])
        print(f"{name}: {best * 1e6:.1f} us a request")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    uvloop.run(main(arguments.count, arguments.rounds))
