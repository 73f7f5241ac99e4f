"""The canary of MatrixInfer's documented ModelRoute splits what the stable and the new server both match."""

import pytest

from proxy.config.spec import Analysis, Canary, Rule
from proxy.errors import Severity
from tests.config.model_resources import MATRIXINFER, document, only_error, only_problem, problems, route


def entry(server: str, more: str = "", path: str = "/x") -> str:
    return f"{{match: {{path: {path}}}, destination: {{modelServerRef: {{name: {server}}}}}{more and ', ' + more}}}"


PAIR = f"{entry('stable', 'weight: 80')}, {entry('new', 'weight: 20')}"


def written(canary: str, routes: str = PAIR) -> str:
    return document("ModelRoute", f"{{routes: [{routes}], canary: {canary}}}", version=MATRIXINFER)


def rule(canary: str, routes: str = PAIR) -> Rule:
    return route(written(canary, routes)).rules[0]


def shares(found: Rule) -> list[int]:
    return [target.weight for target in found.targets]


def test_the_split_wins_over_the_weights_which_is_a_hint() -> None:
    text = "{enabled: true, trafficSplit: {stable: 95, canary: 5}}"
    assert shares(rule(text)) == [95, 5]
    problem = only_problem(written(text))
    assert (problem.code, problem.severity, problem.path) == ("PS136", Severity.HINT, "spec.canary.trafficSplit")
    assert "the split 95 to 5 wins over the weights 80 and 20" in problem.message


@pytest.mark.parametrize("routes", [PAIR, f"{entry('stable')}, {entry('new')}"])
def test_a_split_that_agrees_with_the_weights_or_stands_alone_is_no_hint(routes: str) -> None:
    assert not problems(written("{enabled: true, trafficSplit: {stable: 80, canary: 20}}", routes))


def test_without_a_split_the_weights_hold() -> None:
    assert shares(rule("{enabled: true}")) == [80, 20]


@pytest.mark.parametrize(("split", "expected"), [("{canary: 5}", [95, 5]), ("{stable: 60}", [60, 40])])
def test_the_share_that_is_left_out_is_the_rest(split: str, expected: list[int]) -> None:
    assert shares(rule(f"{{enabled: true, trafficSplit: {split}}}")) == expected


def test_every_pair_is_split() -> None:
    routes = f"{PAIR}, {entry('stable', path='/y')}, {entry('new', path='/y')}, {entry('other', path='/z')}"
    found = route(written("{enabled: true, trafficSplit: {canary: 1}}", routes))
    assert [shares(rule) for rule in found.rules] == [[99, 1], [99, 1], [100]]


def test_the_second_of_a_pair_is_on_trial() -> None:
    text = "{enabled: true, analysis: {threshold: 95, interval: 5m}}"
    assert rule(text).canary == Canary(Analysis(95.0, 300.0))
    assert rule("{enabled: true, trafficSplit: {canary: 5}}").canary == Canary()
    assert not problems(written(text))


def test_a_canary_that_is_switched_off_has_no_effect() -> None:
    text = "{enabled: false, trafficSplit: {canary: 5}, analysis: {threshold: 95, interval: 5m}}"
    found = rule(text)
    assert (shares(found), found.canary) == ([80, 20], None)
    assert not problems(written(text))


def test_a_canary_that_does_not_say_whether_it_is_enabled_is_off_which_is_told() -> None:
    text = "{trafficSplit: {canary: 5}}"
    assert shares(rule(text)) == [80, 20]
    problem = only_problem(written(text))
    assert (problem.code, problem.severity, problem.path) == ("PS136", Severity.WARNING, "spec.canary")


@pytest.mark.parametrize(
    "routes", ["", entry("a"), f"{entry('a')}, {entry('b', path='/y')}", f"{entry('a')}, {entry('b')}, {entry('c')}"]
)
def test_a_canary_without_a_pair_is_told(routes: str) -> None:
    problem = only_error(written("{enabled: true}", routes))
    assert (problem.code, problem.path) == ("PS112", "spec.canary")
    assert "exactly two routes with the same match" in problem.message


@pytest.mark.parametrize("routes", ["routes: 5, ", ""])
def test_a_canary_of_routes_that_cannot_be_read_is_not_said_to_stand_alone(routes: str) -> None:
    text = document("ModelRoute", f"{{{routes}canary: {{enabled: true}}}}", version=MATRIXINFER)
    assert "routes" in only_error(text).message


def test_a_broken_route_is_not_said_to_leave_a_canary_alone() -> None:
    broken = "{match: {path: /x}, destination: {}}"
    assert only_error(written("{enabled: true}", f"{entry('a')}, {broken}")).path == "spec.routes[1].destination"


@pytest.mark.parametrize(
    ("canary", "code", "path", "words"),
    [
        ("on", "PS110", "spec.canary", "a mapping with enabled, trafficSplit and analysis"),
        ("{enabled: 'yes'}", "PS110", "spec.canary.enabled", "true or false"),
        ("{enabled: true, trafficSplit: 5}", "PS110", "spec.canary.trafficSplit", "a mapping with stable and canary"),
        ("{enabled: true, trafficSplit: {}}", "PS112", "spec.canary.trafficSplit", "found neither"),
        ("{enabled: true, trafficSplit: {canary: 101}}", "PS110", "spec.canary.trafficSplit.canary", "from 0 to 100"),
        ("{enabled: true, trafficSplit: {stable: -1}}", "PS110", "spec.canary.trafficSplit.stable", "from 0 to 100"),
        ("{enabled: true, analysis: 5}", "PS110", "spec.canary.analysis", "a mapping with threshold and interval"),
        ("{enabled: true, analysis: {interval: 5m}}", "PS112", "spec.canary.analysis", "'threshold' is missing"),
        ("{enabled: true, analysis: {threshold: 5}}", "PS112", "spec.canary.analysis", "'interval' is missing"),
        (
            "{enabled: true, analysis: {threshold: 101, interval: 5m}}",
            "PS110",
            "spec.canary.analysis.threshold",
            "from 0 to 100",
        ),
        (
            "{enabled: true, analysis: {threshold: 95, interval: 0s}}",
            "PS110",
            "spec.canary.analysis.interval",
            "above 0",
        ),
    ],
)
def test_a_slip_in_a_canary_is_told(canary: str, code: str, path: str, words: str) -> None:
    problem = only_error(written(canary))
    assert (problem.code, problem.line, problem.path) == (code, 4, path)
    assert words in problem.message


def test_a_split_that_gives_nobody_a_share_is_told() -> None:
    problem = only_error(written("{enabled: true, trafficSplit: {stable: 0, canary: 0}}"))
    assert (problem.code, problem.path) == ("PS124", "spec.canary.trafficSplit")
