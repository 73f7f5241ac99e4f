"""Why a request goes where it goes: the rules that were tried, in order, and what each one failed on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from proxy.config.match_spec import (
    Absent,
    BodyCondition,
    Condition,
    Contains,
    Exact,
    FieldCondition,
    HeaderCondition,
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
from proxy.operators import Operator, find
from proxy.routing.facts import RequestFacts
from proxy.routing.matching import compile_condition
from proxy.routing.table import RoutingTable, Step
from proxy.routing.wording import NOT_SHOWN, holds_credential, shown_value

ALWAYS = "holds always"


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition of a match, and whether it holds. `found` is what the request has in its place, if that is shown:
    "'free'", "absent"."""

    condition: str
    holds: bool
    found: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule that was tried. `reason` says in words what held or failed, `matches` holds each match's conditions."""

    route: str
    rule: str
    holds: bool
    reason: str
    matches: tuple[tuple[Finding, ...], ...] = ()


def why(table: RoutingTable, facts: RequestFacts, *, values: bool = False) -> list[Verdict]:
    """Every rule tried for this request, the one that answers last. None of them holds where `lookup` finds nothing.

    With `values` each condition tells the value that the request has. That is for tools that are asked by whoever made
    the request: what a log or a client may see never shows one.
    """
    return [verdict for _, verdict in trace(table, facts, values=values)]


def trace(table: RoutingTable, facts: RequestFacts, *, values: bool = False) -> Iterator[tuple[Step, Verdict]]:
    """The same, each verdict with the step that it is about."""
    for step in table.walk(facts.model):
        holds = step.predicate is None or step.predicate(facts)
        yield step, _verdict(step, facts, holds=holds, values=values)
        if holds:
            return


def _verdict(step: Step, facts: RequestFacts, *, holds: bool, values: bool) -> Verdict:
    route, rule = step.match.route, step.match.rule
    if step.predicate is None:
        return Verdict(route, rule, holds, ALWAYS)
    matches = tuple(
        tuple(_finding(condition, facts, values=values) for condition in match.conditions)
        for match in step.rule.matches
    )
    return Verdict(route, rule, holds, _reason(matches), matches)


def _finding(condition: Condition, facts: RequestFacts, *, values: bool) -> Finding:
    holds = compile_condition(condition)(facts)
    return Finding(describe(condition), holds, found_value(condition, facts) if values else None)


def _reason(matches: tuple[tuple[Finding, ...], ...]) -> str:
    """All conditions of the match that holds, or the first failed condition of each."""
    failed = []
    for findings in matches:
        failure = next((finding for finding in findings if not finding.holds), None)
        if failure is None:
            return " and ".join(finding.condition for finding in findings)
        found = "" if failure.found is None else f" (it is {failure.found})"
        failed.append(f"not: {failure.condition}{found}")
    return "; ".join(failed)


# --- what a request has in a condition's place ------------------------------------------------------------------------


def found_value(condition: Condition, facts: RequestFacts) -> str:
    """What the request has where the condition looks, cut; credentials are not shown."""
    match condition:
        case MethodCondition():
            return facts.method if facts.method.isalnum() else shown_value(facts.method)
        case PathCondition():
            return shown_value(facts.path)
        case HeaderCondition(name, _):
            return _text_or_absent(facts.header(name), hidden=holds_credential(name))
        case QueryCondition(name, _):
            return _text_or_absent(facts.query(name), hidden=False)
        case BodyCondition(keys, _):
            return _body_value(keys, facts)
        case FieldCondition(field, _, _):
            first, *rest = field.split(".")
            return _any_value(find(facts.data(first), tuple(rest)), hidden=_is_secret(field))
        case _:
            assert_never(condition)


def _text_or_absent(value: str | None, *, hidden: bool) -> str:
    if value is None:
        return "absent"
    return NOT_SHOWN if hidden else shown_value(value)


def _body_value(keys: tuple[str, ...], facts: RequestFacts) -> str:
    """A scalar as it is compared; of what is none, only its kind."""
    text = facts.field(keys)
    if text is not None:
        return shown_value(text)
    value = find(facts.data(keys[0]), keys[1:])
    return _any_value(value, hidden=False) if isinstance(value, dict | list) else "absent"


def _any_value(value: object, *, hidden: bool) -> str:
    if value is None:
        return "absent"
    if isinstance(value, dict):
        return "an object"
    return NOT_SHOWN if hidden else shown_value(value)


def _is_secret(field: str) -> bool:
    return field.startswith("request.headers.") and holds_credential(field.removeprefix("request.headers."))


# --- conditions in words ----------------------------------------------------------------------------------------------


def describe(condition: Condition) -> str:
    """A condition in words: `header user-type is 'premium'`. What a credential is compared with is not shown."""
    match condition:
        case MethodCondition(methods):
            return f"method is {' or '.join(sorted(methods))}"
        case PathCondition(test):
            return f"path {_describe_test(test)}"
        case HeaderCondition(name, test):
            return f"header {name} {_describe_test(test, hidden=holds_credential(name))}"
        case QueryCondition(name, test):
            return f"query parameter {name} {_describe_test(test)}"
        case BodyCondition(keys, test):
            return f"body field {'.'.join(keys)} {_describe_test(test)}"
        case FieldCondition(field, operator, value):
            return f"{field} {_describe_operator(operator, NOT_SHOWN if _is_secret(field) else value)}"
        case _:
            assert_never(condition)


def _describe_test(test: ValueTest, *, hidden: bool = False) -> str:
    match test:
        case Exact(value):
            return f"is {_said(value, hidden=hidden)}"
        case Prefix(value):
            return f"begins with {_said(value, hidden=hidden)}"
        case Suffix(value):
            return f"ends with {_said(value, hidden=hidden)}"
        case Contains(value):
            return f"contains {_said(value, hidden=hidden)}"
        case Regex(pattern):
            return f"matches {_said(pattern, hidden=hidden)}"
        case Present():
            return "is present"
        case Absent():
            return "is absent"
        case OrAbsent(inner):
            return f"is absent or {_describe_test(inner, hidden=hidden)}"
        case _:
            assert_never(test)


def _said(value: str, *, hidden: bool) -> str:
    return NOT_SHOWN if hidden else repr(value)


def _describe_operator(operator: Operator, value: str) -> str:
    words = operator.value.replace("_", " ")
    return words if operator in {Operator.EXISTS, Operator.NOT_EXISTS} else f"{words} {value}"
