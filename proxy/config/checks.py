"""What works, but probably not as meant: servers nobody asks, rules never reached, weights that decide nothing."""

from collections.abc import Iterable, Iterator
from itertools import combinations

from proxy.config.assembly import Assembly, where
from proxy.config.codes import Code
from proxy.config.match_spec import Condition
from proxy.config.problems import Problems
from proxy.config.spec import ModelServer, Origin, Rewrite, Route, Rule, Target

# A match with more conditions than this is compared with earlier ones that ask the same, or for one thing alone.
_MOST_CONDITIONS = 6
# The kinds of routes whose readers leave it to this module to tell of a weight that decides nothing.
_WEIGHED = frozenset({"route", "HTTPRoute"})

# --- servers ----------------------------------------------------------------------------------------------------------


def check_use(assembly: Assembly) -> None:
    """Tell of servers that no route leads to."""
    # Rewrites and objectives refer to a pool, too, but lead nobody to it.
    used = {reference.server for reference in assembly.references if reference.server not in assembly.pools}
    used.update(target.server for found in assembly.routes for target in _targets(found.route))
    for name, place in assembly.server_places.items():
        if name not in used:
            said = assembly.problems.said(name)
            assembly.problems.hint(place, Code.UNUSED_SERVER, f"no route leads to the server {said}")


def _targets(route: Route) -> Iterator[Target]:
    for rule in route.rules:
        yield from rule.targets
        yield from rule.fallback
        if rule.shadow is not None:
            yield rule.shadow.target
    yield from route.fallback


# --- listeners --------------------------------------------------------------------------------------------------------


def check_listeners(servers: Iterable[ModelServer], problems: Problems) -> None:
    """Tell of servers that share a port which is to speak TLS for one of them and plain HTTP for another."""
    first: dict[int, ModelServer] = {}
    for server in servers:
        if server.listener is None:
            continue
        port = server.listener.port
        other = first.setdefault(port, server)
        if other.listener is not None and (other.listener.tls_secret is None) != (server.listener.tls_secret is None):
            has, lacks = ("it", "this one") if server.listener.tls_secret is None else ("this one", "it")
            message = (
                f"port {port} is also that of the server at {where(other.origin)}: {has} has a TLS secret and {lacks} "
                "has none, and a port speaks TLS with all or with nobody"
            )
            problems.error(server.origin, Code.TLS_CONFLICT, message)


# --- rules ------------------------------------------------------------------------------------------------------------


def takes_everything(rule: Rule) -> bool:
    """Whether a rule holds for every request."""
    return not rule.matches or any(not match.conditions for match in rule.matches)


def check_rules(route: Route, problems: Problems) -> None:
    """Tell of rules that an earlier one of the same route leaves nothing to, and of weights that decide nothing."""
    seen: dict[frozenset[Condition], Rule] = {}
    everything: Rule | None = None
    for rule in route.rules:
        if not rule.enabled:
            continue
        matches = [frozenset(match.conditions) for match in rule.matches]
        if everything is not None:
            earlier = where(everything.origin)
            message = f"never reached: the rule at {earlier} has no match, so it takes every request"
            problems.warning(rule.origin, Code.UNREACHABLE_RULE, message)
        elif takes_everything(rule):
            everything = rule
        else:
            _tell_taken(rule, [_taker(match, seen) for match in matches], problems)
        for match in matches:
            seen.setdefault(match, rule)
        if route.kind in _WEIGHED:
            _check_weights(rule, problems)


def _taker(match: frozenset[Condition], seen: dict[frozenset[Condition], Rule]) -> Rule | None:
    """The earlier rule that asks for no more than this match, and so takes all that it would."""
    if (same := seen.get(match)) is not None:
        return same
    most = len(match) if len(match) <= _MOST_CONDITIONS else 2
    parts = (frozenset(part) for size in range(1, most) for part in combinations(match, size))
    return next((seen[part] for part in parts if part in seen), None)


