"""HTTP as RFC 9110 and 9112 have it, over real sockets."""

from contextlib import AsyncExitStack
from dataclasses import replace

import orjson
import pytest

from proxy.config.settings_spec import Limits
from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.patience import stopwatch, until
from tests.end_to_end.proxies import Proxy, StartProxy, one_route
from tests.end_to_end.raw_client import chat, get, post, raw_client


@pytest.fixture
async def front(proxy: StartProxy, qwen: RunningEngine) -> Proxy:
    return await proxy(one_route(qwen.url))


async def test_a_body_over_the_limit_is_a_413_before_it_is_sent(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url), limits=replace(Limits(), max_body=1000))
    async with raw_client(front.port) as client:
        client.send(post(b"x" * 1001)[:300])
        answer = await client.answer()
        assert answer.status == 413
        assert await client.rest() == b""
    async with raw_client(front.port) as client:
        client.send(
            b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"190\r\n" + b"x" * 400 + b"\r\n"
        )
        client.send(b"190\r\n" + b"x" * 400 + b"\r\n" + b"190\r\n" + b"x" * 400)
        assert (await client.answer()).status == 413
    async with raw_client(front.port) as client:
        assert (await client.ask(post(chat(padding="x" * 800)))).status == 200
    assert qwen.engine.journal.counters.received == 1


