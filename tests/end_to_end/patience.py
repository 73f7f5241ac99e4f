"""Waiting for what must happen, with a limit."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], object], within: float = 5.0) -> float:
    """Wait until it holds, for so many seconds at most. Returns the seconds that it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 (what is watched sets no event)
            await asyncio.sleep(0.002)
    return loop.time() - began


async def until_told(holds: Callable[[], Awaitable[bool]], within: float = 10.0) -> None:
    """Wait until somebody who is asked says so, for so many seconds at most."""
    async with asyncio.timeout(within):
        while not await holds():  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.05)
