"""What an explanation promises: it tells what lookup did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.match_spec import (
    Absent,
    BodyCondition,
    Condition,
    Contains,
    Exact,
    FieldCondition,
    HeaderCondition,
    Match,
    MethodCondition,
    OrAbsent,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    Regex,
    Suffix,
)
from proxy.config.spec import Config, ModelServer, Route, Rule, Target
from proxy.operators import Operator
from proxy.routing.compiler import compile_table
from proxy.routing.explain import Finding, describe, found_value, trace, why
from proxy.routing.facts import RequestFacts
from proxy.routing.sample import sample_of
from proxy.routing.table import RoutingTable
from tests.routing.fake_request import FakeRequest
from tests.routing.test_table import REQUESTS, ROUTES, numbered, table_of

PREMIUM = Match((PathCondition(Prefix("/v1/")), HeaderCondition("user-type", Exact("premium"))))
INSIDER = Match((QueryCondition("beta", Present()),))
TABLE = compile_table(
    Config(
        {"s": ModelServer("s", ())},
        (
            Route("any", (Rule("rest", (Target("s"),)),), models=("*",)),
            Route("chat", (Rule("premium", (Target("s"),), (PREMIUM, INSIDER)),), models=("qwen",)),
        ),
    )
)


def told(table: RoutingTable, request: RequestFacts, *, values: bool = False) -> list[tuple[str, str, bool, str]]:
    return [(one.route, one.rule, one.holds, one.reason) for one in why(table, request, values=values)]


def test_each_rule_tried_tells_what_it_failed_on() -> None:
    assert told(TABLE, FakeRequest("qwen")) == [
        ("chat", "premium", False, "not: header user-type is 'premium'; not: query parameter beta is present"),
        ("any", "rest", True, "holds always"),
    ]


def test_the_values_that_failed_are_told_to_whoever_asks_for_them() -> None:
    request = FakeRequest("qwen", headers={"user-type": "free\x1b[2J"})
    failed = (
        "not: header user-type is 'premium' (it is 'free\\x1b[2J'); not: query parameter beta is present (it is absent)"
    )
    assert told(TABLE, request, values=True)[0] == ("chat", "premium", False, failed)
    assert "free" not in told(TABLE, request)[0][3]


def test_every_condition_of_a_rule_is_told() -> None:
    verdict = why(TABLE, FakeRequest("qwen", headers={"user-type": "free"}), values=True)[0]
    assert verdict.matches == (
        (
            Finding("path begins with '/v1/'", True, "'/v1/chat/completions'"),
            Finding("header user-type is 'premium'", False, "'free'"),
        ),
        (Finding("query parameter beta is present", False, "absent"),),
    )


def test_the_rule_that_answers_tells_what_held() -> None:
    request = FakeRequest("qwen", headers={"user-type": "premium"})
    reason = "path begins with '/v1/' and header user-type is 'premium'"
    assert told(TABLE, request) == [("chat", "premium", True, reason)]


def test_nothing_holds_where_lookup_finds_nothing() -> None:
    assert TABLE.lookup(FakeRequest(None)) is None
    assert why(TABLE, FakeRequest(None)) == []


def test_an_adapter_is_explained_too() -> None:
    table = compile_table(
        Config({"s": ModelServer("s", ())}, (Route("l", (Rule("r", (Target("s"),)),), adapters=("lora",)),))
    )
    assert told(table, FakeRequest("lora")) == [("l", "r", True, "holds always")]


@given(st.lists(ROUTES, max_size=4), REQUESTS)
def test_the_last_rule_that_is_told_is_the_one_that_lookup_finds(routes: list[Route], request: FakeRequest) -> None:
    table = table_of(*numbered(routes))
    steps = list(trace(table, request, values=True))
    found = table.lookup(request)
    assert found is (steps[-1][0].match if steps and steps[-1][1].holds else None)
    assert not any(verdict.holds for _, verdict in steps[:-1])
    for _, verdict in steps:
        held = [all(finding.holds for finding in match) for match in verdict.matches]
        assert verdict.holds == (any(held) or not held)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (MethodCondition(frozenset({"POST", "GET"})), "method is GET or POST"),
        (PathCondition(Suffix("/x")), "path ends with '/x'"),
        (HeaderCondition("a", Absent()), "header a is absent"),
        (QueryCondition("q", Contains("x")), "query parameter q contains 'x'"),
        (BodyCondition(("user", "id"), Regex("^x")), "body field user.id matches '^x'"),
    ],
)
def test_a_condition_can_be_put_in_words(condition: Condition, words: str) -> None:
    assert describe(condition) == words


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "cookie", "proxy-authorization"])
def test_credentials_are_not_shown(name: str) -> None:
    request = sample_of({}, headers={name: "secret"})
    for condition in (
        HeaderCondition(name, OrAbsent(Exact("secret"))),
        FieldCondition(f"request.headers.{name}", Operator.EQUALS, '"secret"'),
        FieldCondition("request.headers", Operator.CONTAINS, '"x"'),
        FieldCondition("request", Operator.EXISTS),
    ):
        assert "secret" not in describe(condition) + found_value(condition, request)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (MethodCondition(frozenset({"GET"})), "POST"),
        (BodyCondition(("a",), Present()), "'1'"),
        (BodyCondition(("b",), Present()), "an object"),
        (BodyCondition(("b", "c"), Present()), "[1]"),
        (BodyCondition(("x", "y"), Present()), "absent"),
        (BodyCondition(("request", "method"), Present()), "absent"),
        (FieldCondition("a", Operator.EXISTS), "1"),
        (FieldCondition("b", Operator.EXISTS), "an object"),
        (FieldCondition("request.method", Operator.EXISTS), "'POST'"),
        (FieldCondition("request.stream", Operator.EXISTS), "false"),
        (FieldCondition("a.b", Operator.EXISTS), "absent"),
        (QueryCondition("q", Present()), "''"),
    ],
)
def test_what_a_request_has_in_a_conditions_place_can_be_told(condition: Condition, found: str) -> None:
    assert found_value(condition, sample_of({"a": 1, "b": {"c": [1]}}, target="/x?q=")) == found


def test_a_field_that_is_compared_is_put_in_words() -> None:
    assert describe(FieldCondition("user.tier", Operator.NOT_IN, '["a"]')) == 'user.tier not in ["a"]'
    assert describe(FieldCondition("user", Operator.NOT_EXISTS)) == "user not exists"