async def test_a_client_that_uploads_on_can_read_its_413(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url), limits=replace(Limits(), max_body=100_000))
    async with raw_client(front.port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n")
        client.send(b"x" * 1_000_000)
        assert (await client.answer()).status == 413


async def test_a_head_over_the_limit_is_a_431(front: Proxy, qwen: RunningEngine) -> None:
    async with raw_client(front.port) as client:
        answer = await client.ask(get("/x", X_Big="x" * 40_000), "GET")
        assert (answer.status, answer.field("connection")) == (431, "close")
    async with raw_client(front.port) as client:
        client.send(b"GET /x HTTP/1.1\r\nHost: a\r\nX-Endless: ")
        for _ in range(40):
            client.send(b"x" * 1000)
        assert (await client.answer()).status == 431
    assert qwen.engine.journal.counters.received == 0


async def test_a_client_of_http_1_0_gets_a_whole_answer_and_its_end(front: Proxy) -> None:
    body = chat(stream=True)
    async with raw_client(front.port) as client:
        client.send(b"POST /v1/chat/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        answer = await client.answer()
    assert answer.status == 200
    assert answer.field("transfer-encoding") is None
    assert answer.body.endswith(b"data: [DONE]\n\n")
    async with raw_client(front.port) as client:
        request = b"GET /v1/chat HTTP/1.0\r\nConnection: keep-alive\r\nX-Sim-Echo: 1\r\n\r\n"
        for _ in range(2):
            answer = await client.ask(request, "GET")
            assert (answer.status, answer.field("connection")) == (200, "keep-alive")


async def test_an_answer_to_head_has_a_length_and_no_body(front: Proxy, qwen: RunningEngine) -> None:
    async with raw_client(front.port) as client:
        answer = await client.ask(get("/x", "HEAD", x_sim_echo="1"), "HEAD")
        assert answer.status == 200
        assert int(answer.field("content-length") or "0") > 0
        assert (await client.ask(get("/v1/models", "HEAD"), "HEAD")).status == 200
        assert (await client.ask(get("/ready", "HEAD"), "HEAD")).status == 200
        assert (await client.ask(get("/x", x_sim_echo="1"), "GET")).status == 200
    assert qwen.engine.journal.entries[0].method == "HEAD"


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_leaves_the_connections_usable(proxy: StartProxy, status: int) -> None:
    async def answer(connection: RawConnection) -> None:
        while await connection.request():
            await connection.say(b"HTTP/1.1 %d X\r\nETag: x\r\n\r\n" % status)

    async with raw_engine(answer) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            for _ in range(3):
                assert (await client.ask(get("/x"), "GET")).status == status
        assert engine.connections == 1


async def test_100_continue_comes_at_once_and_the_field_stops_here(front: Proxy, qwen: RunningEngine) -> None:
    body = chat()
    async with raw_client(front.port) as client:
        client.send(post(body, Expect="100-continue", x_sim_echo="1").removesuffix(body))
        async with stopwatch() as watch:
            assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert watch.seconds < 0.1
        answer = await client.ask(body)
    assert answer.status == 200
    assert "expect" not in {name.lower() for name, _ in orjson.loads(answer.body)["headers"]}


async def test_a_body_that_would_be_refused_is_not_asked_for(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url), limits=replace(Limits(), max_body=10))
    async with raw_client(front.port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
        assert (await client.answer()).status == 413


async def test_pipelined_requests_are_answered_in_order(engine: StartEngine, proxy: StartProxy) -> None:
    slow = await engine(time_to_first_token=0.05)
    front = await proxy(one_route(slow.url))
    async with raw_client(front.port) as client:
        client.send(b"".join(post(chat(max_tokens=number, stream=number % 2 == 0)) for number in range(1, 7)))
        for number in range(1, 7):
            answer = await client.answer()
            assert answer.status == 200
            if number % 2:
                assert orjson.loads(answer.body)["usage"]["completion_tokens"] == number
            else:
                assert answer.body.count(b'"content":') == number + 1
    assert slow.engine.journal.counters.completed == 6


async def test_junk_behind_a_whole_request_does_not_destroy_it(front: Proxy) -> None:
    async with raw_client(front.port) as client:
        client.send(post(chat()) + b"\x00\x01 junk\r\n\r\n")
        assert (await client.answer()).status == 200
        answer = await client.answer()
        assert answer.status in {400, 501}
        assert await client.rest() == b""


async def test_a_client_that_sends_no_more_has_gone(engine: StartEngine, proxy: StartProxy) -> None:
    slow = await engine(time_to_first_token=5.0)
    front = await proxy(one_route(slow.url))
    async with raw_client(front.port) as client:
        client.post(chat())
        await until(lambda: slow.engine.journal.counters.in_flight)
        client.writer.write_eof()
        await until(lambda: slow.engine.journal.counters.aborted, within=1)
    assert front.in_flight == 0


async def test_an_absolute_target_goes_on_as_a_path_with_its_host_told(front: Proxy) -> None:
    async with raw_client(front.port) as client:
        request = b"GET http://models.example:8000/a/b?c=d HTTP/1.1\r\nHost: other\r\nX-Sim-Echo: 1\r\n\r\n"
        echo = orjson.loads((await client.ask(request, "GET")).body)
    fields = {name.lower(): value for name, value in echo["headers"]}
    assert echo["path"] == "/a/b?c=d"
    assert fields["host"] == fields["x-forwarded-host"] == "models.example:8000"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (b"GET /x HTTP/1.1\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /x HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417),
    ],
)
async def test_a_malformed_message_is_refused_and_reaches_no_engine(
    front: Proxy, qwen: RunningEngine, request_: bytes, status: int
) -> None:
    async with raw_client(front.port) as client:
        answer = await client.ask(request_)
        assert (answer.status, answer.field("connection")) == (status, "close")
        assert await client.rest() == b""
    assert qwen.engine.journal.counters.received == 0


async def test_slow_heads_and_bodies_are_cut_and_idle_connections_closed(
    proxy: StartProxy, qwen: RunningEngine
) -> None:
    limits = replace(Limits(), header_timeout=0.3, body_timeout=0.3, keepalive_timeout=0.3)
    front = await proxy(one_route(qwen.url), limits=limits)
    async with AsyncExitStack() as stack:
        head, body, idle, silent = [await stack.enter_async_context(raw_client(front.port)) for _ in range(4)]
        head.send(b"GET /x HT")
        body.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
        assert (await idle.ask(get("/ready"), "GET")).status == 200
        async with stopwatch() as watch:
            assert (await head.answer()).status == 408
            assert (await body.answer()).status == 408
            assert await idle.rest() == b""
            assert await silent.rest() == b""
        assert watch.seconds < 0.8


async def test_connections_beyond_the_limit_are_told(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url), limits=replace(Limits(), max_connections=2))
    async with raw_client(front.port) as first, raw_client(front.port) as second:
        assert (await first.ask(get("/ready"), "GET")).status == 200
        assert (await second.ask(get("/ready"), "GET")).status == 200
        async with raw_client(front.port) as third:
            assert (await third.answer()).status == 503
        assert (await first.ask(get("/ready"), "GET")).status == 200


async def test_early_hints_are_passed_on_and_a_switch_of_protocols_is_not(proxy: StartProxy) -> None:
    async def hints(connection: RawConnection) -> None:
        while b"/switch" not in await connection.request():
            await connection.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            await connection.answer(b"{}")
        await connection.say(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nraw")

    async with raw_engine(hints) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            client.send(get("/x"))
            assert (await client.head()).startswith(b"HTTP/1.1 103 ")
            assert (await client.answer()).status == 200
            answer = await client.ask(get("/switch"), "GET")
            assert answer.status == 502
            assert b"raw" not in answer.body


async def test_an_early_answer_reaches_a_client_whose_body_the_engine_does_not_want(proxy: StartProxy) -> None:
    async def refuse(connection: RawConnection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.answer(b"{}", b"Connection: close", status=b"413 Too Large")

    async with raw_engine(refuse) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            for _ in range(3):
                assert (await client.ask(post(chat(padding="x" * 3_000_000)))).status == 413
