"""Everything at once: engines that fail in every way, clients that leave, reloads; still each gets its own answer."""

import asyncio
import random
from collections import Counter
from contextlib import suppress

import orjson
import pytest

from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import StartEngine
from tests.end_to_end.patience import until
from tests.end_to_end.proxies import Proxy, StartProxy
from tests.end_to_end.raw_client import RawClient, chat, post, raw_client
from tests.end_to_end.serving import free_port

FAULTS = [
    *("reset", "refuse", "garbage", "status=503", "status=500", "status=429", "stall=0.05", "slow=0.005"),
    *("reset-after=3", "close-after=3", "stall-after=3", "stall"),
]


def routes(engines: list[RunningEngine], turn: int) -> str:
    urls = ", ".join(repr(engine.url) for engine in engines[: 1 + turn % 3])
    timeouts = "timeout: {first_byte: 200ms, idle: 200ms, connect: 1s}"
    policy = f"retries: {{attempts: {1 + turn % 3}, backoff: 1ms}}, {timeouts}"
    return (
        "servers:\n"
        f"  many: {{endpoints: [{urls}, 'http://127.0.0.1:{free_port()}'], {policy}}}\n"
        f"  spare: {{endpoints: [{engines[turn % 3].url!r}], {policy}}}\n"
        "routes: [{name: all, rules: [{targets: [many], fallback: [spare]}]}]\n"
    )


class Visitor:
    """A client that asks, leaves and comes again, and knows its own answer when it sees it."""

    def __init__(self, front: Proxy, seed: int, seen: Counter[int]) -> None:
        self.front = front
        self.random = random.Random(seed)
        self.seen = seen
        self.name = f"visitor-{seed}"
        self.number = 0

    async def stay(self, requests: int) -> None:
        """Ask so often, on as many connections as it takes."""
        while self.number < requests:
            async with raw_client(self.front.port) as client:
                with suppress(ConnectionError, asyncio.IncompleteReadError):
                    while self.number < requests and await self.ask(client):
                        pass

    async def ask(self, client: RawClient) -> bool:
        """Ask once. Returns whether the connection can be used again."""
        self.number += 1
        mark = f"{self.name}-{self.number}."
        fields = {"x_sim_fault": self.random.choice(FAULTS)} if self.random.random() < 0.4 else {}
        stream = self.random.random() < 0.5
        if not stream:
            fields["x_sim_echo"] = "1"
        client.send(post(chat(stream=stream, user=mark), X_Mark=mark, **fields))
        if self.random.random() < 0.15:
            await asyncio.sleep(self.random.random() * 0.03)
            return False
        answer = await client.answer()
        self.seen[answer.status] += 1
        if answer.status == 200 and answer.whole:
            if stream:
                assert answer.body.endswith(b"data: [DONE]\n\n")
            elif answer.body:
                assert orjson.loads(orjson.loads(answer.body)["body"])["user"] == mark
        return answer.whole and answer.field("connection") != "close"


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_client_gets_its_own_answer_and_nothing_is_left_behind(
    engine: StartEngine, proxy: StartProxy, seed: int
) -> None:
    engines = [await engine(tokens=8, time_per_token=0.001, keepalive=0.1) for _ in range(3)]
    front = await proxy(routes(engines, 0))
    seen: Counter[int] = Counter()
    over = asyncio.Event()

    async def reload() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            await front.apply(routes(engines, turn))
            await asyncio.sleep(0.02)

    reloading = asyncio.create_task(reload())
    await asyncio.gather(*(Visitor(front, seed * 1000 + number, seen).stay(60) for number in range(16)))
    over.set()
    await reloading
    await until(lambda: not front.in_flight and not front.app.report().connections)
    await until(lambda: not any(one.engine.journal.counters.in_flight for one in engines))
    assert seen[200] > 100
    assert not set(seen) - {200, 429, 500, 502, 503, 504}
    assert "internal_error" not in front.app.report().metrics.failures
