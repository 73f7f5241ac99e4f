"""Engines that fail: what is tried again, what never is, and what the client is told."""

import asyncio
import socket
from collections import Counter
from collections.abc import Sized
from contextlib import suppress
from functools import partial

import orjson
import pytest

from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.patience import stopwatch, until
from tests.end_to_end.proxies import Proxy, StartProxy, one_route
from tests.end_to_end.raw_client import Answer, chat, get, post, raw_client
from tests.end_to_end.serving import free_port


async def ask(proxy: Proxy, request: bytes, method: str = "POST") -> Answer:
    async with raw_client(proxy.port) as client:
        return await client.ask(request, method)


def error_code(answer: Answer) -> str:
    return str(orjson.loads(answer.body)["error"]["code"])


# --- what is tried again ----------------------------------------------------------------------------------------------


async def test_an_endpoint_that_refuses_is_passed_over(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(f"http://127.0.0.1:{free_port()}", qwen.url, server="balance: round-robin"))
    for _ in range(20):
        assert (await ask(front, post(chat(), "/v1/responses"))).status in {200, 404}
    assert qwen.engine.journal.counters.received == 20


async def test_a_refused_connection_is_a_502_where_there_is_no_other_endpoint(proxy: StartProxy) -> None:
    front = await proxy(one_route(f"http://127.0.0.1:{free_port()}"))
    answer = await ask(front, post(chat()))
    assert (answer.status, error_code(answer)) == (502, "upstream_connect_failure")
    assert "127.0.0.1" not in answer.body.decode()


async def test_no_client_sees_an_error_while_one_of_two_engines_is_down(engine: StartEngine, proxy: StartProxy) -> None:
    stays = await engine(time_to_first_token=0.002)
    statuses: Counter[int] = Counter()
    over = asyncio.Event()

    async def visit(front: Proxy, number: int) -> None:
        async with raw_client(front.port) as client:
            while not over.is_set():
                answer = await client.ask(post(chat(stream=number % 2 == 0)))
                statuses[answer.status] += 1
                assert answer.whole

    async with asyncio.TaskGroup() as visitors:
        async with raw_engine(short_answers) as dies:
            front = await proxy(one_route(stays.url, dies.url, server="retry_budget: 1"))
            for number in range(8):
                visitors.create_task(visit(front, number))
            await until(lambda: len(dies.requests) > 100)
        served = stays.engine.journal.counters.received
        await until(lambda: stays.engine.journal.counters.received > served + 300)
        over.set()
    assert statuses.keys() == {200}
    assert front.in_flight == 0


async def short_answers(connection: RawConnection) -> None:
    while await connection.request():
        await connection.answer(b"{}")


@pytest.mark.parametrize("fault", ["reset", "refuse", "status=503", "status=502"])
async def test_a_failure_before_the_first_byte_is_tried_again(
    proxy: StartProxy, qwen: RunningEngine, fault: str
) -> None:
    front = await proxy(one_route(qwen.url))
    for stream in (False, True):
        qwen.engine.faults.arm(fault, 1)
        assert (await ask(front, post(chat(stream=stream)))).status == 200
    assert (qwen.engine.journal.counters.received, qwen.engine.journal.counters.executed) == (4, 2)


async def test_an_answer_that_is_no_http_is_a_502(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url))
    qwen.engine.faults.arm("garbage", 1)
    answer = await ask(front, post(chat()))
    assert (answer.status, error_code(answer)) == (502, "upstream_protocol_error")
    assert (await ask(front, post(chat()))).status == 200


async def test_the_last_engines_own_words_are_told_when_tries_run_out(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url, server="retries: {attempts: 3, backoff: 1ms}"))
    qwen.engine.faults.arm("status=503", None)
    answer = await ask(front, post(chat()))
    assert answer.status == 503
    assert b"simulated fault" in answer.body
    assert qwen.engine.journal.counters.received == 4


async def test_a_status_that_is_not_listed_is_not_tried_again(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url))
    for status in (400, 429, 500):
        qwen.engine.faults.arm(f"status={status}", 1)
        assert (await ask(front, post(chat()))).status == status
    assert qwen.engine.journal.counters.received == 3


async def test_retry_after_is_waited_for(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url))
    qwen.engine.faults.arm("status=503;retry-after=1", 1)
    async with stopwatch() as watch:
        assert (await ask(front, post(chat()))).status == 200
    assert watch.elapsed > 0.9
    assert watch.seconds < 1.5


async def test_a_retry_after_that_is_too_long_is_left_to_the_client(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url))
    qwen.engine.faults.arm("status=503;retry-after=60", None)
    answer = await ask(front, post(chat()))
    assert (answer.status, answer.field("retry-after")) == (503, "60")
    assert qwen.engine.journal.counters.received == 1


