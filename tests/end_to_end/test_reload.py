"""Reloads while requests are under way: nobody fails, nobody waits, nobody goes astray."""

import asyncio
import gc
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from proxy.config.match_spec import HeaderCondition, Match, Prefix
from proxy.config.spec import Config, EndpointSpec, ModelServer, Route, Rule, Target
from proxy.runtime.app import App
from proxy.runtime.channel import (
    Applied,
    ConfigBegin,
    ConfigCommit,
    ConfigPiece,
    Ready,
    open_for_supervisor,
    open_for_worker,
)
from proxy.runtime.data_plane import DataPlane
from proxy.runtime.pieces import cut
from tests.end_to_end.engines import StartEngine
from tests.end_to_end.patience import until
from tests.end_to_end.proxies import QUIET, Proxy, StartProxy, one_route
from tests.end_to_end.raw_client import chat, post, raw_client

LONGEST_HOLD = 0.020  # seconds


def two_models(first: str, second: str, turn: int) -> str:
    """Two models on two engines, and everything that a reload can change around them."""
    extra = "".join(
        f"  - {{name: extra-{number}, models: [m{number}], rules: [{{targets: [first]}}]}}\n"
        for number in range(turn % 7)
    )
    more = f", 'http://127.0.0.{2 + turn % 3}:1'" if turn % 2 else ""
    balance = "random" if turn % 3 else "least-request"
    names = "b" if turn % 5 else "'b*'"
    return (
        "servers:\n"
        f"  first: {{endpoints: ['{first}'{more}], balance: {balance}, retry_budget: 1, "
        f"retries: {{attempts: 3, backoff: 0s}}, timeout: {{idle: {30 + turn}s, connect: 1s}}}}\n"
        f"  second: {{endpoints: ['{second}'], retries: {turn % 4}}}\n"
        "routes:\n" + extra + "  - {name: a, models: [a], rules: [{targets: [first]}]}\n"
        f"  - {{name: b, models: [{names}], rules: [{{targets: [second], timeout: {20 + turn}s}}]}}\n"
    )


async def test_a_hundred_reloads_under_load_fail_cut_and_misroute_nothing(
    engine: StartEngine, proxy: StartProxy
) -> None:
    first = await engine(model="a", tokens=20, time_per_token=0.003)
    second = await engine(model="b", tokens=20, time_per_token=0.003)
    front: Proxy = await proxy(two_models(first.url, second.url, 0))
    over = asyncio.Event()
    answers: Counter[tuple[str, bool]] = Counter()

    async def visit(model: str, stream: bool) -> None:
        async with raw_client(front.port) as client:
            while not over.is_set():
                answer = await client.ask(post(chat(model, stream=stream)))
                assert (answer.status, answer.field("x-sim-engine"), answer.whole) == (200, model, True), answer
                assert answer.body.endswith(b"data: [DONE]\n\n") == stream
                answers[model, stream] += 1

    async with asyncio.TaskGroup() as visitors:
        for model in ("a", "b"):
            for stream in (True, False):
                for _ in range(3):
                    visitors.create_task(visit(model, stream))
        for turn in range(1, 101):
            await front.apply(two_models(first.url, second.url, turn))
            await asyncio.sleep(0.02)
        over.set()
    assert len(answers) == 4
    assert min(answers.values()) > 50
    assert front.in_flight == 0


async def test_a_stream_on_an_endpoint_that_goes_away_runs_to_its_end(engine: StartEngine, proxy: StartProxy) -> None:
    old = await engine(tokens=20, time_per_token=0.02)
    new = await engine(name="new")
    front = await proxy(one_route(old.url))
    async with raw_client(front.port) as streaming, raw_client(front.port) as other:
        streaming.post(chat(stream=True))
        await streaming.head()
        await front.apply(one_route(new.url))
        assert (await other.ask(post(chat()))).field("x-sim-engine") == "new"
        rest = b""
        while piece := await streaming.chunk():
            rest += piece
        assert rest.endswith(b"data: [DONE]\n\n")
        assert (await streaming.ask(post(chat()))).field("x-sim-engine") == "new"
    assert old.engine.journal.counters.completed == 1


async def test_what_is_in_flight_at_an_endpoint_is_known_after_a_reload(engine: StartEngine, proxy: StartProxy) -> None:
    busy, free = await engine(time_to_first_token=30.0), await engine(name="free")
    front = await proxy(one_route(busy.url))
    async with raw_client(front.port) as waiting, raw_client(front.port) as client:
        waiting.post(chat())
        await until(lambda: busy.engine.journal.counters.in_flight)
        await front.apply(one_route(busy.url, free.url, server="balance: least-request, retries: 1"))
        assert front.endpoint(busy.url).in_flight == 1
        for _ in range(10):
            assert (await client.ask(post(chat()))).field("x-sim-engine") == "free"
    await until(lambda: not front.in_flight)


