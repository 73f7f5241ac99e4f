"""The processes of `penstock serve`: all workers answer, one that dies is missed by nobody, and the end is in order."""

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import StartEngine
from tests.end_to_end.patience import stopwatch, until, until_told
from tests.end_to_end.proxies import one_route
from tests.end_to_end.raw_client import chat, get, post, raw_client
from tests.end_to_end.scrape import Scrape
from tests.end_to_end.serving import Serving, StartServing

pytestmark = pytest.mark.timeout(90)
TWO = "workers: 2\ndrain_timeout: 10s\ndrain_notice: 0s\n"


async def pids(running: Serving) -> set[int]:
    return {worker["pid"] for worker in (await running.status())["workers"]}


async def test_both_workers_answer(serve: StartServing, qwen: RunningEngine) -> None:
    running = await serve(one_route(qwen.url), TWO)
    for _ in range(60):
        async with raw_client(running.port) as client:
            assert (await client.ask(post(chat()))).status == 200
    status = await running.status()
    assert len(status["workers"]) == 2
    scrape = Scrape(await running.ask_admin("/metrics"))
    assert scrape.value("penstock_requests_total", route="chat", status="200") == 60
    prefixes = Counter(dict(entry.headers)["X-Request-Id"].split("-")[0] for entry in qwen.engine.journal.entries)
    assert len(prefixes) == 2, "one worker took all connections"
    assert scrape.value("penstock_workers") == 2


async def test_a_worker_that_is_killed_is_replaced_and_the_other_ones_requests_go_on(
    serve: StartServing, engine: StartEngine
) -> None:
    slow = await engine(tokens=150, time_per_token=0.02, time_to_first_token=0.01)
    running = await serve(one_route(slow.url), TWO)

    async def stream() -> bool:
        async with raw_client(running.port) as client:
            client.post(chat(stream=True))
            rest = b""
            with suppress(ConnectionError):
                rest = (await client.answer()).body
            return rest.endswith(b"data: [DONE]\n\n")

    streams = [asyncio.create_task(stream()) for _ in range(16)]
    await until(lambda: slow.engine.journal.counters.executed == 16)
    before = await pids(running)
    victim = min(before)
    held = {worker["pid"]: worker["in_flight"] for worker in (await running.status())["workers"]}
    os.kill(victim, signal.SIGKILL)
    gap = 0.0
    async with stopwatch() as since:
        while since.seconds < 2.0:
            with suppress(OSError, asyncio.IncompleteReadError):
                async with raw_client(running.port) as client:
                    assert (await client.ask(post(chat(max_tokens=1)))).status == 200
                    continue
            gap = since.seconds
    assert gap < 1.0
    whole = Counter(await asyncio.gather(*streams))
    assert whole[True] == held[max(before)]
    await until_told(lambda: has_workers(running, 2))
    assert victim not in await pids(running)
    scrape = Scrape(await running.ask_admin("/metrics"))
    assert scrape.value("penstock_worker_restarts_total") == 1


async def has_workers(running: Serving, count: int) -> bool:
    return len(await pids(running)) == count


async def test_sighup_reloads_and_loses_nothing(serve: StartServing, engine: StartEngine) -> None:
    slow = await engine(tokens=20, time_per_token=0.02)
    running = await serve(one_route(slow.url), TWO + "log: {path: access.log}\n")
    before = await running.version()
    async with raw_client(running.port) as client:
        client.post(chat(stream=True))
        await client.head()
        running.file.write_text(one_route(slow.url, server="retries: 7"))
        (running.folder / "access.log").rename(running.folder / "access.log.1")
        running.signal(signal.SIGHUP)

        async def reloaded() -> bool:
            return await running.version() != before and (running.folder / "access.log").exists()

        await until_told(reloaded)
        rest = b""
        while piece := await client.chunk():
            rest += piece
        assert rest.endswith(b"data: [DONE]\n\n")
    await until(lambda: "POST /v1/chat/completions" in (running.folder / "access.log").read_text())


