"""Where requests go, and that they get there as they were sent."""

import itertools
import random
from collections import Counter

import orjson
import pytest

from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.proxies import StartProxy, one_route
from tests.end_to_end.raw_client import chat, get, post, raw_client


def split_of(first: str, second: str, weights: tuple[int, int]) -> str:
    return (
        f"servers: {{a: {{endpoints: ['{first}']}}, b: {{endpoints: ['{second}']}}}}\n"
        "routes:\n  - name: chat\n    models: [qwen]\n    rules:\n"
        "      - {name: premium, match: {headers: {user-type: premium}}, targets: [b]}\n"
        f"      - {{name: rest, targets: [{{server: a, weight: {weights[0]}}}, {{server: b, weight: {weights[1]}}}]}}\n"
    )


async def test_a_split_of_70_to_30_is_exact_over_100_requests(engine: StartEngine, proxy: StartProxy) -> None:
    first, second = await engine(name="a"), await engine(name="b")
    front = await proxy(split_of(first.url, second.url, (70, 30)))
    told: Counter[str | None] = Counter()
    async with raw_client(front.port) as client:
        for _ in range(100):
            told[(await client.ask(post(chat()))).field("x-sim-engine")] += 1
    assert told == {"a": 70, "b": 30}
    assert (first.engine.journal.counters.executed, second.engine.journal.counters.executed) == (70, 30)


async def test_a_split_is_evenly_interleaved(engine: StartEngine, proxy: StartProxy) -> None:
    first, second = await engine(name="a"), await engine(name="b")
    front = await proxy(split_of(first.url, second.url, (2, 1)))
    async with raw_client(front.port) as client:
        told = [(await client.ask(post(chat()))).field("x-sim-engine") for _ in range(9)]
    assert "a,a,a" not in ",".join(map(str, told))
    assert "b,b" not in ",".join(map(str, told))


async def test_a_header_chooses_the_rule(engine: StartEngine, proxy: StartProxy) -> None:
    first, second = await engine(name="a"), await engine(name="b")
    front = await proxy(split_of(first.url, second.url, (1, 0)))
    async with raw_client(front.port) as client:
        assert (await client.ask(post(chat()))).field("x-sim-engine") == "a"
        assert (await client.ask(post(chat(), User_Type="premium"))).field("x-sim-engine") == "b"
        assert (await client.ask(post(chat(), User_Type="premiums"))).field("x-sim-engine") == "a"


ODD_BODIES = [
    b'{ "unknown" : [1.0, 1e5 , 12345678901234567890],\n\t"model"   :"qwen" ,"messages":[{"role":"user"}], "x":{}}\n\n',
    b'{"model":"qwen","messages":[{"role":"user","content":"h\\u00e9\\/"}]}',
    b'{"messages":[{"role":"user","content":"model: \\"model\\":\\"other\\""}],"model":"qwen","temperature":0.10}',
    '{"model":"qwen","messages":[{"role":"user","content":"żółć 🦜"}]}'.encode(),
]


@pytest.mark.parametrize("body", ODD_BODIES)
async def test_a_bodys_bytes_reach_the_engine_as_they_were_sent(
    proxy: StartProxy, qwen: RunningEngine, body: bytes
) -> None:
    front = await proxy(one_route(qwen.url))
    async with raw_client(front.port) as client:
        echo = orjson.loads((await client.ask(post(body, x_sim_echo="1"))).body)
    assert echo["body"].encode() == body
    assert echo["body_length"] == len(body)


async def test_a_rewrite_changes_the_models_bytes_alone(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url, server="model: 'org/other'"))
    async with raw_client(front.port) as client:
        for body in ODD_BODIES:
            echo = orjson.loads((await client.ask(post(body, x_sim_echo="1"))).body)
            before, _, after = body.rpartition(b'"qwen"')
            assert echo["body"].encode() == before + b'"org/other"' + after


