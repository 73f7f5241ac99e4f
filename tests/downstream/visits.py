"""A client's visit: a connection, the server that owns it, and what both have said."""

import re
from typing import Any, cast

from proxy.config.settings_spec import Limits
from proxy.downstream.assembly import Request
from proxy.downstream.connection import DownstreamConnection
from proxy.errors import RequestError
from proxy.wire.clock import Sweeper
from tests.transports import FakeTransport, StillLoop

_DATE = re.compile(rb"Date: [^\r]*\r\n")


class FakeTask:
    """A handler's task, as far as a connection knows it."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeOwner:
    """The server behind a connection: it keeps what it is told."""

    def __init__(self, limits: Limits, loop: StillLoop, *, crowded: bool = False, trusted: bool = False) -> None:
        self.limits = limits
        self.sweeper = Sweeper(cast("Any", loop))
        self.dispatched: list[tuple[Request, FakeTask]] = []
        self.refusals: list[RequestError] = []
        self.open: list[DownstreamConnection] = []
        self._crowded = crowded
        self._trusted = trusted

    def opened(self, connection: DownstreamConnection) -> None:
        self.open.append(connection)
        self.sweeper.add(connection)

    def closed(self, connection: DownstreamConnection) -> None:
        self.open.remove(connection)
        self.sweeper.discard(connection)

    def dispatch(self, connection: DownstreamConnection, request: Request) -> Any:
        task = FakeTask()
        self.dispatched.append((request, task))
        return task

    def refused(self, connection: DownstreamConnection, error: RequestError) -> None:
        self.refusals.append(error)

    def crowded(self) -> bool:
        return self._crowded

    def trusts(self, address: str) -> bool:
        return self._trusted


class Visit:
    """One client, connected."""

    def __init__(self, limits: Limits | None = None, *, crowded: bool = False, **extra: Any) -> None:
        loop = StillLoop()
        self.owner = FakeOwner(limits or Limits(), loop, crowded=crowded)
        self.connection = DownstreamConnection(self.owner, cast("Any", loop))
        self.transport = FakeTransport(self.connection, **{"peername": ("192.0.2.7", 40000), **extra})
        self._now = loop.now
        self._answered = 0
        self.transport.connect()

    def sends(self, *data: bytes) -> "Visit":
        for piece in data:
            self.transport.receive(piece)
        return self

    def hears(self) -> bytes:
        """What came since the last look, without dates."""
        return _DATE.sub(b"", self.transport.take())

    def passes(self, seconds: float) -> None:
        """Time goes by; the sweeper looks once at its end."""
        self._now += seconds
        self.owner.sweeper.sweep(self._now)
        self.transport.settle()

    def answer(self, data: bytes = b"", *, keep_alive: bool | None = None) -> bytes:
        """The handler answers the request that is under way; tells that request's target."""
        request = self.connection.active
        assert request is not None
        self.connection.write(data or b"<%b %b>" % (request.head.target, bytes(request.body)))
        self.connection.finish(request.head.said.keep_alive if keep_alive is None else keep_alive)
        self.transport.settle()
        return request.head.target

    def answer_all(self) -> list[bytes]:
        targets = []
        while self.connection.active is not None:
            targets.append(self.answer())
        return targets

    @property
    def requests(self) -> list[Request]:
        return [request for request, _ in self.owner.dispatched]

    @property
    def statuses(self) -> list[int]:
        return [error.status for error in self.owner.refusals]

    @property
    def hung_up(self) -> bool:
        """Whether the proxy sends no more on this connection."""
        return self.transport.ended or self.transport.closing


def get(target: bytes = b"/", *lines: bytes) -> bytes:
    return b"\r\n".join((b"GET " + target + b" HTTP/1.1", b"Host: a", *lines, b"", b""))


def post(body: bytes, *lines: bytes, target: bytes = b"/p") -> bytes:
    head = (b"POST " + target + b" HTTP/1.1", b"Host: a", b"Content-Length: %d" % len(body), *lines, b"", b"")
    return b"\r\n".join(head) + body


def chunked(*chunks: bytes, target: bytes = b"/c") -> bytes:
    head = b"\r\n".join((b"POST " + target + b" HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked", b"", b""))
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"
