"""ModelRoute as MatrixInfer documents it: routes in order, those with the same match as one weighted group."""

from collections.abc import Iterable
from dataclasses import dataclass

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.kthena.documented_canary import WITHOUT_WEIGHT, check_canary, read_canary, with_canary
from proxy.config.kubernetes.resources import Resource
from proxy.config.kubernetes.values import go_duration, read_referral
from proxy.config.match_spec import Condition, Exact, HeaderCondition, Match, PathCondition, Prefix, QueryCondition
from proxy.config.problems import Problems
from proxy.config.spec import Retries, Route, Rule, Target, Timeouts
from proxy.config.text.nodes import ListNode, MappingNode, Node, Place, ScalarNode, shown
from proxy.config.values.conditions import read_path_test
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.headers import is_header_name
from proxy.config.values.kinds import Kind, mismatch, text_map, whole
from proxy.config.values.policies import MOST_RETRIES


@dataclass(frozen=True, slots=True)
class _Entry:
    """One of a resource's routes. What could not be read is None, and it is not sound; `number` counts from 1."""

    number: int
    place: Place
    match: Match | None
    target: Target | None
    weighted: Place | None
    sound: bool


def read_documented_route(resource: Resource, spec: MappingNode, assembly: Assembly) -> Route:
    """The route that a resource describes, whose routes become its rules."""
    problems = assembly.problems
    with Fields(spec, problems, strict=False) as fields:
        read = _read_entries(fields, resource, assembly)
        fallback = fields.get("fallback", _destination(resource, assembly))
        canary = fields.get("canary", read_canary)
    entries = read or []
    groups = _grouped(entries)
    rules = [_rule(group) for group in groups]
    if canary is not None and canary.enabled:
        if read is not None and all(entry.match is not None and entry.target is not None for entry in entries):
            check_canary(canary, rules, problems)
        rules = with_canary(rules, canary)
    if all(entry.match is not None for entry in entries):
        # Otherwise what belongs together is not known.
        _check(groups, rules, problems)
    return Route(
        name=resource.key,
        rules=tuple(rules),
        fallback=() if fallback is None else (Target(fallback),),
        kind=resource.kind,
        origin=resource.place.origin(),
    )


def _read_entries(fields: Fields, resource: Resource, assembly: Assembly) -> list[_Entry] | None:
    """All routes as they stand; None where there is no list of them."""
    # A fallback alone takes all that nothing else takes.
    node = fields.filled("routes") if fields.filled("fallback") is not None else fields.required("routes")
    if node is None:
        return None
    if not isinstance(node, ListNode):
        mismatch(node, fields.problems, "a list of routes")
        return None
    return [_read_entry(item, number, resource, assembly) for number, item in enumerate(node.items, 1)]


def _read_entry(node: Node, number: int, resource: Resource, assembly: Assembly) -> _Entry:
    before = assembly.problems.errors
    fields = fields_of(node, assembly.problems, "a route: a mapping with match and destination", strict=False)
    if fields is None:
        return _Entry(number, node.place, None, None, None, sound=False)
    with fields:
        match = fields.require("match", _read_match)
        server = fields.require("destination", _destination(resource, assembly))
        weight = fields.get("weight", whole(0, 100), WITHOUT_WEIGHT)
        seconds = fields.get("timeout", go_duration) or None
        retries = fields.get("retries", whole(0, MOST_RETRIES))
        written = fields.filled("weight")
    target = None
    if server is not None:
        tries = None if retries is None else Retries(attempts=retries)
        target = Target(server, weight, timeouts=Timeouts(first_byte=seconds, idle=seconds), retries=tries)
    sound = assembly.problems.errors == before
    return _Entry(number, node.place, match, target, None if written is None else written.place, sound)


