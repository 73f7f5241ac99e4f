"""Promises of long work in slices."""

import asyncio
from collections.abc import Generator

import pytest

from proxy.runtime import pace
from proxy.runtime.pace import SLICE, Pace


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


async def turns_of_others(steps: Generator[None, None, None]) -> int:
    """How often the event loop lets others run while all these steps are taken."""
    turns = 0

    async def run() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(run())
    await Pace().finish(steps)
    running.cancel()
    return turns


async def test_others_run_once_a_slice_is_over_and_not_before(clock: Clock) -> None:
    def steps(number: int, seconds: float) -> Generator[None, None, None]:
        for _ in range(number):
            clock.now += seconds
            yield

    assert await turns_of_others(steps(1000, 0.0)) == 0
    assert await turns_of_others(steps(1, SLICE * 0.9)) == 0
    assert await turns_of_others(steps(2, SLICE * 0.9)) == 1
    assert await turns_of_others(steps(5, SLICE * 1.1)) == 5


async def test_steps_are_taken_to_their_end_and_tell_what_they_made(clock: Clock) -> None:
    taken = []

    def steps() -> Generator[None, None, str]:
        for number in range(5):
            taken.append(number)
            clock.now += SLICE
            yield
        return "made"

    assert await Pace().finish(steps()) == "made"
    assert taken == [0, 1, 2, 3, 4]


async def test_a_step_that_fails_ends_them(clock: Clock) -> None:
    def steps() -> Generator[None, None, None]:
        clock.now += SLICE
        yield
        raise ValueError("it failed")

    with pytest.raises(ValueError, match="it failed"):
        await Pace().finish(steps())