async def test_another_endpoint_is_not_waited_for(engine: StartEngine, proxy: StartProxy) -> None:
    first, second = await engine(), await engine()
    front = await proxy(one_route(first.url, second.url, server="balance: round-robin"))
    first.engine.faults.arm("status=503;retry-after=5", 1)
    async with stopwatch() as watch:
        assert [(await ask(front, post(chat()))).status for _ in range(2)] == [200, 200]
    assert watch.seconds < 1.0
    assert first.engine.journal.counters.faulted == 1


# --- timeouts ---------------------------------------------------------------------------------------------------------


async def test_an_engine_that_is_silent_is_given_up_in_time(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url, server="timeout: {first_byte: 1s}"))
    qwen.engine.faults.arm("stall", None)
    async with stopwatch() as watch:
        answer = await ask(front, post(chat()))
    assert (answer.status, error_code(answer)) == (504, "upstream_timeout")
    assert watch.elapsed > 0.9
    assert watch.seconds < 1.15
    await until(lambda: qwen.engine.journal.counters.aborted == 1, within=0.2)
    assert qwen.engine.journal.counters.received == 1


async def test_a_timeout_is_tried_again_where_the_rule_says_so(engine: StartEngine, proxy: StartProxy) -> None:
    slow = await engine()
    slow.engine.faults.arm("stall", 1)
    front = await proxy(one_route(slow.url, server="timeout: 300ms", rule="retries: {attempts: 1, on: [timeout]}"))
    assert (await ask(front, post(chat()))).status == 200
    assert (slow.engine.journal.counters.received, slow.engine.journal.counters.executed) == (2, 1)


async def test_a_connection_that_is_not_made_in_time_is_given_up(proxy: StartProxy, qwen: RunningEngine) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        with socket.create_connection(address):  # the backlog is full: the kernel drops who comes next
            url = f"http://127.0.0.1:{address[1]}"
            front = await proxy(one_route(url, qwen.url, server="timeout: {connect: 300ms}, balance: round-robin"))
            alone = await proxy(one_route(url, server="timeout: {connect: 300ms}, retries: 0"))
            async with stopwatch() as watch:
                answer = await ask(alone, post(chat()))
            assert (answer.status, error_code(answer)) == (502, "upstream_connect_failure")
            assert watch.elapsed > 0.25
            assert watch.seconds < 0.6
            assert [(await ask(front, post(chat()))).status for _ in range(2)] == [200, 200]


# --- nothing runs twice that should not -------------------------------------------------------------------------------


async def lose(connection: RawConnection) -> None:
    """Reads each request, and is gone before it answers."""
    await connection.request()
    connection.reset()


@pytest.mark.parametrize(
    ("request_", "tries"),
    [
        (post(chat(), "/v1/responses"), 1),
        (post(chat(), "/v1/files"), 1),
        (post(chat(), "/anything"), 1),
        (get("/v1/responses/r", "PATCH"), 1),
        (post(chat()), 3),
        (post(chat(), "/v1/embeddings"), 3),
        (get("/v1/responses/r"), 3),
        (get("/v1/responses/r", "DELETE"), 3),
    ],
)
async def test_only_what_may_run_twice_is_sent_twice(proxy: StartProxy, request_: bytes, tries: int) -> None:
    async with raw_engine(lose) as engine:
        front = await proxy(one_route(engine.url, server="retries: {attempts: 2, backoff: 1ms}"))
        answer = await ask(front, request_, request_.split(b" ", 1)[0].decode())
    assert (answer.status, error_code(answer)) == (502, "upstream_reset")
    assert len(engine.requests) == tries


async def test_what_stores_is_not_repeated_on_a_status_either(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url))
    qwen.engine.faults.arm("status=503", None)
    assert (await ask(front, post(chat(), "/v1/responses"))).status == 503
    assert qwen.engine.journal.counters.received == 1


async def test_nothing_is_tried_again_once_a_byte_has_gone_down(engine: StartEngine, proxy: StartProxy) -> None:
    first, second = await engine(tokens=20), await engine(tokens=20)
    for one in (first, second):
        one.engine.faults.arm("reset-after=1", None)
    front = await proxy(one_route(first.url, second.url))
    async with raw_client(front.port) as client:
        client.post(chat(stream=True))
        assert b"[DONE]" not in await client.rest()
    async with raw_client(front.port) as client:
        client.post(chat())
        assert not (await client.answer()).whole
    assert first.engine.journal.counters.received + second.engine.journal.counters.received == 2


async def test_a_retry_goes_to_an_endpoint_that_this_request_has_not_tried(
    engine: StartEngine, proxy: StartProxy
) -> None:
    engines = [await engine(name=str(number)) for number in range(3)]
    for one in engines[:2]:
        one.engine.faults.arm("status=503", None)
    urls = [one.url for one in engines]
    front = await proxy(one_route(*urls, server="retries: {attempts: 2, backoff: 1ms}, retry_budget: 1"))
    for _ in range(10):  # the budget begins with ten
        assert (await ask(front, post(chat()))).status == 200
    assert engines[2].engine.journal.counters.executed == 10


