"""A talk with an engine: one connection, what is asked on it, and what comes of the answer."""

import asyncio
import math
from typing import Any, cast

from proxy.errors import UpstreamError, UpstreamFailure
from proxy.upstream.connection import UpstreamConnection
from proxy.wire.clock import Sweeper
from proxy.wire.response_gate import ResponseHead
from tests.transports import FakeTransport, StillLoop


class Reader:
    """Where the body of an answer goes: it keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""
        self.ends: list[UpstreamError | None] = []

    def body(self, chunks: list[bytes]) -> None:
        assert not self.ends, "a body behind its end"
        assert chunks
        self.data += b"".join(chunks)

    def finished(self, error: UpstreamError | None) -> None:
        self.ends.append(error)


class Talk:
    """One connection to an engine. `sent_at` once is a request that waits for its answer."""

    def __init__(self, **extra: Any) -> None:
        loop = StillLoop()
        self._now = loop.now
        self.sweeper = Sweeper(cast("Any", loop))
        self.connection = UpstreamConnection(cast("Any", loop), self.sweeper)
        self.transport = FakeTransport(self.connection, **extra)
        self.transport.connect()
        self.reader: Reader | None = None
        self.interim: list[ResponseHead] = []
        self.answer: asyncio.Future[ResponseHead]

    def asks(
        self,
        method: bytes = b"GET",
        *,
        first_byte: float | None = 5,
        idle: float | None = 7,
        total: float | None = None,
    ) -> "Talk":
        self.reader = None
        self.answer = self.connection.send(
            method,
            [b"request"],
            first_byte=first_byte,
            idle=idle,
            total_deadline=math.inf if total is None else self._now + total,
            on_interim=self.interim.append,
        )
        return self

    def hears(self, *data: bytes) -> "Talk":
        for piece in data:
            self.transport.receive(piece)
        return self

    def reads(self) -> Reader:
        """The body goes to a reader from now on."""
        self.reader = Reader()
        self.connection.stream_to(self.reader)
        self.transport.settle()
        return self.reader

    def passes(self, seconds: float) -> None:
        self._now += seconds
        self.sweeper.sweep(self._now)
        self.transport.settle()

    @property
    def head(self) -> ResponseHead:
        return self.answer.result()

    @property
    def failure(self) -> UpstreamFailure | None:
        """How the answer failed: before its head, or in its body."""
        error = self.error
        return None if error is None else error.failure

    @property
    def error(self) -> UpstreamError | None:
        if self.answer.done() and self.answer.exception() is not None:
            return cast("UpstreamError", self.answer.exception())
        if self.reader is not None and self.reader.ends:
            return self.reader.ends[0]
        return None

    def outcome(self) -> tuple[object, ...]:
        """All that anyone can know of the answer."""
        if not self.answer.done():
            return ("waiting",)
        if self.answer.exception() is not None:
            return ("failed", self.failure)
        reader = self.reader or self.reads()
        head = self.head
        ends = [end and end.failure for end in reader.ends]
        fields = [(name, value) for name, _, value in head.said.fields]
        return head.status, fields, head.length, reader.data, ends, self.connection.complete


def answer(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    head = (b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines, b"", b"")
    return b"\r\n".join(head) + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + end
