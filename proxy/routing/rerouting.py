"""Recorded requests by two routing tables: which of them go elsewhere now."""

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.routing.coverage import agrees
from proxy.routing.recording import Lookups, Recorded, Recording
from proxy.routing.sample import summary
from proxy.routing.table import BoundTarget, RouteMatch, RoutingTable
from proxy.routing.wording import shares


@dataclass(frozen=True, slots=True)
class Move:
    """How many requests went to one rule ("route/rule") and go to another now; None is no rule at all.

    Where both are the same, the rule's targets have changed. `example` is the first such request in words.
    """

    old: str | None
    new: str | None
    requests: int
    line: int
    example: str


@dataclass(frozen=True, slots=True)
class Rerouting:
    """All requests that were looked at, and those that move, in the order in which the moves were met.

    `logged` of them are lines of an access log, of which `differing` name another rule than the old table does.
    """

    total: int
    moves: tuple[Move, ...]
    logged: int = 0
    differing: int = 0
    left_out: int = 0
    unreadable: int = 0

    @property
    def moved(self) -> int:
        """How many requests go elsewhere now."""
        return sum(move.requests for move in self.moves)


def reroute(old: RoutingTable, new: RoutingTable, requests: Iterable[Recorded]) -> Rerouting:
    """Look each request up in both tables. No split moves on, and no request is held."""
    before, after = Lookups(old), Lookups(new)
    same = _Comparison()
    found: dict[tuple[str | None, str | None], Move] = {}
    total = differing = 0
    for recorded in requests:
        total += 1
        went, goes = before(recorded), after(recorded)
        differing += recorded.logged is not None and not agrees(recorded.logged, went)
        if same(went, goes):
            continue
        key = (_name(went), _name(goes))
        known = found.get(key)
        if known is None:
            found[key] = Move(*key, 1, recorded.line, summary(recorded.request))
        else:
            found[key] = Move(*key, known.requests + 1, known.line, known.example)
    moves = tuple(found.values())
    if not isinstance(requests, Recording):
        return Rerouting(total, moves)
    return Rerouting(total, moves, requests.logged, differing, requests.left_out, requests.unreadable)


def _name(match: RouteMatch | None) -> str | None:
    return None if match is None else f"{match.route}/{match.rule}"


class _Comparison:
    """Whether two rules lead to the same; each pair is settled once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bool] = {}

    def __call__(self, old: RouteMatch | None, new: RouteMatch | None) -> bool:
        if old is None or new is None:
            return old is new
        pair = (id(old), id(new))  # a table keeps its matches for as long as it lives
        if pair not in self._known:
            self._known[pair] = _name(old) == _name(new) and _ways(old) == _ways(new)
        return self._known[pair]


def _ways(match: RouteMatch) -> tuple[object, ...]:
    """Which servers get the requests under which names, in which shares, and which are asked next."""
    split = tuple(zip(map(_way, match.split.items), shares(match.split.weights), strict=True))
    shadow = None if match.shadow is None else _way(match.shadow.target)
    return split, tuple(map(_way, match.fallback)), shadow


def _way(target: BoundTarget) -> tuple[str, str | None]:
    return target.server, target.model
