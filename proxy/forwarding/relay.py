"""The relay of an answer's body: each read upstream is one write downstream, at the pace of the slower side."""

import asyncio

from proxy.downstream.connection import DownstreamConnection
from proxy.errors import RequestError, UpstreamError
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.filters import BodyFilter
from proxy.upstream.connection import UpstreamConnection
from proxy.wire.error_body import error_event
from proxy.wire.response_gate import Framing

LAST_CHUNK = b"0\r\n\r\n"


def framed(chunks: list[bytes], framing: Framing) -> bytes:
    """What one read brought, as one piece on the wire."""
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if framing is Framing.CHUNKED and body:
        return b"%x\r\n%b\r\n" % (len(body), body)
    return body


class Relay:
    """Owns the passing on of one answer. `done` brings None, or the error that ended the answer early.

    The head waits for the first bytes of the body only if they are there already: both then leave in one write.
    What a `body_filter` takes out, puts in or holds back is not what came; it is asked for its rest at the end.
    """

    __slots__ = ("_downstream", "_exchange", "_filter", "_framing", "_head", "_tail", "done")

    def __init__(
        self,
        downstream: DownstreamConnection,
        exchange: Exchange,
        framing: Framing,
        head: bytes,
        loop: asyncio.AbstractEventLoop,
        body_filter: BodyFilter | None = None,
    ) -> None:
        self._downstream = downstream
        self._exchange = exchange
        self._framing = framing
        self._head = head
        self._filter = body_filter
        self._tail = b""
        self.done: asyncio.Future[UpstreamError | None] = loop.create_future()

    def start(self, upstream: UpstreamConnection) -> None:
        """Take what has come, then everything as it comes."""
        self._downstream.source = upstream
        upstream.stream_to(self)
        if self._head:
            self._downstream.write(self._take_head())
        if not self._downstream.writable:
            upstream.pause_reading()

    def body(self, chunks: list[bytes]) -> None:
        """Bytes that one read upstream brought."""
        if self._filter is not None:
            chunks = [self._filter.feed(b"".join(chunks))]
            if not chunks[0]:
                return
        self._tail = chunks[-1]
        for chunk in chunks:
            self._exchange.bytes_out += len(chunk)
        data = framed(chunks, self._framing)
        self._downstream.write(self._take_head() + data if self._head else data)

    def finished(self, error: UpstreamError | None) -> None:
        """The engine's answer has ended."""
        if self._filter is not None:
            self._release(self._filter)
        if error is None:
            last = self._take_head() + (LAST_CHUNK if self._framing is Framing.CHUNKED else b"")
            if last:
                self._downstream.write(last)
        if not self.done.done():
            self.done.set_result(error)

    def _release(self, body_filter: BodyFilter) -> None:
        """What was held back in case it went on: it did not."""
        self._filter = None
        if rest := body_filter.rest():
            self.body([rest])

    def last_words(self, error: RequestError, path: bytes) -> bytes:
        """The event that tells a stream's reader that it was cut; a partial event before it is ended first."""
        event = error_event(error, path)
        if self._tail and not self._tail.endswith((b"\n\n", b"\r\n\r\n")):
            event = b"\n\n" + event
        return framed([event], self._framing)

    def _take_head(self) -> bytes:
        head, self._head = self._head, b""
        return head