async def test_idle_connections_outlive_a_reload_that_leaves_their_endpoint(
    engine: StartEngine, proxy: StartProxy
) -> None:
    one = await engine()
    front = await proxy(one_route(one.url))
    async with raw_client(front.port) as client:
        await client.ask(post(chat()))
        await front.apply(one_route(one.url, server="retries: 1, timeout: 9s"))
        assert front.endpoint(one.url).idle_connections == 1
        await front.apply(one_route(one.url, "http://127.0.0.1:1"))
        assert front.endpoint(one.url).idle_connections == 1


async def test_a_splits_turn_goes_on_over_reloads_that_leave_it(engine: StartEngine, proxy: StartProxy) -> None:
    engines = [await engine(name=name) for name in "ab"]

    def routes(turn: int) -> str:
        return (
            "servers:\n"
            f"  a: {{endpoints: ['{engines[0].url}'], retries: {turn}}}\n"
            f"  b: {{endpoints: ['{engines[1].url}']}}\n"
            "routes: [{name: chat, models: [qwen], rules: "
            "[{name: split, targets: [{server: a, weight: 7}, {server: b, weight: 3}]}]}]"
        )

    front = await proxy(routes(0))
    told: Counter[str | None] = Counter()
    async with raw_client(front.port) as client:
        for turn in range(20):
            told[(await client.ask(post(chat()))).field("x-sim-engine")] += 1
            await front.apply(routes(turn))
    assert told == {"a": 14, "b": 6}


async def test_a_rate_limit_outlives_a_reload_that_leaves_it(engine: StartEngine, proxy: StartProxy) -> None:
    one = await engine()
    limited = "rate_limit: {requests_per_second: 0.01, burst: 3}"
    front = await proxy(one_route(one.url, server=limited))
    statuses = []
    async with raw_client(front.port) as client:
        for turn in range(5):
            statuses.append((await client.ask(post(chat()))).status)
            await front.apply(one_route(one.url, server=f"{limited}, retries: {turn}"))
    assert statuses == [200, 200, 200, 429, 429]


# --- ten thousand routes ----------------------------------------------------------------------------------------------


def big(version: str, retries: int) -> Config:
    """10,000 routes of two rules on 500 servers."""
    servers = {
        f"s{number}": ModelServer(
            f"s{number}",
            tuple(EndpointSpec("http", "127.0.0.1", 1000 + number * 3 + port) for port in range(3)),
            retry_budget=retries / 10,
        )
        for number in range(500)
    }
    premium = Match((HeaderCondition("user-type", Prefix("prem")), HeaderCondition("x-other", Prefix("a"))))
    routes = tuple(
        Route(
            f"r{number}",
            (
                Rule("premium", (Target(f"s{number % 500}"),), (premium,)),
                Rule("rest", (Target(f"s{number % 500}", 70), Target(f"s{(number + 1) % 500}", 30))),
            ),
            (f"model-{number}", f"alias-{number}"),
        )
        for number in range(10_000)
    )
    return Config(servers, routes, version)


class Holds:
    """How long the loop was held, in processor time of this thread: what others do on this machine counts nothing."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.turns = 0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _watch(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self.longest = max(self.longest, now - last)
            self.turns += 1
            last = now


@pytest.mark.slow
async def test_loading_ten_thousand_routes_never_holds_the_loop_of_a_worker() -> None:
    ours, theirs = socket.socketpair()
    supervisor, worker = await open_for_supervisor(ours), await open_for_worker(theirs)
    settings = replace(QUIET, drain_timeout=1.0)
    life = asyncio.create_task(DataPlane(worker, App(settings), settings, []).run())
    holds = Holds()
    try:
        assert await supervisor.receive() == Ready()
        for turn in range(3):
            pieces = list(cut(big(f"v{turn}", turn)))
            async with holds.watched():
                await supervisor.send(ConfigBegin(f"v{turn}"))
                for piece in pieces:
                    await supervisor.send(ConfigPiece(piece))
                await supervisor.send(ConfigCommit())
                assert await supervisor.receive() == Applied(f"v{turn}")
                for _ in range(2000):  # what is left of the old configuration is freed afterwards
                    await asyncio.sleep(0)
    finally:
        gc.unfreeze()
        life.cancel()
        await asyncio.wait([life])
        await supervisor.close()
        await worker.close()
    assert holds.turns > 300
    assert holds.longest < LONGEST_HOLD


@pytest.mark.slow
async def test_a_stream_that_outlives_ten_thousand_routes_does_not_hold_the_loop_when_it_ends(
    engine: StartEngine, proxy: StartProxy
) -> None:
    slow = await engine(tokens=1000, time_per_token=0.01)
    front = await proxy(one_route(slow.url))
    address = EndpointSpec("http", "127.0.0.1", slow.port)
    first = big("v1", 1)
    servers = {**first.servers, "slow": ModelServer("slow", (address,))}
    chats = Route("chat", (Rule("all", (Target("slow"),)),), ("qwen",))
    await front.app.apply(Config(servers, (*first.routes, chats), "v1"))
    holds = Holds()
    async with raw_client(front.port) as client:
        client.post(chat(stream=True))
        await client.head()
        await client.chunk()
        del first
        await front.apply(one_route(slow.url))
        async with holds.watched():
            client.close()
            await until(lambda: not front.in_flight)
            await asyncio.sleep(0.05)
    assert holds.longest < LONGEST_HOLD / 4
