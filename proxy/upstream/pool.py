"""The connections to one endpoint: idle ones kept newest first, and never trusted unseen."""

import asyncio
import contextlib
import os
import socket
import ssl

from proxy.config.spec import EndpointSpec
from proxy.errors import UpstreamError, UpstreamFailure
from proxy.upstream.connection import UpstreamConnection
from proxy.wire.clock import Sweeper

IDLE_LIMIT = 4.0
"""Seconds that a connection may be idle: uvicorn closes its own after 5 s, and a request must not meet that."""


class ConnectionPool:
    """Owns the idle connections to an endpoint, and opens new ones."""

    __slots__ = ("_closed", "_idle", "_loop", "_server_name", "_spec", "_ssl", "_sweeper")

    def __init__(
        self,
        spec: EndpointSpec,
        *,
        loop: asyncio.AbstractEventLoop,
        sweeper: Sweeper,
        ssl_context: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        self._spec = spec
        self._loop = loop
        self._sweeper = sweeper
        self._ssl = ssl_context
        self._server_name = server_name
        self._idle: list[UpstreamConnection] = []
        self._closed = False
        sweeper.add(self)

    def __repr__(self) -> str:
        return f"<ConnectionPool {self._spec.address}, {len(self._idle)} idle>"

    @property
    def idle(self) -> int:
        """How many connections wait."""
        return len(self._idle)

    def take(self) -> UpstreamConnection | None:
        """The idle connection that was used last, if it is still open and silent."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.quiet():
                connection.reused = True
                return connection
            connection.close()
        return None

    async def open(self, timeout: float | None) -> UpstreamConnection:  # noqa: ASYNC109 - the caller's policy
        """A new connection, within `timeout` seconds; UpstreamError (nothing was sent) if there is none."""
        spec = self._spec
        name = (self._server_name or spec.host) if self._ssl is not None else None
        try:
            async with asyncio.timeout(timeout):
                _, connection = await self._loop.create_connection(
                    lambda: UpstreamConnection(self._loop, self._sweeper),
                    spec.host,
                    spec.port,
                    ssl=self._ssl,
                    server_hostname=name,
                )
        except TimeoutError:
            # Without a limit of ours it is the system that gave up (ETIMEDOUT).
            message = "no connection to the engine" + ("" if timeout is None else f" within {timeout:g} s")
            raise UpstreamError(UpstreamFailure.CONNECT, message, sent=False) from None
        except ssl.SSLError as error:
            reason = getattr(error, "reason", None) or "handshake failed"
            raise UpstreamError(UpstreamFailure.CONNECT, f"TLS with the engine failed: {reason}", sent=False) from error
        except OSError as error:
            message = f"the engine cannot be connected to: {_reason(error)}"
            raise UpstreamError(UpstreamFailure.CONNECT, message, sent=False) from error
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep it for the next request if its answer ended cleanly; close it otherwise."""
        if self._closed or not connection.reusable:
            connection.close()
            return
        connection.rest(self._sweeper.now)
        self._idle.append(connection)

    def check(self, now: float) -> None:
        """Close what has been idle for too long (the sweeper calls this). The oldest stand first."""
        limit = now - IDLE_LIMIT
        count = 0
        for connection in self._idle:
            if connection.idle_since > limit:
                break
            connection.close()
            count += 1
        if count:
            del self._idle[:count]

    def renew(self, ssl_context: ssl.SSLContext) -> None:
        """New certificates on disk: what is opened from now on uses them, and nothing idle stays under the old ones."""
        self._ssl = ssl_context
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it comes back."""
        self._closed = True
        self._sweeper.discard(self)
        for connection in self._idle:
            with contextlib.suppress(OSError):
                connection.close()
        self._idle.clear()


def _reason(error: OSError) -> str:
    """The system's words. Not `strerror`: asyncio puts the address there, and a client is told this."""
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    return os.strerror(error.errno) if error.errno else type(error).__name__
