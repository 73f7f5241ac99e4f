"""Native matches are read into conditions, and each slip is told at its place."""

import pytest

from proxy.config.match_spec import (
    Absent,
    BodyCondition,
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
)
from proxy.operators import Operator
from tests.config.native_documents import conditions, route, rule_problem


@pytest.mark.parametrize(
    ("value", "test"),
    [
        ("premium", Exact("premium")),
        ("1.10", Exact("1.10")),
        ("true", Exact("true")),
        ("{exact: a}", Exact("a")),
        ("{prefix: a}", Prefix("a")),
        ("{suffix: a}", Suffix("a")),
        ("{contains: a}", Contains("a")),
        ("{regex: '^a+$'}", Regex("^a+$")),
        ("{present: true}", Present()),
        ("{present: false}", Absent()),
        ("{absent: true}", Absent()),
        ("{absent: false}", Present()),
    ],
)
def test_a_header_or_a_parameter_is_tested(value: str, test: object) -> None:
    assert conditions(f"headers: {{X-Tier: {value}}}") == (HeaderCondition("x-tier", test),)  # type: ignore[arg-type]
    assert conditions(f"query: {{Tier: {value}}}") == (QueryCondition("Tier", test),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [("1", "1"), ("1.10", "1.1"), ("True", "true"), ("null", "null"), ("'null'", "null"), ("a", "a"), ("1e2", "100.0")],
)
def test_a_body_field_is_compared_as_json_spells_it(value: str, text: str) -> None:
    assert conditions(f"body: {{user.tier: {value}}}") == (BodyCondition(("user", "tier"), Exact(text)),)


@pytest.mark.parametrize(
    ("value", "test"),
    [("/v1/x", Exact("/v1/x")), ("/v1/*", Prefix("/v1/")), ("'*'", Prefix("")), ("{exact: /a*}", Exact("/a*"))],
)
def test_a_path_is_exact_or_a_prefix(value: str, test: object) -> None:
    assert conditions(f"path: {value}") == (PathCondition(test),)  # type: ignore[arg-type]


def test_methods_are_one_or_several_in_capitals() -> None:
    assert conditions("method: post") == (MethodCondition(frozenset({"POST"})),)
    assert conditions("method: [GET, head]") == (MethodCondition(frozenset({"GET", "HEAD"})),)


def test_matches_are_any_of_and_an_empty_one_is_everything() -> None:
    rules = route(
        "rules: [{matches: [{path: /a}, {path: /b}], targets: a}, {matches: [{path: /c}, {}], targets: a}]"
    ).rules
    assert [len(rule.matches) for rule in rules] == [2, 0]


@pytest.mark.parametrize(
    ("match", "code", "words"),
    [
        ("headers: {x: {exact: a, prefix: b}}", "PS113", "found exact and prefix"),
        ("headers: {x: {}}", "PS113", "found none"),
        ("headers: {x: }", "PS110", "found nothing"),
        ("headers: {x: [a]}", "PS110", "found a list"),
        ("headers: {x y: a}", "PS120", "'x y' cannot be the name of a header"),
        ("headers: {x: {regexp: a}}", "PS111", "unknown key 'regexp'"),
        ("headers: {x: {regex: 'a('}}", "PS121", "RE2"),
        ("headers: {x: {regex: '(?=a)'}}", "PS121", "RE2"),
        ("headers: {x: {present: maybe}}", "PS110", "true or false"),
        ("headers: [x]", "PS110", "a mapping of names to values"),
        ("path: v1", "PS120", "begins with /"),
        ("body: {a..b: 1}", "PS120", "dots between"),
        ("method: 5", "PS110", "a method such as POST"),
        ("header: {x: a}", "PS111", "unknown key 'header'"),
    ],
)
def test_a_slip_in_a_match_is_told(match: str, code: str, words: str) -> None:
    problem = rule_problem(f"match: {{{match}}}, targets: a")
    assert problem.code == code
    assert words in problem.message


def test_match_and_matches_exclude_each_other() -> None:
    assert rule_problem("match: {path: /a}, matches: [{path: /b}], targets: a").code == "PS113"


def test_several_tests_of_one_value_are_as_many_conditions() -> None:
    both = "{all: [{prefix: a}, b]}"
    assert conditions(f"headers: {{x: {both}}}, query: {{y: {both}}}, body: {{z: {both}}}") == (
        HeaderCondition("x", Prefix("a")),
        HeaderCondition("x", Exact("b")),
        QueryCondition("y", Prefix("a")),
        QueryCondition("y", Exact("b")),
        BodyCondition(("z",), Prefix("a")),
        BodyCondition(("z",), Exact("b")),
    )


def test_conditions_on_the_requests_data_stand_in_a_list() -> None:
    match = "fields: [{field: user.tier, operator: equals, value: gold}, {field: user.age, operator: exists}], path: /x"
    assert conditions(match) == (
        PathCondition(Exact("/x")),
        FieldCondition("user.tier", Operator.EQUALS, '"gold"'),
        FieldCondition("user.age", Operator.EXISTS, "null"),
    )


def test_an_optional_test_stands_in_headers_query_and_body() -> None:
    test = OrAbsent(Exact(""))
    written = '{exact: "", optional: true}'
    assert conditions(f"headers: {{x: {written}}}, query: {{y: {written}}}, body: {{z: {written}}}") == (
        HeaderCondition("x", test),
        QueryCondition("y", test),
        BodyCondition(("z",), test),
    )
