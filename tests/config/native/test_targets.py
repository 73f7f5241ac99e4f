"""Targets and shadows of native rules are read into specs, and each slip is told at its place."""

import pytest

from proxy.config.spec import Retries, Shadow, Target, Timeouts
from tests.config.native_documents import route, rule_problem


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
        ("{server: a}", Shadow(Target("a"), 32, 100.0, 1024 * 1024)),
        (
            "{server: a, model: m, timeout: 1s, max_in_flight: 5}",
            Shadow(Target("a", model="m", timeouts=Timeouts(first_byte=1.0, idle=1.0)), 5),
        ),
        ("{server: a, percent: 2.5, max_body: 64KiB}", Shadow(Target("a"), percent=2.5, max_body=64 * 1024)),
    ],
)
def test_a_rule_has_a_shadow(written: str, shadow: Shadow) -> None:
    assert route(f"rules: [{{targets: a, shadow: {written}}}]").rules[0].shadow == shadow


@pytest.mark.parametrize(
    ("shadow", "code", "words"),
    [
        ("{model: m}", "PS112", "'server' is missing"),
        ("{server: a, weight: 1}", "PS111", "unknown key 'weight'"),
        ("{server: a, max_in_flight: 0}", "PS110", "from 1 to"),
        ("{server: a, percent: 101}", "PS110", "from 0 to 100, in per cent"),
        ("{server: a, percent: 5%}", "PS110", "a number from 0 to 100"),
        ("{server: a, max_body: 0}", "PS110", "a size above 0"),
        ("{server: a, max_body: big}", "PS110", "a size such as 64MiB"),
        ("[a]", "PS110", "a server's name, or a mapping"),
    ],
)
def test_a_slip_in_a_shadow_is_told(shadow: str, code: str, words: str) -> None:
    problem = rule_problem(f"targets: a, shadow: {shadow}")
    assert problem.code == code
    assert words in problem.message
