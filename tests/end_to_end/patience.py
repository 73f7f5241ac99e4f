"""Waiting for what must happen, and measuring how long it took, on a machine that may be busy with other things."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

TICK = 0.005
LATE = 0.010  # seconds; a tick that comes later than this was held up by others on the machine


class Stopwatch:
    """Seconds as this process had them: while it did not get a processor, no time passed."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def run(self) -> None:
        """Count until cancelled."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(TICK)
            now = loop.time()
            self.seconds += min(now - last, TICK + LATE)
            last = now


@asynccontextmanager
async def stopwatch() -> AsyncIterator[Stopwatch]:
    """Runs with its block."""
    watch = Stopwatch()
    running = asyncio.create_task(watch.run())
    try:
        yield watch
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until(holds: Callable[[], object], within: float = 5.0) -> None:
    """Wait until it holds, for so many seconds of the stopwatch at most."""
    async with stopwatch() as watch:
        while not holds():
            assert watch.seconds < within, "it does not come about"
            await asyncio.sleep(0.002)


async def until_told(holds: Callable[[], Awaitable[bool]], within: float = 10.0) -> None:
    """Wait until somebody who is asked says so, for so many seconds of the stopwatch at most."""
    async with stopwatch() as watch:
        while not await holds():
            assert watch.seconds < within, "it does not come about"
            await asyncio.sleep(0.05)
