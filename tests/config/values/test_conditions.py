"""What one value must be like is read by name, and each slip is told."""

import pytest

from proxy.config.match_spec import Absent, Exact, OrAbsent, PathCondition, Prefix, Present, Regex, ValueTest
from proxy.errors import Severity
from tests.config.native_documents import conditions, rule_problem, value_test


@pytest.mark.parametrize(
    ("written", "test"),
    [
        ("{exact: a, optional: true}", OrAbsent(Exact("a"))),
        ("{exact: a, optional: false}", Exact("a")),
        ("{regex: a, optional: true}", OrAbsent(Regex("a"))),
        ("{absent: true, optional: true}", OrAbsent(Absent())),
        ("{all: [{exact: a}]}", Exact("a")),
        ("{all: [{exact: a, optional: true}], optional: true}", OrAbsent(Exact("a"))),
        ("{all: [{all: [{present: true}]}], optional: true}", OrAbsent(Present())),
    ],
)
def test_a_test_may_also_hold_where_there_is_no_value(written: str, test: ValueTest) -> None:
    assert value_test(written) == test


@pytest.mark.parametrize(
    ("written", "code", "words"),
    [
        ("{optional: true}", "PS113", "expected exactly one of exact, "),
        ("{optional: maybe, exact: a}", "PS110", "true or false"),
        ("{all: []}", "PS110", "at least one test"),
        ("{all: a}", "PS110", "a list of tests"),
        ("{all: [a], exact: b}", "PS113", "all and exact"),
        ("{all: [{exact: a, prefix: b}]}", "PS113", "found exact and prefix"),
        ("{all: [a], exakt: b}", "PS111", "'exakt'"),
    ],
)
def test_a_slip_in_a_test_is_told(written: str, code: str, words: str) -> None:
    problem = rule_problem(f"match: {{query: {{a: {written}}}}}, targets: a")
    assert problem.code == code
    assert words in problem.message


@pytest.mark.parametrize("key", ["optional: true", "all: [/a]"])
def test_there_always_is_a_single_path(key: str) -> None:
    assert rule_problem(f"match: {{path: {{prefix: /a, {key}}}}}, targets: a").code == "PS111"
    assert rule_problem(f"match: {{path: {{{key}}}}}, targets: a").code == "PS111"


@pytest.mark.parametrize("written", ["{exact: v1}", "{prefix: v1}"])
def test_a_path_that_can_never_be_is_a_warning_where_the_test_is_named(written: str) -> None:
    problem = rule_problem(f"match: {{path: {written}}}, targets: a")
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS133")


def test_a_named_test_of_a_path_takes_a_star_as_it_is() -> None:
    assert conditions("path: {prefix: /a*}") == (PathCondition(Prefix("/a*")),)


def test_a_pattern_that_is_too_long_is_told() -> None:
    assert "longer than" in rule_problem(f"match: {{path: {{regex: {'a' * 65_537}}}}}, targets: a").message
