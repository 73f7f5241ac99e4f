"""What a configuration asks of its canaries, as the supervisor needs it, and the shares that it answers with."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum

import msgspec

from proxy.config.spec import Analysis, Config, Route, Rule


class CanaryPlan(msgspec.Struct, frozen=True):
    """A rule's canary. `weights` are those of the file, of the stable target and of the canary.

    `digest` tells whether anything that the file says of the rule's targets, of both servers or of the canary differs.
    """

    route: str
    rule: str
    stable: str
    canary: str
    digest: str
    weights: tuple[int, int]
    analysis: Analysis | None = None
    steps: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """The route and the rule."""
        return self.route, self.rule

    @property
    def name(self) -> str:
        """What an operator calls it."""
        return f"{self.route}/{self.rule}"


class CanaryWeights(msgspec.Struct, frozen=True):
    """The weights of a rule's two targets that stand in place of the file's."""

    route: str
    rule: str
    stable: int
    canary: int


def canary_plans(config: Config) -> Iterator[CanaryPlan]:
    """All canaries of a configuration, in its order."""
    for route in config.routes:
        for rule in route.rules:
            if rule.canary is not None and rule.enabled and len(rule.targets) == 2:
                yield _plan(config, route, rule)


def _plan(config: Config, route: Route, rule: Rule) -> CanaryPlan:
    stable, canary = rule.targets
    terms = rule.canary
    servers = [config.servers.get(target.server) for target in rule.targets]
    asked = canonical([route.name, rule.name, rule.targets, terms, servers])
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return CanaryPlan(
        route.name,
        rule.name,
        stable.server,
        canary.server,
        digest[:32],
        (stable.weight, canary.weight),
        None if terms is None else terms.analysis,
        () if terms is None else terms.steps,
    )


def canonical(value: object) -> object:
    """A part of a configuration as JSON that is the same in every process: sets in order, no place in a file."""
    match value:
        case Enum():
            return value.value
        case Mapping():
            return {str(key): canonical(item) for key, item in value.items()}
        case set() | frozenset():
            return sorted((canonical(item) for item in value), key=repr)
        case list() | tuple():
            return [canonical(item) for item in value]
        case _ if is_dataclass(value):
            parts = {field.name: getattr(value, field.name) for field in fields(value) if field.name != "origin"}
            return [type(value).__name__, canonical(parts)]
        case _:
            return value


def with_weights(routes: Sequence[Route], weights: Sequence[CanaryWeights]) -> tuple[Route, ...]:
    """The routes, with other weights for these rules' targets."""
    wanted = {(each.route, each.rule): (each.stable, each.canary) for each in weights}
    touched = {each.route for each in weights}
    return tuple([_reweighed(route, wanted) if route.name in touched else route for route in routes])


def _reweighed(route: Route, wanted: Mapping[tuple[str, str], tuple[int, int]]) -> Route:
    rules = [
        _with_shares(rule, shares) if (shares := wanted.get((route.name, rule.name))) is not None else rule
        for rule in route.rules
    ]
    return replace(route, rules=tuple(rules))


def _with_shares(rule: Rule, shares: tuple[int, int]) -> Rule:
    if len(rule.targets) != 2:
        return rule
    targets = [replace(target, weight=weight) for target, weight in zip(rule.targets, shares, strict=True)]
    return replace(rule, targets=tuple(targets))
