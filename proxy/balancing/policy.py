"""How an endpoint is chosen among those of a model server: policies over anything shaped like a candidate."""

from collections.abc import Callable, Collection, Sequence
from enum import Enum
from typing import Protocol, TypeVar

# Up to this many candidates a least-request choice looks at all of them; above, at two drawn ones (Mitzenmacher, "The
# Power of Two Choices", 2001). 16 cost 1 µs, and any number above them 0.5 (benchmarks/routing.py).
EXACT_SCAN = 16

# Draws until a candidate is accepted, before all are weighed at once.
DRAWS = 4


class Candidate(Protocol):
    """What a policy may know of an endpoint. `available`: healthy and not ejected, full or draining."""

    @property
    def address(self) -> str:
        """Its name among the candidates, the same from call to call."""

    @property
    def weight(self) -> int:
        """Its share beside the others; 0 takes requests only where nothing else can."""

    @property
    def in_flight(self) -> int:
        """Requests that it has now."""

    @property
    def available(self) -> bool:
        """Whether it may be given a request."""


C = TypeVar("C", bound=Candidate)


class Policy(Protocol):
    """Chooses an endpoint. One policy serves one model server; its candidates may change from call to call."""

    def pick(self, candidates: Sequence[C], tried: Collection[C]) -> C | None:
        """An available candidate, one not yet tried while there is any; None where none is available."""


class RoundRobin:
    """In turn, by weight: smooth weighted round-robin. Its state is each address's credit."""

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}

    def pick(self, candidates: Sequence[C], tried: Collection[C]) -> C | None:
        """The candidate with the most credit; it pays what all that stood for choice have gained."""
        if len(candidates) == 1:
            return _lone(candidates[0])
        chosen = self._choose(_eligible(candidates, tried))
        if len(self._credit) > 2 * len(candidates):
            self._forget(candidates)
        return chosen

    def _choose(self, eligible: list[C], least: int = 0) -> C | None:
        credit = self._credit
        chosen: C | None = None
        highest = total = 0
        for candidate in eligible:
            weight = candidate.weight or least
            address = candidate.address
            value = credit.get(address, 0) + weight
            credit[address] = value
            total += weight
            if chosen is None or value > highest:
                chosen = candidate
                highest = value
        if chosen is None:
            return None
        if not total:
            return self._choose(eligible, least=1)
        credit[chosen.address] = highest - total
        return chosen

    def _forget(self, candidates: Sequence[C]) -> None:
        known = {candidate.address for candidate in candidates}
        self._credit = {address: value for address, value in self._credit.items() if address in known}


class RandomChoice:
    """At random, by weight."""

    __slots__ = ("_draw",)

    def __init__(self, random: Callable[[], float]) -> None:
        self._draw = WeightedDraw(random)

    def pick(self, candidates: Sequence[C], tried: Collection[C]) -> C | None:
        """A candidate drawn by weight."""
        if len(candidates) == 1:
            return _lone(candidates[0])
        return self._draw.one(candidates, tried)


class LeastRequest:
    """The fewest requests in flight for its weight, ties in turn. Its state is the place after the last choice."""

    __slots__ = ("_draw", "_next")

    def __init__(self, random: Callable[[], float]) -> None:
        self._draw = WeightedDraw(random)
        self._next = 0

    def pick(self, candidates: Sequence[C], tried: Collection[C]) -> C | None:
        """The least loaded of all where they are few, of two drawn ones where they are many."""
        count = len(candidates)
        if count == 1:
            return _lone(candidates[0])
        if count <= EXACT_SCAN:
            chosen = self._scan(candidates, tried)
            return self._scan(candidates, ()) if chosen is None and tried else chosen
        first = self._draw.one(candidates, tried)
        second = self._draw.one(candidates, tried)
        if first is None or second is None:
            return first
        return second if _lighter(second, first) else first

    def _scan(self, candidates: Sequence[C], tried: Collection[C]) -> C | None:
        count = len(candidates)
        start = self._next % count if count else 0
        chosen: C | None = None
        load = share = 0
        for index in range(start - count, start):
            candidate = candidates[index]
            if not candidate.available or (tried and candidate in tried):
                continue
            weight = candidate.weight
            pending = candidate.in_flight + 1
            if chosen is None or pending * share < load * weight:
                chosen, load, share = candidate, pending, weight
                self._next = index + 1
        return chosen


class WeightedDraw:
    """Draws by weight in constant time: an even draw is accepted as often as its weight stands to the heaviest."""

    __slots__ = ("_heaviest", "_random")

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._heaviest = 0

    def one(self, candidates: Sequence[C], tried: Collection[C]) -> C | None:
        """An available candidate, one not yet tried while there is any."""
        random = self._random
        if self._heaviest and not tried:
            count = len(candidates)
            for _ in range(DRAWS):
                candidate = candidates[int(random() * count)]
                if candidate.available and self._accepts(candidate.weight):
                    return candidate
        return self._weigh(_eligible(candidates, tried))

    def _accepts(self, weight: int) -> bool:
        if weight >= self._heaviest:
            self._heaviest = weight
            return True
        return self._random() * self._heaviest < weight

    def _weigh(self, eligible: list[C]) -> C | None:
        if not eligible:
            return None
        weights = [candidate.weight for candidate in eligible]
        self._heaviest = max(weights)
        if not self._heaviest:
            return eligible[int(self._random() * len(eligible))]
        point = self._random() * sum(weights)
        for candidate, weight in zip(eligible, weights, strict=True):
            point -= weight
            if point < 0:
                return candidate
        return eligible[-1]


def make_policy(balance: Enum, random: Callable[[], float]) -> Policy:
    """The policy for a server's `balance`, taken by its word since configuration is a room beside this one.

    `random` gives floats from 0 to below 1. Raises ValueError on a word that names no policy.
    """
    match balance.value:
        case "round-robin":
            return RoundRobin()
        case "random":
            return RandomChoice(random)
        case "least-request":
            return LeastRequest(random)
        case unknown:
            raise ValueError(f"no policy is called {unknown!r}")


def _lone(candidate: C) -> C | None:
    return candidate if candidate.available else None


def _eligible(candidates: Sequence[C], tried: Collection[C]) -> list[C]:
    available = [candidate for candidate in candidates if candidate.available]
    if not tried:
        return available
    return [candidate for candidate in available if candidate not in tried] or available


def _lighter(one: Candidate, other: Candidate) -> bool:
    return (one.in_flight + 1) * other.weight < (other.in_flight + 1) * one.weight
