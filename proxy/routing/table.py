"""The routing table: what was decided ahead, found by model name in a dict and walked in order."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.config.spec import Retries, Route, Rule, Timeouts
from proxy.routing.facts import RequestFacts
from proxy.routing.matching import Predicate, TextPredicate
from proxy.routing.split import Split


@dataclass(frozen=True, slots=True)
class BoundTarget:
    """A target with its policies settled: the rule's win over its server's.

    `model` is the name sent upstream; None keeps the client's.
    """

    server: str
    model: str | None
    timeouts: Timeouts
    retries: Retries


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Where a request goes. One object a rule, made when the table is compiled."""

    route: str
    rule: str
    split: Split[BoundTarget]
    fallback: tuple[BoundTarget, ...]


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


@dataclass(slots=True)
class Parts:
    """What the compiler fills and a table reads. `groups` are the splits by route and rule, for the next table."""

    exact: dict[str, Steps] = field(default_factory=dict)
    globs: list[GlobSteps] = field(default_factory=list)
    adapters: dict[str, Steps] = field(default_factory=dict)
    general: Steps = ()
    groups: dict[tuple[str, str], Split[BoundTarget]] = field(default_factory=dict)
    models: dict[str, None] = field(default_factory=dict)
    body_fields: set[str] = field(default_factory=set)


class RoutingTable:
    """Every route, prepared. A request meets them by exact name, glob, adapter, then those that name no model."""

    __slots__ = ("_adapters", "_exact", "_general", "_globs", "body_fields", "groups", "models", "routes")

    def __init__(self, routes: tuple[Route, ...], parts: Parts) -> None:
        self.routes = routes
        self.models: tuple[str, ...] = tuple(parts.models)
        self.body_fields: frozenset[str] = frozenset(parts.body_fields - {"model"})
        self.groups: Mapping[tuple[str, str], Split[BoundTarget]] = parts.groups
        self._exact = parts.exact
        self._globs = tuple(parts.globs)
        self._adapters = parts.adapters
        self._general = parts.general

    def lookup(self, facts: RequestFacts) -> RouteMatch | None:
        """The first rule that holds, or None. On the hot path: see benchmarks/routing.py."""
        model = facts.model
        if model is not None:
            named = self._exact.get(model)
            if named is not None:
                for predicate, match, _ in named:
                    if predicate is None or predicate(facts):
                        return match
            if self._globs or self._adapters:
                found = self._lookup_indirect(model, facts)
                if found is not None:
                    return found
        for predicate, match, _ in self._general:
            if predicate is None or predicate(facts):
                return match
        return None

    def _lookup_indirect(self, model: str, facts: RequestFacts) -> RouteMatch | None:
        for names, steps in self._globs:
            if names(model):
                found = _first(steps, facts)
                if found is not None:
                    return found
        return _first(self._adapters.get(model, ()), facts)

    def walk(self, model: str | None) -> Iterator[Step]:
        """Every rule that a request with this model may meet, in order: the long form of `lookup`, for explanations."""
        if model is not None:
            yield from self._exact.get(model, ())
            for glob in self._globs:
                if glob.names(model):
                    yield from glob.steps
            yield from self._adapters.get(model, ())
        yield from self._general

    def remains(self) -> list[object]:
        """What it is made of, for whoever lets a large table go a slice at a time."""
        return [*self.groups.values(), *self._adapters.values(), *self._globs, *self._exact.values()]

    def __repr__(self) -> str:
        return f"<RoutingTable {len(self.routes)} routes, {len(self.models)} models>"


def _first(steps: Steps, facts: RequestFacts) -> RouteMatch | None:
    for predicate, match, _ in steps:
        if predicate is None or predicate(facts):
            return match
    return None
