"""An event loop whose clock jumps to the next timer when nothing else is left to do: no test waits for real."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class JumpingSelector(selectors.SelectSelector):
    """Instead of waiting it moves the clock on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("everybody waits, and nothing will ever happen")
        self.now += max(0.0, timeout)
        return super().select(0)


class PausedLoop(asyncio.SelectorEventLoop):
    """A loop on that clock."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end at once, however long it takes on its own clock."""
    with asyncio.Runner(loop_factory=PausedLoop) as runner:
        return runner.run(coroutine)


async def turns(count: int = 3) -> None:
    """Let what is ready run; the clock stands still."""
    for _ in range(count):
        await asyncio.sleep(0)
