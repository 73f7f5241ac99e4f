"""Token buckets that all workers take from at once, exactly, and without a lock."""

import math
from threading import Lock
from typing import NamedTuple

from proxy.access.kept_row import KeptRow
from proxy.access.row_memory import MARGIN, Place, RowMemory

TOLERANCE = 1e-6
"""Of a permit. Sums of floats fall short by less, and who has waited as told must not be sent away again."""
TOLERANCE_SECONDS = 1e-7
"""Of refill: a double that holds seconds since the machine's start is this exact for thirty years."""
CLAIMS = (1, 2, 3)
"""How often a claim is tried that collided with another worker's."""
TURNS = 30
"""Of an empty loop, some 400 ns, that a worker waits longer than the one before it until it tries a claim again. Of two
that go in step neither would get the last permit: a third of such meetings ended so, and with this none in 80,000."""
HEADROOM = 0.125
"""How much longer than a bucket needs to be full again its row is kept, so that few takes have to prolong it."""


class Verdict(NamedTuple):
    """The answer to one request. Times are in seconds; `remaining` is what is left, below zero for a debt.

    `reset` is the time until the bucket is full again, `retry_after` the time until as much fits as was asked for: 0 if
    it fits now, None if it never will.
    """

    admitted: bool
    remaining: float
    reset: float
    retry_after: float | None


