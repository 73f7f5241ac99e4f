"""One client's connection: bytes in, whole checked requests out to a handler, answers back in order."""

import asyncio
import math
import socket
import struct
from collections import deque
from enum import Enum
from typing import Any, Protocol, cast

import httptools

from proxy.config.settings_spec import Limits
from proxy.downstream.assembly import Request, RequestAssembly
from proxy.errors import RequestError
from proxy.wire.clock import Sweeper
from proxy.wire.error_body import render_error

MAX_PIPELINED = 16
"""Requests that may wait behind the one being answered, before reading pauses (aiohttp's bound is of this order)."""

LINGER = 2.0
"""Seconds in which a closed connection's last bytes are read and dropped, so that the client can read our answer
instead of a reset (RFC 9112 9.6; nginx lingers 5 s)."""

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 seconds (socket(7)): closing sends RST."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Source(Protocol):
    """Where the bytes of an answer come from; it is paused while the client does not read."""

    def pause_reading(self) -> None:
        """Read no more until told."""

    def resume_reading(self) -> None:
        """Read on."""


class Owner(Protocol):
    """What a connection asks of the server that accepted it."""

    limits: Limits
    sweeper: Sweeper

    def opened(self, connection: "DownstreamConnection") -> None:
        """A client connected."""

    def closed(self, connection: "DownstreamConnection") -> None:
        """The connection is gone."""

    def dispatch(self, connection: "DownstreamConnection", request: Request) -> "asyncio.Task[None]":
        """Start to answer a request."""

    def refused(self, connection: "DownstreamConnection", error: RequestError) -> None:
        """A message was refused at the gate."""

    def crowded(self) -> bool:
        """Whether there are as many connections as are allowed."""

    def trusts(self, address: str) -> bool:
        """Whether what this peer says of the client before it is believed."""


