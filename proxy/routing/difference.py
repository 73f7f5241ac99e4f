"""What differs between two configurations. Parts are the same by their names, wherever they stand in files."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.config.spec import Config, ModelServer, Rewrite, Route, Rule, Target
from proxy.routing.changes import (
    Action,
    Change,
    Part,
    change,
    field_changes,
    keyed_changes,
    moved,
    said,
    target_words,
    when,
)
from proxy.routing.wording import counted, header_value, listed, percent, shares


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes: of servers, then of routes with their rules."""

    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def count(self, action: Action) -> int:
        """How many parts were added, removed, changed or moved."""
        return sum(found.action is action for found in self.changes)


def compare(old: Config, new: Config) -> Difference:
    """What has to change for the old configuration to become the new one.

    An inventory shows in the endpoints of the servers that choose from it, and is not compared by itself.
    """
    return Difference((*_servers(old, new), *_routes(old, new)))


# --- servers ----------------------------------------------------------------------------------------------------------


def _servers(old: Config, new: Config) -> list[Change]:
    changes = [Change(Action.REMOVED, Part.SERVER, name) for name in old.servers if name not in new.servers]
    for name, server in new.servers.items():
        known = old.servers.get(name)
        if known is None:
            changes.append(Change(Action.ADDED, Part.SERVER, name, details=(_server_words(server),)))
        elif details := _server_details(known, server):
            changes.append(Change(Action.CHANGED, Part.SERVER, name, details=tuple(details)))
    return changes


def _server_words(server: ModelServer) -> str:
    endpoints = listed([endpoint.address for endpoint in server.endpoints], "no endpoints")
    model = "" if server.model is None else f", model {server.model}"
    return f"{server.engine.value}{model}, {endpoints}"


def _server_details(old: ModelServer, new: ModelServer) -> list[str]:
    return [
        *_endpoints(old, new),
        *_headers(old, new),
        *_rewrites(old.rewrites, new.rewrites),
        *keyed_changes(
            "objective",
            {objective.name: f"priority {objective.priority}" for objective in old.objectives},
            {objective.name: f"priority {objective.priority}" for objective in new.objectives},
        ),
        *field_changes(old, new, ("name", "endpoints", "headers", "rewrites", "objectives")),
    ]


def _endpoints(old: ModelServer, new: ModelServer) -> list[str]:
    before = {endpoint.address: endpoint for endpoint in old.endpoints}
    after = {endpoint.address: endpoint for endpoint in new.endpoints}
    changes = keyed_changes("endpoint", dict.fromkeys(before, ""), dict.fromkeys(after, ""))
    for address in [address for address in after if address in before]:
        changes += [f"endpoint {address}: {detail}" for detail in field_changes(before[address], after[address], ())]
    return changes


def _headers(old: ModelServer, new: ModelServer) -> list[str]:
    before, after = dict(old.headers), dict(new.headers)
    hidden = [
        name
        for name in after
        if before.get(name, after[name]) != after[name] and header_value(name, "") == header_value(name, after[name])
    ]
    changes = keyed_changes(
        "header",
        {name: header_value(name, value) for name, value in old.headers},
        {name: header_value(name, value) for name, value in new.headers},
    )
    return changes + [change(f"header {name}", after[name], after[name]) for name in hidden]


def _rewrites(old: tuple[Rewrite, ...], new: tuple[Rewrite, ...]) -> list[str]:
    before, after = _rewrite_words(old), _rewrite_words(new)
    changes = keyed_changes("rewrite of", before, after)
    if not changes and [_plain(rewrite) for rewrite in old] != [_plain(rewrite) for rewrite in new]:
        changes.append("rewrites: in another order, or under other names")
    return changes


def _rewrite_words(rewrites: Iterable[Rewrite]) -> dict[str, str]:
    """What each name is rewritten to, by the first rewrite that takes it."""
    found: dict[str, str] = {}
    for rewrite in rewrites:
        weights = shares([target.weight for target in rewrite.targets])
        parts = [f"{target.model} {percent(share)}" for target, share in zip(rewrite.targets, weights, strict=True)]
        for model in rewrite.models or ("any other model",):
            found.setdefault(model, listed(parts))
    return found


def _plain(rewrite: Rewrite) -> tuple[object, ...]:
    return rewrite.name, rewrite.models, rewrite.targets


# --- routes -----------------------------------------------------------------------------------------------------------


