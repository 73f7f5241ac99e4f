"""A weighted choice among targets: smooth weighted round-robin, exact in each full turn."""

from array import array
from collections.abc import Hashable, MutableSequence, Sequence
from math import gcd
from typing import Generic, TypeVar

MAX_WEIGHT = 1_000_000

# A turn up to this long (16 KiB) is kept in its first round, then replayed: 70 ns a pick, where stepping takes 240 ns
# for 2 items and 420 for 8 (benchmarks/routing.py).
REPLAYED_TURN = 4_096

T = TypeVar("T")


class Cursor:
    """Where a split stands in its turn. It lives as long as its group is unchanged, across reloads.

    The algorithm is nginx's (ngx_http_upstream_round_robin.c): each gains its weight, the
    highest is picked and pays the total. Most of 10,000 routes rest, so its lists are made on the first pick.
    """

    __slots__ = ("_current", "_order", "_places", "_position", "_turn", "_weights")

    def __init__(self, weights: tuple[int, ...]) -> None:
        self._weights: Sequence[int] = weights
        self._places: Sequence[int] = ()
        self._current: list[int] | None = None
        self._order: MutableSequence[int] | tuple[()] = ()
        self._turn = 0
        self._position = 0

    def advance(self) -> int:
        """Take the next step of the turn and tell which place it gives."""
        position = self._position
        order = self._order
        if position < len(order):
            following = position + 1
            self._position = following if following < self._turn else 0
            return order[position]
        return self._step()

    def _step(self) -> int:
        current = self._current or self._begin()
        best = 0
        highest = -self._turn
        for index, weight in enumerate(self._weights):
            value = current[index] + weight
            current[index] = value
            if value > highest:
                highest = value
                best = index
        current[best] = highest - self._turn
        place = self._places[best]
        if isinstance(self._order, array):
            self._order.append(place)
            self._position = len(self._order) % self._turn
        return place

    def _begin(self) -> list[int]:
        divisor = gcd(*self._weights)
        self._places = [place for place, weight in enumerate(self._weights) if weight > 0]
        self._weights = [self._weights[place] // divisor for place in self._places]
        self._turn = sum(self._weights)
        if self._turn <= REPLAYED_TURN:
            self._order = array("I")
        self._current = [0] * len(self._weights)
        return self._current


class Split(Generic[T]):
    """Items that share requests by weight.

    `key` says which groups count as the same for `adopt`; it is the items with their weights unless told otherwise.
    Raises ValueError where no item can be picked, or a weight is not within 0 to 1,000,000.
    """

    __slots__ = ("cursor", "items", "key", "weights")

    def __init__(self, items: Sequence[tuple[T, int]], key: Hashable = None) -> None:
        self.items: tuple[T, ...] = tuple([item for item, _ in items])
        self.weights: tuple[int, ...] = tuple([weight for _, weight in items])
        _check(self.weights)
        self.key = key
        self.cursor = Cursor(self.weights) if len(items) > 1 else None

    def pick(self) -> T:
        """The next item. On the hot path: see benchmarks/routing.py."""
        cursor = self.cursor
        if cursor is None:
            return self.items[0]
        return self.items[cursor.advance()]

    def adopt(self, other: "Split[T]") -> None:
        """Go on where another split of the same group stands; else stay at the start.

        Both then share one cursor, so that no turn is torn while an old table still serves.
        """
        if self._same_group(other):
            self.cursor = other.cursor

    def _same_group(self, other: "Split[T]") -> bool:
        if self.weights != other.weights or self.key != other.key:
            return False
        return self.key is not None or self.items == other.items

    def __repr__(self) -> str:
        return f"<Split {'/'.join(map(str, self.weights))} of {', '.join(map(str, self.items))}>"


def _check(weights: tuple[int, ...]) -> None:
    if not weights or max(weights) <= 0:
        raise ValueError("a split needs an item with a weight above 0")
    if min(weights) < 0 or max(weights) > MAX_WEIGHT:
        raise ValueError(f"weights are from 0 to {MAX_WEIGHT}")
