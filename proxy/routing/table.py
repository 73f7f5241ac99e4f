"""The routing table: what was decided ahead, found by model name in a dict and walked in order."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.config.access_spec import Auth
from proxy.config.spec import Retries, Route, Rule, Timeouts
from proxy.routing.facts import RequestFacts
from proxy.routing.matching import Predicate, TextPredicate
from proxy.routing.rewriting import Rewriter
from proxy.routing.split import Split
from proxy.routing.sticky import StickyChoice


@dataclass(frozen=True, slots=True)
class BoundTarget:
    """A target with its policies settled: the rule's win over its server's.

    `model` is the name sent upstream where the server's `rewriter` has none; None keeps the client's. `headers` are set
    on each request. `auths` are what callers must show, the route's first, and `forwards` says that what they show goes
    on to the engine.
    """

    server: str
    model: str | None
    timeouts: Timeouts
    retries: Retries
    rewriter: Rewriter | None = None
    headers: tuple[tuple[str, str], ...] = ()
    restore_model: bool = False
    auths: tuple[Auth, ...] = ()
    forwards: bool = False


@dataclass(frozen=True, slots=True)
class BoundShadow:
    """A target that gets copies: of how many requests (`share` says it for each in turn; None: of all), how many may be
    under way at once, and up to which size of a body.
    """

    target: BoundTarget
    max_in_flight: int
    max_body: int
    share: Split[bool] | None = None


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Where a request goes. One object a rule, made when the table is compiled. `judged`: its second target is a canary
    whose tries, and the first one's, are evidence, and `timed`: so are the times of its tokens.
    """

    route: str
    rule: str
    split: Split[BoundTarget]
    fallback: tuple[BoundTarget, ...]
    shadow: BoundShadow | None = None
    sticky: StickyChoice | None = None
    judged: bool = False
    timed: bool = False

    def choose(self, facts: RequestFacts) -> BoundTarget:
        """The target for a request. On the hot path."""
        if self.sticky is not None:
            place = self.sticky.place(facts)
            if place is not None:
                return self.split.items[place]
        return self.split.pick()


class Step(NamedTuple):
    """One rule of a walk: its predicate (None holds always), where it leads, and what it was made from."""

    predicate: Predicate | None
    match: RouteMatch
    rule: Rule


Steps = tuple[Step, ...]


class GlobSteps(NamedTuple):
    """A route that names models by globs: the test of a name, and the walk for a name that passes it."""

    names: TextPredicate
    steps: Steps


@dataclass(slots=True, eq=False)
class Candidates:
    """What a request may meet, found by its model: by exact name, glob, adapter, then what names no model."""

    exact: dict[str, Steps] = field(default_factory=dict)
    globs: list[GlobSteps] = field(default_factory=list)
    adapters: dict[str, Steps] = field(default_factory=dict)
    general: Steps = ()

    def lookup(self, facts: RequestFacts) -> RouteMatch | None:
        """The first rule that holds, or None. On the hot path: see benchmarks/routing.py."""
        model = facts.model
        if model is not None:
            named = self.exact.get(model)
            if named is not None:
                for predicate, match, _ in named:
                    if predicate is None or predicate(facts):
                        return match
            if self.globs or self.adapters:
                found = self._lookup_indirect(model, facts)
                if found is not None:
                    return found
        for predicate, match, _ in self.general:
            if predicate is None or predicate(facts):
                return match
        return None

    def _lookup_indirect(self, model: str, facts: RequestFacts) -> RouteMatch | None:
        for names, steps in self.globs:
            if names(model):
                found = _first(steps, facts)
                if found is not None:
                    return found
        return _first(self.adapters.get(model, ()), facts)

    def walk(self, model: str | None) -> Iterator[Step]:
        """Every rule that a request with this model may meet, in order: the long form of `lookup`, for explanations."""
        if model is not None:
            yield from self.exact.get(model, ())
            for glob in self.globs:
                if glob.names(model):
                    yield from glob.steps
            yield from self.adapters.get(model, ())
        yield from self.general

    def remains(self) -> list[object]:
        """What they are made of."""
        return [*self.adapters.values(), *self.globs, *self.exact.values()]

    def __bool__(self) -> bool:
        return bool(self.exact or self.globs or self.adapters or self.general)


@dataclass(slots=True)
class Parts:
    """What the compiler fills and a table reads. `groups` are the splits by route and rule, for the next table, and so
    are the `rewriters` by server. `fallbacks` are asked where none of the `rules` holds."""

    rules: Candidates = field(default_factory=Candidates)
    fallbacks: Candidates = field(default_factory=Candidates)
    groups: dict[tuple[str, str], Split[BoundTarget]] = field(default_factory=dict)
    rewriters: dict[str, Rewriter] = field(default_factory=dict)
    models: dict[str, None] = field(default_factory=dict)
    body_fields: set[str] = field(default_factory=set)


class RoutingTable:
    """Every route, prepared.

    `lookup` finds the first rule that holds, else the first route's fallback, or None. Where no route has a fallback it
    is the rules' own: a call between them took 40 of 290 ns (benchmarks/routing.py).
    """

    __slots__ = ("_fallbacks", "_rules", "body_fields", "groups", "lookup", "models", "rewriters", "routes")

    def __init__(self, routes: tuple[Route, ...], parts: Parts) -> None:
        self.routes = routes
        self.models: tuple[str, ...] = tuple(parts.models)
        self.body_fields: frozenset[str] = frozenset(parts.body_fields - {"model"})
        self.groups: Mapping[tuple[str, str], Split[BoundTarget]] = parts.groups
        self.rewriters: Mapping[str, Rewriter] = parts.rewriters
        self._rules = parts.rules
        self._fallbacks = parts.fallbacks
        # Not a method of its own: the table would hold itself, and an old one would never be freed.
        self.lookup = _in_turn(parts.rules, parts.fallbacks) if parts.fallbacks else parts.rules.lookup

    def walk(self, model: str | None) -> Iterator[Step]:
        """Every rule that a request with this model may meet, in order, fallbacks behind all of them."""
        yield from self._rules.walk(model)
        yield from self._fallbacks.walk(model)

    def remains(self) -> list[object]:
        """What it is made of, for whoever lets a large table go a slice at a time."""
        return [*self.groups.values(), *self._fallbacks.remains(), *self._rules.remains()]

    def __repr__(self) -> str:
        return f"<RoutingTable {len(self.routes)} routes, {len(self.models)} models>"


def _in_turn(rules: Candidates, fallbacks: Candidates) -> Callable[[RequestFacts], RouteMatch | None]:
    def lookup(facts: RequestFacts) -> RouteMatch | None:
        found = rules.lookup(facts)
        return fallbacks.lookup(facts) if found is None else found

    return lookup


def _first(steps: Steps, facts: RequestFacts) -> RouteMatch | None:
    for predicate, match, _ in steps:
        if predicate is None or predicate(facts):
            return match
    return None
