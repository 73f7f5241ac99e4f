"""Waiting for what must happen, and measuring how long it took, on a machine that may be busy with other things."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

TICK = 0.005
LATE = 0.010  # seconds; a tick that comes later than this was held up by others on the machine


class Stopwatch:
    """How long something took: in `seconds` as this process had them, since without a processor no time passes, and
    `elapsed` by the clock on the wall.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._ended: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds of the wall clock."""
        return (self._loop.time() if self._ended is None else self._ended) - self._began

    def stop(self) -> None:
        """It is over."""
        self._ended = self._loop.time()

    async def run(self) -> None:
        """Count until cancelled."""
        loop = self._loop
        last = self._began
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
        watch.stop()
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
