"""Counts that all workers share: each adds to its own part, and anyone may read the sum."""

from typing import Protocol


class Gauge(Protocol):
    """A number that is the sum of the workers' own parts."""

    @property
    def own(self) -> int:
        """This worker's part."""

    def add(self, delta: int) -> None:
        """Change this worker's part."""

    def total(self) -> int:
        """The sum over all workers, now."""


class LocalGauge:
    """The gauge of a worker that is alone."""

    __slots__ = ("own",)

    def __init__(self) -> None:
        self.own = 0

    def __repr__(self) -> str:
        return f"<LocalGauge {self.own}>"

    def add(self, delta: int) -> None:
        """Change it."""
        self.own += delta

    def total(self) -> int:
        """What it stands at."""
        return self.own


class LocalGauges:
    """Owns the gauges of a worker that is alone, by key: the same one for the same key."""

    __slots__ = ("_gauges",)

    def __init__(self) -> None:
        self._gauges: dict[str, LocalGauge] = {}

    def __call__(self, key: str) -> LocalGauge:
        """The gauge of this key."""
        return self._gauges.setdefault(key, LocalGauge())
