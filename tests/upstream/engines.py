"""An engine on loopback whose every byte a test decides."""

import asyncio
import contextlib

from proxy.config.spec import EndpointSpec


class LoopbackEngine:
    """Accepts connections; what is done with each is the test's."""

    def __init__(self) -> None:
        self.port = 0
        self.peers: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._server: asyncio.Server | None = None
        self._accepted = asyncio.Condition()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        for _, writer in self.peers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._accepted:
            self.peers.append((reader, writer))
            self._accepted.notify_all()

    async def peer(self, number: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection of this number, once it is there."""
        async with self._accepted:
            await self._accepted.wait_for(lambda: len(self.peers) > number)
        return self.peers[number]

    @property
    def spec(self) -> EndpointSpec:
        return EndpointSpec("http", "127.0.0.1", self.port)
