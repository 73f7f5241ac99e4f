"""Native routes are read into specs, and each slip is told at its place."""

import pytest

from proxy.config.access_spec import Auth, Counted, Limit, Share
from proxy.config.joining import LAST
from proxy.config.spec import Target, TokenLimit
from proxy.errors import Severity
from tests.config.native_documents import SERVER, load, route, route_problem


def test_a_route_names_models_and_adapters() -> None:
    found = route("models: qwen, adapters: [sql, sql], priority: 5, rules: [{targets: a}]")
    assert (found.models, found.adapters, found.priority) == (("qwen",), ("sql",), 5)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("routes: [a]", "PS110", "expected a route"),
        ("routes: [{rules: [{targets: a}]}]", "PS112", "'name' is missing"),
        ("routes: [{name: r}]", "PS112", "'rules' is missing"),
        ("routes: [{name: r, models: [1], rules: [{targets: a}]}]", "PS110", "put it in quotes"),
        ("routes: [{name: r, adapters: ['a*'], rules: [{targets: a}]}]", "PS120", "named in full"),
        (
            "routes: [{name: r, rules: [{targets: a, name: x, match: {path: /}}, {targets: a, name: x}]}]",
            "PS130",
            "'x'",
        ),
    ],
)
def test_a_slip_in_a_route_is_told(text: str, code: str, words: str) -> None:
    problems = [p for p in load(SERVER + text).problems if p.severity is Severity.ERROR]
    assert [problem.code for problem in problems] == [code]
    assert words in problems[0].message


def test_a_route_has_a_fallback_for_what_no_route_takes() -> None:
    found = route("rules: [{match: {path: /x}, targets: a}], fallback: [{server: a, model: m}, a]")
    assert found.fallback == (Target("a", model="m"), Target("a"))


@pytest.mark.parametrize("rules", ["", "rules: [], ", "rules: , "])
def test_a_route_with_a_fallback_needs_no_rules(rules: str) -> None:
    found = route(f"{rules}fallback: a")
    assert (found.rules, found.fallback) == ((), (Target("a"),))


def test_a_route_without_any_rule_takes_nothing_which_is_told() -> None:
    problem = next(p for p in load(SERVER + "routes: [{name: r, rules: []}]").problems if p.code == "PS136")
    assert (problem.severity, problem.path) == (Severity.WARNING, "routes[0].rules")


def test_a_route_says_what_it_is_for_and_what_it_was() -> None:
    found = route("rules: [{targets: a}], description: of mine, kind: ModelRoute")
    assert (found.description, found.kind) == ("of mine", "ModelRoute")
    assert (route("rules: [{targets: a}]").description, route("rules: [{targets: a}]").kind) == ("", "route")


def test_a_route_limits_tokens() -> None:
    fields = "token_limit: {input: 10, output: 20, unit: minute, redis: 'redis:6379'}"
    found = route("rules: [{targets: a}], " + fields)
    assert found.token_limit == TokenLimit(10, 20, "minute", "redis:6379")
    assert load(f"{SERVER}routes: [{{name: r, rules: [{{targets: a}}], {fields}}}]").problems == ()


def test_a_route_asks_who_calls_and_says_how_much_each_may_take() -> None:
    found = route("rules: [{targets: a}], auth: {client_certificate: true}, limits: [{requests: 5, by: user}]")
    assert found.auth == Auth(client_certificate=True)
    assert found.limits == (Limit(Counted.REQUESTS, 5.0, by=(Share.USER,)),)


def test_a_limit_on_no_tokens_is_without_effect() -> None:
    assert route("rules: [{targets: a}], token_limit: {}").token_limit == TokenLimit(None, None)
    assert route_problem("token_limit: {unit: day}").code == "PS136"


def test_the_last_route_comes_behind_whatever_number() -> None:
    assert route("rules: [{targets: a}], priority: last").priority == LAST < -1_000_000


def test_a_models_name_is_compared_as_it_stands() -> None:
    assert route("rules: [{targets: a}], models: ['a ', a]").models == ("a ", "a")
    problem = route_problem("models: ['a ']")
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS120")


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ("priority: first", "PS110", "last or a whole number from -1000000 to 1000000"),
        ("priority: -1000001", "PS110", "from -1000000 to 1000000"),
        ("models: ''", "PS120", "empty"),
        (f"models: {'m' * 1025}", "PS120", "longer than 1024"),
        ("fallback: b", "PS131", "no server 'b'"),
        ("fallback: [{server: a, weight: 1}]", "PS111", "'weight'"),
        ("kind: ''", "PS120", "empty"),
        ("description: [a]", "PS110", "a text"),
        ("token_limit: {input: 0}", "PS110", "from 1 to"),
        ("token_limit: {input: 1, unit: year}", "PS120", "second, minute, hour, day or month"),
        ("token_limit: {input: 1, redis: redis}", "PS122", "redis:6379"),
        ("token_limit: 5", "PS110", "a mapping with input"),
    ],
)
def test_a_slip_beside_the_rules_is_told(fields: str, code: str, words: str) -> None:
    problems = load(SERVER + f"routes: [{{name: r, rules: [{{targets: a}}], {fields}}}]").problems
    problem = next(problem for problem in problems if problem.severity is Severity.ERROR)
    assert problem.code == code
    assert words in problem.message


@pytest.mark.parametrize("key", ["limits", "token_limit"])
def test_a_bound_without_a_value_is_told(key: str) -> None:
    problem = route_problem(f"{key}: ")
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS136", f"routes[0].{key}")
