"""Promises of one canary's way: when it is judged, and by what."""

from dataclasses import replace
from math import log

import msgspec
import pytest

from proxy.config.spec import Analysis
from proxy.routing.canary import SideEvidence, Timed
from proxy.runtime.canary_course import Course, Moment
from proxy.runtime.canary_plan import CanaryPlan
from proxy.runtime.canary_state import Phase, SavedCanary
from tests.runtime.canary_stage import ANALYSIS, plan

START = Moment(1_000.0, 1_700_000_000.0)
FAST, SLOW = (Timed(50, 50 * log(seconds), 50 * log(seconds) ** 2) for seconds in (0.1, 0.3))


def later(seconds: float) -> Moment:
    return Moment(START.steady + seconds, START.unix + seconds)


def with_analysis(analysis: Analysis | None, steps: tuple[int, ...] = ()) -> CanaryPlan:
    return msgspec.structs.replace(plan(steps=steps), analysis=analysis)


def test_nothing_is_judged_before_the_interval_is_over() -> None:
    course = Course(plan(), START)
    course.observe(1, SideEvidence(400, 400))
    assert not course.judge(later(59.9))
    assert course.judge(later(60.0))


def test_a_canary_that_is_watched_on_is_judged_again_at_the_next_interval() -> None:
    course = Course(plan(), START)
    assert not course.judge(later(60.0))
    course.observe(1, SideEvidence(400, 400))
    assert not course.judge(later(119.0))
    assert course.judge(later(120.0))


def test_evidence_that_says_too_little_is_kept_until_it_says_more() -> None:
    course = Course(plan(), START)
    for interval in range(1, 5):
        course.observe(1, SideEvidence(6, 2))
        assert course.judge(later(60.0 * interval)) is (interval == 4)
    assert course.phase is Phase.FAILED
    assert course.reason.startswith("8 of 24 requests failed")


def test_an_outage_of_both_sides_is_no_evidence_against_the_canary_later() -> None:
    course = Course(plan(steps=(10, 100)), START)
    for interval in range(1, 61):
        course.observe(0, SideEvidence(1_800, 1_800))
        course.observe(1, SideEvidence(200, 200))
        assert not course.judge(later(60.0 * interval))
    assert course.reason.startswith("stable fails as well")
    course.observe(0, SideEvidence(1_800, 0))
    course.observe(1, SideEvidence(200, 0))
    assert course.judge(later(60.0 * 61))
    assert course.step == 1


def test_a_canary_that_waits_for_times_is_judged_by_the_success_of_each_interval() -> None:
    course = Course(with_analysis(replace(ANALYSIS, ttft=1.2), steps=(10, 100)), START)
    for interval in range(1, 61):
        course.observe(1, SideEvidence(200, 0))
        assert not course.judge(later(60.0 * interval))
    assert "time to first token: too little evidence" in course.reason
    course.observe(1, SideEvidence(400, 40))
    assert course.judge(later(60.0 * 61))
    assert course.phase is Phase.FAILED


def test_times_gather_over_intervals_until_they_are_enough() -> None:
    course = Course(with_analysis(replace(ANALYSIS, ttft=1.2), steps=(10, 100)), START)
    part = Timed(7, 7 * log(0.1), 7 * log(0.1) ** 2)
    for interval in range(1, 4):
        course.observe(0, SideEvidence(1_800, 0, FAST))
        course.observe(1, SideEvidence(200, 0, part))
        assert course.judge(later(60.0 * interval)) is (interval == 3)
    assert course.step == 1


def test_a_canary_with_all_requests_is_held_against_the_times_of_stable_before_that() -> None:
    for times, phase in ((FAST, Phase.PROMOTED), (SLOW, Phase.FAILED)):
        course = Course(with_analysis(replace(ANALYSIS, ttft=1.2), steps=(50, 100)), START)
        course.observe(0, SideEvidence(200, 0, FAST))
        course.observe(1, SideEvidence(200, 0, FAST))
        assert course.judge(later(60.0))
        course.observe(1, SideEvidence(400, 0, times))
        assert course.judge(later(120.0))
        assert course.phase is phase


def test_a_canary_that_never_had_anything_beside_it_is_judged_by_its_success_alone() -> None:
    course = Course(with_analysis(replace(ANALYSIS, ttft=1.2), steps=(100,)), START)
    course.observe(1, SideEvidence(400, 0, SLOW))
    assert course.judge(later(60.0))
    assert course.phase is Phase.PROMOTED


def test_steps_that_end_below_everything_leave_the_last_word_to_an_operator() -> None:
    course = Course(plan(steps=(5, 25)), START)
    for interval in range(1, 10):
        course.observe(1, SideEvidence(200, 0))
        course.judge(later(60.0 * interval))
    assert (course.phase, course.shares) == (Phase.PROGRESSING, (75, 25))
    course.observe(1, SideEvidence(400, 40))
    assert course.judge(later(600.0))
    assert course.shares == (100, 0)


def test_what_it_was_judged_by_can_be_seen_after_its_end() -> None:
    course = Course(plan(), START)
    course.observe(1, SideEvidence(400, 40))
    course.judge(later(60.0))
    course.observe(1, SideEvidence(10, 0))
    assert course.view.canary == SideEvidence(400, 40)
    assert (course.view.since, course.view.weight) == (START.unix + 60.0, 0.0)


def test_a_canary_without_an_analysis_is_never_judged_whatever_its_steps() -> None:
    course = Course(with_analysis(None, steps=(1, 100)), START)
    course.observe(1, SideEvidence(400, 400))
    assert course.due is None
    assert not course.judge(later(1e6))
    assert (course.phase, course.shares, course.reason) == (Phase.WATCHING, (90, 10), "it has no analysis")


@pytest.mark.parametrize(
    ("saved", "shares"),
    [
        (SavedCanary("d1", Phase.PROGRESSING, 1.0, 99, 5.0), (0, 100)),
        (SavedCanary("d1", Phase.PROGRESSING, 1.0, -3, 5.0), (99, 1)),
        (SavedCanary("d1", Phase.WATCHING, 1.0, 1, 1e300), (0, 100)),
        (SavedCanary("d1", Phase.FAILED, 50.0, 0, -1e300), (100, 0)),
    ],
)
def test_a_file_with_odd_values_does_no_harm(saved: SavedCanary, shares: tuple[int, int]) -> None:
    course = Course(plan(steps=(1, 100)), START, saved)
    assert course.shares == shares
    assert 0.0 <= course.since <= START.unix
