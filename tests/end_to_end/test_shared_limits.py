"""Limits that several take from at once: the workers of one host, and hosts that share a Redis."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.access_spec import Redis
from proxy.config.loader import load_texts
from proxy.simulator.running import RunningEngine
from tests.access.redis_servers import RedisServer, needs_redis
from tests.end_to_end.callers import ask, hello
from tests.end_to_end.engines import StartEngine, raw_engine
from tests.end_to_end.patience import until, until_told
from tests.end_to_end.proxies import Proxy, StartProxy
from tests.end_to_end.raw_client import chat, post, raw_client
from tests.end_to_end.serving import Serving, StartServing

pytestmark = pytest.mark.timeout(120)
TWO = "workers: 2\n"
CHAT = post(chat())

MATRIXINFER = """
apiVersion: networking.matrixinfer.ai/v1alpha1
kind: ModelServer
metadata: {{name: llama}}
spec:
  modelInferRef: {{name: llama}}
  service: {{port: {port}}}
  routing: {{path: /v1}}
  rateLimit: {{enabled: true, requestsPerSecond: {rate}, burstSize: 10}}
---
endpoints: [{{url: "{url}", workload: llama}}]
"""


def limited(url: str, limit: str) -> str:
    return (
        f"servers: {{engine: {{endpoints: ['{url}'], limits: [{{{limit}}}]}}}}\n"
        "routes: [{name: chat, rules: [{targets: [engine]}]}]\n"
    )


async def burst(port: int, count: int) -> Counter[int]:
    """What so many are told who come at once, each on a connection of their own."""
    return Counter(answer.status for answer in await asyncio.gather(*(ask(port, CHAT) for _ in range(count))))


async def pids(running: Serving) -> set[int]:
    return {worker["pid"] for worker in (await running.status())["workers"]}


# --- the workers of one host ------------------------------------------------------------------------------------------


async def test_of_a_burst_over_many_connections_two_workers_admit_together_exactly_what_the_limit_holds(
    serve: StartServing, qwen: RunningEngine
) -> None:
    front = await serve(limited(qwen.url, "requests: 1, per: day, burst: 10"), TWO)
    answers = await asyncio.gather(*(ask(front.port, CHAT) for _ in range(40)))
    assert Counter(answer.status for answer in answers) == {200: 10, 429: 30}
    prefixes = {(answer.field("x-request-id") or "").partition("-")[0] for answer in answers}
    assert len(prefixes) == 2, "one worker took all connections"


async def test_a_model_server_s_rate_limit_is_one_for_both_workers(serve: StartServing, qwen: RunningEngine) -> None:
    text = MATRIXINFER.format(url=qwen.url, rate=1, port=8080)
    front = await serve(text, TWO)
    loop = asyncio.get_running_loop()
    began = loop.time()
    told = await burst(front.port, 40)
    assert set(told) == {200, 429}
    assert 10 <= told[200] <= 10 + (loop.time() - began)


async def test_tokens_are_counted_over_both_workers(serve: StartServing, qwen: RunningEngine) -> None:
    front = await serve(limited(qwen.url, "output_tokens: 80, per: month"), TWO)
    told = [(await ask(front.port, CHAT)).status for _ in range(14)]  # each answer has 8 of them
    assert told == [200] * 10 + [429] * 4


async def test_a_worker_that_is_killed_changes_nothing_of_a_limit(serve: StartServing, qwen: RunningEngine) -> None:
    front = await serve(limited(qwen.url, "requests: 1, per: day, burst: 20"), TWO)
    assert await burst(front.port, 12) == {200: 12}
    before = await pids(front)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)

    async def replaced() -> bool:
        now = await pids(front)
        return len(now) == 2 and victim not in now and await front.ready()

    await until_told(replaced, within=30.0)
    assert await burst(front.port, 20) == {200: 8, 429: 12}


async def test_a_reload_in_all_workers_changes_nothing_of_a_limit(serve: StartServing, qwen: RunningEngine) -> None:
    text = limited(qwen.url, "requests: 1, per: day, burst: 10")
    front = await serve(text, TWO)
    assert await burst(front.port, 6) == {200: 6}
    before = await front.version()
    front.file.write_text(text + "  # another text\n")
    front.file.write_text(text.replace("name: chat", "name: chat, models: [qwen]"))

    async def reloaded() -> bool:
        return await front.version() != before

    await until_told(reloaded)
    assert await burst(front.port, 12) == {200: 4, 429: 8}


@pytest.mark.slow
async def test_a_steady_load_gets_what_the_rate_gives_from_two_workers(serve: StartServing) -> None:
    async with raw_engine(hello) as engine:
        front = await serve(limited(engine.url, "requests: 100, burst: 10"), TWO)
        loop = asyncio.get_running_loop()
        admitted = 0
        first: float | None = None
        asked = answered = 0.0

        async def caller() -> None:
            nonlocal admitted, first, asked, answered
            async with raw_client(front.port) as client:
                while first is None or loop.time() < first + 2.0:
                    sent = loop.time()
                    status = (await client.ask(CHAT)).status
                    if first is None:
                        first = sent
                    if status == 200:
                        admitted += 1
                        asked, answered = max(asked, sent), loop.time()

        await asyncio.gather(*(caller() for _ in range(16)))
        assert first is not None
        # The last one was admitted somewhere between its question and its answer.
        least, most = 10 + 100 * (asked - first), 10 + 100 * (answered - first)
        assert 0.99 * least - 1 <= admitted <= 1.01 * most + 1, (least, admitted, most)


# --- hosts that share a Redis -----------------------------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def shared(url: str, redis: RedisServer, fail: str = "local", limit: str = "requests: 10, per: month") -> str:
    """A limit that this Redis keeps."""
    return limited(url, f"{limit}, redis: {{url: '{redis.url}', fail: {fail}, timeout: 5s}}")


async def both(fronts: list[Proxy], count: int) -> Counter[int]:
    """What so many are told who come at once, half of them to each host."""
    told = await asyncio.gather(*(burst(front.port, count // len(fronts)) for front in fronts))
    return sum(told, Counter[int]())


@needs_redis
class TestTwoHosts:
    """Two proxies that have nothing in common but a Redis."""

    async def test_they_admit_together_exactly_what_a_limit_holds(
        self, proxy: StartProxy, qwen: RunningEngine, redis: RedisServer
    ) -> None:
        fronts = [await proxy(shared(qwen.url, redis)) for _ in range(2)]
        assert await both(fronts, 40) == {200: 10, 429: 30}

    async def test_so_does_a_whole_proxy_of_two_workers_with_its_redis(
        self, engine: StartEngine, serve: StartServing, redis: RedisServer, tmp_path: Path
    ) -> None:
        qwen = await engine()
        front = await serve(limited(qwen.url, "requests: 10, per: month"), f"{TWO}redis: '{redis.url}'\n")
        assert await burst(front.port, 24) == {200: 10, 429: 14}
        assert int(redis.ask("DBSIZE")[1:]) == 1

    async def test_they_settle_tokens_together_streamed_or_not(
        self, proxy: StartProxy, qwen: RunningEngine, redis: RedisServer
    ) -> None:
        fronts = [await proxy(shared(qwen.url, redis, limit="output_tokens: 32, per: month")) for _ in range(2)]
        stores = [store for front in fronts for store in front.app._stores._stores.values()]
        assert len(stores) == 2
        told = []
        for number in range(6):  # each answer has 8 of them
            data = post(chat(stream=number % 3 == 0))
            told.append((await ask(fronts[number % 2].port, data)).status)
            await until(lambda: all("0 charges" in repr(store) for store in stores))
        assert told == [200] * 4 + [429] * 2

    async def test_kthena_s_global_limit_is_shared(
        self, proxy: StartProxy, qwen: RunningEngine, redis: RedisServer
    ) -> None:
        api = "apiVersion: networking.serving.volcano.sh/v1alpha1"
        limit = f"{{inputTokensPerUnit: 30, unit: month, global: {{redis: {{address: '{redis.address}'}}}}}}"
        server = "{inferenceEngine: vLLM, workloadPort: {port: 1}, workloadSelector: {matchLabels: {app: e}}}"
        loaded = load_texts(
            {
                "route.yaml": f"{api}\nkind: ModelRoute\nmetadata: {{name: r}}\nspec: {{modelName: qwen,"
                f" rules: [{{targetModels: [{{modelServerName: e}}]}}], rateLimit: {limit}}}\n",
                "server.yaml": f"{api}\nkind: ModelServer\nmetadata: {{name: e}}\nspec: {server}\n",
                "engines.yaml": f"endpoints: [{{url: '{qwen.url}', labels: {{app: e}}}}]\n",
            }
        )
        assert loaded.config is not None, loaded.problems
        fronts = [await proxy(loaded.config) for _ in range(2)]
        greeting = post(chat(messages=[{"role": "user", "content": "hello world"}]))  # 10 tokens
        answers = [await ask(fronts[number % 2].port, greeting) for number in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429]
        assert b"input token rate limit exceeded" in answers[3].body
        assert answers[2].field("x-ratelimit-remaining-tokens") == "0"

    async def test_what_a_host_s_own_limit_refuses_has_cost_the_others_nothing(
        self, proxy: StartProxy, qwen: RunningEngine, redis: RedisServer
    ) -> None:
        own = (
            f"servers: {{engine: {{endpoints: ['{qwen.url}'], limits: [{{requests: 3, per: month}},"
            f" {{requests: 10, per: month, redis: '{redis.url}'}}]}}}}\n"
            "routes: [{name: chat, rules: [{targets: [engine]}]}]\n"
        )
        first = await proxy(own)
        assert await burst(first.port, 8) == {200: 3, 429: 5}
        second = await proxy(shared(qwen.url, redis))
        assert await burst(second.port, 10) == {200: 7, 429: 3}

    async def test_without_redis_each_host_keeps_the_limit_by_itself_unless_told_otherwise(
        self, proxy: StartProxy, qwen: RunningEngine, redis: RedisServer
    ) -> None:
        assert Redis("").fail.value == "local"
        fronts = [await proxy(shared(qwen.url, redis)) for _ in range(2)]
        redis.kill()
        assert await both(fronts, 40) == {200: 20, 429: 20}

    async def test_without_redis_an_open_limit_lets_all_pass(
        self, proxy: StartProxy, qwen: RunningEngine, redis: RedisServer
    ) -> None:
        fronts = [await proxy(shared(qwen.url, redis, "open")) for _ in range(2)]
        redis.kill()
        assert await both(fronts, 40) == {200: 40}

    async def test_without_redis_a_closed_limit_lets_nobody_pass_until_it_is_back(
        self, proxy: StartProxy, qwen: RunningEngine, redis: RedisServer
    ) -> None:
        front = await proxy(shared(qwen.url, redis, "closed"))
        redis.kill()
        answer = await ask(front.port, CHAT)
        assert (answer.status, b'"limits_unavailable"' in answer.body) == (503, True)
        redis.start()

        async def back() -> bool:
            return (await ask(front.port, CHAT)).status == 200

        await until_told(back, within=20.0)
