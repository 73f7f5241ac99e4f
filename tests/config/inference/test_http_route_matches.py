"""What an HTTPRoute's matches ask, and which is asked first."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.inference.http_route_matches import HttpMatch, in_order
from proxy.config.match_spec import (
    BodyCondition,
    Condition,
    Exact,
    HeaderCondition,
    MethodCondition,
    PathCondition,
    Prefix,
    QueryCondition,
    Regex,
)
from proxy.errors import Severity
from tests.config.inference_resources import backend, http_route, only_problem, pool, routes

REGEX = "RegularExpression"


def with_match(match: object) -> dict[str, Any]:
    return http_route({"matches": [match], "backendRefs": [backend()]})


def alternatives(**match: object) -> list[tuple[Condition, ...]]:
    (rule,) = routes(pool(), with_match(match))["http/default/r"].rules
    return [one.conditions for one in rule.matches]


def test_a_prefix_ends_where_a_part_of_the_path_does() -> None:
    both = [(PathCondition(Exact("/foo")),), (PathCondition(Prefix("/foo/")),)]
    assert alternatives(path={"type": "PathPrefix", "value": "/foo"}) == both
    assert alternatives(path={"value": "/foo/"}) == both


@pytest.mark.parametrize("path", [{}, {"value": "/"}, {"type": "PathPrefix"}, None])
def test_a_prefix_of_every_path_asks_nothing(path: object) -> None:
    assert alternatives(path=path) == []


def test_a_path_is_exact_or_fits_a_pattern_as_a_whole() -> None:
    assert alternatives(path={"type": "Exact", "value": "/foo/"}) == [(PathCondition(Exact("/foo/")),)]
    pattern = Regex("^(?:/v[12]/.*)$")
    assert alternatives(path={"type": REGEX, "value": "/v[12]/.*"}) == [(PathCondition(pattern),)]


def test_headers_parameters_and_a_method_must_all_hold() -> None:
    found = alternatives(
        method="POST",
        headers=[{"name": "X-Tier", "value": "gold"}, {"name": "x-zone", "type": REGEX, "value": "eu|us"}],
        queryParams=[{"name": "Debug", "value": "1"}],
    )
    (conditions,) = found
    assert set(conditions) == {
        MethodCondition(frozenset({"POST"})),
        HeaderCondition("x-tier", Exact("gold")),
        HeaderCondition("x-zone", Regex("^(?:eu|us)$")),
        QueryCondition("Debug", Exact("1")),
    }


@pytest.mark.parametrize("name", ["X-Gateway-Model-Name", "x-gateway-base-model-name"])
def test_a_header_that_a_gateway_makes_of_the_model_asks_for_the_model(name: str) -> None:
    assert alternatives(headers=[{"name": name, "value": "qwen"}]) == [(BodyCondition(("model",), Exact("qwen")),)]


def test_of_two_entries_of_one_name_the_first_counts_and_that_is_told() -> None:
    headers = [{"name": "a", "value": "1"}, {"name": "A", "value": "2"}]
    assert alternatives(headers=headers) == [(HeaderCondition("a", Exact("1")),)]
    problem = only_problem(pool(), with_match({"headers": headers}))
    assert (problem.severity, problem.path) == (Severity.WARNING, "spec.rules[0].matches[0].headers[1]")
    parameters = [{"name": "a", "value": "1"}, {"name": "A", "value": "2"}]
    assert len(alternatives(queryParams=parameters)[0]) == 2


@pytest.mark.parametrize(
    ("match", "path", "words"),
    [
        ({"path": "/v1"}, "path", "a mapping with type and value"),
        ({"path": {"value": "v1"}}, "path.value", "begins with /"),
        ({"path": {"type": "Exact", "value": "v1"}}, "path.value", "begins with /"),
        ({"path": {"type": "Prefix", "value": "/v1"}}, "path.type", "PathPrefix"),
        ({"path": {"type": REGEX, "value": "("}}, "path.value", "RE2"),
        ({"path": {"type": REGEX, "value": "a)|(b"}}, "path.value", "RE2"),
        ({"method": "post"}, "method", "POST"),
        ({"headers": {"a": "b"}}, "headers", "a list of headers"),
        ({"headers": ["a"]}, "headers[0]", "a mapping with name and value"),
        ({"headers": [{"name": "a b", "value": "c"}]}, "headers[0].name", "the name of a header"),
        ({"headers": [{"name": "a", "value": ""}]}, "headers[0].value", "not empty"),
        ({"headers": [{"name": "a"}]}, "headers[0]", "'value' is missing"),
        ({"headers": [{"value": "a"}]}, "headers[0]", "'name' is missing"),
        ({"headers": [{"name": "a", "value": "b", "type": "Prefix"}]}, "headers[0].type", "Exact"),
        ({"headers": [{"name": "a", "value": "(?=a)", "type": REGEX}]}, "headers[0].value", "RE2"),
        ({"queryParams": [{"name": "", "value": "b"}]}, "queryParams[0].name", "not empty"),
        ("a", "", "a mapping with path"),
    ],
)
def test_a_slip_in_a_match_is_an_error(match: object, path: str, words: str) -> None:
    problem = only_problem(pool(), with_match(match))
    assert problem.severity is Severity.ERROR
    assert problem.path.removeprefix("spec.rules[0].matches[0]").removeprefix(".") == path
    assert words in problem.message


# --- precedence ---


def path_of(kind: str, value: str, **more: object) -> dict[str, Any]:
    return {"path": {"type": kind, "value": value}, **more}


HEADER = {"name": "a", "value": "b"}
# From the first to be asked to the last.
ORDERED = [
    path_of("Exact", "/v1/chat/completions"),
    path_of("Exact", "/v1/chat"),
    path_of(REGEX, "/v1/.*"),
    path_of("PathPrefix", "/v1/chat/completions"),
    path_of("PathPrefix", "/v1/chat", method="GET"),
    path_of("PathPrefix", "/v1/chat", headers=[HEADER, {"name": "c", "value": "d"}]),
    path_of("PathPrefix", "/v1/chat", headers=[HEADER]),
    path_of("PathPrefix", "/v1/chat", queryParams=[HEADER]),
    path_of("PathPrefix", "/v1/chat"),
    path_of("PathPrefix", "/", method="POST", headers=[HEADER]),
    {"headers": [HEADER]},
    {},
]


@given(st.permutations(range(len(ORDERED))))
def test_the_most_specific_match_is_asked_first_wherever_it_stands(order: list[int]) -> None:
    rules = [{"name": str(i), "matches": [ORDERED[i]], "backendRefs": [backend()]} for i in order]
    found = routes(pool(), http_route(*rules))["http/default/r"].rules
    assert [int(rule.name) for rule in found] == list(range(len(ORDERED)))


def test_of_equal_matches_the_earlier_rule_is_asked_first() -> None:
    first, second = HttpMatch(((),), (0, 4, False, 0, 0)), HttpMatch(((),), (0, 4, False, 0, 0))
    assert in_order([(first,), (second,)]) == [(0, (first,)), (1, (second,))]


def test_a_rule_whose_matches_are_not_neighbours_is_asked_in_parts() -> None:
    wide = {"name": "wide", "matches": [path_of("PathPrefix", "/v1/chat"), {}], "backendRefs": [backend()]}
    narrow = {"name": "narrow", "matches": [path_of("PathPrefix", "/v1")], "backendRefs": [backend("q")]}
    found = routes(pool(), pool("q"), http_route(wide, narrow))["http/default/r"].rules
    assert [(rule.name, len(rule.matches)) for rule in found] == [("wide", 2), ("narrow", 2), ("wide/2", 0)]


def test_a_rule_whose_matches_are_neighbours_stays_one() -> None:
    one = {"matches": [path_of("Exact", "/a"), path_of("Exact", "/b")], "backendRefs": [backend()]}
    text = json.loads(json.dumps(one))
    (rule,) = routes(pool(), http_route(text))["http/default/r"].rules
    assert (rule.name, len(rule.matches)) == ("rule-1", 2)
