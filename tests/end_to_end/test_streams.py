"""Streams: nothing is held back, nobody is waited for in vain, and no cut looks like an end."""

import asyncio
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from proxy.config.settings_spec import Limits
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.patience import stopwatch, until
from tests.end_to_end.proxies import StartProxy, one_route
from tests.end_to_end.raw_client import Answer, RawClient, chat, post, raw_client
from tests.end_to_end.serving import StartServing

AT_ONCE = 0.1  # seconds in which an engine must learn that its client has gone


async def test_each_event_arrives_before_the_next_one_is_made(proxy: StartProxy) -> None:
    arrived = asyncio.Semaphore(0)

    async def one_by_one(connection: RawConnection) -> None:
        await connection.request()
        await connection.begin_stream()
        for number in range(20):
            await connection.chunk(b"data: %d\n\n" % number)
            await arrived.acquire()
        await connection.end_stream()

    async with raw_engine(one_by_one) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            client.post(chat(stream=True))
            await client.head()
            for number in range(20):
                assert await client.chunk() == b"data: %d\n\n" % number
                arrived.release()
            assert await client.chunk() == b""


async def test_the_head_arrives_before_the_first_event_is_made(proxy: StartProxy) -> None:
    arrived = asyncio.Event()

    async def head_first(connection: RawConnection) -> None:
        await connection.request()
        await connection.begin_stream()
        await arrived.wait()
        await connection.chunk(b"data: 1\n\n")
        await connection.end_stream()

    async with raw_engine(head_first) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            client.post(chat(stream=True))
            assert (await client.head()).startswith(b"HTTP/1.1 200")
            arrived.set()
            assert await client.chunk() == b"data: 1\n\n"


