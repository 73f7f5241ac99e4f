"""Whose a free place is while requests wait in several workers: each has its part, and nobody is left out."""

from typing import NamedTuple

PATIENCE = 2
"""Looks for which a place is left to other workers, before the one that left it takes it after all."""


class Demand(NamedTuple):
    """What is asked of a model server, by this worker and by all: requests in flight, and requests that wait.

    `places` is how many it has, as far as its bounds say it.
    """

    own: int
    own_waiting: int
    in_flight: int
    waiting: int
    places: float

    @property
    def part(self) -> float:
        """This worker's part of the places. There is one more than are taken, whatever the bounds say: it is free."""
        places = max(self.places, self.in_flight + 1)
        return places * (self.own + self.own_waiting) / (self.in_flight + self.waiting)


class Turns:
    """A worker's turn at places that are free while others wait elsewhere.

    Up to its part a place is its own, above it never. The one between, where the part is no whole number, is every
    second time: were it always, a worker with a few waiting would never see a place free. What it leaves, it takes
    after some looks if nobody else has.
    """

    __slots__ = ("_gave_last", "_patience")

    def __init__(self) -> None:
        self._gave_last = False
        self._patience = 0

    def ours(self, demand: Demand) -> bool:
        """Whether this worker gives the free place to one that waits here."""
        if demand.waiting <= demand.own_waiting:
            self._patience = 0
            return True
        part = demand.part
        if demand.own + 1 <= part:
            return True
        if self._patience:
            return False
        self._gave_last = demand.own < part and not self._gave_last
        if not self._gave_last:
            self._patience = PATIENCE
        return self._gave_last

    def look(self, *, free: bool) -> bool:
        """A look, at which a place was `free` or not; whether it was left for long enough."""
        overdue = free and self._patience == 1
        self._patience = max(0, self._patience - 1) if free else 0
        return overdue
