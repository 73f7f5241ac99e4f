"""Loopback engines for tests that need a real connection."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.upstream.engines import LoopbackEngine


@pytest.fixture
async def engine() -> AsyncIterator[LoopbackEngine]:
    """An engine that accepts on loopback and says what it is told to."""
    engine = LoopbackEngine()
    await engine.start()
    yield engine
    await engine.stop()
    await asyncio.sleep(0)
