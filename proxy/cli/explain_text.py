"""A described configuration on a terminal: tables for the whole, and lines for each part."""

from collections.abc import Sequence
from dataclasses import replace

from proxy.cli.printing import Page, place_of
from proxy.config.spec import Origin
from proxy.routing import wording
from proxy.routing.description import (
    Description,
    RouteDescription,
    RuleDescription,
    ServerDescription,
    TargetDescription,
    rewrite_words,
)
from proxy.routing.wording import listed, percent


def print_description(page: Page, description: Description, files: Sequence[str]) -> None:
    """All of it."""
    page.table("Configuration Overview", ("Property", "Value"), overview(description, files))
    rows = [rule_row(description, route, rule) for route in description.routes for rule in route.rules]
    page.table("Routing Rules", ("Name", "Strategy", "Conditions", "Targets", "Status"), rows)
    page.line()
    page.line(description.order, hang=0)
    for route in description.routes:
        _print_route(page, route)
    for server in description.servers:
        _print_server(page, server)


def overview(description: Description, files: Sequence[str]) -> list[tuple[str, str]]:
    """The whole in numbers; a single route stands for the whole."""
    rows = []
    if len(description.routes) == 1:
        rows.append(("Name", description.routes[0].name))
        rows.append(("Description", description.routes[0].description or "none"))
    return [
        *rows,
        ("Total Rules", str(description.total_rules)),
        ("Enabled Rules", str(description.enabled_rules)),
        ("Routes", str(len(description.routes))),
        ("Servers", str(len(description.servers))),
        ("Files", listed(files)),
    ]


def rule_name(description: Description, route: RouteDescription, rule: RuleDescription) -> str:
    """A rule's name; with its route's before it, where there is more than one route."""
    return rule.name if len(description.routes) == 1 else f"{route.name}/{rule.name}"


def rule_row(description: Description, route: RouteDescription, rule: RuleDescription) -> tuple[str, ...]:
    """A rule in numbers."""
    name = rule_name(description, route, rule)
    conditions = sum(map(len, rule.matches))
    status = "Enabled" if rule.enabled else "Disabled"
    return name, rule.strategy, str(conditions), str(target_count(rule)), status


def target_count(rule: RuleDescription) -> int:
    """All servers' places in a rule, fallbacks and the shadow as well."""
    return len(rule.targets) + len(rule.fallback) + (rule.shadow is not None)


# --- routes -----------------------------------------------------------------------------------------------------------


def _print_route(page: Page, route: RouteDescription) -> None:
    page.heading(f"Route {route.name}{_at(route.origin)}")
    for line in route_lines(route):
        page.line(line, 2)
    for place, rule in enumerate(route.rules, 1):
        _print_rule(page, place, rule)


def route_lines(route: RouteDescription) -> list[str]:
    """What is to be known of a route beside its rules."""
    lines = [route.description] if route.description else []
    lines += [f"kind: {route.kind}"] if route.kind != "route" else []
    lines += [f"models: {listed(route.models)}"] if route.models else []
    lines += [f"adapters, sent under their own names: {listed(route.adapters)}"] if route.adapters else []
    lines += [] if route.models or route.adapters else ["models: any, or none"]
    lines += [f"priority: {route.priority}"] if route.priority else []
    lines += [f"token limit: {route.token_limit}"] if route.token_limit else []
    lines += [f"callers show {route.auth}"] if route.auth is not None else []
    lines += [f"limit: {words}" for words in route.limits]
    if route.fallback:
        lines.append(f"fallback, after all rules of all routes: {listed(map(target_words, route.fallback))}")
    return lines


def _print_rule(page: Page, place: int, rule: RuleDescription) -> None:
    status = "" if rule.enabled else " (disabled)"
    page.line(f"{place}. {rule.name}{status}{_at(rule.origin)}", 2)
    for line in rule_lines(rule):
        page.line(line, 5)


