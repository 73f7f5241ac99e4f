"""HTTPRoute of the Gateway API: hosts and matches that lead to pools."""

import re
from dataclasses import dataclass
from typing import NamedTuple

from proxy.config.assembly import Assembly
from proxy.config.codes import Code
from proxy.config.inference.http_route_matches import EVERYTHING, HttpMatch, in_order, read_http_match
from proxy.config.inference.pool import PREFIX
from proxy.config.kubernetes.resources import MODEL_GROUPS, POOL_GROUP, POOL_GROUPS, Resource
from proxy.config.kubernetes.values import declare, go_duration, read_referral
from proxy.config.match_spec import Condition, HeaderCondition, Match, Regex
from proxy.config.problems import Problems
from proxy.config.spec import Retries, Route, Rule, Target, Timeouts
from proxy.config.text.nodes import ListNode, Node, ScalarNode, described, quoted
from proxy.config.values.fields import Fields, fields_of
from proxy.config.values.kinds import listed, mismatch, name, text, whole
from proxy.config.values.policies import MOST_RETRIES

_HEAVIEST = 1_000_000
# https://gateway-api.sigs.k8s.io/reference/spec/#hostname: lower-case, with a wildcard as its first label or none.
_HOSTNAME = re.compile(r"(\*\.)?([a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*)")
_LONGEST_HOSTNAME = 253


class _Reading(NamedTuple):
    """What every part of a resource is read with."""

    resource: Resource
    assembly: Assembly

    @property
    def problems(self) -> Problems:
        return self.assembly.problems


@dataclass(frozen=True, slots=True)
class _Found:
    """A rule as read, with its matches still apart."""

    rule: Rule
    matches: tuple[HttpMatch, ...]


def read_http_route(resource: Resource, assembly: Assembly) -> None:
    """Add an HTTPRoute to the assembly, whichever Gateway it is attached to.

    Within it the most specific match is asked first, as the Gateway API has it; among several HTTPRoutes the older one.
    """
    key = f"http/{resource.key}"
    declare("route", key, resource, assembly)
    if resource.spec is None:
        return
    before = assembly.problems.errors
    reading = _Reading(resource, assembly)
    with Fields(resource.spec, assembly.problems, strict=False) as fields:
        for ignored in ("parentRefs", "useDefaultGateways"):
            fields.node_of(ignored)
        host = _host_condition(fields.get("hostnames", listed(_hostname), ()))
        found = _read_rules(fields, reading)
    sound = assembly.problems.errors == before
    rules = tuple(_ordered(found, host))
    if rules:
        route = Route(key, rules, kind=resource.kind, origin=resource.place.origin())
        assembly.add_route(route, sound=sound, age=resource.age)
    elif sound:
        message = "without effect: none of its rules leads to a pool"
        assembly.problems.warning(resource.place, Code.WITHOUT_EFFECT, message)


def _ordered(found: list[_Found], host: tuple[Condition, ...]) -> list[Rule]:
    """The rules by their matches' precedence; one whose matches are not neighbours is several."""
    rules: list[Rule] = []
    parts: dict[str, int] = {}
    for number, matches in in_order(one.matches for one in found):
        rule = found[number].rule
        part = parts[rule.name] = parts.get(rule.name, 0) + 1
        alternatives = [(*host, *conditions) for match in matches for conditions in match.alternatives]
        rules.append(
            Rule(
                name=rule.name if part == 1 else f"{rule.name}/{part}",
                targets=rule.targets,
                # One that asks for nothing makes the whole any-of hold.
                matches=tuple(Match(conditions) for conditions in alternatives) if all(alternatives) else (),
                timeouts=rule.timeouts,
                retries=rule.retries,
                origin=rule.origin,
            )
        )
    return rules


# --- hosts ------------------------------------------------------------------------------------------------------------


def _hostname(node: Node, problems: Problems) -> str | None:
    """A pattern for a host: the name itself, or with a wildcard any name below it."""
    written = text(node, problems)
    found = None if written is None else _HOSTNAME.fullmatch(written.lower())
    if found is not None and len(found[0]) <= _LONGEST_HOSTNAME:
        return ("[^:]+[.]" if found[1] else "") + re.escape(found[2])
    if written is not None:
        message = f"expected a host such as example.com or *.example.com, found {described(node)}"
        problems.error(node.place, Code.BAD_VALUE, message)
    return None


def _host_condition(patterns: tuple[str, ...]) -> tuple[Condition, ...]:
    """A request is for any of these hosts, whatever the port; for all hosts where none is named."""
    if not patterns:
        return ()
    return (HeaderCondition("host", Regex(f"(?i)^(?:{'|'.join(patterns)})(?::[0-9]*)?$")),)


# --- rules ------------------------------------------------------------------------------------------------------------


def _read_rules(fields: Fields, reading: _Reading) -> list[_Found]:
    node = fields.filled("rules")
    if node is None:
        return []
    if not isinstance(node, ListNode):
        mismatch(node, reading.problems, "a list of rules")
        return []
    found: list[_Found] = []
    names: set[str] = set()
    for number, item in enumerate(node.items, 1):
        one = _read_rule(item, f"rule-{number}", reading)
        if one is None:
            continue
        if one.rule.name in names:
            message = "another rule of this route has the same name"
            reading.problems.error(one.rule.origin, Code.DUPLICATE_NAME, message)
        names.add(one.rule.name)
        if one.rule.targets:
            found.append(one)
    return found


