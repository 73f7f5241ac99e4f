"""Engines that answer without delay, and a client for them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import aiohttp
import pytest

from proxy.simulator.options import EngineOptions
from proxy.simulator.running import RunningEngine, serve_engine

Start = Callable[..., Awaitable[RunningEngine]]


async def until(holds: Callable[[], object]) -> None:
    """Wait for a second at most until it holds."""
    async with asyncio.timeout(1):
        while not holds():  # noqa: ASYNC110 (the engine under test sets no event)
            await asyncio.sleep(0.001)


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts engines that need no time unless told otherwise; they stop with the test."""
    async with AsyncExitStack() as stack:

        async def start_one(**changes: object) -> RunningEngine:
            settings = {"model": "qwen", "time_to_first_token": 0.0, "time_per_token": 0.0, "tokens": 8, **changes}
            return await stack.enter_async_context(serve_engine(EngineOptions(**settings)))

        yield start_one


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """An ordinary client."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session