def _destination(resource: Resource, assembly: Assembly) -> Kind[str]:
    """The key of the ModelServer that a mapping refers to."""

    def read(node: Node, problems: Problems) -> str | None:
        outer = fields_of(node, problems, "a mapping with modelServerRef", strict=False)
        if outer is None:
            return None
        with outer:
            reference = outer.required("modelServerRef")
        expected = "a mapping with name and namespace"
        inner = None if reference is None else fields_of(reference, problems, expected, strict=False)
        if inner is None:
            return None
        with inner:
            referral = read_referral(inner, resource.namespace)
        return None if referral is None else referral.follow("ModelServer", "", assembly)

    return read


# --- matches ----------------------------------------------------------------------------------------------------------


def _read_match(node: Node, problems: Problems) -> Match | None:
    """All of its conditions must hold; an empty one takes every request."""
    before = problems.errors
    fields = fields_of(node, problems, "a mapping with headers, queryParams and path", strict=False)
    if fields is None:
        return None
    with fields:
        conditions: list[Condition] = [*_headers(fields), *_parameters(fields), *_path(fields)]
    return Match(tuple(conditions)) if problems.errors == before else None


def _headers(fields: Fields) -> Iterable[Condition]:
    node = fields.filled("headers")
    for key, value in fields.get("headers", text_map) or ():
        if is_header_name(key):
            yield HeaderCondition(key.lower(), Exact(value))
        elif isinstance(node, MappingNode):
            message = f"{shown(key)} cannot be the name of a header"
            fields.problems.error(node.key_place(key), Code.BAD_VALUE, message)


def _parameters(fields: Fields) -> Iterable[Condition]:
    return [QueryCondition(key, Exact(value)) for key, value in fields.get("queryParams", text_map) or ()]


def _path(fields: Fields) -> Iterable[Condition]:
    node = fields.filled("path")
    if node is None:
        return
    if not isinstance(node, ScalarNode):
        mismatch(node, fields.problems, "a path, exact or with * at its end")
        return
    test = read_path_test(node, fields.problems)
    # Every path begins with nothing.
    if test is not None and test != Prefix(""):
        yield PathCondition(test)


# --- groups -----------------------------------------------------------------------------------------------------------


def _grouped(entries: list[_Entry]) -> list[list[_Entry]]:
    """Entries with the same match together, each group at the place of its first."""
    groups: dict[frozenset[Condition], list[_Entry]] = {}
    for entry in entries:
        if entry.match is not None:
            groups.setdefault(frozenset(entry.match.conditions), []).append(entry)
    return list(groups.values())


def _rule(group: list[_Entry]) -> Rule:
    first = group[0]
    return Rule(
        name=f"rule-{first.number}",
        targets=tuple(entry.target for entry in group if entry.target is not None),
        matches=(first.match,) if first.match is not None and first.match.conditions else (),
        origin=first.place.origin(),
    )


def _check(groups: list[list[_Entry]], rules: list[Rule], problems: Problems) -> None:
    """Tell of weights that mean nothing, or not what they seem to."""
    for group, rule in zip(groups, rules, strict=True):
        if all(entry.sound for entry in group):
            _check_weights(group, rule, problems)


def _check_weights(group: list[_Entry], rule: Rule, problems: Problems) -> None:
    if not any(target.weight for target in rule.targets):
        place = group[0].weighted or group[0].place
        problems.error(place, Code.NO_WEIGHT, "all weights are 0, so no target could ever be chosen")
    elif len(group) == 1:
        weighted = group[0].weighted
        if weighted is not None and rule.targets[0].weight != WITHOUT_WEIGHT:
            message = "this weight has no effect: no other route has the same match, so this one takes all of it"
            problems.hint(weighted, Code.WITHOUT_EFFECT, message)
    elif any(entry.weighted for entry in group):
        for entry in group:
            if entry.weighted is None:
                message = f"without a weight this route counts as {WITHOUT_WEIGHT} beside those with the same match"
                problems.hint(entry.place, Code.NO_WEIGHT, message)
