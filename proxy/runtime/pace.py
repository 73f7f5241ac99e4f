"""Long work in slices, so that it does not hold the event loop."""

import asyncio
import time
from collections.abc import Generator
from typing import TypeVar

SLICE = 0.004
"""Seconds of work between two looks at the event loop."""

Result = TypeVar("Result")


class Pace:
    """Lets others run once `SLICE` seconds have gone by. Its state is when they last did."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    async def breathe(self) -> None:
        """Call this between two small pieces of work."""
        if time.perf_counter() - self._began > SLICE:
            await asyncio.sleep(0)
            self._began = time.perf_counter()

    async def finish(self, steps: Generator[None, None, Result]) -> Result:
        """Take all steps, each being a small piece of work."""
        while True:
            try:
                next(steps)
            except StopIteration as finished:
                result: Result = finished.value
                return result
            await self.breathe()
