"""Coroutines driven by what arrives, not by the event loop: a request's own fast lane.

A task and its futures cost a request two turns of the event loop and four microseconds of a core (benchmarks/hot_path.py).
Between two reads a request needs neither: when its bytes are here, its coroutine goes on at once, in the very callback
that brought them. Whatever takes the loop's help (to connect, to sleep) goes through `in_task`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Signal(Generic[T]):
    """Brings one result, or an error, to the flow that waits for it. Only the first one counts."""

    __slots__ = ("_error", "_flow", "_result", "done")

    def __init__(self) -> None:
        self.done = False
        self._result: T | None = None
        self._error: BaseException | None = None
        self._flow: Flow | None = None

    def __await__(self) -> Generator["Signal[T]", None, T]:
        if not self.done:
            yield self
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._result  # type: ignore[return-value]  # it is done, and without an error: this is a T

    def set_result(self, result: T) -> None:
        """The result is here: whoever waits goes on before this returns."""
        if not self.done:
            self._result = result
            self._settle()

    def set_exception(self, error: BaseException) -> None:
        """It failed: whoever waits is told before this returns."""
        if not self.done:
            self._error = error
            self._settle()

    def wait(self, flow: "Flow") -> None:
        """This flow goes on when the signal comes."""
        self._flow = flow

    def forget(self) -> None:
        """Nobody waits any more."""
        self._flow = None

    def _settle(self) -> None:
        self.done = True
        flow, self._flow = self._flow, None
        if flow is not None:
            flow.resume()


class Flow:
    """Runs one coroutine that awaits nothing but signals. Like a task it can be cancelled; nobody waits for its end."""

    __slots__ = ("_cancelled", "_coroutine", "_running", "_waiting", "done")

    def __init__(self, coroutine: Coroutine[Any, None, None]) -> None:
        self._coroutine = coroutine
        self._waiting: Signal[Any] | None = None
        self._running = False
        self._cancelled = False
        self.done = False

    def __repr__(self) -> str:
        state = "done" if self.done else "running" if self._running else "waiting"
        return f"<Flow {state}>"

    def resume(self) -> None:
        """Run to the next signal that is not here yet, or to the end."""
        self._step(None)

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits; at its next wait if it runs just now."""
        if self.done:
            return
        if self._running:
            self._cancelled = True
            return
        if self._waiting is not None:
            self._waiting.forget()
        self._step(asyncio.CancelledError())

    def _step(self, error: BaseException | None) -> None:
        self._running = True
        try:
            while True:
                waiting = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
                if isinstance(waiting, Signal):
                    if not self._cancelled:
                        self._waiting = waiting
                        waiting.wait(self)
                        return
                    self._cancelled = False
                    error = asyncio.CancelledError()
                else:
                    error = RuntimeError(f"a flow cannot wait for {waiting!r}: wrap it in in_task")
        except (StopIteration, asyncio.CancelledError):
            self.done = True
        except BaseException:
            self.done = True
            raise
        finally:
            self._running = False


async def in_task(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await, from within a flow, what only the event loop can do. A cancelled flow cancels it."""
    signal: Signal[T] = Signal()
    task = asyncio.get_running_loop().create_task(coroutine)
    task.add_done_callback(_passing_to(signal))
    try:
        return await signal
    except asyncio.CancelledError:
        task.cancel()
        raise


def _passing_to(signal: Signal[T]) -> Callable[[asyncio.Task[T]], None]:
    def done(task: asyncio.Task[T]) -> None:
        if task.cancelled():
            signal.set_exception(asyncio.CancelledError())
            return
        error = task.exception()
        if error is not None:
            signal.set_exception(error)
        else:
            signal.set_result(task.result())

    return done