class Phase(Enum):
    """What a connection's deadline is for."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    BUSY = "busy"
    LINGER = "linger"


class DownstreamConnection(asyncio.Protocol):
    """Owns a client's transport: what is being received, what waits, what is being answered, and until when.

    aiohttp's `web.Server` makes it for each connection that is accepted. It takes the place of aiohttp's own request
    protocol because a proxy needs the gate before anything else, whole messages to survive junk behind them, timers for
    head, body and idleness, and answers written to the transport as they arrive (benchmarks/front.py has the figures).
    """

    __slots__ = (
        "_assembly",
        "_closing",
        "_deadline",
        "_loop",
        "_owner",
        "_parser",
        "_phase",
        "_queue",
        "_reading_paused",
        "_send_deadline",
        "_task",
        "_transport",
        "active",
        "client",
        "secure",
        "service",
        "source",
        "trusted",
        "writable",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, service: int | None = None) -> None:
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._assembly = RequestAssembly(owner.limits)
        self._parser: httptools.HttpRequestParser | None = None
        self._queue: deque[Request | RequestError] = deque()
        self._task: asyncio.Task[None] | None = None
        self._phase = Phase.HEAD
        self._deadline = math.inf
        self._send_deadline = math.inf
        self._closing = False
        self._reading_paused = False
        self.active: Request | None = None
        self.client = ""
        self.secure = False
        self.service = service
        self.source: Source | None = None
        self.trusted = False
        self.writable = True

    def __repr__(self) -> str:
        return f"<DownstreamConnection {self.client} {self._phase.value}, {len(self._queue)} waiting>"

    # --- the transport's calls ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is one by shape, not by descent
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.client = peer[0] if isinstance(peer, tuple) else "local"
        self.secure = transport.get_extra_info("sslcontext") is not None
        self.trusted = self._owner.trusts(self.client)
        self._parser = self._assembly.new_parser()
        crowded = self._owner.crowded()
        self._owner.opened(self)
        if crowded:
            self._refuse(RequestError(503, "too many connections", kind="server_error", code="overloaded", close=True))
            return
        self._wait(Phase.HEAD, self._owner.limits.header_timeout)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        assembly = self._assembly
        if not assembly.recognise(data):
            self._feed(data)
        if assembly.requests:
            self._queue.extend(assembly.requests)
            assembly.requests.clear()
        if assembly.fault is not None:
            self._queue.append(assembly.fault)
            self._closing = True
        if self.active is None:
            self._advance()
        if len(self._queue) > MAX_PIPELINED and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """A client that sends no more has gone, as nginx and Envoy see it: the answer would have no reader."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self._transport = None
        self._parser = None
        self._assembly.release()
        self._closing = True
        self._queue.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self.source = None
        self._owner.closed(self)

    def pause_writing(self) -> None:
        self.writable = False
        self._send_deadline = self._owner.sweeper.now + self._owner.limits.send_timeout
        if self.source is not None:
            self.source.pause_reading()

    def resume_writing(self) -> None:
        self.writable = True
        self._send_deadline = math.inf
        if self.source is not None:
            self.source.resume_reading()
        elif self._phase is Phase.BUSY and self.active is None:
            self._advance()

    # --- what the handler calls --------------------------------------------------------------------------------------

    @property
    def client_certificate(self) -> dict[str, Any] | None:
        """The certificate that the client has shown and the listener verified, as `SSLSocket.getpeercert` tells it."""
        if self._transport is None or not self.secure:
            return None
        return self._transport.get_extra_info("peercert") or None

    @property
    def gone(self) -> bool:
        """Whether there is nobody to write to any more."""
        return self._transport is None

    def write(self, data: bytes) -> None:
        """Send bytes of an answer."""
        if self._transport is not None:
            self._transport.write(data)

    def finish(self, keep_alive: bool) -> None:
        """The answer is whole: go on to the next request, or close."""
        self.active = None
        self._task = None
        self.source = None
        if self._transport is None:
            return
        if not keep_alive:
            self._hang_up()
            return
        if self._queue:
            self._advance()
        else:
            self._rest()
        if self._reading_paused and len(self._queue) <= MAX_PIPELINED // 2 and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def abort(self, *, reset: bool = False) -> None:
        """End the connection so that the client sees that its answer was cut.

        An answer whose end is that of its connection needs a `reset`: it would look whole otherwise.
        """
        self._closing = True
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if reset and sock is not None and not self.secure:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()

    def cut(self, last: bytes) -> None:
        """Send the last bytes of an answer that ends before its framing says so, and close."""
        self.write(last)
        self.active = None
        self._task = None
        self.source = None
        self._hang_up()

    # --- closing -----------------------------------------------------------------------------------------------------

    def close_when_idle(self) -> bool:
        """Close if nothing is being asked or answered. Returns whether it is closed, or about to be."""
        if self._transport is None or self._closing:
            return True
        if self.active is not None or self._queue or self._assembly.receiving:
            return False
        self._hang_up()
        return True

    def close(self) -> None:
        """aiohttp's server calls this first when it shuts down."""
        self.close_when_idle()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - aiohttp's signature
        """aiohttp's server calls this last when it shuts down."""
        self.abort()

    def check(self, now: float) -> None:
        """Act on a deadline that has passed (the sweeper calls this)."""
        if now >= self._send_deadline:
            self.abort()
            return
        if now < self._deadline:
            return
        self._deadline = math.inf
        if self._phase is Phase.LINGER:
            self._end_linger()
        elif self._phase is Phase.IDLE or not self._assembly.receiving:
            self._hang_up()
        else:
            what = "header" if self._phase is Phase.HEAD else "body"
            self._refuse(RequestError.malformed(f"the request's {what} did not arrive in time", 408))

    # --- inside ------------------------------------------------------------------------------------------------------

    def _feed(self, data: bytes) -> None:
        parser, assembly = self._parser, self._assembly
        while data and parser is not None:
            assembly.begin_feed(data)
            rest = b""
            try:
                parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # We never switch protocols: what follows is the next request.
                rest = data[upgrade.args[0] :]
            except httptools.HttpParserError as error:
                assembly.failed(error)
            assembly.end_feed()
            data = rest

    def _advance(self) -> None:
        """Answer the next request that waits; none: wait for what is being received."""
        if not self._queue:
            self._await_rest()
            return
        if not self.writable:
            # The answers of a client that pipelines and does not read would pile up here.
            self._wait(Phase.BUSY, math.inf)
            return
        item = self._queue.popleft()
        if isinstance(item, RequestError):
            self._refuse(item)
            return
        self.active = item
        self._phase = Phase.BUSY
        self._deadline = math.inf
        self._task = self._owner.dispatch(self, item)

    def _await_rest(self) -> None:
        """The head or the body of a message is still under way."""
        assembly, limits = self._assembly, self._owner.limits
        if assembly.head is None:
            if assembly.receiving and self._phase is not Phase.HEAD:
                self._wait(Phase.HEAD, limits.header_timeout)
            return
        if self._phase is not Phase.BODY:
            self._wait(Phase.BODY, limits.body_timeout)
            assembly.body_deadline = self._deadline
            if assembly.head.said.expects_continue and not assembly.size:
                self.write(_CONTINUE)
        # Each KiB buys one more second, so a body that trickles is cut and one that flows is not.
        self._deadline = assembly.body_deadline + assembly.size / 1024

    def _rest(self) -> None:
        if self._assembly.receiving:
            self._await_rest()
        else:
            self._wait(Phase.IDLE, self._owner.limits.keepalive_timeout)

    def _wait(self, phase: Phase, seconds: float) -> None:
        self._phase = phase
        self._deadline = self._owner.sweeper.now + seconds

    def _refuse(self, error: RequestError) -> None:
        self._owner.refused(self, error)
        head = self._assembly.head
        self.write(render_error(error, head.target if head is not None else b"", keep_alive=False))
        self._hang_up()

    def _hang_up(self) -> None:
        """Close, in a way that lets the client read what it was sent."""
        self._closing = True
        transport = self._transport
        if transport is None:
            return
        self._wait(Phase.LINGER, LINGER)
        if self.writable and transport.get_write_buffer_size():
            self._send_deadline = self._owner.sweeper.now + self._owner.limits.send_timeout
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _end_linger(self) -> None:
        """The client has had its time, unless bytes still wait here for a slow one: then `send_timeout` bounds it."""
        if self._transport is not None and self._transport.get_write_buffer_size() and self._send_deadline < math.inf:
            self._wait(Phase.LINGER, LINGER)
        else:
            self.abort()