def _read_rule(node: Node, default_name: str, reading: _Reading) -> _Found | None:
    """A rule; without targets where none of its backends is served here (which has then been told)."""
    problems = reading.problems
    before = problems.errors
    fields = fields_of(node, problems, "a rule: a mapping with matches and backendRefs", strict=False)
    if fields is None:
        return None
    with fields:
        matches = fields.get("matches", listed(read_http_match))
        for ignored in ("filters", "sessionPersistence"):
            _tell_ignored(fields, ignored)
        rule = Rule(
            name=fields.get("name", name, default_name),
            targets=_read_backends(fields, reading),
            timeouts=fields.get("timeouts", _read_timeouts, Timeouts()),
            retries=fields.get("retry", _read_retry),
            origin=fields.place.origin(),
        )
    if not rule.targets and problems.errors == before:
        message = "this rule is left out, as nothing that it leads to is served here: other rules may take its requests"
        problems.warning(fields.place, Code.WITHOUT_EFFECT, message)
    return _Found(rule, matches or (EVERYTHING,))


def _tell_ignored(fields: Fields, section: str) -> None:
    node = fields.filled(section)
    if node is not None and not (isinstance(node, ListNode) and not node.items):
        fields.problems.warning(node.place, Code.WITHOUT_EFFECT, f"{section} of an HTTPRoute have no effect here")


def _read_timeouts(node: Node, problems: Problems) -> Timeouts | None:
    """`request` limits the whole; `backendRequest` limits the wait for each try's answer. 0 sets no limit."""
    fields = fields_of(node, problems, "a mapping with request and backendRequest", strict=False)
    if fields is None:
        return None
    with fields:
        total = fields.get("request", go_duration) or None
        single = fields.get("backendRequest", go_duration) or None
        written = fields.filled("backendRequest")
    if total is not None and single is not None and single > total and written is not None:
        problems.error(written.place, Code.BAD_VALUE, "backendRequest is longer than request, of which it is a part")
    return Timeouts(first_byte=single, total=total)


def _read_retry(node: Node, problems: Problems) -> Retries | None:
    default = Retries()
    fields = fields_of(node, problems, "a mapping with codes, attempts and backoff", strict=False)
    if fields is None:
        return None
    with fields:
        codes = fields.get("codes", listed(whole(400, 599)))
        return Retries(
            attempts=fields.get("attempts", whole(0, MOST_RETRIES), default.attempts),
            statuses=default.statuses if codes is None else frozenset(codes),
            backoff=fields.get("backoff", go_duration, default.backoff),
        )


# --- backends ---------------------------------------------------------------------------------------------------------


def _read_backends(fields: Fields, reading: _Reading) -> tuple[Target, ...]:
    node = fields.filled("backendRefs")
    if node is None:
        return ()
    if not isinstance(node, ListNode):
        mismatch(node, reading.problems, "a list of references to pools")
        return ()
    found = [_read_backend(item, reading) for item in node.items]
    targets = tuple(target for target in found if target is not None)
    if targets and not any(target.weight for target in targets):
        message = "all weights are 0, so none of these is ever chosen"
        reading.problems.warning(node.place, Code.NO_WEIGHT, message)
        return ()
    return targets


def _read_backend(node: Node, reading: _Reading) -> Target | None:
    """A pool or a model server; None where it is anything else (which has then been told)."""
    fields = fields_of(node, reading.problems, "a mapping with group, kind and name", strict=False)
    if fields is None:
        return None
    with fields:
        group = fields.get("group", text, "")
        kind = fields.get("kind", text, "Service")
        referral = read_referral(fields, reading.resource.namespace)
        weight = fields.get("weight", whole(0, _HEAVIEST), 1)
        fields.node_of("port")
        _tell_ignored(fields, "filters")
    if referral is None:
        return None
    if kind == "InferencePool" and group in POOL_GROUPS:
        return Target(referral.follow("InferencePool", PREFIX, reading.assembly), weight)
    if kind == "ModelServer" and group in MODEL_GROUPS:
        return Target(referral.follow("ModelServer", "", reading.assembly), weight)
    _tell_foreign(fields, kind, reading.problems)
    return None


def _tell_foreign(fields: Fields, kind: str, problems: Problems) -> None:
    """A backend of another kind, or one of our kinds under another group."""
    written = fields.filled("group") or fields.filled("kind") or fields.node
    advice = POOL_GROUP if kind == "InferencePool" else None
    ours = {"InferencePool": "an InferencePool", "ModelServer": "a ModelServer"}
    if kind in ours:
        group = fields.filled("group")
        of_group = f"of the group {quoted(group)}" if isinstance(group, ScalarNode) else "without its group"
        said = f"{ours[kind]} {of_group}"
    else:
        node = fields.filled("kind")
        said = f"the kind {quoted(node)}" if isinstance(node, ScalarNode) else "a Service"
    message = f"left out: {said} is not served here, only an InferencePool or a ModelServer is"
    problems.warning(written.place, Code.WITHOUT_EFFECT, message, advice)
