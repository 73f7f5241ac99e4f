"""How fast a model server finishes its requests, and so how soon it is worth asking again."""

from math import exp

WINDOW = 10.0
"""Seconds after which what was seen counts for 1/e of what is seen now."""

FORGOTTEN = 3 * WINDOW
"""Seconds without an end after which the rate is measured afresh: what came before says nothing of a new rush."""

SOONEST, LATEST = 1.0, 60.0  # seconds of a Retry-After


class DrainRate:
    """Requests that end in a second: an exponentially weighted mean over the last ten seconds or so."""

    __slots__ = ("_began", "_last", "_weight")

    def __init__(self) -> None:
        self._began = 0.0
        self._last = 0.0
        self._weight = 0.0

    def count(self, now: float) -> None:
        """A request has ended. `now`: seconds of a clock that never goes back. Hot path: benchmarks/queueing.py."""
        gap = now - self._last
        self._last = now
        if not self._weight or gap > FORGOTTEN:
            self._began = now
            self._weight = 1.0
            return
        self._weight = self._weight * exp(-gap / WINDOW) + 1.0

    def per_second(self, now: float) -> float:
        """The rate; 0 where nothing is known.

        The weights of all that could have been seen sum up to less than `WINDOW` at first; that is made up for.
        """
        seen = WINDOW * (1.0 - exp((self._began - now) / WINDOW))
        return self._weight * exp((self._last - now) / WINDOW) / max(seen, 1.0)

    def retry_after(self, waiting: int, now: float) -> float:
        """Seconds until one more than those who wait will have had its turn, from 1 to 60; 1 where nothing is known."""
        rate = self.per_second(now)
        return min(LATEST, max(SOONEST, (waiting + 1) / rate)) if rate else SOONEST
