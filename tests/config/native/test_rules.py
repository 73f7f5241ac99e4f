"""Native rules are read into specs, and each slip is told at its place."""

import pytest

from proxy.config.spec import Retries, Sticky, StickyKind, Target, Timeouts
from proxy.errors import Severity
from tests.config.native_documents import SERVER, load, route, rule_problem


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
        ("targets: a, enabled: 1", "PS110", "true or false"),
        ("targets: a, description: 1", "PS110", "a text"),
        ("targets: a, canary: {stable: a, canary: a}", "PS113", "give one of targets and canary"),
        ("canary: ", "PS112", "'targets' is missing"),
        ("targets: [a, a], sticky: me", "PS110", "the word user, or a mapping with one of header, query, cookie"),
        ("targets: [a, a], sticky: {}", "PS113", "exactly one of header, query, cookie; found none"),
        ("targets: [a, a], sticky: {header: a, cookie: b}", "PS113", "found header and cookie"),
        ("targets: [a, a], sticky: {session: a}", "PS111", "unknown key 'session'"),
        ("targets: [a, a], sticky: {header: a b}", "PS120", "the name of a header"),
        ("targets: [a, a], sticky: {cookie: 'a;b'}", "PS120", "the name of a cookie"),
        ("targets: [a, a], sticky: {query: ''}", "PS120", "empty"),
    ],
)
def test_a_slip_in_a_rule_is_told(fields: str, code: str, words: str) -> None:
    problems = load(f"{SERVER}routes: [{{name: r, rules: [{{{fields}}}]}}]").problems
    found = [problem for problem in problems if problem.severity is Severity.ERROR]
    assert code in [problem.code for problem in found]
    assert words in next(problem.message for problem in found if problem.code == code)


def test_a_rule_can_be_off_and_says_what_it_is_for() -> None:
    (rule,) = route('rules: [{targets: a, enabled: false, description: "one\\ntwo"}]').rules
    assert (rule.enabled, rule.description) == (False, "one\ntwo")


@pytest.mark.parametrize(
    ("written", "sticky"),
    [
        ("user", Sticky(StickyKind.USER)),
        ("{header: X-Session}", Sticky(StickyKind.HEADER, "x-session")),
        ("{query: Id}", Sticky(StickyKind.QUERY, "Id")),
        ("{cookie: Sid}", Sticky(StickyKind.COOKIE, "Sid")),
    ],
)
def test_a_split_keeps_callers_on_their_side_by_what_names_them(written: str, sticky: Sticky) -> None:
    assert route(f"rules: [{{targets: [a, a], sticky: {written}}}]").rules[0].sticky == sticky


def test_a_single_target_has_no_sides_which_is_told() -> None:
    problem = rule_problem("targets: a, sticky: user")
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS136", "routes[0].rules[0].sticky")
