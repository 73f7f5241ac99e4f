"""One connection to an endpoint: a request out, a checked answer in, and the reasons why it cannot be used again."""

import asyncio
import math
import select
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import httptools

from proxy.errors import UpstreamError, UpstreamFailure
from proxy.wire.clock import Sweeper
from proxy.wire.fields import SpelledField
from proxy.wire.repeated_head import RepeatedHead, learn
from proxy.wire.response_gate import (
    Framing,
    ProtocolViolationError,
    ResponseFields,
    ResponseHead,
    check_fields,
    check_response,
)

MAX_HEAD = 64 * 1024
"""Bytes of an answer's head, of a chunk's extensions or of trailers (nginx: 4 to 8 KiB; Envoy: 60 KiB)."""

MAX_INTERIM = 16
"""Interim (1xx) answers before the final one."""

HIGH_WATER = 64 * 1024
"""Bytes of an answer that may wait here for their reader."""

_LENGTH_SIZE = len(b"content-length")


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
        "_chunks",
        "_deadline",
        "_error",
        "_fed",
        "_fields",
        "_first_byte",
        "_head",
        "_hit",
        "_idle",
        "_interim",
        "_known",
        "_length",
        "_loop",
        "_method",
        "_on_interim",
        "_overhead",
        "_parser",
        "_paused",
        "_poll",
        "_progress",
        "_reason",
        "_repeated",
        "_repeats",
        "_sink",
        "_stall_kind",
        "_sweeper",
        "_total_deadline",
        "_transport",
        "_waiter",
        "_waiting",
        "_whole",
        "busy",
        "complete",
        "got_bytes",
        "idle_since",
        "reused",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sweeper: Sweeper) -> None:
        self._loop = loop
        self._sweeper = sweeper
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._poll: select.poll | None = None
        self._fields: list[SpelledField] = []
        self._length: bytes | None = None
        self._known: ResponseFields | None = None
        self._reason = b""
        self._method = b""
        self._head: ResponseHead | None = None
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._repeats: RepeatedHead | None = None
        self._repeated: ResponseHead | None = None
        self._hit = False
        self._whole = False
        self._fed = 0
        self._overhead = 0
        self._interim = 0
        self._progress = False
        self._paused = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[ResponseHead] | None = None
        self._sink: Sink | None = None
        self._on_interim: Callable[[ResponseHead], None] | None = None
        self._deadline = math.inf
        self._total_deadline = math.inf
        self._first_byte = math.inf
        self._idle = math.inf
        self._stall_kind = ""
        self.busy = False
        self.complete = False
        self.got_bytes = False
        self.reused = False
        self.idle_since = 0.0

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "busy" if self.busy else "idle"
        return f"<UpstreamConnection {state}>"

    # --- what the pool asks ------------------------------------------------------------------------------------------

    @property
    def reusable(self) -> bool:
        """Whether the answer ended cleanly and the next request may use this connection."""
        transport, head = self._transport, self._head
        return (
            transport is not None
            and self.complete
            and head is not None
            and head.keep_alive
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
        self._on_interim = None
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
        self.complete = False
        self.got_bytes = False
        self._method = method
        self._head = None
        self._error = None
        self._chunks = []
        self._waiting = self._overhead = self._interim = 0
        self._on_interim = on_interim
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
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

    def take_chunks(self) -> list[bytes]:
        """What of the body has come so far."""
        chunks, self._chunks = self._chunks, []
        self._waiting = 0
        return chunks

    def stream_to(self, sink: Sink) -> None:
        """From now on the body goes to the sink as it comes. What has come already goes first."""
        self._sink = sink
        if self._chunks:
            sink.body(self.take_chunks())
        if self.complete or self._error is not None:
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
        parser = self._parser
        if not self.busy or self.complete or parser is None:
            self._spoil()
            return
        if not self.got_bytes and self._recognise(data):
            return
        self._whole = not self.got_bytes
        self.got_bytes = True
        self._progress = False
        self._fed = len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._violated("the engine switched protocols though nobody asked")
        except httptools.HttpParserError as error:
            self._violated(_reason_of(error))
        if self._error is None:
            self._after_feed(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._parser = None
        self._poll = None
        self._sweeper.discard(self)
        if not self.busy or self.complete or self._error is not None:
            return
        head = self._head
        if head is not None and head.framing is Framing.CLOSE and exc is None:
            self.complete = True
            self._notify()
            return
        when = "before it answered" if head is None else "in mid-answer"
        self._fail(UpstreamFailure.RESET, f"the engine closed the connection {when}")

    # --- the parser's calls ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            self._spoil()
        self._fields = []
        self._length = None
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is not None:
            return
        if len(name) != _LENGTH_SIZE or name.lower() != b"content-length":
            self._fields.append((name, value))
        elif self._length is None:
            self._length = value
        else:
            raise ProtocolViolationError("the engine's answer has more than one Content-Length")

    def on_headers_complete(self) -> None:
        parser = self._parser
        if self.complete or parser is None:
            return
        if (
            self._overhead + self._fed > MAX_HEAD
            and sum(len(name) + len(value) + 4 for name, value in self._fields) > MAX_HEAD
        ):
            raise ProtocolViolationError("the engine's header is too large")
        said = self._said(parser.get_http_version())
        head = check_response(parser.get_status_code(), self._reason, self._length, said, self._method)
        if head.status < 200:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise ProtocolViolationError("the engine sent too many interim answers")
            if head.status != 100 and self._on_interim is not None:
                self._on_interim(head)
            return
        self._head = head
        self._progress = True
        if head.framing is Framing.NONE:
            self.complete = True
            # llhttp cannot be told that this answer has no body (HEAD): a fresh parser serves the next one.
            self._parser = None

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self._spoil()
            return
        self._progress = True
        self._chunks.append(data)

    def on_message_complete(self) -> None:
        if self._head is not None:
            self.complete = True

    # --- inside ------------------------------------------------------------------------------------------------------

    def _said(self, version: str) -> ResponseFields:
        """An engine mostly repeats its fields: what has been checked is not checked again."""
        known = self._known
        self._hit = known is not None and known.spelled == self._fields and known.version == version
        if known is None or not self._hit:
            known = self._known = check_fields(version, self._fields)
        return known

    def _remember(self, data: bytes) -> None:
        """The engine repeats itself: from the next time on its head is known by its bytes."""
        head = self._head
        if head is not None and head.framing is Framing.LENGTH and not self._interim and head.keep_alive:
            self._repeats = learn(data)
            self._repeated = head

    def _recognise(self, data: bytes) -> bool:
        """Take these bytes if they are a whole answer that differs from an earlier one in its body alone."""
        repeats, head = self._repeats, self._repeated
        if repeats is None or head is None or self._method == b"HEAD":
            return False
        body = repeats.body_of(data)
        if body is None:
            return False
        self.got_bytes = self.complete = True
        self._head = ResponseHead(head.status, head.reason, head.framing, len(body), head.said)
        if body:
            self._chunks.append(body)
        self._notify()
        return True

    def _after_feed(self, data: bytes) -> None:
        if self._head is None or not self._progress:
            self._overhead += self._fed
            if self._overhead > MAX_HEAD:
                self._violated("the engine's header, chunk extensions or trailers are too large")
                return
        else:
            self._overhead = 0
        if self.complete and self._whole and self._hit:
            self._remember(data)
        if self._head is not None:
            self._stall_kind = "further byte"
            self._deadline = self._sweeper.now + self._idle
            self._notify()

    def _notify(self) -> None:
        """Pass on what has come: the head to the attempt that waits, the body to its sink."""
        if self._sink is not None:
            if self._chunks:
                self._sink.body(self.take_chunks())
            if self.complete and self._sink is not None:
                self._sink.finished(self._error)
            return
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done() and self._head is not None:
            waiter.set_result(self._head)
        self._waiting = sum(map(len, self._chunks))
        if self._waiting > HIGH_WATER and not self.complete:
            self.pause_reading()

    def _spoil(self) -> None:
        """Bytes beyond a whole answer: the answer stands, the connection does not."""
        if self._transport is not None:
            self._transport.abort()

    def _violated(self, message: str) -> None:
        if self.complete:
            self._spoil()
            return
        self._fail(UpstreamFailure.PROTOCOL, message)

    def _fail(self, failure: UpstreamFailure, message: str) -> None:
        self._error = error = UpstreamError(failure, message, sent=True)
        self._deadline = math.inf
        if self._transport is not None:
            self._transport.abort()
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if self._sink is not None:
            if self._chunks:
                self._sink.body(self.take_chunks())
            self._sink.finished(error)


def _reason_of(error: httptools.HttpParserError) -> str:
    """Our own words where the gate refused the head; llhttp's are about its own workings."""
    cause = error.__context__
    return str(cause) if isinstance(cause, ProtocolViolationError) else "the engine's answer is not valid HTTP/1.1"
