"""Native documents for tests, around the part that a test is about."""

from proxy.config.loader import LoadResult, load_texts
from proxy.config.match_spec import Condition, HeaderCondition, ValueTest
from proxy.config.spec import ModelServer, Route
from proxy.errors import Problem

SERVER = "servers: {a: {endpoints: [http://h:1]}}\n"
ROUTE = "routes: [{name: r, rules: [{targets: a}]}]\n"


def load(text: str, file: str = "a.yaml") -> LoadResult:
    return load_texts({file: text})


def server(fields: str) -> ModelServer:
    result = load(f"servers: {{a: {{{fields}}}}}\n" + ROUTE)
    assert result.config is not None, result.problems
    return result.config.servers["a"]


def route(fields: str) -> Route:
    result = load(SERVER + f"routes: [{{name: r, {fields}}}]")
    assert result.config is not None, result.problems
    return result.config.routes[0]


def conditions(match: str) -> tuple[Condition, ...]:
    (found,) = route(f"rules: [{{match: {{{match}}}, targets: a}}]").rules[0].matches
    return found.conditions


def value_test(written: str) -> ValueTest:
    """What a header's value must be like."""
    (found,) = conditions(f"headers: {{a: {written}}}")
    assert isinstance(found, HeaderCondition)
    return found.test


def only_problem(text: str) -> Problem:
    (problem,) = load(text).problems
    return problem


def server_problem(fields: str) -> Problem:
    return only_problem(f"servers: {{a: {{{fields}}}}}\n" + ROUTE)


def rule_problem(fields: str) -> Problem:
    return only_problem(SERVER + f"routes: [{{name: r, rules: [{{{fields}}}]}}]")


def route_problem(fields: str) -> Problem:
    return only_problem(SERVER + f"routes: [{{name: r, rules: [{{targets: a}}], {fields}}}]")
