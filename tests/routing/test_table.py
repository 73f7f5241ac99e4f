"""What a lookup promises: it is a naive scan of the rules, only faster."""

import gc
import json
import re
import weakref
from dataclasses import replace

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
    ValueTest,
)
from proxy.config.spec import Config, ModelServer, Route, Rule, Target
from proxy.operators import Operator
from proxy.routing.compiler import compile_table
from proxy.routing.table import RoutingTable
from tests.routing.fake_request import FakeRequest

TEXT = st.text("ab", max_size=3)
NAME = st.sampled_from(["a", "b", "ab", "ba", "a-b"])
NAMED = NAME | st.sampled_from(["*", "a*", "*b", "a*b", "**"])
KEYS = st.sampled_from([("x",), ("x", "y"), ("model",)])
PLAIN_TESTS: st.SearchStrategy[ValueTest] = (
    st.builds(Exact, TEXT)
    | st.builds(Prefix, TEXT)
    | st.builds(Suffix, TEXT)
    | st.builds(Contains, TEXT)
    | st.builds(Regex, st.sampled_from(["a", "^b", "a.*b", "^$"]))
    | st.just(Present())
    | st.just(Absent())
)
TESTS = PLAIN_TESTS | st.builds(OrAbsent, PLAIN_TESTS)
JSON = st.none() | st.booleans() | st.integers(-2, 2) | TEXT | st.lists(TEXT, max_size=2)
FIELD_CONDITIONS = st.builds(
    FieldCondition,
    st.sampled_from(["x", "x.y", "y"]),
    st.sampled_from([Operator.EQUALS, Operator.NOT_EQUALS, Operator.IN, Operator.EXISTS, Operator.CONTAINS]),
    JSON.map(json.dumps),
)
CONDITIONS: st.SearchStrategy[Condition] = (
    st.builds(HeaderCondition, NAME, TESTS)
    | st.builds(QueryCondition, NAME, TESTS)
    | st.builds(PathCondition, TESTS)
    | st.builds(MethodCondition, st.frozensets(st.sampled_from(["GET", "POST"]), min_size=1))
    | st.builds(BodyCondition, KEYS, TESTS)
    | FIELD_CONDITIONS
)


def tuples(items: st.SearchStrategy[object], most: int, least: int = 0) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


MATCHES = st.builds(Match, tuples(CONDITIONS, 3))
RULES = st.builds(Rule, st.just("?"), st.just((Target("server"),)), tuples(MATCHES, 3), enabled=st.booleans())
ROUTES = st.builds(
    Route,
    st.just("?"),
    tuples(RULES, 3, 1),
    tuples(NAMED, 2),
    tuples(NAME, 2),
    st.integers(-1, 1),
    st.sampled_from([(), (Target("server"),)]),
)
REQUESTS = st.builds(
    FakeRequest,
    st.none() | NAME | TEXT,
    st.sampled_from(["GET", "POST"]),
    TEXT,
    st.dictionaries(NAME, TEXT),
    st.dictionaries(NAME, TEXT),
    st.dictionaries(KEYS, TEXT),
    st.dictionaries(st.sampled_from(["x", "y"]), JSON | st.dictionaries(st.just("y"), JSON)),
)


def numbered(routes: list[Route]) -> tuple[Route, ...]:
    return tuple(
        Route(
            f"route-{place}",
            tuple(replace(rule, name=f"rule-{number}") for number, rule in enumerate(route.rules)),
            route.models,
            route.adapters,
            route.priority,
            route.fallback,
        )
        for place, route in enumerate(routes)
    )


def table_of(*routes: Route) -> RoutingTable:
    return compile_table(Config({"server": ModelServer("server", ())}, routes))


def answer(table: RoutingTable, request: FakeRequest) -> tuple[str, str] | None:
    match = table.lookup(request)
    return (match.route, match.rule) if match else None


def naive_lookup(routes: tuple[Route, ...], request: FakeRequest) -> tuple[str, str] | None:
    ranked: list[tuple[int, int, int, Route]] = []
    for place, route in enumerate(routes):
        ranked += [(rank, -route.priority, place, route) for rank in naive_ranks(route, request.model)]
    candidates = [route for _, _, _, route in sorted(ranked, key=lambda entry: entry[:3])]
    for route in candidates:
        for rule in route.rules:
            if rule.enabled and naive_matches(rule, request):
                return route.name, rule.name
    return next(((route.name, "fallback") for route in candidates if route.fallback), None)