async def test_sigterm_lets_streams_end(serve: StartServing, engine: StartEngine) -> None:
    slow = await engine(tokens=60, time_per_token=0.02)
    # One worker: of two, the one that got no stream would end at once, maybe with the probe's connection.
    running = await serve(one_route(slow.url), "workers: 1\ndrain_timeout: 20s\ndrain_notice: 500ms\n")
    async with raw_client(running.port) as idle, raw_client(running.port) as probe:
        assert (await idle.ask(get("/ready"), "GET")).status == 200
        assert (await probe.ask(get("/ready"), "GET")).status == 200
        clients = []
        async with raw_client(running.port) as first, raw_client(running.port) as second:
            clients = [first, second]
            for client in clients:
                client.post(chat(stream=True))
                await client.head()
            running.signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            assert (await probe.ask(get("/ready"), "GET")).status == 503
            assert not await admin_ready(running)
            for client in clients:
                rest = b""
                while piece := await client.chunk():
                    rest += piece
                assert rest.endswith(b"data: [DONE]\n\n")
                assert await client.rest() == b""
        assert await idle.rest() == b""
    assert await running.ended() == 0
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        async with raw_client(running.port):
            pass
    assert slow.engine.journal.counters.completed == 2


async def admin_ready(running: Serving) -> bool:
    return b'"status":"ready"' in await running.ask_admin("/ready")


async def test_a_drain_ends_when_its_time_is_over(serve: StartServing, engine: StartEngine) -> None:
    endless = await engine(tokens=100_000, time_per_token=0.05)
    running = await serve(one_route(endless.url), "drain_timeout: 1s\ndrain_notice: 0s\n")
    async with raw_client(running.port) as client:
        client.post(chat(stream=True))
        await client.head()
        async with stopwatch() as watch:
            running.signal(signal.SIGTERM)
            assert await running.ended() == 0
        assert watch.elapsed > 0.8
        assert watch.seconds < 3.0
        with suppress(ConnectionError):
            assert b"[DONE]" not in await client.rest()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_a_second_signal_stops_at_once(
    serve: StartServing, engine: StartEngine, number: signal.Signals, status: int
) -> None:
    endless = await engine(tokens=100_000, time_per_token=0.05)
    running = await serve(one_route(endless.url), TWO)
    workers = await pids(running)
    async with raw_client(running.port) as client:
        client.post(chat(stream=True))
        await client.head()
        running.signal(number)
        await asyncio.sleep(0.2)
        assert running.process.returncode is None
        running.signal(number)
        assert await running.ended(within=3.0) == status
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_workers_whose_supervisor_is_killed_end_what_they_do_and_then_themselves(
    serve: StartServing, engine: StartEngine
) -> None:
    slow = await engine(tokens=30, time_per_token=0.02)
    running = await serve(one_route(slow.url), TWO)
    workers = await pids(running)
    async with raw_client(running.port) as client:
        client.post(chat(stream=True))
        await client.head()
        running.signal(signal.SIGKILL)
        await running.ended()
        rest = b""
        while piece := await client.chunk():
            rest += piece
        assert rest.endswith(b"data: [DONE]\n\n")
    await until(lambda: not any(map(alive, workers)), within=5)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_rate_limit_holds_over_all_workers(serve: StartServing, qwen: RunningEngine) -> None:
    limit = "rate_limit: {requests_per_second: 0.01, burst: 10}"
    running = await serve(one_route(qwen.url, server=limit), TWO)
    statuses: Counter[int] = Counter()
    for _ in range(60):
        async with raw_client(running.port) as client:
            statuses[(await client.ask(post(chat()))).status] += 1
    assert statuses == {200: 10, 429: 50}


@pytest.mark.slow
async def test_ten_thousand_routes_are_loaded_while_requests_are_answered(
    serve: StartServing, qwen: RunningEngine
) -> None:
    running = await serve(one_route(qwen.url), "log: {access: false}\n")
    loop = asyncio.get_running_loop()
    many = one_route(qwen.url) + "".join(
        f"  - {{name: r{number}, models: [m{number}], rules: [{{targets: [{{server: engine, model: qwen}}]}}]}}\n"
        for number in range(10_000)
    )
    (running.routes / "many.tmp").write_text(many)
    (running.routes / "many.tmp").rename(running.file)
    waits = []
    async with raw_client(running.port) as client, asyncio.timeout(80):
        status = 404
        while status != 200:
            began = loop.time()
            assert (await client.ask(post(chat(max_tokens=1)))).status == 200
            waits.append(loop.time() - began)
            if len(waits) % 20 == 0:
                status = (await client.ask(post(chat("m9999")))).status
            await asyncio.sleep(0.002)
        listed = orjson.loads((await client.ask(get("/v1/models"), "GET")).body)
    assert len(listed["data"]) == 10_002
    assert sorted(waits)[int(len(waits) * 0.99)] < 0.1
