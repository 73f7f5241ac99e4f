"""Promises of the connections to one endpoint."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from typing import Any, cast

import pytest

from proxy.config.spec import EndpointSpec
from proxy.errors import UpstreamError, UpstreamFailure
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.pool import IDLE_LIMIT, ConnectionPool
from proxy.wire.clock import Sweeper
from tests.transports import FakeTransport, StillLoop
from tests.upstream.engines import LoopbackEngine
from tests.upstream.talks import answer

NOWHERE = EndpointSpec("http", "engine.invalid", 1)


class Bench:
    """A pool without a network: its connections hang on one end of a socket pair, the test holds the other."""

    def __init__(self, spec: EndpointSpec = NOWHERE) -> None:
        self.loop = StillLoop(1000.0)
        self.sweeper = Sweeper(cast("Any", self.loop))
        self.pool = ConnectionPool(spec, loop=cast("Any", self.loop), sweeper=self.sweeper)
        self.sockets: list[socket.socket] = []

    def used(self) -> tuple[UpstreamConnection, FakeTransport, socket.socket]:
        """A connection whose answer has just ended."""
        ours, theirs = socket.socketpair()
        self.sockets += [ours, theirs]
        connection = UpstreamConnection(cast("Any", self.loop), self.sweeper)
        transport = FakeTransport(connection, socket=ours)
        transport.connect()
        connection.send(b"GET", [b"x"], first_byte=None, idle=None, total_deadline=1e9)
        transport.receive(answer(b"ok"))
        return connection, transport, theirs

    def close(self) -> None:
        for end in self.sockets:
            end.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_the_connection_that_was_used_last_is_taken_first(bench: Bench) -> None:
    connections = [bench.used()[0] for _ in range(3)]
    for connection in connections:
        bench.pool.give_back(connection)
    assert bench.pool.idle == 3
    assert [bench.pool.take() for _ in range(4)] == [*reversed(connections), None]
    assert all(connection.reused for connection in connections)


def test_an_idle_connection_is_closed_before_the_engine_closes_it(bench: Bench) -> None:
    old, old_transport, _ = bench.used()
    bench.pool.give_back(old)
    bench.sweeper.sweep(1002.0)
    young, young_transport, _ = bench.used()
    bench.pool.give_back(young)
    bench.sweeper.sweep(1000.0 + IDLE_LIMIT + 0.1)
    assert (old_transport.aborted, young_transport.aborted, bench.pool.idle) == (True, False, 1)
    bench.sweeper.sweep(1002.0 + IDLE_LIMIT + 0.1)
    assert (young_transport.aborted, bench.pool.idle) == (True, 0)
    assert IDLE_LIMIT < 5


def test_a_connection_with_bytes_waiting_is_never_handed_out(bench: Bench) -> None:
    connection, transport, engine = bench.used()
    bench.pool.give_back(connection)
    engine.send(answer(b"poison"))
    assert bench.pool.take() is None
    assert transport.aborted


def test_a_connection_that_the_engine_closed_is_never_handed_out(bench: Bench) -> None:
    connection, transport, engine = bench.used()
    bench.pool.give_back(connection)
    engine.close()
    assert bench.pool.take() is None
    assert transport.aborted


def test_a_good_connection_is_found_behind_bad_ones(bench: Bench) -> None:
    good, _, _ = bench.used()
    bench.pool.give_back(good)
    for way in ("bytes", "end", "lost"):
        connection, transport, engine = bench.used()
        bench.pool.give_back(connection)
        if way == "bytes":
            engine.send(b"x")
        elif way == "end":
            engine.close()
        else:
            transport.lose(ConnectionResetError())
    assert bench.pool.take() is good
    assert bench.pool.idle == 0


@pytest.mark.parametrize(
    "data", [b"", answer(b"hello")[:-1], answer(b"ok", b"Connection: close"), answer(b"ok") + b"x", b"junk"]
)
def test_a_connection_whose_answer_did_not_end_cleanly_is_not_kept(bench: Bench, data: bytes) -> None:
    connection, transport, _ = bench.used()
    connection.rest(0.0)
    connection.send(b"GET", [b"x"], first_byte=None, idle=None, total_deadline=1e9)
    if data:
        transport.receive(data)
    bench.pool.give_back(connection)
    assert transport.aborted
    assert bench.pool.idle == 0


def test_a_closed_pool_keeps_nothing(bench: Bench) -> None:
    idle, idle_transport, _ = bench.used()
    busy, busy_transport, _ = bench.used()
    bench.pool.give_back(idle)
    bench.pool.close()
    assert idle_transport.aborted
    assert not busy_transport.aborted
    bench.pool.give_back(busy)
    assert busy_transport.aborted
    assert bench.pool.take() is None


def test_a_repr_tells_an_operator_the_truth(bench: Bench) -> None:
    bench.pool.give_back(bench.used()[0])
    assert repr(bench.pool) == "<ConnectionPool http://engine.invalid:1, 1 idle>"


# --- over loopback ----------------------------------------------------------------------------------------------------


def real_pool(spec: EndpointSpec, context: ssl.SSLContext | None = None) -> ConnectionPool:
    loop = asyncio.get_running_loop()
    return ConnectionPool(spec, loop=loop, sweeper=Sweeper(loop), ssl_context=context)


async def test_an_opened_connection_talks_to_the_engine(engine: LoopbackEngine) -> None:
    pool = real_pool(engine.spec)
    connection = await pool.open(5.0)
    waiting = connection.send(b"GET", [b"ask"], first_byte=None, idle=None, total_deadline=1e9)
    reader, writer = await engine.peer(0)
    assert await reader.readexactly(3) == b"ask"
    writer.write(answer(b"hello"))
    assert (await waiting).status == 200
    assert connection.take_chunks() == [b"hello"]
    pool.give_back(connection)
    assert pool.take() is connection
    connection.close()


async def test_a_refused_connection_is_an_error_of_which_nothing_was_sent() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        spec = EndpointSpec("http", "127.0.0.1", free.getsockname()[1])
        with pytest.raises(UpstreamError) as raised:
            await real_pool(spec).open(5.0)
    assert (raised.value.failure, raised.value.sent) == (UpstreamFailure.CONNECT, False)
    assert "127.0.0.1" not in raised.value.message


class SlowLoop:
    """Connects to nobody."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    def time(self) -> float:
        return 0.0

    async def create_connection(self, *_: Any, **__: Any) -> Any:
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("error", "limit", "words"),
    [
        (None, 0.0, "no connection to the engine within 0 s"),
        (TimeoutError(110, "Connection timed out"), None, "no connection to the engine"),
        (TimeoutError(110, "Connection timed out"), 5.0, "no connection to the engine"),
        (socket.gaierror(-2, "Name or service not known"), 5.0, "its name is not known"),
        (OSError("Multiple exceptions: here"), 5.0, "OSError"),
        (ConnectionAbortedError("SSL handshake is taking longer"), 5.0, "ConnectionAbortedError"),
        (ssl.SSLError(1, "x"), 5.0, "TLS with the engine failed: handshake failed"),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), 5.0, "TLS with the engine failed"),
    ],
)
async def test_whatever_keeps_us_from_connecting_is_an_error_of_which_nothing_was_sent(
    error: Exception | None, limit: float | None, words: str
) -> None:
    loop = cast("Any", SlowLoop(error))
    pool = ConnectionPool(NOWHERE, loop=loop, sweeper=Sweeper(loop))
    with pytest.raises(UpstreamError, match=words) as raised:
        await pool.open(limit)
    assert (raised.value.failure, raised.value.sent) == (UpstreamFailure.CONNECT, False)
