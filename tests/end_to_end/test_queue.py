"""How many at once: bounds that hold over all workers, who waits, whose turn it is, and what refusals say."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.end_to_end.callers import Keys, bearer, error_of
from tests.end_to_end.engines import RawConnection, raw_engine
from tests.end_to_end.patience import until, until_told
from tests.end_to_end.proxies import Proxy, StartProxy
from tests.end_to_end.raw_client import Answer, RawClient, chat, post, raw_client
from tests.end_to_end.scrape import Scrape
from tests.end_to_end.serving import Serving, StartServing
from tests.end_to_end.sides import Side, StartSide, ask, drive, name_in

pytestmark = pytest.mark.timeout(90)
TWO = "workers: 2\ndrain_timeout: 5s\ndrain_notice: 0s\n"
REASON = "x-llm-d-request-dropped-reason"


def bounded(*urls: str, terms: str, auth: str = "") -> str:
    """A route file: the model qwen at a server with these bounds."""
    return (
        f"servers:\n  engine: {{endpoints: {list(urls)}, retries: 0, {terms}}}\n"
        f"routes:\n  - name: chat\n    models: [qwen]\n{auth}    rules: [{{name: all, targets: [engine]}}]\n"
    )


class Crowd:
    """Clients whose requests are under way, by name, in the order in which they were sent."""

    def __init__(self, front: Proxy) -> None:
        self.clients: dict[str, RawClient] = {}
        self._front = front
        self.answers: dict[str, Answer] = {}

    async def send(self, name: str, client: RawClient, **fields: str) -> None:
        """Send a request that carries its name, and wait until the proxy has it."""
        before = self._front.app.report().in_flight
        self.clients[name] = client
        client.post(chat(name=name), **fields)
        await until(lambda: self._front.app.report().in_flight == before + 1)

    async def collect(self) -> None:
        """Read all answers."""
        for name, client in self.clients.items():
            self.answers[name] = await client.answer()


@asynccontextmanager
async def crowd(front: Proxy, requests: Sequence[tuple[str, dict[str, str]]]) -> AsyncIterator[Crowd]:
    """Requests under way, each on a connection of its own: their names and fields."""
    found = Crowd(front)
    clients = [raw_client(front.port) for _ in requests]
    try:
        for client, (name, fields) in zip(clients, requests, strict=True):
            await found.send(name, await client.__aenter__(), **fields)
        yield found
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)


def order(engine: Side) -> list[str]:
    """The names of requests in the order in which they came to an engine."""
    return [json.loads(request.partition(b"\r\n\r\n")[2])["name"] for request in engine.heard]


# --- bounds -----------------------------------------------------------------------------------------------------------


async def test_two_workers_together_never_exceed_the_bound_of_a_server(side: StartSide, serve: StartServing) -> None:
    engine = await side("engine", holds=True)
    running = await serve(bounded(engine.url, terms="max_in_flight: 4, max_pending: 1000"), TWO)
    driving = asyncio.create_task(drive(running.port, 960, clients=32))
    await until_told(lambda: waits(running, 32))
    await until(lambda: engine.working == 4)
    engine.hold.set()
    answers = await driving
    assert {answer.status for answer in answers} == {200}
    assert len({(answer.field("x-request-id") or "").split("-")[0] for answer in answers}) == 2
    assert (engine.asked, engine.most) == (960, 4)
    await until_told(lambda: waits(running, 0))
    assert Scrape(await running.ask_admin("/metrics")).value("penstock_endpoint_in_flight") == 0


async def waits(running: Serving, count: int) -> bool:
    """Whether so many requests are in the workers' hands."""
    return bool(sum(worker["in_flight"] for worker in (await running.status())["workers"]) == count)


async def test_two_workers_together_never_exceed_the_bounds_of_endpoints(side: StartSide, serve: StartServing) -> None:
    small, large = await side("small", holds=True), await side("large", holds=True)
    endpoints = f"[{{url: '{small.url}', max_in_flight: 1}}, '{large.url}']"
    terms = "max_in_flight_per_endpoint: 3, max_pending: 1000"
    routes = bounded(terms=terms).replace("endpoints: []", f"endpoints: {endpoints}")
    running = await serve(routes, TWO)
    driving = asyncio.create_task(drive(running.port, 640, clients=32))
    await until_told(lambda: waits(running, 32))
    await until(lambda: (small.working, large.working) == (1, 3))
    small.hold.set()
    large.hold.set()
    assert {answer.status for answer in await driving} == {200}
    assert (small.most, large.most, small.asked + large.asked) == (1, 3, 640)
    assert small.asked > 20