def naive_matches(rule: Rule, request: FakeRequest) -> bool:
    return not rule.matches or any(all(naive_holds(c, request) for c in m.conditions) for m in rule.matches)


def naive_ranks(route: Route, model: str | None) -> list[int]:
    if not route.models and not route.adapters:
        return [4]
    if model is None:
        return []
    ranks = [1] if any("*" not in name and name == model for name in route.models) else []
    if any("*" in name and re.fullmatch(name.replace("*", ".*"), model) for name in route.models):
        ranks.append(2)
    return [*ranks, 3] if model in route.adapters else ranks


def naive_holds(condition: Condition, request: FakeRequest) -> bool:
    if isinstance(condition, MethodCondition):
        return request.method in condition.methods
    if isinstance(condition, FieldCondition):
        return naive_compares(condition, request)
    if isinstance(condition, HeaderCondition):
        value = request.headers.get(condition.name)
    elif isinstance(condition, QueryCondition):
        value = request.parameters.get(condition.name)
    elif isinstance(condition, BodyCondition):
        value = request.body.get(condition.keys)
    else:
        value = request.path
    return naive_test(condition.test, value)


def naive_compares(condition: FieldCondition, request: FakeRequest) -> bool:
    actual: object = request.fields
    for key in condition.field.split("."):
        actual = actual.get(key) if isinstance(actual, dict) else None
    expected = json.loads(condition.value)
    if condition.operator is Operator.EXISTS:
        return actual is not None
    if condition.operator is Operator.IN:
        return isinstance(expected, list) and actual in expected
    if condition.operator is Operator.CONTAINS:
        return actual is not None and isinstance(expected, str) and expected in str(actual)
    return (actual == expected) is (condition.operator is Operator.EQUALS)


def naive_test(test: ValueTest, value: str | None) -> bool:
    if isinstance(test, OrAbsent):
        return value is None or naive_test(test.test, value)
    if value is None or isinstance(test, Absent):
        return value is None and isinstance(test, Absent)
    if isinstance(test, Present):
        return True
    if isinstance(test, Regex):
        return bool(re.search(test.pattern, value))
    sides = {Exact: ("^", "$"), Prefix: ("^", ""), Suffix: ("", "$"), Contains: ("", "")}
    before, after = sides[type(test)]
    return bool(re.search(before + re.escape(test.value) + after, value))


@given(st.lists(ROUTES, max_size=6), st.lists(REQUESTS, min_size=1, max_size=5))
def test_a_lookup_equals_a_naive_scan_of_the_rules(routes: list[Route], requests: list[FakeRequest]) -> None:
    named = numbered(routes)
    table = table_of(*named)
    for request in requests:
        assert answer(table, request) == naive_lookup(named, request)


def route(name: str, *, models: str = "", adapters: str = "", priority: int = 0, header: str = "") -> Route:
    matches = (Match((HeaderCondition(header, Present()),)),) if header else ()
    rule = Rule("only", (Target("server"),), matches)
    return Route(name, (rule,), tuple(models.split()), tuple(adapters.split()), priority)


def test_an_exact_name_wins_over_a_glob_an_adapter_and_no_name() -> None:
    routes = [route("none"), route("adapter", adapters="m"), route("glob", models="m*"), route("exact", models="m")]
    order = []
    while routes:
        found = answer(table_of(*routes), FakeRequest("m"))
        assert found is not None
        order.append(found[0])
        routes = [route for route in routes if route.name != found[0]]
    assert order == ["exact", "glob", "adapter", "none"]


def test_priority_orders_a_class_and_never_lifts_out_of_it() -> None:
    table = table_of(
        route("low", models="m"), route("high", models="m", priority=5), route("glob", models="*", priority=9)
    )
    assert answer(table, FakeRequest("m")) == ("high", "only")


def test_file_order_decides_between_equals() -> None:
    assert answer(table_of(route("first", models="m"), route("second", models="m")), FakeRequest("m")) == (
        "first",
        "only",
    )


def test_a_route_whose_rules_all_fail_passes_on() -> None:
    table = table_of(route("strict", models="m", header="x-tier"), route("lenient", models="m*"))
    assert answer(table, FakeRequest("m")) == ("lenient", "only")
    assert answer(table, FakeRequest("m", headers={"x-tier": "1"})) == ("strict", "only")


