"""The whole proxy is tried on the loop that it runs on in production."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvloop

from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import StartEngine, start_engine
from tests.end_to_end.proxies import StartProxy, start_proxy
from tests.end_to_end.serving import StartServing, start_serving
from tests.end_to_end.sides import StartSide, start_side


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], uvloop.Loop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """What a test starts; it stops in the opposite order."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def engine(stack: AsyncExitStack) -> StartEngine:
    """Starts simulated engines that need no time unless told otherwise."""
    return start_engine(stack)


@pytest.fixture
def side(stack: AsyncExitStack) -> StartSide:
    """Starts engines that tell their name, fail on a schedule, and count."""
    return start_side(stack)


@pytest.fixture
def proxy(stack: AsyncExitStack) -> StartProxy:
    """Starts proxies in this process."""
    return start_proxy(stack)


@pytest.fixture
def serve(stack: AsyncExitStack, tmp_path: Path) -> StartServing:
    """Starts `penstock serve`."""
    return start_serving(stack, tmp_path)


@pytest.fixture
async def qwen(engine: StartEngine) -> RunningEngine:
    """One engine with the model qwen and the adapter sql-lora."""
    return await engine(adapters=("sql-lora",))
