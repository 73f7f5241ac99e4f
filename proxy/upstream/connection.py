"""One connection to an endpoint: a request out, a checked answer in, and the reasons why it cannot be used again."""

import asyncio
import math
import select
from collections.abc import Callable, Sequence
from typing import Protocol, cast

from proxy.errors import UpstreamError, UpstreamFailure
from proxy.upstream.assembly import AnswerAssembly
from proxy.wire.clock import Sweeper
from proxy.wire.response_gate import ResponseHead

HIGH_WATER = 64 * 1024
"""Bytes of an answer that may wait here for their reader."""


class Sink(Protocol):
    """Where the body of an answer goes."""

    def body(self, chunks: list[bytes]) -> None:
        """Bytes that one read brought."""

    def finished(self, error: UpstreamError | None) -> None:
        """The body has ended: whole, or with an error."""


class UpstreamConnection(asyncio.Protocol):
    """Owns a transport to an endpoint and the one answer that is under way on it.

    Bytes that come while nothing is asked end the connection: they can never become an answer to the next request.
    """

    __slots__ = (
        "_assembly",
        "_deadline",
        "_error",
        "_first_byte",
        "_idle",
        "_loop",
        "_paused",
        "_poll",
        "_sink",
        "_stall_kind",
        "_sweeper",
        "_total_deadline",
        "_transport",
        "_waiter",
        "busy",
        "idle_since",
        "reused",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sweeper: Sweeper) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._transport: asyncio.Transport | None = None
        self._assembly = AnswerAssembly()
        self._poll: select.poll | None = None
        self._paused = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[ResponseHead] | None = None
        self._sink: Sink | None = None
        self._deadline = math.inf
        self._total_deadline = math.inf
        self._first_byte = math.inf
        self._idle = math.inf
        self._stall_kind = ""
        self.busy = False
        self.reused = False
        self.idle_since = 0.0

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "busy" if self.busy else "idle"
        return f"<UpstreamConnection {state}>"

    # --- what the pool asks ------------------------------------------------------------------------------------------

    @property
    def reusable(self) -> bool:
        """Whether the answer ended cleanly and the next request may use this connection."""
        transport, assembly = self._transport, self._assembly
        return (
            transport is not None
            and assembly.complete
            and assembly.head is not None
            and assembly.head.keep_alive
            and not assembly.spoiled
            and self._error is None
            and not transport.is_closing()
            and transport.get_write_buffer_size() == 0
        )

    def quiet(self) -> bool:
        """Whether an idle connection is still open and nothing has come on it: neither a byte nor an end."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._poll is None:
            return False
        return not self._poll.poll(0)

    def rest(self, now: float) -> None:
        """Nothing is asked any more; from here on any byte ends the connection."""
        self.busy = False
        self.idle_since = now
        self._sink = None
        self._waiter = None
        self._deadline = self._total_deadline = math.inf
        if self._paused:
            self.resume_reading()

    def close(self) -> None:
        """End the connection at once."""
        self.busy = False
        self._sink = None
        transport = self._transport
        if transport is not None:
            transport.abort()

    # --- what an attempt asks ----------------------------------------------------------------------------------------

    def send(
        self,
        method: bytes,
        pieces: Sequence[bytes | bytearray | memoryview],
        *,
        first_byte: float | None,
        idle: float | None,
        total_deadline: float,
        on_interim: Callable[[ResponseHead], None] | None = None,
    ) -> "asyncio.Future[ResponseHead]":
        """Send a request; the future brings its answer's checked head, or an UpstreamError. Limits are in seconds."""
        if self._transport is None:
            raise UpstreamError(UpstreamFailure.RESET, "the engine has closed the connection", sent=False)
        self.busy = True
        self._error = None
        self._assembly.expect(method, on_interim)
        now = self._sweeper.now
        self._idle = math.inf if idle is None else idle
        self._first_byte = math.inf if first_byte is None else first_byte
        self._stall_kind = "first byte"
        self._deadline = now + self._first_byte
        self._total_deadline = total_deadline
        waiter = self._waiter = self._loop.create_future()
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            self._transport.writelines(pieces)
        return waiter

    @property
    def complete(self) -> bool:
        """Whether the answer is whole."""
        return self._assembly.complete

    @property
    def got_bytes(self) -> bool:
        """Whether any byte of the answer has come."""
        return self._assembly.got_bytes

    def take_chunks(self) -> list[bytes]:
        """What of the body has come so far."""
        return self._assembly.take_chunks()

    def stream_to(self, sink: Sink) -> None:
        """From now on the body goes to the sink as it comes. What has come already goes first."""
        self._sink = sink
        if self._assembly.chunks:
            sink.body(self._assembly.take_chunks())
        if self._assembly.complete or self._error is not None:
            sink.finished(self._error)
        elif self._paused:
            self.resume_reading()

    def pause_reading(self) -> None:
        """The reader is slower than the engine: read no more, and blame no one for the silence."""
        if self._transport is not None and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._deadline = math.inf
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """The reader has caught up."""
        if self._paused:
            self._paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()
            if self.busy:
                self._deadline = self._sweeper.now + self._idle

    def check(self, now: float) -> None:
        """Act on a deadline that has passed (the sweeper calls this)."""
        if now >= self._deadline and self.busy:
            limit = self._first_byte if self._stall_kind == "first byte" else self._idle
            self._fail(UpstreamFailure.TIMEOUT, f"the engine sent no {self._stall_kind} for {limit:g} s")
        elif now >= self._total_deadline and self.busy:
            self._fail(UpstreamFailure.TIMEOUT, "the request took longer than its total limit")

    # --- the transport's calls ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is one by shape, not by descent
        self._transport = transport
        self._poll = select.poll()
        self._poll.register(
            transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLHUP | select.POLLERR
        )
        self._sweeper.add(self)

    def data_received(self, data: bytes) -> None:
        assembly = self._assembly
        if not self.busy or assembly.complete:
            self._spoil()
            return
        trouble = assembly.feed(data)
        if assembly.spoiled:
            self._spoil()
        if trouble is not None:
            self._fail(UpstreamFailure.PROTOCOL, trouble)
        elif assembly.head is not None:
            self._stall_kind = "further byte"
            self._deadline = self._sweeper.now + self._idle
            self._notify()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        assembly = self._assembly
        self._transport = None
        self._poll = None
        self._sweeper.discard(self)
        assembly.release()
        if not self.busy or assembly.complete or self._error is not None:
            return
        if exc is None and assembly.ends_with_connection():
            self._notify()
            return
        when = "before it answered" if assembly.head is None else "in mid-answer"
        self._fail(UpstreamFailure.RESET, f"the engine closed the connection {when}")

    # --- inside ------------------------------------------------------------------------------------------------------

    def _notify(self) -> None:
        """Pass on what has come: the head to the attempt that waits, the body to its sink."""
        assembly, sink = self._assembly, self._sink
        if sink is not None:
            if assembly.chunks:
                sink.body(assembly.take_chunks())
            if assembly.complete:
                sink.finished(self._error)
            return
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done() and assembly.head is not None:
            waiter.set_result(assembly.head)
        if not assembly.complete and sum(map(len, assembly.chunks)) > HIGH_WATER:
            self.pause_reading()

    def _spoil(self) -> None:
        """Bytes beyond a whole answer: the answer stands, the connection does not."""
        self._assembly.spoiled = True
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, failure: UpstreamFailure, message: str) -> None:
        self._error = error = UpstreamError(failure, message, sent=True)
        self._deadline = math.inf
        if self._transport is not None:
            self._transport.abort()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if self._sink is not None:
            if self._assembly.chunks:
                self._sink.body(self._assembly.take_chunks())
            self._sink.finished(error)
