"""Sending an answer, whole or event by event, and the faults that break it in its midst."""

import asyncio
import contextlib
import socket
import struct

import orjson
from aiohttp import web

from proxy.errors import PenstockError
from proxy.simulator.engine import Sleep
from proxy.simulator.faults import Cut, Ending, Fault, Slow
from proxy.simulator.journal import Entry

RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on with 0 seconds: close() sends RST, see socket(7)


class AnswerCutError(PenstockError):
    """A fault has ended the connection under this response."""

    def __init__(self, response: web.StreamResponse) -> None:
        super().__init__("the answer was cut")
        self.response = response


def event(payload: object) -> bytes:
    """A server-sent event that carries JSON."""
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def close_connection(request: web.Request) -> None:
    """End the connection as if nothing more were to come."""
    if request.transport is not None:
        request.transport.close()


def reset_connection(request: web.Request) -> None:
    """End the connection with RST."""
    transport = request.transport
    if transport is None:
        return
    handle = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()


async def for_ever() -> None:
    """Wait until the client leaves, which cancels us."""
    await asyncio.get_running_loop().create_future()


async def carry_out(cut: Cut, request: web.Request, response: web.StreamResponse, entry: Entry, sleep: Sleep) -> None:
    """Stop here. Returns only from a stall that ends."""
    match cut.ending:
        case Ending.STALL if cut.seconds is not None:
            await sleep(cut.seconds)
            return
        case Ending.STALL:
            entry.broken = True
            await for_ever()
        case Ending.RESET:
            entry.broken = True
            reset_connection(request)
        case Ending.CLOSE:
            entry.broken = True
            close_connection(request)
    raise AnswerCutError(response)


class EventStream:
    """A server-sent stream to one client. Each event is one write, and waits while the client reads too slowly."""

    def __init__(self, request: web.Request, fault: Fault | None, entry: Entry, sleep: Sleep) -> None:
        self._request = request
        self._fault = fault
        self._entry = entry
        self._sleep = sleep
        self.response = web.StreamResponse(
            headers={"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        )

    async def begin(self) -> None:
        """Send the headers, before there is any event."""
        await self.response.prepare(self._request)

    async def send(self, data: bytes) -> None:
        """Send one event."""
        fault = self._fault
        if isinstance(fault, Cut) and self._entry.events == fault.after:
            await carry_out(fault, self._request, self.response, self._entry, self._sleep)
        if isinstance(fault, Slow):
            await self._sleep(fault.seconds)
        await self.response.write(data)
        self._entry.events += 1

    async def end(self) -> web.StreamResponse:
        """Send the last chunk."""
        await self.response.write_eof()
        return self.response


async def send_whole(
    request: web.Request, body: object, fault: Fault | None, entry: Entry, sleep: Sleep
) -> web.StreamResponse:
    """Send JSON with its length; a cut counts its bytes."""
    data = orjson.dumps(body)
    if isinstance(fault, Slow):
        await sleep(fault.seconds)
    if not isinstance(fault, Cut):
        return web.Response(body=data, content_type="application/json")
    response = web.StreamResponse(headers={"content-type": "application/json"})
    response.content_length = len(data)
    await response.prepare(request)
    await response.write(data[: fault.after])
    await carry_out(fault, request, response, entry, sleep)
    await response.write(data[fault.after :])
    await response.write_eof()
    return response