def rule_lines(rule: RuleDescription) -> list[str]:
    """What a rule asks, and where it leads."""
    lines = [rule.description] if rule.description else []
    lines += [f"{'or' if place else 'when'} {' and '.join(match)}" for place, match in enumerate(rule.matches)]
    lines += [] if rule.matches else ["always"]
    lines.append(f"→ {listed(map(target_words, rule.targets))}")
    lines += [f"fallback: {listed(map(target_words, rule.fallback))}"] if rule.fallback else []
    if rule.shadow is not None:
        lines.append(f"shadow: {target_words(rule.shadow)}, {rule.shadow_copies}")
    return lines + trial_lines(rule) + terms(rule)


def trial_lines(rule: RuleDescription) -> list[str]:
    """What is said of a split beside its shares."""
    lines = []
    if rule.canary is not None and len(rule.targets) > 1:
        lines.append(f"canary {target_words(replace(rule.targets[1], share=None))}: {rule.canary}")
    return lines + ([f"keeps {rule.sticky} on one side"] if rule.sticky is not None else [])


def target_words(target: TargetDescription) -> str:
    """A target with its share, and the name that it is asked for."""
    share = "" if target.share in {None, 1.0} else f" {percent(target.share or 0.0)}"
    model = "" if target.model is None else f" (model {target.model})"
    return f"{target.server}{share}{model}"


def terms(rule: RuleDescription) -> list[str]:
    """The timeouts and retries in force, once for all targets that share them."""
    targets = [*rule.targets, *rule.fallback, *([] if rule.shadow is None else [rule.shadow])]
    sharing: dict[str, dict[str, None]] = {}
    for target in targets:
        words = f"timeouts: {wording.timeouts(target.timeouts)}; retries: {wording.retries(target.retries)}"
        sharing.setdefault(words, {})[target.server] = None
    if len(sharing) == 1:
        return list(sharing)
    return [f"{listed(servers)}: {words}" for words, servers in sharing.items()]


# --- servers ----------------------------------------------------------------------------------------------------------


def _print_server(page: Page, server: ServerDescription) -> None:
    page.heading(f"Server {server.name}{_at(server.origin)}")
    for line in server_lines(server):
        page.line(line, 2)


def server_lines(server: ServerDescription) -> list[str]:
    """What is to be known of a server."""
    lines = ["no file defines it: its requests get 503"] if server.missing else []
    lines.append(f"engine: {server.engine}")
    lines += [f"model: {server.model}"] if server.model is not None else []
    lines.append(f"endpoints, {server.balance}: {listed(_endpoint_words(server), 'none, its requests get 503')}")
    lines += [f"looks for: {server.selector}"] if server.selector is not None else []
    lines += [f"rewrites: {rewrite_words(rewrite)}" for rewrite in server.rewrites]
    lines += ["answers bear the client's own model name"] if server.restore_model else []
    lines += [f"sets the header {name}: {value}" for name, value in server.headers.items()]
    lines.append(f"timeouts: {wording.timeouts(server.timeouts)}")
    lines.append(f"retries: {wording.retries(server.retries)}; budget: {percent(server.retry_budget)}")
    lines += [f"rate limit: {server.rate_limit}"] if server.rate_limit is not None else []
    lines += [f"priority of {name}: {priority}" for name, priority in server.objectives.items()]
    lines += [f"prefill and decode apart: {server.disaggregation}"] if server.disaggregation is not None else []
    lines += [f"TLS: {server.tls}"] if server.tls is not None else []
    lines += [f"engines are shown {server.credential}"] if server.credential is not None else []
    lines += _access_lines(server)
    return lines


def _access_lines(server: ServerDescription) -> list[str]:
    lines = [f"callers show {server.auth}"] if server.auth is not None else []
    lines += [f"limit: {words}" for words in server.limits]
    lines += [f"at once: {server.queueing}"] if server.queueing is not None else []
    return lines + ([f"listens on {server.listener}"] if server.listener is not None else [])


def _endpoint_words(server: ServerDescription) -> list[str]:
    return [
        endpoint.address
        + (f" (weight {endpoint.weight})" if endpoint.weight != 1 else "")
        + (f" (at most {endpoint.max_in_flight:,} at once)" if endpoint.max_in_flight is not None else "")
        + (f" [{wording.labels(endpoint.labels.items())}]" if endpoint.labels else "")
        for endpoint in server.endpoints
    ]


def _at(origin: Origin) -> str:
    place = place_of(origin)
    return f" at {place}" if place else ""
