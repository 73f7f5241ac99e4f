"""What a lookup promises: it is a naive scan of the rules, only faster."""

import re

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.spec import (
    Absent,
    BodyCondition,
    Condition,
    Config,
    Contains,
    Exact,
    HeaderCondition,
    Match,
    MethodCondition,
    ModelServer,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    Regex,
    Route,
    Rule,
    Suffix,
    Target,
    ValueTest,
)
from proxy.routing.compiler import compile_table
from proxy.routing.table import RoutingTable
from tests.routing.fake_request import FakeRequest

TEXT = st.text("ab", max_size=3)
NAME = st.sampled_from(["a", "b", "ab", "ba", "a-b"])
NAMED = NAME | st.sampled_from(["*", "a*", "*b", "a*b", "**"])
KEYS = st.sampled_from([("x",), ("x", "y"), ("model",)])
TESTS: st.SearchStrategy[ValueTest] = (
    st.builds(Exact, TEXT)
    | st.builds(Prefix, TEXT)
    | st.builds(Suffix, TEXT)
    | st.builds(Contains, TEXT)
    | st.builds(Regex, st.sampled_from(["a", "^b", "a.*b", "^$"]))
    | st.just(Present())
    | st.just(Absent())
)
CONDITIONS: st.SearchStrategy[Condition] = (
    st.builds(HeaderCondition, NAME, TESTS)
    | st.builds(QueryCondition, NAME, TESTS)
    | st.builds(PathCondition, TESTS)
    | st.builds(MethodCondition, st.frozensets(st.sampled_from(["GET", "POST"]), min_size=1))
    | st.builds(BodyCondition, KEYS, TESTS)
)


def tuples(items: st.SearchStrategy[object], most: int, least: int = 0) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(items, min_size=least, max_size=most).map(tuple)


MATCHES = st.builds(Match, tuples(CONDITIONS, 3))
RULES = st.builds(Rule, st.just("?"), st.just((Target("server"),)), tuples(MATCHES, 3))
ROUTES = st.builds(Route, st.just("?"), tuples(RULES, 3, 1), tuples(NAMED, 2), tuples(NAME, 2), st.integers(-1, 1))
REQUESTS = st.builds(
    FakeRequest,
    st.none() | NAME | TEXT,
    st.sampled_from(["GET", "POST"]),
    TEXT,
    st.dictionaries(NAME, TEXT),
    st.dictionaries(NAME, TEXT),
    st.dictionaries(KEYS, TEXT),
)


def numbered(routes: list[Route]) -> tuple[Route, ...]:
    return tuple(
        Route(
            f"route-{place}",
            tuple(Rule(f"rule-{number}", rule.targets, rule.matches) for number, rule in enumerate(route.rules)),
            route.models,
            route.adapters,
            route.priority,
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
    for _, _, _, route in sorted(ranked, key=lambda entry: entry[:3]):
        for rule in route.rules:
            if not rule.matches or any(all(naive_holds(c, request) for c in m.conditions) for m in rule.matches):
                return route.name, rule.name
    return None


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
    if isinstance(condition, HeaderCondition):
        value = request.headers.get(condition.name)
    elif isinstance(condition, QueryCondition):
        value = request.parameters.get(condition.name)
    elif isinstance(condition, BodyCondition):
        value = request.body.get(condition.keys)
    else:
        value = request.path
    return naive_test(condition.test, value)


def naive_test(test: ValueTest, value: str | None) -> bool:
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
