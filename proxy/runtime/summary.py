"""What `/status` shows of a configuration: names, weights and conditions' kinds, no value that may be secret."""

import msgspec

from proxy.config.spec import (
    Absent,
    BodyCondition,
    Condition,
    Config,
    Contains,
    Exact,
    HeaderCondition,
    Match,
    MethodCondition,
    ModelServer,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    Regex,
    Route,
    Rule,
    Suffix,
    Target,
    ValueTest,
)


class EndpointSummary(msgspec.Struct, frozen=True):
    """An endpoint as configured."""

    address: str
    weight: int


class ServerSummary(msgspec.Struct, frozen=True):
    """A model server as configured, and where."""

    name: str
    engine: str
    model: str | None
    balance: str
    endpoints: tuple[EndpointSummary, ...]
    origin: str


class TargetSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule's pointer to a server."""

    server: str
    weight: int | None = None
    model: str | None = None


class RuleSummary(msgspec.Struct, frozen=True):
    """A rule: any of the matches, each with all of its conditions."""

    name: str
    matches: tuple[tuple[str, ...], ...]
    targets: tuple[TargetSummary, ...]
    fallback: tuple[TargetSummary, ...]


class RouteSummary(msgspec.Struct, frozen=True):
    """A route as configured, and where."""

    name: str
    models: tuple[str, ...]
    adapters: tuple[str, ...]
    rules: tuple[RuleSummary, ...]
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


def _kind(test: ValueTest) -> str:
    return type(test).__name__.lower()


def _value(test: ValueTest) -> str:
    match test:
        case Present() | Absent():
            return ""
        case Regex(pattern):
            return f" {pattern}"
        case Exact(value) | Prefix(value) | Suffix(value) | Contains(value):
            return f" {value}"


def _server(server: ModelServer) -> ServerSummary:
    return ServerSummary(
        name=server.name,
        engine=server.engine.value,
        model=server.model,
        balance=server.balance.value,
        endpoints=tuple(EndpointSummary(endpoint.address, endpoint.weight) for endpoint in server.endpoints),
        origin=_place(server.origin.file, server.origin.line),
    )


def _route(route: Route) -> RouteSummary:
    return RouteSummary(
        name=route.name,
        models=route.models,
        adapters=route.adapters,
        rules=tuple(_rule(rule) for rule in route.rules),
        origin=_place(route.origin.file, route.origin.line),
    )


def _rule(rule: Rule) -> RuleSummary:
    return RuleSummary(
        name=rule.name,
        matches=tuple(_match(match) for match in rule.matches),
        targets=tuple(_target(target) for target in rule.targets),
        fallback=tuple(TargetSummary(target.server, None, target.model) for target in rule.fallback),
    )


def _match(match: Match) -> tuple[str, ...]:
    return tuple(describe(condition) for condition in match.conditions)


def _target(target: Target) -> TargetSummary:
    return TargetSummary(target.server, target.weight, target.model)


def _place(file: str, line: int) -> str:
    return f"{file}:{line}" if line else file
