"""A native canary is read as two targets and what is said of the trial, and each slip is told at its place."""

import pytest

from proxy.config.spec import Analysis, Canary, Rule, Target, Timeouts
from proxy.errors import Problem, Severity
from tests.config.native_documents import SERVER, load, route, rule_problem

JUDGED = "analysis: {threshold: 99.5, interval: 5m}"


def rule(fields: str) -> Rule:
    return route(f"rules: [{{canary: {{stable: a, canary: {{server: a, model: new}}, {fields}}}}}]").rules[0]


def weights(fields: str) -> list[int]:
    return [target.weight for target in rule(fields).targets]


def error(fields: str) -> Problem:
    text = f"{SERVER}routes: [{{name: r, rules: [{{canary: {{stable: a, canary: a, {fields}}}}}]}}]"
    (found,) = [problem for problem in load(text).problems if problem.severity is Severity.ERROR]
    return found


def test_the_stable_target_comes_first_and_the_canary_has_a_tenth() -> None:
    found = rule("")
    assert found.targets == (Target("a", 90), Target("a", 10, "new"))
    assert found.canary == Canary()


def test_the_sides_of_a_canary_have_terms_of_their_own() -> None:
    (found,) = route("rules: [{canary: {stable: {server: a, timeout: {total: 1m}}, canary: a}}]").rules
    assert found.targets[0] == Target("a", 90, timeouts=Timeouts(total=60.0))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("5", [95, 5]),
        ("0", [100, 0]),
        ("{stable: 90, canary: 10}", [90, 10]),
        ("{stable: 995, canary: 5}", [995, 5]),
        ("{canary: 1}", [99, 1]),
        ("{stable: 60}", [60, 40]),
    ],
)
def test_a_split_says_the_canarys_share(split: str, expected: list[int]) -> None:
    assert weights(f"split: {split}") == expected


def test_a_canary_goes_through_its_steps_from_the_first_one() -> None:
    found = rule(f"{JUDGED}, steps: [1, 5, 25, 50, 100]")
    assert [target.weight for target in found.targets] == [99, 1]
    assert found.canary == Canary(Analysis(99.5, 300.0), (1, 5, 25, 50, 100))


def test_a_split_that_is_not_the_first_step_has_no_effect_which_is_told() -> None:
    assert weights(f"{JUDGED}, steps: [5, 100], split: 5") == [95, 5]
    problem = rule_problem(f"canary: {{stable: a, canary: a, {JUDGED}, steps: [5, 100], split: 10}}")
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS136")
    assert "the steps begin at 5 per cent" in problem.message


def test_an_analysis_bounds_success_and_times() -> None:
    found = rule("analysis: {threshold: 99, interval: 30s, min_requests: 50, metrics: {ttft: 1.5, tpot: 1.2}}")
    assert found.canary == Canary(Analysis(99.0, 30.0, 50, 1.5, 1.2))
    assert rule("analysis: {threshold: 99, interval: 30s, metrics: {tpot: 2}}").canary == Canary(
        Analysis(99.0, 30.0, tpot=2.0)
    )


@pytest.mark.parametrize(
    ("fields", "code", "path", "words"),
    [
        ("split: 101", "PS110", ".split", "from 0 to 100"),
        ("split: half", "PS110", ".split", "a whole number"),
        ("split: {}", "PS112", ".split", "found neither"),
        ("split: {stable: 0, canary: 0}", "PS124", ".split", "all shares are 0"),
        ("split: {canary: 500}", "PS120", ".split", "give both"),
        ("split: {canary: -1}", "PS110", ".split.canary", "from 0 to"),
        ("steps: [1, 100]", "PS112", "", "'analysis' is missing"),
        (f"{JUDGED}, steps: []", "PS110", ".steps", "a list of shares in per cent"),
        (f"{JUDGED}, steps: 5", "PS110", ".steps", "a list of shares in per cent"),
        (f"{JUDGED}, steps: [0, 5]", "PS110", ".steps[0]", "from 1 to 100"),
        (f"{JUDGED}, steps: [5, 101]", "PS110", ".steps[1]", "from 1 to 100"),
        (f"{JUDGED}, steps: [5, 5]", "PS120", ".steps", "above the one before"),
        (f"{JUDGED}, steps: [50, 5]", "PS120", ".steps", "above the one before"),
        ("analysis: {threshold: 101, interval: 5m}", "PS110", ".analysis.threshold", "from 0 to 100"),
        ("analysis: {threshold: 95, interval: 0}", "PS110", ".analysis.interval", "above 0"),
        ("analysis: {threshold: 95}", "PS112", ".analysis", "'interval' is missing"),
        ("analysis: 95", "PS110", ".analysis", "a mapping with threshold, interval"),
        ("analysis: {threshold: 1, interval: 1, min_requests: 0}", "PS110", ".analysis.min_requests", "from 1"),
        ("analysis: {threshold: 1, interval: 1, metrics: {ttft: 0}}", "PS110", ".analysis.metrics.ttft", "above 0"),
        ("analysis: {threshold: 1, interval: 1, metrics: 2}", "PS110", ".analysis.metrics", "ttft and tpot"),
        ("weight: 5", "PS111", ".weight", "unknown key"),
    ],
)
def test_a_slip_in_a_canary_is_told(fields: str, code: str, path: str, words: str) -> None:
    problem = error(fields)
    assert (problem.code, problem.path) == (code, f"routes[0].rules[0].canary{path}")
    assert words in problem.message


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ("canary: a", "PS110", "a mapping with stable, canary"),
        ("canary: {stable: a}", "PS112", "'canary' is missing"),
        ("canary: {stable: a, canary: b}", "PS131", "no server 'b'"),
        ("canary: {stable: a, canary: {server: a, weight: 1}}", "PS111", "'weight'"),
        ("targets: [a, a], analysis: {threshold: 95, interval: 5m}", "PS111", "'analysis'"),
    ],
)
def test_a_trial_needs_both_sides(fields: str, code: str, words: str) -> None:
    problem = rule_problem(fields)
    assert problem.code == code
    assert words in problem.message