def _routes(old: Config, new: Config) -> list[Change]:
    before = {route.name: route for route in old.routes}
    after = {route.name: route for route in new.routes}
    changes = [Change(Action.REMOVED, Part.ROUTE, name) for name in before if name not in after]
    for name, route in after.items():
        if name in before:
            changes += _route(before[name], route)
        else:
            changes.append(Change(Action.ADDED, Part.ROUTE, name, details=(_route_words(route),)))
    places = moved(list(before), list(after))
    return changes + [Change(Action.MOVED, Part.ROUTE, name, details=(_after(other),)) for name, other in places]


def _after(other: str | None) -> str:
    return "now before all others" if other is None else f"now behind {other}"


def _route_words(route: Route) -> str:
    names = [*route.models, *(f"adapter {adapter}" for adapter in route.adapters)]
    rules = counted(len(route.rules), "rule")
    return f"for {listed(names, 'requests of any model')}, {rules} to {listed(_servers_of(route), 'no server')}"


def _servers_of(route: Route) -> list[str]:
    targets = [target for rule in route.rules for target in rule.targets + rule.fallback]
    return list(dict.fromkeys(target.server for target in [*targets, *route.fallback]))


def _route(old: Route, new: Route) -> list[Change]:
    details = [
        *keyed_changes("model", dict.fromkeys(old.models, ""), dict.fromkeys(new.models, "")),
        *keyed_changes("adapter", dict.fromkeys(old.adapters, ""), dict.fromkeys(new.adapters, "")),
        *field_changes(old, new, ("name", "models", "adapters", "rules")),
    ]
    own = [Change(Action.CHANGED, Part.ROUTE, new.name, details=tuple(details))] if details else []
    return own + _rules(old, new)


def _rules(old: Route, new: Route) -> list[Change]:
    before = {rule.name: rule for rule in old.rules}
    after = {rule.name: rule for rule in new.rules}
    changes = [Change(Action.REMOVED, Part.RULE, name, new.name) for name in before if name not in after]
    for name, rule in after.items():
        if name not in before:
            words = f"{when(rule.matches)} → {listed(_target_shares(rule.targets))}"
            changes.append(Change(Action.ADDED, Part.RULE, name, new.name, (words,)))
        elif details := _rule_details(before[name], rule):
            changes.append(Change(Action.CHANGED, Part.RULE, name, new.name, tuple(details)))
    places = moved(list(before), list(after))
    return changes + [Change(Action.MOVED, Part.RULE, name, new.name, (_after(other),)) for name, other in places]


def _target_shares(targets: tuple[Target, ...]) -> list[str]:
    parts = zip(targets, shares([target.weight for target in targets]), strict=True)
    return [f"{target_words(target)} {percent(share)}" if len(targets) > 1 else said(target) for target, share in parts]


def _rule_details(old: Rule, new: Rule) -> list[str]:
    details = []
    if old.matches != new.matches:
        details.append(_conditions(old, new))
    details += _targets(old.targets, new.targets)
    if old.enabled != new.enabled:
        details.append("turned on" if new.enabled else "turned off")
    return details + field_changes(old, new, ("name", "matches", "targets", "enabled"))


def _conditions(old: Rule, new: Rule) -> str:
    before, after = when(old.matches), when(new.matches)
    return change("when", old.matches, old.matches) if before == after else f"when {before} → {after}"


def _targets(old: tuple[Target, ...], new: tuple[Target, ...]) -> list[str]:
    """Shares first; then what else of a target differs."""
    before, after = _by_key(old), _by_key(new)
    share = dict(zip(before, shares([target.weight for target in before.values()]), strict=True))
    told = dict(zip(after, shares([target.weight for target in after.values()]), strict=True))
    details = [f"{key} removed (it had {percent(share[key])})" for key in before if key not in after]
    for key, target in after.items():
        known = before.get(key)
        if known is None:
            details.append(f"{target_words(target)} added ({percent(told[key])})")
            continue
        if share[key] != told[key]:
            details.append(f"{key} {percent(share[key])} → {percent(told[key])}")
        elif known.weight != target.weight:
            details.append(f"{key}: weight {known.weight} → {target.weight}, its share stays")
        details += [f"{key}: {detail}" for detail in field_changes(known, target, ("server", "weight"))]
    if not details and list(before) != list(after):
        details.append(f"targets in another order: {', '.join(after)}")
    return details


def _by_key(targets: tuple[Target, ...]) -> dict[str, Target]:
    """Targets by their server's name, with the model where a server stands more than once; then by their number."""
    count = Counter(target.server for target in targets)
    found: dict[str, Target] = {}
    for target in targets:
        key = target.server if count[target.server] == 1 else f"{target.server} (model {target.model or 'as asked'})"
        number = 2
        unique = key
        while unique in found:
            unique, number = f"{key} #{number}", number + 1
        found[unique] = target
    return found
