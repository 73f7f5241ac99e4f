"""A weighted choice among targets: smooth weighted round-robin, exact in each full turn."""

from array import array
from collections.abc import Callable, Hashable, Sequence
from math import gcd
from typing import Generic, TypeVar

MAX_WEIGHT = 1_000_000

# A turn up to this long is kept after its first round and then replayed (benchmarks/routing.py has what it saves).
REPLAYED_TURN = 4_096

T = TypeVar("T")


class Cursor:
    """Where a split stands in its turn. It lives as long as its group is unchanged, across reloads.

    The algorithm is nginx's (ngx_http_upstream_round_robin.c): each gains its weight, the
    highest is picked and pays the total.
    """

    __slots__ = ("_current", "_order", "_places", "_position", "_turn", "_weights")

    def __init__(self, weights: Sequence[int]) -> None:
        self._places = [place for place, weight in enumerate(weights) if weight > 0]
        divisor = gcd(*weights)
        self._weights = [weights[place] // divisor for place in self._places]
        self._current = [0] * len(self._weights)
        self._turn = sum(self._weights)
        self._order = array("H" if len(weights) <= 65_536 else "L")
        self._position = 0

    def advance(self) -> int:
        """Take the next step of the turn and tell which place it gives."""
        position = self._position
        following = position + 1
        self._position = following if following < self._turn else 0
        if position < len(self._order):
            return self._order[position]
        place = self._step()
        if self._turn <= REPLAYED_TURN:
            self._order.append(place)
        return place

    def _step(self) -> int:
        current = self._current
        best = 0
        highest = -self._turn
        for index, weight in enumerate(self._weights):
            value = current[index] + weight
            current[index] = value
            if value > highest:
                highest = value
                best = index
        current[best] = highest - self._turn
        return self._places[best]


class Split(Generic[T]):
    """Items that share requests by weight.

    `key` says which groups count as the same for `adopt`; it is the items with their weights unless told otherwise.
    Raises ValueError where no item can be picked, or a weight is not within 0 to 1,000,000.
    """

    __slots__ = ("_advance", "_only", "cursor", "items", "key", "weights")

    def __init__(self, items: Sequence[tuple[T, int]], key: Hashable = None) -> None:
        self.items: tuple[T, ...] = tuple([item for item, _ in items])
        self.weights: tuple[int, ...] = tuple([weight for _, weight in items])
        _check(self.weights)
        self.key = key
        self._only = self.items if len(self.items) == 1 else None
        self.cursor: Cursor | None = None
        self._advance: Callable[[], int] = _first
        if self._only is None:
            self._follow(Cursor(self.weights))

    def pick(self) -> T:
        """The next item. On the hot path: see benchmarks/routing.py."""
        only = self._only
        if only is not None:
            return only[0]
        return self.items[self._advance()]

    def adopt(self, other: "Split[T]") -> None:
        """Go on where another split of the same group stands; else stay at the start.

        Both then share one cursor, so that no turn is torn while an old table still serves.
        """
        if other.cursor is not None and self._same_group(other):
            self._follow(other.cursor)

    def _same_group(self, other: "Split[T]") -> bool:
        if self.weights != other.weights or self.key != other.key:
            return False
        return self.key is not None or self.items == other.items

    def _follow(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self._advance = cursor.advance

    def __repr__(self) -> str:
        return f"<Split {'/'.join(map(str, self.weights))} of {', '.join(map(str, self.items))}>"


def _first() -> int:
    return 0


def _check(weights: tuple[int, ...]) -> None:
    if not weights or max(weights) <= 0:
        raise ValueError("a split needs an item with a weight above 0")
    if min(weights) < 0 or max(weights) > MAX_WEIGHT:
        raise ValueError(f"weights are from 0 to {MAX_WEIGHT}")