def _tell_taken(rule: Rule, takers: list[Rule | None], problems: Problems) -> None:
    first = takers[0]
    if first is not None and None not in takers:
        message = (
            f"never reached: all that it matches is taken by rules before it, such as the one at {where(first.origin)}"
        )
        problems.warning(rule.origin, Code.UNREACHABLE_RULE, message)


def _check_weights(rule: Rule, problems: Problems) -> None:
    """A lone target's weight decides nothing. 1 and 100 do not claim to: one is what a target has without a weight,
    the other is the whole, to those who think in percentages."""
    if len(rule.targets) == 1 and rule.targets[0].weight not in {1, 100}:
        message = "its target's weight has no effect: this rule has no other target"
        problems.hint(rule.origin, Code.WITHOUT_EFFECT, message)


# --- routes -----------------------------------------------------------------------------------------------------------

# A model or an adapter that a route names, by kind and name; ("", "") is whatever has no route by name.
_Subject = tuple[str, str]
_ANYTHING: _Subject = ("", "")


def check_reach(routes: Iterable[Route], problems: Problems) -> None:
    """Tell of routes, in the order in which they are asked, that others leave no model and no adapter."""
    asked = list(routes)
    models = _whole_models(asked)
    taken: dict[_Subject, Origin] = {}
    for route in asked:
        if not any(rule.enabled for rule in route.rules):
            continue
        subjects = _subjects(route)
        takers = [taken.get(subject) or _taker_of_adapter(subject, models) for subject in subjects]
        known = [taker for taker in takers if taker is not None]
        if known:
            _tell_reach(route, subjects, known, problems)
        if _is_whole(route):
            for subject in subjects:
                taken.setdefault(subject, route.origin)


def _subjects(route: Route) -> list[_Subject]:
    names = [("model", model) for model in route.models] + [("adapter", adapter) for adapter in route.adapters]
    return names or [_ANYTHING]


def _is_whole(route: Route) -> bool:
    """Whether a route takes all requests for what it names."""
    return any(rule.enabled and takes_everything(rule) for rule in route.rules)


def _whole_models(routes: list[Route]) -> dict[str, Origin]:
    """The models that a route takes whole: it is asked before all that know the name as an adapter."""
    found: dict[str, Origin] = {}
    for route in routes:
        if _is_whole(route):
            for model in route.models:
                found.setdefault(model, route.origin)
    return found


def _taker_of_adapter(subject: _Subject, models: dict[str, Origin]) -> Origin | None:
    return models.get(subject[1]) if subject[0] == "adapter" else None


def _tell_reach(route: Route, subjects: list[_Subject], takers: list[Origin], problems: Problems) -> None:
    such_as = f"routes before it, such as the one at {where(takers[0])}"
    if len(takers) < len(subjects):
        message = f"{len(takers)} of the {len(subjects)} models and adapters that it names are taken by {such_as}"
        problems.hint(route.origin, Code.UNREACHABLE_ROUTE, message)
        return
    what = "everything without a route by model" if subjects == [_ANYTHING] else "every model and adapter that it names"
    problems.warning(route.origin, Code.UNREACHABLE_ROUTE, f"never reached: {what} is taken by {such_as}")


# --- rewrites ---------------------------------------------------------------------------------------------------------


def check_rewrites(rewrites: tuple[Rewrite, ...], problems: Problems) -> None:
    """Of two rewrites of one name the first alone is ever used; so it is with those that take every name."""
    first: dict[str | None, Rewrite] = {}
    for rewrite in rewrites:
        models: tuple[str | None, ...] = rewrite.models or (None,)
        taken = [model for model in models if first.setdefault(model, rewrite) is not rewrite]
        if not taken:
            continue
        earlier = where(first[taken[0]].origin)
        if len(taken) < len(models):
            said = problems.said(taken[0] or "")
            message = f"of its models, {said} is rewritten by the rule at {earlier}, which comes before it"
            problems.hint(rewrite.origin, Code.UNREACHABLE_RULE, message)
            continue
        what = "every model without a rule of its own is" if taken == [None] else "its models are"
        message = f"never used: {what} rewritten by rules that come before it, such as the one at {earlier}"
        problems.warning(rewrite.origin, Code.UNREACHABLE_RULE, message)
