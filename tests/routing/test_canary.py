"""Promises of a canary's judgement, and of how seldom it is wrong."""

import random
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.spec import Analysis
from proxy.routing.canary import NOTHING, Outcome, SideEvidence, Timed, judge

ANALYSIS = Analysis(95.0, 60.0, min_requests=20)
TIMED = Analysis(95.0, 60.0, min_requests=20, ttft=1.2, tpot=1.2)
SIMULATIONS = 2_000
UNTIMED = Timed()


def timed(*seconds: float) -> Timed:
    return Timed(len(seconds), sum(map(log, seconds)), sum(log(each) ** 2 for each in seconds))


def spread(median: float, number: int, seed: int = 1, sigma: float = 0.5) -> Timed:
    """Times as engines have them: log-normal."""
    chance = random.Random(seed)
    return timed(*(median * exp(chance.gauss(0.0, sigma)) for _ in range(number)))


def side(trials: int, failures: int, ttft: Timed = UNTIMED, tpot: Timed = UNTIMED) -> SideEvidence:
    return SideEvidence(trials, failures, ttft, tpot)


def drawn(chance: random.Random, trials: int, success: float) -> SideEvidence:
    return side(trials, sum(chance.random() >= success for _ in range(trials)))


# --- success ----------------------------------------------------------------------------------------------------------


def test_too_few_requests_are_watched_on_however_bad_they_are() -> None:
    verdict = judge(ANALYSIS, side(1_000, 0), side(7, 7))
    assert verdict.outcome is Outcome.WATCH
    assert verdict.reason == "too little evidence: 7 of 20 requests"


def test_nothing_at_all_is_watched_on_even_where_no_request_is_asked_for() -> None:
    assert judge(Analysis(95.0, 60.0, min_requests=0), NOTHING, NOTHING).outcome is Outcome.WATCH


def test_a_canary_at_the_threshold_or_above_passes() -> None:
    assert judge(ANALYSIS, NOTHING, side(20, 1)).outcome is Outcome.PASS
    assert judge(ANALYSIS, NOTHING, side(20, 0)).outcome is Outcome.PASS


def test_a_canary_that_may_be_below_by_chance_is_watched_on() -> None:
    verdict = judge(ANALYSIS, side(180, 0), side(20, 2))
    assert verdict.outcome is Outcome.WATCH
    assert not verdict.counted
    assert "90% success, threshold 95%): may be chance (binomial test, p=0.26)" in verdict.reason


def test_a_canary_that_is_surely_below_fails_with_the_figures() -> None:
    verdict = judge(ANALYSIS, side(1_800, 6), side(200, 20))
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason == (
        "20 of 200 requests failed (90% success, threshold 95%): significantly below (binomial test, p=0.0027); "
        "stable: 6 of 1,800 requests failed"
    )


def test_a_canary_fails_where_the_stable_target_got_no_requests() -> None:
    assert judge(ANALYSIS, NOTHING, side(200, 20)).outcome is Outcome.FAIL


def test_a_canary_that_fails_as_the_stable_target_does_is_not_to_blame() -> None:
    verdict = judge(ANALYSIS, side(1_800, 180), side(200, 20))
    assert verdict.outcome is Outcome.WATCH
    assert verdict.reason.startswith("stable fails as well: 20 of 200 requests failed")
    assert verdict.counted


def test_a_canary_that_fails_more_than_a_failing_stable_target_is_to_blame() -> None:
    assert judge(ANALYSIS, side(1_800, 180), side(200, 60)).outcome is Outcome.FAIL


def test_a_stable_target_with_too_few_requests_excuses_nobody() -> None:
    assert judge(ANALYSIS, side(19, 19), side(200, 20)).outcome is Outcome.FAIL


def test_a_threshold_of_everything_takes_each_failure_for_one() -> None:
    everything = Analysis(100.0, 60.0)
    assert judge(everything, side(180, 0), side(20, 1)).outcome is Outcome.FAIL
    assert judge(everything, side(180, 9), side(20, 1)).outcome is Outcome.WATCH
    assert judge(everything, side(180, 9), side(20, 0)).outcome is Outcome.PASS


def test_a_threshold_of_nothing_is_always_reached() -> None:
    assert judge(Analysis(0.0, 60.0), NOTHING, side(20, 20)).outcome is Outcome.PASS


# --- times ------------------------------------------------------------------------------------------------------------


def test_a_canary_as_fast_as_allowed_passes() -> None:
    stable, canary = side(200, 0, spread(0.1, 200), spread(0.02, 200)), side(50, 0, spread(0.1, 50), spread(0.02, 50))
    verdict = judge(TIMED, stable, canary, promoting=True)
    assert verdict.outcome is Outcome.PASS
    assert "time to first token" in verdict.reason
    assert "time per token" in verdict.reason


@pytest.mark.parametrize(("ttft", "tpot", "name"), [(0.3, 0.02, "time to first token"), (0.1, 0.06, "time per token")])
def test_a_canary_that_is_surely_slower_than_allowed_fails(ttft: float, tpot: float, name: str) -> None:
    stable, canary = side(200, 0, spread(0.1, 200), spread(0.02, 200)), side(50, 0, spread(ttft, 50), spread(tpot, 50))
    verdict = judge(TIMED, stable, canary)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason.startswith(f"{name} ")
    assert "(1.2 allowed): significantly above (Welch's test, p=" in verdict.reason