async def test_a_bound_without_a_queue_refuses_at_once_and_lets_exactly_so_many_in(
    side: StartSide, serve: StartServing
) -> None:
    engine = await side("engine", holds=True)
    running = await serve(bounded(engine.url, terms="max_in_flight: 5"), TWO)
    served = []
    for number in range(5):
        served.append(asyncio.create_task(ask(running.port)))
        await until(lambda: engine.working == number + 1)  # noqa: B023 - it is over before the next
    refused = await asyncio.gather(*(ask(running.port) for _ in range(35)))
    assert {(answer.status, error_of(answer)) for answer in refused} == {(429, "queue_full")}
    engine.hold.set()
    assert {answer.status for answer in await asyncio.gather(*served)} == {200}
    assert engine.asked == 5


@pytest.mark.slow
async def test_a_worker_that_is_killed_gives_its_places_back(side: StartSide, serve: StartServing) -> None:
    engine = await side("engine", holds=True)
    running = await serve(bounded(engine.url, terms="max_in_flight: 6, max_pending: 100"), TWO)
    driving = [asyncio.create_task(ask(running.port)) for _ in range(12)]
    await until_told(lambda: waits(running, 12))
    workers = {worker["pid"]: worker["in_flight"] for worker in (await running.status())["workers"]}
    victim = max(workers, key=lambda pid: workers[pid])
    os.kill(victim, signal.SIGKILL)

    async def replaced() -> bool:
        pids = {worker["pid"] for worker in (await running.status())["workers"]}
        return len(pids) == 2 and victim not in pids

    await until_told(replaced, 20)
    driving += [asyncio.create_task(ask(running.port)) for _ in range(12)]
    await until(lambda: engine.working == 6)
    engine.hold.set()
    ended = await asyncio.gather(*driving, return_exceptions=True)
    lost = [one for one in ended if isinstance(one, BaseException)]
    assert len(lost) == workers[victim]
    assert {one.status for one in ended if isinstance(one, Answer)} == {200}
    assert engine.most <= 6


# --- turns ------------------------------------------------------------------------------------------------------------