async def test_a_stream_of_known_length_or_until_the_close_is_not_held_back_either(proxy: StartProxy) -> None:
    arrived = asyncio.Semaphore(0)

    async def by_the_byte(connection: RawConnection) -> None:
        request = await connection.request()
        framing = b"Connection: close" if b"/v1/completions" in request else b"Content-Length: 10"
        await connection.say(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")
        for _ in range(10):
            await connection.say(b"x")
            await arrived.acquire()

    async with raw_engine(by_the_byte) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            client.post(chat(), "/v1/chat/completions")
            assert b"content-length: 10" in (await client.head()).lower()
            for _ in range(10):
                assert await client.reader.readexactly(1) == b"x"
                arrived.release()
            client.post(chat(), "/v1/completions")
            assert b"chunked" in await client.head()
            for _ in range(10):
                assert await client.chunk() == b"x"
                arrived.release()
            assert await client.chunk() == b""


# --- a client that leaves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_a_client_that_leaves_before_the_head_ends_its_request_at_once(proxy: StartProxy, path: str) -> None:
    left = asyncio.Event()

    async def think(connection: RawConnection) -> None:
        await connection.request()
        await connection.gone()
        left.set()

    async with raw_engine(think) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            client.post(chat(), path)
            await until(lambda: engine.requests)
            assert front.endpoint(engine.url).in_flight == 1
        await until(left.is_set, AT_ONCE)
        await until(lambda: not front.in_flight)
        assert len(engine.requests) == 1


@pytest.mark.parametrize("ending", ["abort", "close"])
async def test_a_client_that_leaves_in_mid_stream_ends_its_request_at_once(proxy: StartProxy, ending: str) -> None:
    left = asyncio.Event()

    async def stream(connection: RawConnection) -> None:
        await connection.request()
        await connection.begin_stream()
        await connection.chunk(b"data: 1\n\n")
        await connection.gone()
        left.set()

    async with raw_engine(stream) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            client.post(chat(stream=True))
            await client.head()
            await client.chunk()
            if ending == "close":
                client.writer.close()
            else:
                client.close()
            await until(left.is_set, AT_ONCE)
        await until(lambda: not front.in_flight)
        assert front.endpoint(engine.url).idle_connections == 0


async def test_clients_that_leave_at_any_moment_leave_nothing_behind(engine: StartEngine, proxy: StartProxy) -> None:
    busy = await engine(time_to_first_token=0.01, time_per_token=0.005, tokens=20)
    front = await proxy(one_route(busy.url))

    async def visit(number: int) -> None:
        async with raw_client(front.port) as client:
            client.post(chat(stream=number % 3 > 0))
            await asyncio.sleep((number * 7 % 40) / 200)

    await asyncio.gather(*(visit(number) for number in range(120)))
    counters = busy.engine.journal.counters
    await until(lambda: not front.in_flight and not counters.in_flight, within=2)
    assert counters.received <= 120
    assert counters.received == counters.completed + counters.aborted
    assert counters.aborted > 0
    await until(lambda: not front.app.report().connections, within=1)


async def test_a_client_that_leaves_while_a_retry_waits_is_not_retried_for(proxy: StartProxy) -> None:
    async def refuse(connection: RawConnection) -> None:
        while await connection.request():
            await connection.answer(b"{}", b"Retry-After: 1", status=b"503 Busy")

    async with raw_engine(refuse) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            client.post(chat())
            await until(lambda: engine.requests)
        await until(lambda: not front.in_flight, within=0.5)
        await asyncio.sleep(1.2)
        assert len(engine.requests) == 1


# --- an engine that fails in mid-stream -------------------------------------------------------------------------------


async def cut_answer(
    proxy: StartProxy, fault: str, engine: StartEngine, *, stream: bool = True, idle: str = "1m"
) -> Answer:
    cut = await engine(tokens=30)
    cut.engine.faults.arm(fault, None)
    front = await proxy(one_route(cut.url, server=f"timeout: {{idle: {idle}}}"))
    async with raw_client(front.port) as client:
        client.post(chat(stream=stream))
        if not stream:
            return await client.answer()
        head = await client.head()
        rest = await client.rest()
        assert front.in_flight == 0
        assert cut.engine.journal.counters.executed == 1
        return Answer(200, head, rest, whole=rest.endswith(b"0\r\n\r\n"))


def last_event(answer: Answer) -> dict[str, str]:
    events = answer.body.split(b"data: ")[1:]
    assert len(events) == 6, "what came before the cut was not passed on"
    error: dict[str, str] = orjson.loads(events[-1].partition(b"\n\n")[0])["error"]
    return error


@pytest.mark.parametrize("fault", ["reset-after=5", "close-after=5"])
async def test_an_engine_that_dies_in_mid_stream_is_told_and_is_no_clean_end(
    engine: StartEngine, proxy: StartProxy, fault: str
) -> None:
    answer = await cut_answer(proxy, fault, engine)
    assert last_event(answer)["code"] == "upstream_reset"
    assert b"[DONE]" not in answer.body
    assert not answer.whole


async def test_an_engine_that_stalls_in_mid_stream_is_told_after_the_idle_timeout(
    engine: StartEngine, proxy: StartProxy
) -> None:
    async with stopwatch() as watch:
        answer = await cut_answer(proxy, "stall-after=5", engine, idle="400ms")
    assert watch.elapsed > 0.3
    assert watch.seconds < 0.7
    assert last_event(answer)["code"] == "upstream_timeout"
    assert b"[DONE]" not in answer.body
    assert not answer.whole


async def test_a_total_limit_cuts_a_stream_and_is_told(engine: StartEngine, proxy: StartProxy) -> None:
    endless = await engine(tokens=100_000, time_per_token=0.02)
    front = await proxy(one_route(endless.url, server="timeout: {total: 400ms}"))
    async with raw_client(front.port) as client, stopwatch() as watch:
        client.post(chat(stream=True))
        rest = await client.rest()
    assert watch.elapsed > 0.3
    assert watch.seconds < 0.7
    assert b"upstream_timeout" in rest
    assert b"[DONE]" not in rest


async def test_a_slow_stream_outlives_every_timeout_but_total(engine: StartEngine, proxy: StartProxy) -> None:
    slow = await engine(tokens=5, time_per_token=0.4)
    front = await proxy(one_route(slow.url, server="timeout: {first_byte: 1s, idle: 1s}"))
    async with raw_client(front.port) as client:
        client.post(chat(stream=True))
        assert (await client.answer()).body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("fault", ["reset-after=20", "close-after=20"])
async def test_a_whole_answer_that_is_cut_is_seen_to_be_cut(engine: StartEngine, proxy: StartProxy, fault: str) -> None:
    answer = await cut_answer(proxy, fault, engine, stream=False)
    assert not answer.whole
    assert len(answer.body) <= 20


async def test_an_event_that_is_cut_in_its_midst_does_not_swallow_the_error(proxy: StartProxy) -> None:
    async def half(connection: RawConnection) -> None:
        await connection.request()
        await connection.begin_stream(b"text/event-stream; charset=utf-8")
        await connection.chunk(b'data: {"a": 1}\n\ndata: {"b"')
        connection.reset()

    async with raw_engine(half) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            client.post(chat(stream=True))
            await client.head()
            rest = await client.rest()
    assert b'data: {"b"' in rest
    assert b'\n\ndata: {"error":' in rest


# --- a reader that is slow --------------------------------------------------------------------------------------------

FLOOD = 96 * 1024 * 1024
PIECE = b"data: " + b"x" * 16_376 + b"\n\n"


class Flood:
    """A raw engine's talk: a stream as fast as it is taken."""

    def __init__(self, size: int = FLOOD) -> None:
        self.size = size
        self.sent = 0

    async def __call__(self, connection: RawConnection) -> None:
        if b"/warm-up" in await connection.request():
            await connection.answer()
            return
        await connection.begin_stream()
        while self.sent < self.size:
            await connection.chunk(PIECE)
            self.sent += len(PIECE)
        await connection.end_stream()


async def read_all(client: RawClient) -> int:
    size = 0
    while data := await client.chunk():
        size += len(data)
    return size


async def standstill(flood: Flood) -> None:
    """Wait until the engine cannot send any more."""
    seen = -1
    async with asyncio.timeout(10):
        while seen != flood.sent or not seen:
            seen = flood.sent
            await asyncio.sleep(0.3)


def resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


async def test_a_slow_reader_stalls_its_engine_and_gets_all_of_it_in_the_end(proxy: StartProxy) -> None:
    flood = Flood(64 * 1024 * 1024)
    async with raw_engine(flood) as engine:
        front = await proxy(one_route(engine.url, server="timeout: {idle: 1s}"))
        async with raw_client(front.port) as client:
            client.post(chat(stream=True))
            await client.head()
            await standstill(flood)
            held = flood.sent
            assert held < 48 * 1024 * 1024, "the proxy took more than sockets hold"
            await asyncio.sleep(1.5)
            assert flood.sent == held
            assert await read_all(client) == 64 * 1024 * 1024
    assert front.in_flight == 0


@pytest.mark.slow
async def test_the_proxys_memory_stays_flat_while_a_reader_stands_still_or_is_flooded(serve: StartServing) -> None:
    flood = Flood()
    async with raw_engine(flood) as engine:
        running = await serve(one_route(engine.url), "log: {access: false}\n")
        worker = (await running.status())["workers"][0]["pid"]
        async with raw_client(running.port) as warm_up:
            assert (await warm_up.ask(post(chat(), "/warm-up"))).status == 200
        before = resident(worker)
        async with raw_client(running.port) as client:
            client.post(chat(stream=True))
            await client.head()
            await standstill(flood)
            assert resident(worker) - before < 2 * 1024 * 1024
            assert flood.sent < FLOOD / 2
            assert await read_all(client) > FLOOD - 16 * 1024 * 1024
            assert resident(worker) - before < 4 * 1024 * 1024


async def test_a_reader_that_never_reads_is_cut_after_the_send_timeout(proxy: StartProxy) -> None:
    flood = Flood()
    async with raw_engine(flood) as engine:
        front = await proxy(one_route(engine.url), limits=replace(Limits(), send_timeout=0.5))
        async with raw_client(front.port) as client:
            client.send(post(chat(stream=True)))
            await until(lambda: flood.sent > 1_000_000)
            await until(lambda: not front.in_flight, within=3)