async def test_a_fallback_answers_where_the_target_fails(engine: StartEngine, proxy: StartProxy) -> None:
    spare = await engine(name="spare")
    front = await proxy(
        f"servers: {{a: {{endpoints: ['http://127.0.0.1:{free_port()}']}}, b: {{endpoints: ['{spare.url}']}}}}\n"
        "routes: [{name: chat, models: [qwen], rules: [{targets: [a], fallback: [b]}]}]"
    )
    answer = await ask(front, post(chat()))
    assert (answer.status, answer.field("x-sim-engine")) == (200, "spare")


async def test_the_retry_budget_stops_a_storm(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url, server="retries: {attempts: 5, backoff: 0s}, retry_budget: 0.2"))
    qwen.engine.faults.arm("status=503", None)
    async with raw_client(front.port) as client:
        for _ in range(200):
            assert (await client.ask(post(chat()))).status == 503
    retries = qwen.engine.journal.counters.received - 200
    assert 0 < retries <= 200 * 0.2 + 10


# --- kept-alive connections -------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_connections_that_an_engine_closes_when_idle_cost_no_request(proxy: StartProxy) -> None:
    """An engine closes connections 5 ms after an answer; requests come around that moment."""

    async def impatient(connection: RawConnection) -> None:
        request = await connection.request()
        with suppress(TimeoutError):
            while request:
                await connection.answer(b"{}")
                async with asyncio.timeout(0.005):
                    request = await connection.request()

    async with raw_engine(impatient) as engine:
        front = await proxy(one_route(engine.url))

        async def visit(number: int) -> None:
            async with raw_client(front.port) as client:
                for step in range(100):
                    assert (await client.ask(post(chat()))).status == 200
                    await asyncio.sleep(0.003 + ((step + number * 10) % 40) / 10_000)

        await asyncio.gather(*(visit(number) for number in range(10)))
        assert engine.connections > 100
        metrics = front.app.report().metrics
    assert metrics.retries == {}, "a stale connection is no retry"


async def test_a_stale_connection_is_no_error_for_what_may_not_run_twice(
    engine: StartEngine, proxy: StartProxy
) -> None:
    impatient = await engine(keepalive=0.05)
    front = await proxy(one_route(impatient.url))
    async with raw_client(front.port) as client:
        for _ in range(20):
            assert (await client.ask(post(chat(), "/v1/responses"))).status == 404
            await asyncio.sleep(0.07)


async def test_connections_are_reused(proxy: StartProxy) -> None:
    async with raw_engine(short_answers) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            for _ in range(50):
                assert (await client.ask(post(chat()))).status == 200
        assert engine.connections == 1


@pytest.mark.parametrize("pause", [0.0, 0.02])
async def test_what_an_engine_says_unasked_is_nobodys_answer(proxy: StartProxy, pause: float) -> None:
    poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"

    # Bytes that come while a request waits are an answer, whenever they were said; so no request waits here by then.
    async def poisoner(connection: RawConnection) -> None:
        while await connection.request():
            await connection.answer(b"hello")
            await asyncio.sleep(pause)
            await connection.say(poison)

    async with raw_engine(poisoner) as engine:
        front = await proxy(one_route(engine.url))

        async with raw_client(front.port) as client:
            for _ in range(20):
                answer = await client.ask(post(chat()))
                assert (answer.status, answer.body) == (200, b"hello")
                await asyncio.sleep(pause * 2)
        assert engine.connections == 20


async def test_an_answer_and_junk_in_one_piece_is_the_answer_alone(proxy: StartProxy) -> None:
    async def surplus(connection: RawConnection) -> None:
        while await connection.request():
            await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\njunk")

    async with raw_engine(surplus) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            for _ in range(10):
                assert (await client.ask(post(chat()))).body == b"hello"
        assert engine.connections == 10


async def test_an_answer_to_a_request_that_was_given_up_is_nobodys(proxy: StartProxy) -> None:
    """The client leaves, the engine answers all the same: the next client must not get that answer."""

    async def late(connection: RawConnection) -> None:
        while request := await connection.request():
            await asyncio.sleep(0.05 if b"first" in request else 0)
            await connection.answer(b"first" if b"first" in request else b"second")

    async with raw_engine(late) as engine:
        front = await proxy(one_route(engine.url))
        for _ in range(10):
            async with raw_client(front.port) as client:
                client.post(chat(note="first"))
                seen = len(engine.requests)
                await until(partial(more_than, engine.requests, seen))
            assert (await ask(front, post(chat(note="second")))).body == b"second"


def more_than(items: Sized, count: int) -> bool:
    return len(items) > count