async def test_a_large_body_cut_in_any_place_arrives_whole(proxy: StartProxy) -> None:
    async def answer(connection: RawConnection) -> None:
        while await connection.request():
            await connection.answer(b"{}")

    body = chat(padding="x" * 1_000_000)
    message = post(body)
    rng = random.Random(7)
    async with raw_engine(answer) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            for _ in range(5):
                places = sorted({0, len(message), *(rng.randrange(len(message)) for _ in range(20))})
                for start, end in itertools.pairwise(places):
                    client.send(message[start:end])
                    await client.writer.drain()
                assert (await client.answer()).status == 200
        assert [request.partition(b"\r\n\r\n")[2] == body for request in engine.requests] == [True] * 5


async def test_a_target_reaches_the_engine_byte_by_byte(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url))
    targets = ["/files/a%2Fb?x=%20y&&z", "/a//b/../c/./d", "/bare?", "/a;b=c?d=e+f", "/%C5%BC?q=%zz"]
    async with raw_client(front.port) as client:
        for target in targets:
            echo = orjson.loads((await client.ask(get(target, x_sim_echo="1"), "GET")).body)
            assert echo["path"] == target


async def test_odd_header_bytes_pass_unchanged_and_hop_by_hop_fields_stop_here(proxy: StartProxy) -> None:
    async def answer(connection: RawConnection) -> None:
        while await connection.request():
            await connection.answer(
                b"{}", b"X-Odd: \xff\xfe", b"Connection: X-Secret", b"X-Secret: s", b"Keep-Alive: timeout=5",
                b"X-Twice: 1", b"X-Twice: 2",
            )  # fmt: skip

    async with raw_engine(answer) as engine:
        front = await proxy(one_route(engine.url))
        async with raw_client(front.port) as client:
            request = b"".join((
                b"GET /x HTTP/1.1\r\nHost: proxy.example:1\r\nX-A: adm\xffin\r\nconnection: X-Mine, keep-alive\r\n",
                b"X-Mine: 1\r\nTE: trailers\r\nProxy-Authorization: Basic eDp5\r\nX-Forwarded-For: 6.6.6.6\r\n",
                b"X-Request-Id: mine\r\nAuthorization: Bearer sk-1\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n",
            ))  # fmt: skip
            told = await client.ask(request, "GET")
        head = engine.requests[0]
    lines = head.split(b"\r\n")
    assert b"X-A: adm\xffin" in lines
    assert lines[1] == b"Host: " + engine.url.removeprefix("http://").encode()
    assert b"X-Forwarded-For: 127.0.0.1" in lines
    assert b"X-Forwarded-Host: proxy.example:1" in lines
    assert b"X-Forwarded-Proto: http" in lines
    assert b"Authorization: Bearer sk-1" in lines
    assert lines.index(b"X-Two: 1") + 1 == lines.index(b"X-Two: 2")
    for stopped in (b"x-mine:", b"te:", b"proxy-authorization:", b"connection:", b"x-request-id: mine", b"6.6.6.6"):
        assert stopped not in head.lower()
    assert b"X-Odd: \xff\xfe\r\n" in told.head
    assert b"X-Twice: 1\r\nX-Twice: 2\r\n" in told.head
    assert b"x-secret" not in told.head.lower()
    assert told.field("keep-alive") is None


async def test_a_trusted_proxys_word_is_believed(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url), trusted_proxies=("127.0.0.0/8",))
    async with raw_client(front.port) as client:
        request = get("/x", x_sim_echo="1", X_Forwarded_For="6.6.6.6", X_Request_Id="mine", X_Forwarded_Proto="https")
        answer = await client.ask(request, "GET")
    fields = {name.lower(): value for name, value in orjson.loads(answer.body)["headers"]}
    assert fields["x-forwarded-for"] == "6.6.6.6, 127.0.0.1"
    assert (fields["x-forwarded-proto"], fields["x-request-id"]) == ("https", "mine")
    assert answer.field("x-request-id") == "mine"
