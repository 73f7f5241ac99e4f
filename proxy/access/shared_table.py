"""The memory that all workers share: rows for limits, and gauges of what is going on in all of them."""

import time
from collections.abc import Callable
from weakref import WeakValueDictionary

from proxy.access.kept_row import KeptRow
from proxy.access.row_memory import Place, RowMemory


class Gauge(KeptRow):
    """A number of things that are there now, such as requests in flight, summed over all workers.

    Mutable state: `own`, what this worker has added, which its column of the row repeats.
    """

    __slots__ = ("__weakref__", "_clock", "own")

    def __init__(self, table: RowMemory, key: str) -> None:
        self.own = 0
        self._clock = table.clock
        super().__init__(table, table.word_of(key, gauge=True))

    def __repr__(self) -> str:
        return f"<Gauge {self.total()}, {self.own} of them this worker's>"

    def add(self, delta: int) -> None:
        """Count this many more (or fewer) for this worker. Never waits."""
        now = self._clock()
        if now >= self._review:
            self._look(now)
        self.own += delta
        self._doubles[self._own] = self.own

    def total(self) -> int:
        """The sum over all workers; this worker's alone while the row is in its own memory."""
        now = self._clock()
        if now >= self._review:
            self._look(now)
        doubles = self._doubles
        total = 0.0
        for column in self._columns:
            total += doubles[column]
        return int(total)

    def _fill(self, place: Place, now: float) -> None:
        del now
        first = place.base + 2
        for column in range(first, first + self._table.workers):
            place.doubles[column] = 0.0

    def _held(self) -> bool:
        return self.own != 0

    def _carry(self, before: Place, now: float) -> None:
        del before, now
        self._doubles[self._own] = self.own


class SharedTable(RowMemory):
    """One worker's view of the shared memory. The supervisor creates it, workers attach to its descriptor.

    Mutable state beside the memory: the gauges in use, so that a key has one.
    """

    def __init__(self, fd: int, worker: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(fd, worker, clock)
        self._gauges: WeakValueDictionary[str, Gauge] = WeakValueDictionary()

    def gauge(self, key: str) -> Gauge:
        """The gauge of a key: the same object for as long as somebody holds it."""
        gauge = self._gauges.get(key)
        if gauge is None:
            gauge = self._gauges[key] = Gauge(self, key)
        return gauge
