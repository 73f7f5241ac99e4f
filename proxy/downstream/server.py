"""The front door: aiohttp's low-level server, with our connections behind its accept."""

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence

from aiohttp import web

from proxy.config.settings_spec import Limits
from proxy.downstream.assembly import Request
from proxy.downstream.connection import DownstreamConnection
from proxy.errors import RequestError
from proxy.wire.clock import Sweeper

Handler = Callable[[DownstreamConnection, Request], Coroutine[None, None, None]]
OnRefusal = Callable[[DownstreamConnection, RequestError], None]

BACKLOG = 4096
"""Connections that may wait to be accepted."""


class DownstreamServer(web.Server):
    """Owns the open connections of a worker, and hands their requests to one handler."""

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits,
        sweeper: Sweeper,
        loop: asyncio.AbstractEventLoop,
        trusted_proxies: Sequence[str] = (),
        on_refusal: OnRefusal,
    ) -> None:
        super().__init__(_unused, loop=loop)
        self.limits = limits
        self.sweeper = sweeper
        self.draining = False
        self._handler = handler
        self._on_refusal = on_refusal
        self._trusted = tuple(ipaddress.ip_network(network, strict=False) for network in trusted_proxies)
        self._open: set[DownstreamConnection] = set()
        self._runner: web.ServerRunner | None = None
        self._services: dict[int, list[asyncio.AbstractServer]] = {}
        self._retiring: set[DownstreamConnection] = set()

    def __call__(self) -> DownstreamConnection:  # type: ignore[override]  # our connection stands in for aiohttp's
        return DownstreamConnection(self, self._loop)

    @property
    def connections(self) -> list[DownstreamConnection]:  # type: ignore[override]  # as above
        """The open connections."""
        return list(self._open)

    @property
    def in_flight(self) -> int:
        """Requests that are being answered."""
        return sum(connection.active is not None for connection in self._open)

    # --- a server's life ---------------------------------------------------------------------------------------------

    async def listen(self, sockets: Sequence[tuple[socket.socket, ssl.SSLContext | None]]) -> None:
        """Accept on these bound sockets."""
        self._runner = web.ServerRunner(self, handle_signals=False, shutdown_timeout=0)
        await self._runner.setup()
        for sock, context in sockets:
            await web.SockSite(self._runner, sock, ssl_context=context, backlog=BACKLOG).start()

    async def stop_accepting(self) -> None:
        """Close the listening sockets; what is open stays open."""
        if self._runner is not None:
            for site in tuple(self._runner.sites):
                await site.stop()
        for service in tuple(self._services):
            self._stop_service(service)

    async def open_service(
        self, service: int, sockets: Sequence[socket.socket], context: ssl.SSLContext | None
    ) -> None:
        """Accept on a model server's own port too, at these bound sockets."""
        connect = functools.partial(DownstreamConnection, self, self._loop, service)
        listening = self._services.setdefault(service, [])
        for sock in sockets:
            listening.append(await self._loop.create_server(connect, sock=sock, ssl=context, backlog=BACKLOG))

    def close_service(self, service: int) -> None:
        """Accept no more at this port; its connections close when what they have asked for is answered."""
        self._stop_service(service)
        self._retiring |= {connection for connection in self._open if connection.service == service}
        self.sweeper.add(self)
        self.check(self.sweeper.now)

    def check(self, now: float) -> None:  # noqa: ARG002 - what all that is swept takes
        """Close the connections of closed ports that have become idle (the sweeper calls this)."""
        self._retiring = {connection for connection in self._retiring if not connection.close_when_idle()}
        if not self._retiring:
            self.sweeper.discard(self)

    def _stop_service(self, service: int) -> None:
        for listening in self._services.pop(service, ()):
            listening.close()

    def drain(self) -> None:
        """From now on each answer ends its connection; idle connections close at once."""
        self.draining = True

    def close_idle(self) -> None:
        """Close the connections that have asked for nothing."""
        for connection in tuple(self._open):
            connection.close_when_idle()

    async def close(self) -> None:
        """Abort what is open and stop."""
        for service in tuple(self._services):
            self._stop_service(service)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def pre_shutdown(self) -> None:
        """aiohttp's runner calls this before it shuts down."""
        self.close_idle()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - aiohttp's signature
        """aiohttp's runner calls this to end all connections."""
        for connection in tuple(self._open):
            connection.abort()

    # --- what connections ask ----------------------------------------------------------------------------------------

    def opened(self, connection: DownstreamConnection) -> None:
        """A client connected."""
        self._open.add(connection)
        self.sweeper.add(connection)

    def closed(self, connection: DownstreamConnection) -> None:
        """The connection is gone."""
        self._open.discard(connection)
        self.sweeper.discard(connection)

    def dispatch(self, connection: DownstreamConnection, request: Request) -> asyncio.Task[None]:
        """Start to answer a request."""
        self.requests_count += 1
        # Without the loop's detour and a name of its own a task costs 0.2 us less.
        return asyncio.Task(self._handler(connection, request), loop=self._loop, name="request")

    def refused(self, connection: DownstreamConnection, error: RequestError) -> None:
        """A message was refused at the gate."""
        self._on_refusal(connection, error)

    def crowded(self) -> bool:
        """Whether there are as many connections as are allowed."""
        return len(self._open) >= self.limits.max_connections

    def trusts(self, address: str) -> bool:
        """Whether what this peer says of the client before it is believed."""
        if not self._trusted:
            return False
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self._trusted)


async def _unused(request: web.BaseRequest) -> web.StreamResponse:
    """aiohttp's server wants a handler; ours takes requests from `DownstreamConnection`."""
    raise AssertionError(f"{request} did not come through a DownstreamConnection")
