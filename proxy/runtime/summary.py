"""What `/status` shows of a configuration: names, weights and conditions' kinds, no value that may be secret."""

import msgspec

from proxy.config.match_spec import (
    Absent,
    BodyCondition,
    Condition,
    Contains,
    Exact,
    FieldCondition,
    HeaderCondition,
    Match,
    MethodCondition,
    OrAbsent,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    Regex,
    Suffix,
    ValueTest,
)
from proxy.config.spec import Config, ModelServer, Rewrite, Route, Rule, Target


class EndpointSummary(msgspec.Struct, frozen=True):
    """An endpoint as configured."""

    address: str
    weight: int


class RewriteSummary(msgspec.Struct, frozen=True):
    """What is sent in place of these models' names; of every other name where there are none."""

    models: tuple[str, ...]
    targets: dict[str, int]


class ServerSummary(msgspec.Struct, frozen=True):
    """A model server as configured, and where."""

    name: str
    engine: str
    model: str | None
    balance: str
    endpoints: tuple[EndpointSummary, ...]
    origin: str
    rewrites: tuple[RewriteSummary, ...] = ()


class TargetSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule's pointer to a server."""

    server: str
    weight: int | None = None
    model: str | None = None


class RuleSummary(msgspec.Struct, frozen=True):
    """A rule: any of the matches, each with all of its conditions."""

    name: str
    enabled: bool
    matches: tuple[tuple[str, ...], ...]
    targets: tuple[TargetSummary, ...]
    fallback: tuple[TargetSummary, ...]
    shadow: TargetSummary | None


class RouteSummary(msgspec.Struct, frozen=True):
    """A route as configured, and where. `kind` is that of the document that it was."""

    name: str
    kind: str
    models: tuple[str, ...]
    adapters: tuple[str, ...]
    rules: tuple[RuleSummary, ...]
    fallback: tuple[TargetSummary, ...]
    origin: str


def summarize_servers(config: Config) -> tuple[ServerSummary, ...]:
    """All servers, in the files' order."""
    return tuple(_server(server) for server in config.servers.values())


def summarize_routes(config: Config) -> tuple[RouteSummary, ...]:
    """All routes, in the files' order."""
    return tuple(_route(route) for route in config.routes)


def describe(condition: Condition) -> str:
    """A condition in words. Values of headers, parameters and bodies stay out: a variable may have filled them in."""
    match condition:
        case HeaderCondition(name, test):
            return f"header {name} {_kind(test)}"
        case QueryCondition(name, test):
            return f"query {name} {_kind(test)}"
        case BodyCondition(keys, test):
            return f"body {'.'.join(keys)} {_kind(test)}"
        case PathCondition(test):
            return f"path {_kind(test)}{_value(test)}"
        case MethodCondition(methods):
            return f"method {', '.join(sorted(methods))}"
        case FieldCondition(field, operator, _):
            return f"field {field} {operator.value}"


def _kind(test: ValueTest) -> str:
    return f"absent or {_kind(test.test)}" if isinstance(test, OrAbsent) else type(test).__name__.lower()


def _value(test: ValueTest) -> str:
    match test:
        case Present() | Absent():
            return ""
        case Regex(pattern):
            return f" {pattern}"
        case Exact(value) | Prefix(value) | Suffix(value) | Contains(value):
            return f" {value}"
        case OrAbsent(inner):
            return _value(inner)


def _server(server: ModelServer) -> ServerSummary:
    return ServerSummary(
        name=server.name,
        engine=server.engine.value,
        model=server.model,
        balance=server.balance.value,
        endpoints=tuple(EndpointSummary(endpoint.address, endpoint.weight) for endpoint in server.endpoints),
        origin=_place(server.origin.file, server.origin.line),
        rewrites=tuple(_rewrite(rewrite) for rewrite in server.rewrites),
    )


def _rewrite(rewrite: Rewrite) -> RewriteSummary:
    return RewriteSummary(rewrite.models, {target.model: target.weight for target in rewrite.targets})


def _route(route: Route) -> RouteSummary:
    return RouteSummary(
        name=route.name,
        kind=route.kind,
        models=route.models,
        adapters=route.adapters,
        rules=tuple(_rule(rule) for rule in route.rules),
        fallback=tuple(_unweighted(target) for target in route.fallback),
        origin=_place(route.origin.file, route.origin.line),
    )


def _rule(rule: Rule) -> RuleSummary:
    return RuleSummary(
        name=rule.name,
        enabled=rule.enabled,
        matches=tuple(_match(match) for match in rule.matches),
        targets=tuple(_target(target) for target in rule.targets),
        fallback=tuple(_unweighted(target) for target in rule.fallback),
        shadow=None if rule.shadow is None else _unweighted(rule.shadow.target),
    )


def _match(match: Match) -> tuple[str, ...]:
    return tuple(describe(condition) for condition in match.conditions)


def _target(target: Target) -> TargetSummary:
    return TargetSummary(target.server, target.weight, target.model)


def _unweighted(target: Target) -> TargetSummary:
    return TargetSummary(target.server, None, target.model)


def _place(file: str, line: int) -> str:
    return f"{file}:{line}" if line else file
