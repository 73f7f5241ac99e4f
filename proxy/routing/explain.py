"""Why a request goes where it goes: the rules that were tried, in order, and what each one failed on."""

from dataclasses import dataclass
from typing import assert_never

from proxy.config.spec import (
    Absent,
    BodyCondition,
    Condition,
    Contains,
    Exact,
    HeaderCondition,
    Match,
    MethodCondition,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    Regex,
    Suffix,
    ValueTest,
)
from proxy.routing.facts import RequestFacts
from proxy.routing.matching import compile_condition
from proxy.routing.table import RoutingTable


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule that was tried. `reason` says in words what held or failed; it never shows a value of the request."""

    route: str
    rule: str
    holds: bool
    reason: str


def why(table: RoutingTable, facts: RequestFacts) -> list[Verdict]:
    """Every rule tried for this request, the one that answers last. None of them holds where `lookup` finds nothing."""
    verdicts: list[Verdict] = []
    for step in table.walk(facts.model):
        holds = step.predicate is None or step.predicate(facts)
        reason = "holds always" if step.predicate is None else _reason(step.rule.matches, facts)
        verdicts.append(Verdict(step.match.route, step.match.rule, holds, reason))
        if holds:
            break
    return verdicts


def describe(condition: Condition) -> str:
    """A condition in words: `header user-type is 'premium'`."""
    match condition:
        case MethodCondition(methods):
            return f"method is {' or '.join(sorted(methods))}"
        case PathCondition(test):
            return f"path {_describe_test(test)}"
        case HeaderCondition(name, test):
            return f"header {name} {_describe_test(test)}"
        case QueryCondition(name, test):
            return f"query parameter {name} {_describe_test(test)}"
        case BodyCondition(keys, test):
            return f"body field {'.'.join(keys)} {_describe_test(test)}"
        case _:
            assert_never(condition)


def _reason(matches: tuple[Match, ...], facts: RequestFacts) -> str:
    """All conditions of the match that holds, or the first failed condition of each."""
    failed = []
    for match in matches:
        failure = _first_failure(match, facts)
        if failure is None:
            return " and ".join(map(describe, match.conditions))
        failed.append(f"not: {describe(failure)}")
    return "; ".join(failed)


def _first_failure(match: Match, facts: RequestFacts) -> Condition | None:
    return next((condition for condition in match.conditions if not compile_condition(condition)(facts)), None)


def _describe_test(test: ValueTest) -> str:
    match test:
        case Exact(value):
            return f"is {value!r}"
        case Prefix(value):
            return f"begins with {value!r}"
        case Suffix(value):
            return f"ends with {value!r}"
        case Contains(value):
            return f"contains {value!r}"
        case Regex(pattern):
            return f"matches {pattern!r}"
        case Present():
            return "is present"
        case Absent():
            return "is absent"
        case _:
            assert_never(test)
