"""Native rules are read into specs, and each slip is told at its place."""

import pytest

from proxy.config.spec import Analysis, Retries, Shadow, Target, Timeouts
from proxy.errors import Severity
from tests.config.native_documents import route, rule_problem


def test_a_rule_says_everything_about_itself() -> None:
    (rule,) = route(
        "rules: [{name: x, targets: [{server: a, weight: 90}, {server: a, weight: 0, model: m}],"
        "fallback: [a, {server: a, model: n}], timeout: 60s, retries: 3}]"
    ).rules
    assert rule.targets == (Target("a", 90), Target("a", 0, "m"))
    assert rule.fallback == (Target("a"), Target("a", 1, "n"))
    assert rule.timeouts == Timeouts(first_byte=60.0, idle=60.0)
    assert rule.retries == Retries(attempts=3)


def test_a_rule_without_policies_leaves_them_to_its_server() -> None:
    (rule,) = route("rules: [{targets: a}]").rules
    assert (rule.name, rule.timeouts, rule.retries) == ("rule-1", Timeouts(), None)


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ("match: {path: /a}", "PS112", "'targets' is missing"),
        ("targets: []", "PS110", "at least one target, found an empty list"),
        ("targets: [{server: a, weight: 0}]", "PS124", "all weights are 0"),
        ("targets: [{server: a, weight: 1000001}]", "PS110", "from 0 to 1000000"),
        ("targets: [{model: m}]", "PS112", "'server' is missing"),
        ("targets: a, fallback: [{server: a, weight: 1}]", "PS111", "unknown key 'weight'"),
        ("targets: a, fallbacks: a", "PS111", "unknown key 'fallbacks'"),
        ("targets: a, name: ''", "PS120", "empty"),
        ("targets: [{server: a, timeout: 0s}]", "PS110", "above 0"),
        ("targets: a, fallback: [{server: a, retries: -1}]", "PS110", "from 0 to 100"),
        ("targets: a, shadow: b", "PS131", "no server 'b'"),
        ("targets: a, shadow: {model: m}", "PS112", "'server' is missing"),
        ("targets: a, shadow: {server: a, weight: 1}", "PS111", "unknown key 'weight'"),
        ("targets: a, shadow: {server: a, max_in_flight: 0}", "PS110", "from 1 to"),
        ("targets: a, shadow: [a]", "PS110", "a server's name, or a mapping"),
        ("targets: a, enabled: 1", "PS110", "true or false"),
        ("targets: a, description: 1", "PS110", "a text"),
        ("targets: a, analysis: {threshold: 95, interval: 5m}", "PS113", "exactly two, and there are 1"),
        ("targets: [a, a, a], analysis: {threshold: 95, interval: 5m}", "PS113", "there are 3"),
        ("targets: [a, a], analysis: {threshold: 101, interval: 5m}", "PS110", "from 0 to 100"),
        ("targets: [a, a], analysis: {threshold: 95, interval: 0}", "PS110", "above 0"),
        ("targets: [a, a], analysis: {threshold: 95}", "PS112", "'interval' is missing"),
        ("targets: [a, a], analysis: 95", "PS110", "a mapping with threshold and interval"),
    ],
)
def test_a_slip_in_a_rule_is_told(fields: str, code: str, words: str) -> None:
    problem = rule_problem(fields)
    assert problem.code == code
    assert words in problem.message


def test_a_target_has_timeouts_and_retries_of_its_own() -> None:
    (rule,) = route(
        "rules: [{targets: [{server: a, timeout: 5s, retries: 1}], fallback: {server: a, timeout: {total: 1m}}}]"
    ).rules
    assert rule.targets == (Target("a", timeouts=Timeouts(first_byte=5.0, idle=5.0), retries=Retries(1)),)
    assert rule.fallback == (Target("a", timeouts=Timeouts(total=60.0)),)


@pytest.mark.parametrize(
    ("written", "shadow"),
    [
        ("a", Shadow(Target("a"))),
        ("{server: a}", Shadow(Target("a"))),
        (
            "{server: a, model: m, timeout: 1s, max_in_flight: 5}",
            Shadow(Target("a", model="m", timeouts=Timeouts(first_byte=1.0, idle=1.0)), 5),
        ),
    ],
)
def test_a_rule_has_a_shadow(written: str, shadow: Shadow) -> None:
    assert route(f"rules: [{{targets: a, shadow: {written}}}]").rules[0].shadow == shadow


def test_a_rule_can_be_off_and_says_what_it_is_for() -> None:
    (rule,) = route('rules: [{targets: a, enabled: false, description: "one\\ntwo"}]').rules
    assert (rule.enabled, rule.description) == (False, "one\ntwo")


def test_the_judgement_of_a_split_is_kept_and_told_to_be_without_force() -> None:
    fields = "targets: [{server: a, weight: 9}, a], analysis: {threshold: 99.5, interval: 5m}"
    assert route(f"rules: [{{{fields}}}]").rules[0].analysis == Analysis(99.5, 300.0)
    problem = rule_problem(fields)
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS138", "routes[0].rules[0].analysis")