class Bucket(KeptRow):
    """A bucket that holds `capacity`, is full at first, and gains `per_second`, for all workers together.

    What was ever taken is the sum of the workers' `consumed` columns; what may have been taken by the time t is the
    line `P + per_second * t`, with P the least of their intercepts. Nobody ever adds what has dripped in, so nothing is
    added twice. A full bucket gains nothing: who takes from one first publishes the intercept of the line that is full
    now, since a full time always ends with a take.

    A take claims first (own `consumed`), then looks at the others' claims, and withdraws if together they are too much.
    So of claims that cross, the later sees the earlier one. Order matters: an intercept is published before its claim
    and read after the claims, and a fence stands between claim and look. On x86-64 a lock's round is one. Where stores
    pass it (other processors), two claims in the same instant may both be admitted, as a debt that is paid back first.
    A claim that is withdrawn has hidden for as long as it stood that the bucket was full: what dripped in then, at most
    the claim, is not lost. That is microseconds' worth, unless the worker was stopped right there.

    A debt (from `charge`) is paid back before anything else is admitted. Mutable state: the row, and the level down to
    which it is kept long enough.
    """

    __slots__ = (
        "__weakref__",
        "_acquire",
        "_floor",
        "_least",
        "_other_intercepts",
        "_others",
        "_own_intercept",
        "_pause",
        "_release",
        "capacity",
        "per_second",
    )

    def __init__(self, table: RowMemory, key: str, capacity: float, per_second: float) -> None:
        self.capacity = float(capacity)
        self.per_second = float(per_second)
        self._least = -max(TOLERANCE, TOLERANCE_SECONDS * per_second)
        self._pause = range(TURNS * (table.worker % 8))
        fence = Lock()
        self._acquire = fence.acquire
        self._release = fence.release
        super().__init__(table, table.word_of(key, gauge=False))

    def __repr__(self) -> str:
        free = self.free(self._table.clock())
        return f"<Bucket {self.per_second:g}/s, {free:.1f} of {self.capacity:g} free>"

    def take(self, amount: float, now: float) -> float:
        """Take so much if it is there. Answers what is then left, or, below zero, how much was missing.

        Hot path: benchmarks/limits.py measures it.
        """
        if now >= self._review:
            self._look(now)
        doubles, own, own_intercept = self._doubles, self._own, self._own_intercept
        left = 0.0
        for _ in CLAIMS:
            mine = doubles[own]
            others = 0.0
            for column in self._others:
                others += doubles[column]
            intercept = doubles[own_intercept]
            for column in self._other_intercepts:
                published = doubles[column]
                if published < intercept:  # noqa: PLR1730 - min() costs 80 ns more
                    intercept = published
            dripped = self.per_second * now
            left = intercept + dripped - mine - others
            if left > self.capacity:
                left = self.capacity
                doubles[own_intercept] = mine + others + left - dripped
            left -= amount
            if left < self._least:
                return left
            doubles[own] = mine + amount
            if self._others:
                self._acquire()
                self._release()
                left += others
                for column in self._others:
                    left -= doubles[column]
            if left >= self._least:
                if left < self._floor:
                    self._prolong(left, now)
                return left if left > 0.0 else 0.0  # noqa: FURB136 - as above
            self._withdraw(mine)
        return left

    def charge(self, amount: float, now: float) -> None:
        """Take so much without asking, even if that leaves a debt; below zero, give it back."""
        left = self.free(now) - amount
        self._doubles[self._own] += amount
        if left < self._floor:
            self._prolong(left, now)

    def free(self, now: float) -> float:
        """What could be taken now; below zero for a debt. Publishes the line of a full bucket."""
        if now >= self._review:
            self._look(now)
        doubles = self._doubles
        consumed = 0.0
        for column in self._columns:
            consumed += doubles[column]
        intercept = doubles[self._own_intercept]
        for column in self._other_intercepts:
            intercept = min(intercept, doubles[column])
        dripped = self.per_second * now
        free = intercept + dripped - consumed
        if free <= self.capacity:
            return free
        doubles[self._own_intercept] = consumed + self.capacity - dripped
        return self.capacity

    def verdict(self, left: float, missing: float) -> Verdict:
        """How things stand when `left` is free and `missing` is not (0 if all that was asked for was there)."""
        tolerance = -self._least
        wait: float | None = 0.0
        if missing > 0.0:
            beyond = left + missing > self.capacity + tolerance
            wait = None if beyond else (missing + tolerance / 2) / self.per_second
        return Verdict(missing <= 0.0, left, (self.capacity - left) / self.per_second, wait)

    def enough(self, free: float, needed: float) -> bool:
        """Whether so much can be taken for as much as is needed."""
        return free >= needed + self._least

    def _withdraw(self, consumed: float) -> None:
        """Take a claim back, and let another worker go first."""
        self._doubles[self._own] = consumed
        for _ in self._pause:
            pass

    def _fill(self, place: Place, now: float) -> None:
        """A full bucket, over whatever the columns have consumed for an earlier key: they are never set back.

        Its line has no beginning, so that it is full at whatever moment it is first looked at: a request reads its
        clock before the row for it is made.
        """
        del now
        workers = self._table.workers
        first = place.base + 2 + workers
        for column in range(first, first + workers):
            place.doubles[column] = math.inf

    def _carry(self, before: Place, now: float) -> None:
        """A bucket of this process's own memory becomes a shared one: what it lacks is owed there."""
        if before.shared or before.doubles[1] <= now:
            return
        first, workers = before.base + 2, self._table.workers
        consumed = sum(before.doubles[first : first + workers])
        intercept = min(before.doubles[first + workers : first + 2 * workers])
        lacking = self.capacity - min(intercept + self.per_second * now - consumed, self.capacity)
        if lacking > 0.0:
            self.charge(lacking, now)

    def _stand(self, place: Place, now: float) -> None:
        super()._stand(place, now)
        workers = self._table.workers
        self._others = tuple(column for column in self._columns if column != self._own)
        self._own_intercept = self._own + workers
        self._other_intercepts = tuple(column + workers for column in self._others)

    def _keep(self, until: float) -> None:
        super()._keep(until)
        self._floor = self.capacity

    def _prolong(self, left: float, now: float) -> None:
        """Keep the row until the bucket is full again, with some headroom, and note how low it may fall by then."""
        filling = (self.capacity - left) / self.per_second
        super()._keep(now + filling * (1.0 + HEADROOM) + MARGIN)
        # Until the next review at the latest, a bucket at this level or above is full before the row is idle.
        self._floor = self.capacity - self.per_second * max(0.0, self._kept - max(self._review, now))
