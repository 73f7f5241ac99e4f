"""Engines behind the proxy: simulated ones, and raw ones that say on the wire what a test tells them to."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from proxy.simulator.options import EngineOptions
from proxy.simulator.running import RunningEngine, serve_engine

StartEngine = Callable[..., Awaitable[RunningEngine]]
Talk = Callable[["RawConnection"], Awaitable[None]]

LINGER_RESET = struct.pack("ii", 1, 0)  # close() then sends RST, see socket(7)


def start_engine(stack: AsyncExitStack) -> StartEngine:
    """What starts simulated engines that stop with the stack."""

    async def start(tls: ssl.SSLContext | None = None, **changes: Any) -> RunningEngine:
        options: dict[str, Any] = {
            "model": "qwen",
            "time_to_first_token": 0.0,
            "time_per_token": 0.0,
            "tokens": 8,
            **changes,
        }
        return await stack.enter_async_context(serve_engine(EngineOptions(**options), tls=tls))

    return start


class RawConnection:
    """One connection to a raw engine."""

    def __init__(self, engine: "RawEngine", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.engine = engine
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """The next request, head and body as they came; empty when there is none."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        whole = head + await self.reader.readexactly(length)
        self.engine.requests.append(whole)
        return whole

    async def say(self, data: bytes) -> None:
        """Send bytes, and wait while the other side does not read."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"hello", *fields: bytes, status: bytes = b"200 OK") -> None:
        """Send a whole answer."""
        lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields]
        await self.say(b"\r\n".join(lines) + b"\r\n\r\n" + body)

    async def begin_stream(self, content_type: bytes = b"text/event-stream") -> None:
        """Send the head of a chunked answer."""
        await self.say(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % content_type)

    async def chunk(self, data: bytes) -> None:
        """Send a chunk of it."""
        await self.say(b"%x\r\n%b\r\n" % (len(data), data))

    async def end_stream(self) -> None:
        """Send its end."""
        await self.say(b"0\r\n\r\n")

    async def gone(self) -> None:
        """Wait until the other side has closed."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def close(self) -> None:
        """Close."""
        self.writer.close()

    def reset(self) -> None:
        """Close with RST."""
        handle = self.writer.get_extra_info("socket")
        handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self.writer.transport.abort()


class RawEngine:
    """An engine at `url` whose every connection is one run of `talk`."""

    def __init__(self, talk: Talk) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.url = ""
        self._talk = talk
        self._open: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["RawEngine"]:
        """Listen until the block is left."""
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0, ssl=tls, backlog=1024)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in tuple(self._open):
                task.cancel()
            if self._open:
                await asyncio.wait(self._open)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        self.connections += 1
        try:
            await self._talk(RawConnection(self, reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the other side has gone, or the test is over
        finally:
            writer.transport.abort()


def raw_engine(talk: Talk, tls: ssl.SSLContext | None = None) -> AbstractAsyncContextManager[RawEngine]:
    """A raw engine that listens until its block is left."""
    return RawEngine(talk).running(tls)
