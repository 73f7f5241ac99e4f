"""Promises of the front door."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.config.settings_spec import Limits
from proxy.downstream.assembly import Request
from proxy.downstream.connection import DownstreamConnection
from proxy.downstream.server import DownstreamServer
from proxy.errors import RequestError
from proxy.wire.clock import Sweeper
from tests.downstream.visits import get


class Door:
    """A server on loopback whose handler answers when it is let."""

    def __init__(self, **limits: int) -> None:
        loop = asyncio.get_running_loop()
        self.refusals: list[int] = []
        self.cancelled = 0
        self.release = asyncio.Event()
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.server = DownstreamServer(
            self._handle,
            limits=Limits(**limits),  # type: ignore[arg-type]
            sweeper=Sweeper(loop),
            loop=loop,
            trusted_proxies=("10.0.0.0/8", "::1/128", "192.0.2.7"),
            on_refusal=self._refused,
        )
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    async def open(self) -> None:
        await self.server.listen([(self._socket, None)])

    async def _handle(self, connection: DownstreamConnection, request: Request) -> None:
        self.begun.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.ended.set()
        connection.write(b"answer to " + request.head.target)
        connection.finish(keep_alive=not self.server.draining)

    def _refused(self, connection: DownstreamConnection, error: RequestError) -> None:
        self.refusals.append(error.status)

    async def visit(
        self, data: bytes = b"", port: int | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        writer.write(data)
        return reader, writer


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    door = Door(max_connections=2)
    await door.open()
    yield door
    await door.server.close()


async def test_requests_of_several_clients_are_handed_to_one_handler(door: Door) -> None:
    first, first_writer = await door.visit(get(b"/1"))
    second, second_writer = await door.visit(get(b"/2"))
    await door.begun.wait()
    door.release.set()
    assert await first.readexactly(12) == b"answer to /1"
    assert await second.readexactly(12) == b"answer to /2"
    assert door.server.requests_count == 2
    assert len(door.server.connections) == 2
    first_writer.close()
    second_writer.close()


async def test_a_client_that_leaves_ends_its_handler(door: Door) -> None:
    _, writer = await door.visit(get())
    await door.begun.wait()
    assert door.server.in_flight == 1
    writer.close()
    await door.ended.wait()
    assert door.cancelled == 1
    assert (door.server.in_flight, door.server.connections) == (0, [])


async def test_one_client_too_many_is_refused(door: Door) -> None:
    door.release.set()
    writers = []
    for _ in range(2):
        reader, writer = await door.visit(get())
        await reader.readexactly(11)
        writers.append(writer)
    reader, writer = await door.visit()
    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
    assert door.refusals == [503]
    for each in (*writers, writer):
        each.close()


async def test_idle_clients_are_sent_away_and_busy_ones_are_served(door: Door) -> None:
    idle, idle_writer = await door.visit()
    busy, busy_writer = await door.visit(get())
    await door.begun.wait()
    door.server.drain()
    await door.server.stop_accepting()
    door.server.close_idle()
    assert await idle.read() == b""
    door.release.set()
    assert await busy.read() == b"answer to /"
    with pytest.raises(OSError, match="Connect call failed"):
        await door.visit()
    idle_writer.close()
    busy_writer.close()


async def test_closing_ends_what_is_open(door: Door) -> None:
    reader, writer = await door.visit(get())
    await door.begun.wait()
    await door.server.close()
    assert await reader.read() == b""
    await door.ended.wait()
    assert door.cancelled == 1
    writer.close()


async def test_only_named_proxies_are_trusted(door: Door) -> None:
    assert all(map(door.server.trusts, ["10.1.2.3", "::1", "192.0.2.7"]))
    assert not any(map(door.server.trusts, ["11.0.0.1", "::2", "192.0.2.8", "local", "", "::ffff:10.1.2.3"]))


# --- ports of model servers -------------------------------------------------------------------------------------------


async def open_service(door: Door, service: int = 8080) -> int:
    """Open a port under this name. Returns the one that it has in truth."""
    bound = socket.create_server(("127.0.0.1", 0))
    port: int = bound.getsockname()[1]
    await door.server.open_service(service, [bound], None)
    return port


async def test_a_connection_knows_the_service_whose_port_it_came_to(door: Door) -> None:
    port = await open_service(door)
    _, first = await door.visit(get())
    await door.begun.wait()
    assert [connection.service for connection in door.server.connections] == [None]
    door.begun.clear()
    _, second = await door.visit(get(), port)
    await door.begun.wait()
    assert {connection.service for connection in door.server.connections} == {None, 8080}
    first.close()
    second.close()


async def test_a_service_that_closes_leaves_all_other_connections_alone(door: Door) -> None:
    port = await open_service(door)
    other, other_writer = await door.visit(get(b"/other"))
    idle, idle_writer = await door.visit(get(b"/idle"), port)
    door.release.set()
    assert await idle.readexactly(15) == b"answer to /idle"
    assert await other.readexactly(16) == b"answer to /other"
    door.server.close_service(8080)
    assert await idle.read() == b""
    with pytest.raises(OSError, match="Connect call failed"):
        await door.visit(port=port)
    other_writer.write(get(b"/again"))
    assert await other.readexactly(16) == b"answer to /again"
    idle_writer.close()
    other_writer.close()


async def test_what_a_closed_service_was_asked_is_answered_before_its_connection_closes(door: Door) -> None:
    port = await open_service(door)
    reader, writer = await door.visit(get(), port)
    await door.begun.wait()
    door.server.close_service(8080)
    door.server.sweeper.sweep(0.0)
    assert door.server.in_flight == 1
    door.release.set()
    assert await reader.readexactly(11) == b"answer to /"
    door.server.sweeper.sweep(0.0)
    assert await reader.read() == b""
    writer.close()


async def test_services_accept_no_more_when_the_server_does_not(door: Door) -> None:
    port = await open_service(door)
    await door.server.stop_accepting()
    with pytest.raises(OSError, match="Connect call failed"):
        await door.visit(port=port)
