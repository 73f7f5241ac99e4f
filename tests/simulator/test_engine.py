import asyncio
from typing import Any

import pytest

from proxy.simulator.engine import Engine
from proxy.simulator.generation import Generation, read_generation
from proxy.simulator.journal import Entry
from proxy.simulator.options import EngineOptions
from proxy.simulator.text import token_ids


class Time:
    """A clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def engine_of(time: Time, **changes: Any) -> Engine:
    return Engine(EngineOptions(**{"model": "qwen", "adapters": ("lora",), **changes}), sleep=time.sleep, clock=time)


def generation_of(engine: Engine, prompt: str = "hello", **fields: Any) -> Generation:
    return read_generation({"prompt": prompt, **fields}, engine.options, chat=False)


def entry() -> Entry:
    return Entry("POST", "/", "", [], 0.0)


async def test_prefill_costs_a_fixed_time_and_more_for_each_token_that_is_not_cached() -> None:
    time = Time()
    engine = engine_of(time, time_to_first_token=0.05, prefill_per_token=0.001)
    took = []
    for _ in range(2):
        async with engine.admit(generation_of(engine, "word " * 100), entry()) as run:
            before = time.now
            await run.prefill()
            took.append(round(time.now - before, 6))
    assert run.cached_tokens == 96
    assert took == [0.15, 0.054]


async def test_without_a_prefix_cache_every_token_is_computed() -> None:
    time = Time()
    engine = engine_of(time, prefix_cache_blocks=0)
    for _ in range(2):
        async with engine.admit(generation_of(engine, "word " * 100), entry()) as run:
            await run.prefill()
            assert run.cached_tokens == 0


async def test_each_token_after_the_first_takes_its_time() -> None:
    time = Time()
    engine = engine_of(time, time_per_token=0.01)
    async with engine.admit(generation_of(engine), entry()) as run:
        for index in range(5):
            await run.step(index)
    assert round(time.now, 6) == 1000.04


async def test_requests_beyond_the_limit_wait_and_are_seen_waiting() -> None:
    engine = engine_of(Time(), max_running=1)
    first = engine.admit(generation_of(engine), entry())
    await first.__aenter__()
    late = entry()
    second = engine.admit(generation_of(engine, model="lora"), late)
    waiting = asyncio.create_task(second.__aenter__())
    await asyncio.sleep(0)
    assert (engine.load.running, engine.load.waiting, late.executed) == (1, 1, False)
    assert engine.load.waiting_adapters["lora"] == 1
    await first.__aexit__(None, None, None)
    await waiting
    assert (engine.load.running, engine.load.waiting, late.executed) == (1, 0, True)
    assert engine.load.running_adapters["lora"] == 1
    await second.__aexit__(None, None, None)


@pytest.mark.parametrize("moment", ["waiting", "prefill", "running"])
async def test_nothing_is_held_after_an_abort(moment: str) -> None:
    never = asyncio.Event()

    async def sleep(_: float) -> None:
        await never.wait()

    engine = Engine(EngineOptions(model="qwen", max_running=1), sleep=sleep)

    async def work() -> None:
        async with engine.admit(generation_of(engine), entry()) as run:
            await (run.prefill() if moment == "prefill" else run.step(1))

    tasks = [asyncio.create_task(work()) for _ in range(2 if moment == "waiting" else 1)]
    for _ in range(3):
        await asyncio.sleep(0)
    for task in reversed(tasks):
        task.cancel()
        await asyncio.wait([task])
    load = engine.load
    assert (load.running, load.waiting, load.used_tokens, load.waiting_uncached_tokens) == (0, 0, 0, 0)
    assert load.finished["abort"] == 1
    async with asyncio.timeout(1), engine.admit(generation_of(engine), entry()):
        assert load.running == 1


async def test_an_engine_counts_its_tokens() -> None:
    engine = engine_of(Time())
    async with engine.admit(generation_of(engine, "a b c", n=2), entry()) as run:
        await run.prefill()
        for index in range(4):
            await run.step(index)
        assert engine.load.used_tokens == 3 + 8
    assert (engine.load.prompt_tokens, engine.load.generation_tokens, engine.load.used_tokens) == (3, 8, 0)
    assert len(token_ids("a b c")) == 3


async def test_an_engine_says_what_it_is() -> None:
    engine = engine_of(Time(), name="a", port=9001)
    assert repr(engine) == "<Engine a (vllm qwen) on 9001, 0 running, 0 waiting>"
