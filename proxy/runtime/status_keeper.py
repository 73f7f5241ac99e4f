"""Since when each condition stands as it does: the small state behind the statuses, which outlives reloads."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from proxy.runtime.resource_status import Finding

Key = tuple[str, str]


class Dated(NamedTuple):
    """When a resource was seen first, and since when each of its conditions stands as it does. Unix seconds."""

    first_seen: float
    since: Mapping[str, float]


class _Life:
    """One resource's times. Its state: what holds, by type of condition, and since when."""

    __slots__ = ("first_seen", "standing")

    def __init__(self, now: float) -> None:
        self.first_seen = now
        self.standing: dict[str, tuple[bool, float]] = {}

    def date(self, findings: Iterable[Finding], now: float) -> dict[str, float]:
        """A condition that is new, or has turned over, begins now; one that is not told any more is forgotten."""
        standing = {}
        for finding in findings:
            before = self.standing.get(finding.type)
            if before is None or before[0] is not finding.holds:
                before = (finding.holds, now)
            standing[finding.type] = before
        self.standing = standing
        return {kind: since for kind, (_, since) in standing.items()}


class StatusKeeper:
    """Owns the times of all resources, by what kind of list they are in and by name."""

    def __init__(self) -> None:
        self._lives: dict[Key, _Life] = {}

    def __repr__(self) -> str:
        return f"<StatusKeeper, {len(self._lives)} resources>"

    def date(self, key: Key, findings: Iterable[Finding], now: float) -> Dated:
        """The times of a resource that stands like this. `now` is unix time; it may go back, a time that was given
        stays as it is.
        """
        life = self._lives.get(key)
        if life is None:
            life = self._lives[key] = _Life(now)
        return Dated(life.first_seen, life.date(findings, now))

    def keep_only(self, keys: Iterable[Key]) -> None:
        """Forget all other resources: one that comes again later begins anew."""
        wanted = set(keys)
        for key in [key for key in self._lives if key not in wanted]:
            del self._lives[key]