def test_a_glob_passes_on_to_the_next_glob_and_then_to_the_adapters() -> None:
    table = table_of(
        route("two", models="x* m*", header="b"), route("one", models="m*", header="a"), route("l", adapters="m")
    )
    assert answer(table, FakeRequest("m", headers={"a": ""})) == ("one", "only")
    assert answer(table, FakeRequest("m", headers={"b": ""})) == ("two", "only")
    assert answer(table, FakeRequest("m")) == ("l", "only")


def test_a_request_without_a_model_meets_only_routes_that_name_none() -> None:
    table = table_of(route("all", models="*"), route("none", header="x"))
    assert answer(table, FakeRequest(None)) is None
    assert answer(table, FakeRequest(None, headers={"x": ""})) == ("none", "only")


def test_models_are_the_exact_names_and_the_adapters_once_each() -> None:
    table = table_of(route("one", models="a b* c", adapters="d a"), route("two", models="c e"), route("three"))
    assert table.models == ("a", "c", "d", "e")


def test_body_fields_are_what_conditions_read_at_the_top_beside_the_model() -> None:
    keys = [("user", "tier"), ("user", "id"), ("stream",), ("model",)]
    rule = Rule("only", (Target("server"),), (Match(tuple(BodyCondition(key, Present()) for key in keys)),))
    assert table_of(Route("bodies", (rule,))).body_fields == {"user", "stream"}


def test_its_repr_tells_its_size() -> None:
    assert repr(table_of(route("one", models="a b"))) == "<RoutingTable 1 routes, 2 models>"


# --- fallbacks of routes ----------------------------------------------------------------------------------------------


def with_fallback(name: str, **changes: str) -> Route:
    return replace(route(name, header="never", **changes), fallback=(Target("server"),))


def test_a_routes_fallback_takes_what_no_rule_of_any_route_takes() -> None:
    table = table_of(with_fallback("named", models="m"), route("rest"))
    assert answer(table, FakeRequest("m")) == ("rest", "only")
    assert answer(table_of(with_fallback("named", models="m")), FakeRequest("m")) == ("named", "fallback")
    assert answer(table_of(with_fallback("named", models="m")), FakeRequest("other")) is None


def test_the_first_routes_fallback_is_taken() -> None:
    table = table_of(with_fallback("general"), with_fallback("named", models="m"), with_fallback("second"))
    assert answer(table, FakeRequest("m")) == ("named", "fallback")
    assert answer(table, FakeRequest(None)) == ("general", "fallback")


def test_a_walk_ends_with_the_fallbacks() -> None:
    table = table_of(with_fallback("named", models="m"), route("rest", header="x"))
    assert [(step.match.route, step.match.rule) for step in table.walk("m")] == [
        ("named", "only"),
        ("rest", "only"),
        ("named", "fallback"),
    ]


def test_a_condition_that_cannot_be_evaluated_does_not_hold() -> None:
    for operator in (Operator.CONTAINS, Operator.NOT_CONTAINS):
        rule = Rule("r", (Target("server"),), (Match((FieldCondition("x", operator, "1"),)),))
        assert table_of(Route("r", (rule,))).lookup(FakeRequest(fields={"x": "1"})) is None


def test_patterns_on_fields_are_re2s() -> None:
    rule = Rule("r", (Target("server"),), (Match((FieldCondition("x", Operator.REGEX, json.dumps("(a+)+$")),)),))
    table = table_of(Route("r", (rule,)))
    assert table.lookup(FakeRequest(fields={"x": "a" * 100_000 + "b"})) is None
    assert table.lookup(FakeRequest(fields={"x": "ba"})) is not None


def test_fields_that_conditions_read_are_told_and_what_the_message_says_needs_its_stream() -> None:
    conditions = (FieldCondition("user.tier", Operator.EXISTS), FieldCondition("request.type", Operator.EXISTS))
    table = table_of(Route("r", (Rule("r", (Target("server"),), (Match(conditions),)),)))
    assert table.body_fields == {"user", "request", "stream"}


@pytest.mark.parametrize("routes", [(route("a"),), (with_fallback("a"),)], ids=["rules", "fallbacks"])
def test_a_table_that_nobody_holds_is_freed_without_the_collector(routes: tuple[Route, ...]) -> None:
    gc.disable()
    try:
        held = weakref.ref(table_of(*routes).lookup)
        assert held() is None
    finally:
        gc.enable()