def test_a_slow_canary_fails_also_while_its_success_is_watched() -> None:
    slow = side(60, 4, spread(0.9, 50), spread(0.02, 50))
    assert judge(ANALYSIS, side(200, 0), slow).outcome is Outcome.WATCH
    assert judge(TIMED, side(200, 0, spread(0.1, 200), spread(0.02, 200)), slow).outcome is Outcome.FAIL


def test_a_canary_that_may_be_slower_by_chance_is_watched_on_with_its_times() -> None:
    stable, canary = side(200, 0, spread(0.1, 200)), side(20, 0, timed(*[0.05, 0.3] * 10))
    verdict = judge(Analysis(95.0, 60.0, ttft=1.05), stable, canary)
    assert verdict.outcome is Outcome.WATCH
    assert verdict.counted
    assert "may be chance (Welch's test" in verdict.reason


@pytest.mark.parametrize(("ours", "theirs"), [(19, 200), (200, 19), (0, 0), (1, 1)])
def test_too_few_timed_requests_fail_nobody_and_keep_only_a_promotion_waiting(ours: int, theirs: int) -> None:
    analysis = Analysis(95.0, 60.0, min_requests=20, ttft=1.2)
    stable, canary = side(200, 0, spread(0.001, theirs)), side(200, 0, spread(60.0, ours))
    assert judge(analysis, stable, canary).outcome is Outcome.PASS
    waiting = judge(analysis, stable, canary, promoting=True)
    assert waiting.outcome is Outcome.WATCH
    assert f"{ours} of the canary's and {theirs} of stable's, of 20 timed requests each" in waiting.reason


def test_times_are_compared_by_their_geometric_means() -> None:
    stable, canary = side(20, 0, timed(*[0.1] * 20)), side(20, 0, timed(*[0.05, 0.2] * 10))
    assert judge(Analysis(95.0, 60.0, ttft=1.0001), stable, canary).outcome is Outcome.PASS


# --- evidence ---------------------------------------------------------------------------------------------------------


@given(*[st.lists(st.floats(0.001, 100.0), min_size=2, max_size=20)] * 2)
def test_evidence_of_several_workers_adds_up_to_that_of_one(one: list[float], other: list[float]) -> None:
    both = timed(*one).plus(timed(*other))
    whole = timed(*one, *other)
    assert both.number == whole.number
    assert both.mean == pytest.approx(whole.mean)
    assert both.variance_of_mean == pytest.approx(whole.variance_of_mean, abs=1e-9)


def test_what_came_since_an_earlier_look_is_the_difference() -> None:
    earlier, later = side(10, 1, timed(1.0), timed(2.0)), side(5, 2, timed(3.0), timed(4.0))
    found = earlier.plus(later).minus(earlier)
    assert found[:2] == later[:2]
    assert found.ttft == pytest.approx(later.ttft)
    assert found.tpot == pytest.approx(later.tpot)


# --- how seldom it is wrong -------------------------------------------------------------------------------------------


def test_a_healthy_canary_is_never_rolled_back_in_thousands_of_windows() -> None:
    chance = random.Random(7)
    windows = [(drawn(chance, 1_800, 0.995), drawn(chance, 200, 0.995)) for _ in range(SIMULATIONS)]
    failed = sum(judge(ANALYSIS, *window).outcome is Outcome.FAIL for window in windows)
    assert failed == 0


def test_a_canary_just_at_the_threshold_is_rolled_back_in_at_most_a_twentieth_of_windows() -> None:
    chance = random.Random(8)
    windows = [drawn(chance, 200, 0.95) for _ in range(SIMULATIONS)]
    failed = sum(judge(ANALYSIS, side(1_800, 9), window).outcome is Outcome.FAIL for window in windows)
    assert 0.02 < failed / SIMULATIONS <= 0.05


def test_a_canary_that_fails_a_tenth_is_rolled_back_in_most_windows_of_200_and_nearly_all_of_1000() -> None:
    chance = random.Random(9)
    stable = side(1_800, 9)
    few = sum(judge(ANALYSIS, stable, drawn(chance, 200, 0.9)).outcome is Outcome.FAIL for _ in range(500))
    many = sum(judge(ANALYSIS, stable, drawn(chance, 1_000, 0.9)).outcome is Outcome.FAIL for _ in range(500))
    assert few / 500 > 0.8
    assert many / 500 > 0.999


def test_a_canary_as_bad_as_a_failing_stable_target_is_blamed_in_at_most_a_twentieth_of_windows() -> None:
    chance = random.Random(10)
    windows = [(drawn(chance, 600, 0.8), drawn(chance, 200, 0.8)) for _ in range(SIMULATIONS)]
    failed = sum(judge(ANALYSIS, *window).outcome is Outcome.FAIL for window in windows)
    assert failed / SIMULATIONS <= 0.05


def test_a_canary_just_as_slow_as_allowed_is_rolled_back_in_at_most_a_twentieth_of_windows() -> None:
    analysis = Analysis(95.0, 60.0, ttft=1.5)
    failed = 0
    for seed in range(500):
        stable = side(100, 0, spread(0.1, 100, seed=2 * seed))
        canary = side(30, 0, spread(0.15, 30, seed=2 * seed + 1, sigma=0.9))
        failed += judge(analysis, stable, canary).outcome is Outcome.FAIL
    assert 0.02 < failed / 500 <= 0.065  # 5 %, and what 500 windows scatter