async def test_a_key_that_floods_delays_another_by_one_turn(side: StartSide, proxy: StartProxy, tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    noisy, quiet = bearer(keys.add("noisy")), bearer(keys.add("quiet"))
    engine = await side("engine", holds=True)
    auth = f"    auth: {{keys: {keys.path}}}\n"
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1, max_pending: 100", auth=auth))
    requests = [(f"noisy-{number}", noisy) for number in range(12)]
    requests += [(f"quiet-{number}", quiet) for number in range(3)]
    async with crowd(front, requests) as all_of_them:
        engine.hold.set()
        await all_of_them.collect()
    came = order(engine)
    places = [came.index(f"quiet-{number}") for number in range(3)]
    assert places[0] <= 2
    assert places[2] <= 6
    assert [name for name in came if name.startswith("noisy")] == [f"noisy-{number}" for number in range(12)]
    assert (engine.most, front.in_flight) == (1, 0)


async def test_a_key_that_floods_both_workers_does_not_starve_another(
    side: StartSide, serve: StartServing, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    noisy, quiet = bearer(keys.add("noisy")), bearer(keys.add("quiet"))
    engine = await side("engine", holds=True)
    auth = f"    auth: {{keys: {keys.path}}}\n"
    running = await serve(bounded(engine.url, terms="max_in_flight: 2, max_pending: 100", auth=auth), TWO)
    asked = [asyncio.create_task(ask(running.port, chat(name=f"noisy-{n}"), **noisy)) for n in range(40)]
    await until_told(lambda: waits(running, 40))
    asked += [asyncio.create_task(ask(running.port, chat(name=f"quiet-{n}"), **quiet)) for n in range(6)]
    await until_told(lambda: waits(running, 46))
    engine.hold.set()
    assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
    last = max(place for place, name in enumerate(order(engine)) if name.startswith("quiet"))
    assert last < 36, "in the order of their coming the last one would be the 46th"
    assert engine.most == 2


async def test_two_callers_who_name_themselves_take_turns(side: StartSide, proxy: StartProxy) -> None:
    engine = await side("engine", holds=True)
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1, max_pending: 100"))
    requests = [(f"{who}-{n}", {"x_gateway_inference_fairness_id": who}) for who in ("a", "b") for n in range(6)]
    async with crowd(front, requests) as all_of_them:
        engine.hold.set()
        await all_of_them.collect()
    waited = order(engine)[1:]
    assert [name[0] for name in waited[:10]] in (["a", "b"] * 5, ["b", "a"] * 5)


async def test_objectives_give_priority(side: StartSide, proxy: StartProxy) -> None:
    engine = await side("engine", holds=True)
    terms = "max_in_flight: 1, max_pending: 100, objectives: {interactive: 10, batch: 1, spare: -1}"
    front = await proxy(bounded(engine.url, terms=terms))

    def objective(name: str) -> dict[str, str]:
        return {"x_llm_d_inference_objective": name}

    requests = [("first", {}), ("plain", {}), ("batch", objective("batch")), ("unknown", objective("who"))]
    requests += [("fast", objective("interactive")), ("fast-2", objective("interactive"))]
    async with crowd(front, requests) as all_of_them:
        refused = await ask(front.port, chat(name="spare"), x_llm_d_inference_objective="spare")
        assert (refused.status, error_of(refused), refused.field(REASON)) == (429, "shed", "rejected-saturated")
        engine.hold.set()
        await all_of_them.collect()
    assert order(engine) == ["first", "fast", "fast-2", "batch", "plain", "unknown"]
    assert {answer.status for answer in all_of_them.answers.values()} == {200}
    assert (await ask(front.port, chat(name="spare"), x_llm_d_inference_objective="spare")).status == 200


async def test_a_keys_priority_counts_where_no_objective_is_named(
    side: StartSide, proxy: StartProxy, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    plain, gold = bearer(keys.add("plain")), bearer(keys.add("gold", priority=5))
    engine = await side("engine", holds=True)
    auth = f"    auth: {{keys: {keys.path}}}\n"
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1, max_pending: 100", auth=auth))
    async with crowd(front, [("first", plain), ("plain", plain), ("gold", gold)]) as all_of_them:
        engine.hold.set()
        await all_of_them.collect()
    assert order(engine) == ["first", "gold", "plain"]


async def test_a_higher_priority_takes_the_room_of_a_lower_one_in_a_full_queue(
    side: StartSide, proxy: StartProxy
) -> None:
    engine = await side("engine", holds=True)
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1, max_pending: 1, objectives: {fast: 5}"))
    fast = {"x_gateway_inference_objective": "fast"}
    async with crowd(front, [("first", {}), ("low", {})]) as before, raw_client(front.port) as client:
        client.post(chat(name="fast"), **fast)
        low = await before.clients["low"].answer()
        assert (low.status, error_of(low), low.field(REASON)) == (429, "queue_full", "evicted-priority")
        engine.hold.set()
        assert (await client.answer()).status == 200
    assert order(engine) == ["first", "fast"]
    await until(lambda: front.in_flight == 0)


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_a_full_queue_says_so_and_when_to_come_again(side: StartSide, proxy: StartProxy) -> None:
    engine = await side("engine", holds=True)
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1, max_pending: 2"))
    async with crowd(front, [("first", {}), ("second", {}), ("third", {})]) as all_of_them:
        refused = await ask(front.port, chat(name="fourth"))
        assert (refused.status, error_of(refused)) == (429, "queue_full")
        assert refused.field(REASON) == "rejected-saturated"
        assert 1 <= int(refused.field("retry-after") or "") <= 60
        engine.hold.set()
        await all_of_them.collect()
    assert order(engine) == ["first", "second", "third"]
    assert front.in_flight == 0


async def test_who_has_waited_for_too_long_is_told_so(side: StartSide, proxy: StartProxy) -> None:
    engine = await side("engine", holds=True)
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1, max_pending: 2, queue_timeout: 30ms"))
    async with crowd(front, [("first", {})]) as all_of_them:
        late = await ask(front.port, chat(name="late"))
        assert (late.status, error_of(late), late.field(REASON)) == (503, "queue_timeout", "rejected-ttl-expired")
        assert 1 <= int(late.field("retry-after") or "") <= 60
        engine.hold.set()
        await all_of_them.collect()
    assert (order(engine), front.in_flight) == (["first"], 0)


async def test_a_request_waits_no_longer_than_its_own_total_limit(side: StartSide, proxy: StartProxy) -> None:
    engine = await side("engine", holds=True)
    terms = "max_in_flight: 1, max_pending: 2, timeout: {total: 40ms}"
    front = await proxy(bounded(engine.url, terms=terms))
    async with crowd(front, [("first", {})]) as all_of_them:
        late = await ask(front.port, chat(name="late"))
        assert late.status in {503, 504}
        await all_of_them.collect()
        assert all_of_them.answers["first"].status == 504
    assert front.in_flight == 0


# --- who leaves, and what changes meanwhile ---------------------------------------------------------------------------


async def test_a_client_that_leaves_frees_its_place_in_the_queue(side: StartSide, proxy: StartProxy) -> None:
    engine = await side("engine", holds=True)
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1, max_pending: 1"))
    async with crowd(front, [("first", {})]) as all_of_them:
        async with raw_client(front.port) as client:
            client.post(chat(name="leaves"))
            await until(lambda: front.app.report().in_flight == 2)
            assert (await ask(front.port, chat(name="too many"))).status == 429
        await until(lambda: front.app.report().in_flight == 1)
        async with crowd(front, [("waits", {})]) as others:
            engine.hold.set()
            await all_of_them.collect()
            await others.collect()
            assert others.answers["waits"].status == 200
    assert (order(engine), front.in_flight) == (["first", "waits"], 0)


async def test_a_client_that_leaves_its_engine_frees_its_place_there(side: StartSide, proxy: StartProxy) -> None:
    engine = await side("engine", holds=True)
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1, max_pending: 5"))
    async with crowd(front, [("leaves", {})]) as first, crowd(front, [("waits", {})]) as second:
        first.clients["leaves"].close()
        await until(lambda: order(engine) == ["leaves", "waits"])
        engine.hold.set()
        await second.collect()
        assert second.answers["waits"].status == 200
    await until(lambda: front.in_flight == 0)


async def test_a_stream_keeps_its_place_to_its_last_byte(proxy: StartProxy) -> None:
    goes_on = asyncio.Event()

    async def streams(connection: RawConnection) -> None:
        while await connection.request():
            await connection.begin_stream()
            await connection.chunk(b"data: 1\n\n")
            await goes_on.wait()
            await connection.end_stream()

    async with raw_engine(streams) as engine:
        front = await proxy(bounded(engine.url, terms="max_in_flight: 1"))
        async with raw_client(front.port) as client:
            client.post(chat(stream=True))
            await client.head()
            assert await client.chunk() == b"data: 1\n\n"
            assert (await ask(front.port)).status == 429
            goes_on.set()
            assert await client.chunk() == b""
            await until(lambda: front.in_flight == 0)
            assert (await client.ask(post(chat(stream=True)))).status == 200


async def test_a_failed_request_gives_its_place_back(side: StartSide, proxy: StartProxy) -> None:
    engine = await side("engine", every=2)
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1"))
    assert [(await ask(front.port)).status for _ in range(20)] == [200, 503] * 10
    assert (engine.most, front.in_flight) == (1, 0)


async def test_a_bound_that_is_raised_lets_in_who_waits(side: StartSide, proxy: StartProxy) -> None:
    engine = await side("engine", holds=True)
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1, max_pending: 100"))
    async with crowd(front, [(f"r{number}", {}) for number in range(6)]) as all_of_them:
        assert engine.working == 1
        await front.apply(bounded(engine.url, terms="max_in_flight: 4, max_pending: 100"))
        await until(lambda: engine.working == 4)
        await front.apply(bounded(engine.url, terms="timeout: 60s"))
        await until(lambda: engine.working == 6)
        engine.hold.set()
        await all_of_them.collect()
    assert {answer.status for answer in all_of_them.answers.values()} == {200}
    assert front.in_flight == 0


async def test_a_bound_that_is_lowered_ends_nothing_and_lets_nobody_new_in(side: StartSide, proxy: StartProxy) -> None:
    engine = await side("engine", holds=True)
    front = await proxy(bounded(engine.url, terms="max_in_flight: 3, max_pending: 100"))
    async with crowd(front, [(f"r{number}", {}) for number in range(3)]) as before:
        await front.apply(bounded(engine.url, terms="max_in_flight: 1, max_pending: 100"))
        async with crowd(front, [(f"s{number}", {}) for number in range(3)]) as after:
            assert (engine.working, engine.asked) == (3, 3)
            engine.most = 0
            engine.hold.set()
            await before.collect()
            await after.collect()
    answers = [*before.answers.values(), *after.answers.values()]
    assert [name_in(answer) for answer in answers] == ["engine"] * 6
    assert (engine.most, front.in_flight) == (1, 0)


async def test_a_server_that_goes_away_sends_its_queue_away(side: StartSide, proxy: StartProxy) -> None:
    engine, other = await side("engine", holds=True), await side("other")
    front = await proxy(bounded(engine.url, terms="max_in_flight: 1, max_pending: 5"))
    async with crowd(front, [("first", {}), ("waits", {})]) as all_of_them:
        routes = bounded(other.url, terms="timeout: 60s").replace("engine", "other")
        await front.apply(routes)
        waited = await all_of_them.clients["waits"].answer()
        assert (waited.status, error_of(waited)) == (503, "no_endpoint")
        assert name_in(await ask(front.port)) == "other"
        engine.hold.set()
        assert (await all_of_them.clients["first"].answer()).status == 200
    assert front.in_flight == 0
