"""A configuration told part by part: what routes are for, what rules ask, and on which terms servers are asked."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from proxy.config.spec import Config, ModelServer, Origin, Retries, Rewrite, Route, Rule, Target, Timeouts
from proxy.config.values.policies import completed
from proxy.routing import access_wording, wording
from proxy.routing.changes import said
from proxy.routing.explain import describe as words_of
from proxy.routing.wording import header_value, percent, shares

ORDER = (
    "A request's candidates are asked in this order: routes that name its model exactly, then those that name it by a "
    "glob (*), then those that list it as an adapter, then those that name no model at all. Among each of these the "
    "order is the one below. Within a route the first rule that holds decides; where none does, the next candidate is "
    "asked. A route's own fallback is asked after all rules of all routes."
)
"""How candidates are asked, in words."""

_PLAIN = Rule("", ())


@dataclass(frozen=True, slots=True)
class TargetDescription:
    """A server that a rule leads to. `share` is of the rule's requests, None for a fallback or a shadow.

    `model` is the name sent upstream, None keeps the client's; what the server rewrites comes before it. Timeouts and
    retries are those in force: the target's, the rule's and the server's put together.
    """

    server: str
    share: float | None
    weight: int | None
    model: str | None
    timeouts: Timeouts
    retries: Retries


@dataclass(frozen=True, slots=True)
class RuleDescription:
    """A rule. `matches` are any-of, each with its all-of conditions in words; none at all holds always."""

    name: str
    enabled: bool
    description: str
    strategy: str
    matches: tuple[tuple[str, ...], ...]
    targets: tuple[TargetDescription, ...]
    fallback: tuple[TargetDescription, ...]
    shadow: TargetDescription | None
    shadow_copies: str | None
    canary: str | None
    sticky: str | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class RouteDescription:
    """A route with its rules, in the order in which they are asked. `fallback` takes what no rule of any route took."""

    name: str
    kind: str
    description: str
    models: tuple[str, ...]
    adapters: tuple[str, ...]
    priority: int
    rules: tuple[RuleDescription, ...]
    fallback: tuple[TargetDescription, ...]
    token_limit: str | None
    auth: str | None
    limits: tuple[str, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class EndpointDescription:
    """An endpoint of a server. `max_in_flight` None leaves the bound to the server."""

    address: str
    weight: int
    labels: Mapping[str, str]
    max_in_flight: int | None


@dataclass(frozen=True, slots=True)
class RewriteDescription:
    """What a server sends in the place of these models; of every other one where there is none."""

    name: str
    models: tuple[str, ...]
    targets: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class ServerDescription:
    """A server with its policies. `selector` says what it looks for among the inventory, `missing` that
    no file defines it. Of headers that hold credentials the values are not shown, nor are keys and passwords."""

    name: str
    engine: str
    model: str | None
    balance: str
    endpoints: tuple[EndpointDescription, ...]
    selector: str | None
    headers: Mapping[str, str]
    rewrites: tuple[RewriteDescription, ...]
    restore_model: bool
    objectives: Mapping[str, int]
    timeouts: Timeouts
    retries: Retries
    retry_budget: float
    rate_limit: str | None
    disaggregation: str | None
    tls: str | None
    auth: str | None
    limits: tuple[str, ...]
    queueing: str | None
    listener: str | None
    credential: str | None
    missing: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Description:
    """All of a configuration. `order` says how the candidates of a request are asked."""

    version: str
    order: str
    total_rules: int
    enabled_rules: int
    routes: tuple[RouteDescription, ...]
    servers: tuple[ServerDescription, ...]


def describe(config: Config) -> Description:
    """The configuration in words."""
    rules = [rule for route in config.routes for rule in route.rules]
    return Description(
        config.version,
        ORDER,
        len(rules),
        sum(rule.enabled for rule in rules),
        tuple(_route(route, config.servers) for route in config.routes),
        tuple(map(_server, config.servers.values())),
    )


def _route(route: Route, servers: Mapping[str, ModelServer]) -> RouteDescription:
    if route.adapters and not route.models:
        # An adapter's name is sent as it is: the server's own would hide it.
        servers = {name: replace(server, model=None) for name, server in servers.items()}
    return RouteDescription(
        name=route.name,
        kind=route.kind,
        description=route.description,
        models=route.models,
        adapters=route.adapters,
        priority=route.priority,
        rules=tuple(_rule(rule, servers) for rule in route.rules),
        fallback=tuple(_target(target, _PLAIN, servers) for target in route.fallback),
        token_limit=None if route.token_limit is None else wording.token_limit(route.token_limit),
        auth=None if route.auth is None else access_wording.auth(route.auth),
        limits=tuple(map(access_wording.limit, route.limits)),
        origin=route.origin,
    )


def _rule(rule: Rule, servers: Mapping[str, ModelServer]) -> RuleDescription:
    parts = zip(rule.targets, shares([target.weight for target in rule.targets]), strict=True)
    always = any(not match.conditions for match in rule.matches)
    matches = () if always else tuple(tuple(map(words_of, match.conditions)) for match in rule.matches)
    return RuleDescription(
        name=rule.name,
        enabled=rule.enabled,
        description=rule.description,
        strategy=wording.strategy(rule),
        matches=matches,
        targets=tuple(_target(target, rule, servers, share) for target, share in parts),
        fallback=tuple(_target(target, rule, servers) for target in rule.fallback),
        shadow=None if rule.shadow is None else _target(rule.shadow.target, rule, servers),
        shadow_copies=None if rule.shadow is None else wording.copies(rule.shadow),
        canary=None if rule.canary is None else wording.canary(rule.canary),
        sticky=None if rule.sticky is None else wording.sticky(rule.sticky),
        origin=rule.origin,
    )


def _target(
    target: Target, rule: Rule, servers: Mapping[str, ModelServer], share: float | None = None
) -> TargetDescription:
    server = servers.get(target.server, ModelServer(target.server, ()))
    return TargetDescription(
        server=target.server,
        share=share,
        weight=None if share is None else target.weight,
        model=target.model or server.model,
        timeouts=completed(target.timeouts, completed(rule.timeouts, server.timeouts)),
        retries=target.retries or rule.retries or server.retries,
    )


def _server(server: ModelServer) -> ServerDescription:
    return ServerDescription(
        name=server.name,
        engine=server.engine.value,
        model=server.model,
        balance=server.balance.value,
        endpoints=tuple(
            EndpointDescription(endpoint.address, endpoint.weight, dict(endpoint.labels), endpoint.max_in_flight)
            for endpoint in server.endpoints
        ),
        selector=None if server.selector is None else wording.selector(server.selector),
        headers={name: header_value(name, value) for name, value in server.headers},
        rewrites=tuple(map(_rewrite, server.rewrites)),
        restore_model=server.restore_model,
        objectives={objective.name: objective.priority for objective in server.objectives},
        timeouts=server.timeouts,
        retries=server.retries,
        retry_budget=server.retry_budget,
        rate_limit=None if server.rate_limit is None else wording.rate_limit(server.rate_limit),
        disaggregation=None if server.disaggregation is None else said(server.disaggregation),
        tls=None if server.tls is None else said(server.tls),
        auth=None if server.auth is None else access_wording.auth(server.auth),
        limits=tuple(map(access_wording.limit, server.limits)),
        queueing=None if server.queueing is None else access_wording.queueing(server.queueing),
        listener=None if server.listener is None else access_wording.listener(server.listener),
        credential=None if server.credential is None else access_wording.credential(server.credential),
        missing=server.missing,
        origin=server.origin,
    )


def _rewrite(rewrite: Rewrite) -> RewriteDescription:
    weights = shares([target.weight for target in rewrite.targets])
    targets = tuple((target.model, share) for target, share in zip(rewrite.targets, weights, strict=True))
    return RewriteDescription(rewrite.name, rewrite.models, targets)


def rewrite_words(rewrite: RewriteDescription) -> str:
    """`a, b → x 70%, y 30%`."""
    names = wording.listed(rewrite.models, "every other model")
    if len(rewrite.targets) == 1:
        return f"{names} → {rewrite.targets[0][0]}"
    return f"{names} → {wording.listed(f'{model} {percent(share)}' for model, share in rewrite.targets)}"
