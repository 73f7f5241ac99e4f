"""What moves canaries while the proxy serves: it asks workers, judges, puts weights in force, and keeps the state."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from proxy.runtime.canaries import Action, Canaries, Courses, weights_of
from proxy.runtime.canary_course import CanaryView, Course, Moment
from proxy.runtime.canary_plan import CanaryWeights
from proxy.runtime.canary_state import CanaryStore, Phase
from proxy.runtime.process import WorkerFailedError
from proxy.runtime.reading import Reading
from proxy.telemetry.report import WorkerReport

LONGEST_PAUSE = 5.0
"""Seconds between two looks while a canary is judged: what a worker that dies had counted since is lost."""

SHORTEST_PAUSE = 0.05  # seconds

LOG = logging.getLogger("penstock.canary")


class Plane(Protocol):
    """What the keeper asks of the supervisor."""

    async def reports(self) -> Sequence[WorkerReport]:
        """What is going on in each worker."""

    async def put_weights(self, weights: tuple[CanaryWeights, ...]) -> None:
        """Put these weights in force in all workers, if they are not. Raises WorkerFailedError."""


def clock() -> Moment:
    """Now."""
    return Moment(time.monotonic(), time.time())


class CanaryKeeper:
    """Owns the canaries. `lock` is held wherever a configuration or a weight changes: one change at a time."""

    def __init__(self, plane: Plane, store: CanaryStore, lock: asyncio.Lock, now: Callable[[], Moment] = clock) -> None:
        self._plane = plane
        self._store = store
        self._lock = lock
        self._now = now
        self._canaries = Canaries(store.load())
        self._woken = asyncio.Event()

    def prospect(self, reading: Reading) -> Courses:
        """The courses that a reading would have. Whoever puts it in force holds the lock, and adopts them then."""
        return self._canaries.prospect(reading.canaries, self._now())

    def weights(self, courses: Courses) -> tuple[CanaryWeights, ...]:
        """The weights with which a reading of these courses is put in force."""
        return weights_of(courses)

    async def adopt(self, courses: Courses) -> None:
        """Go on with these, now that they are in force. What was seen until now is evidence of those before."""
        if courses or self._canaries.views():
            self._canaries.observe(await self._plane.reports())
        self._canaries.install(courses, self._now())
        self._store.save(self._canaries.saved)
        self._woken.set()

    async def keep(self) -> None:
        """Look whenever something is due, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._woken.wait()
            self._woken.clear()
            if self._canaries.views():
                await self.look()

    async def look(self) -> None:
        """Take evidence, judge what is due, and put in force what comes of it."""
        async with self._lock:
            self._canaries.observe(await self._plane.reports())
            for course in self._canaries.judge(self._now()):
                log_change(course)
            try:
                await self._settle()
            except WorkerFailedError as error:
                LOG.error("canary weights are not in force, it is tried again: %s", error)  # noqa: TRY400

    async def command(self, action: Action, name: str) -> CanaryView:
        """Do as an operator asks. Raises CanaryError, and WorkerFailedError where it is decided but not in force."""
        async with self._lock:
            self._canaries.observe(await self._plane.reports())
            course = self._canaries.command(action, name, self._now())
            log_change(course)
            self._woken.set()
            await self._settle()
            return course.view

    def views(self) -> list[CanaryView]:
        """All canaries."""
        return self._canaries.views()

    async def _settle(self) -> None:
        """First the file: a worker that hangs can hold up the weights for a minute, and whoever begins anew meanwhile
        must not give a failed canary its requests back.
        """
        self._store.save(self._canaries.saved)
        await self._plane.put_weights(self._canaries.weights)

    def _pause(self) -> float | None:
        """Seconds until the next look; None where none is needed before something changes."""
        due = self._canaries.due
        if due is None and not self._canaries.views():
            return None
        wait = LONGEST_PAUSE if due is None else due - self._now().steady
        return min(LONGEST_PAUSE, max(SHORTEST_PAUSE, wait))


def log_change(course: Course) -> None:
    """Tell of a new phase or step."""
    view = course.view
    level = logging.WARNING if view.phase is Phase.FAILED else logging.INFO
    step = f", step {view.step} of {len(view.plan.steps)}" if view.step else ""
    LOG.log(level, "canary %s: %s%s, share %g%%: %s", view.plan.name, view.phase.value, step, view.weight, view.reason)
