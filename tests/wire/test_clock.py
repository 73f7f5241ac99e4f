"""Promises of the sweeper."""

from typing import Any, cast

from proxy.wire.clock import Sweeper
from tests.transports import StillLoop


class Timed:
    """Keeps the times at which it was checked."""

    def __init__(self) -> None:
        self.checks: list[float] = []

    def check(self, now: float) -> None:
        self.checks.append(now)


def test_a_sweep_checks_all_that_registered_and_tells_the_time() -> None:
    sweeper = Sweeper(cast("Any", StillLoop(5.0)))
    assert sweeper.now == 5.0
    timed, gone = Timed(), Timed()
    sweeper.add(timed)
    sweeper.add(gone)
    sweeper.sweep(6.0)
    sweeper.discard(gone)
    sweeper.sweep(7.0)
    assert (timed.checks, gone.checks) == ([6.0, 7.0], [6.0])
    assert sweeper.now == 7.0


def test_what_leaves_or_joins_in_a_sweep_does_not_disturb_it() -> None:
    sweeper = Sweeper(cast("Any", StillLoop()))

    class Restless(Timed):
        def check(self, now: float) -> None:
            super().check(now)
            sweeper.discard(self)
            sweeper.add(Restless())

    restless = [Restless() for _ in range(10)]
    for timed in restless:
        sweeper.add(timed)
    sweeper.sweep(1.0)
    sweeper.sweep(2.0)
    assert all(timed.checks == [1.0] for timed in restless)


class TickingLoop(StillLoop):
    """Keeps what is to be called, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[tuple[float, Any]] = []

    def call_later(self, delay: float, callback: Any) -> Any:
        self.due.append((delay, callback))
        return cast("Any", self)

    def cancel(self) -> None:
        self.due.clear()


def test_a_started_sweeper_sweeps_again_and_again_until_it_is_stopped() -> None:
    loop = TickingLoop()
    sweeper = Sweeper(cast("Any", loop), interval=0.25)
    timed = Timed()
    sweeper.add(timed)
    sweeper.start()
    for _ in range(3):
        delay, callback = loop.due.pop()
        loop.now += delay
        callback()
    assert timed.checks == [1000.25, 1000.5, 1000.75]
    sweeper.stop()
    sweeper.stop()
    assert loop.due == []
