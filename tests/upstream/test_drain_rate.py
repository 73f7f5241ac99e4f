"""Promises of the drain rate."""

import pytest

from proxy.upstream.drain_rate import DrainRate


def steady(per_second: float, seconds: float, began: float = 1000.0) -> tuple[DrainRate, float]:
    """The rate after requests have ended evenly for so long, and the time then."""
    rate = DrainRate()
    count = round(per_second * seconds)
    for number in range(count):
        rate.count(began + number / per_second)
    return rate, began + count / per_second


@pytest.mark.parametrize(("per_second", "seconds"), [(10, 3), (10, 300), (0.5, 60), (1000, 2)])
def test_a_steady_rate_is_measured_from_its_beginning_on(per_second: float, seconds: float) -> None:
    rate, now = steady(per_second, seconds)
    assert rate.per_second(now) == pytest.approx(per_second, rel=0.1)


def test_a_new_rate_is_believed_after_some_seconds() -> None:
    rate, now = steady(1, 100)
    for number in range(200):
        rate.count(now + number / 10)
    assert rate.per_second(now + 20) == pytest.approx(10, rel=0.15)


def test_what_ended_long_ago_says_nothing_of_a_new_rush() -> None:
    rate, now = steady(1, 100)
    for number in range(50):
        rate.count(now + 3600 + number / 10)
    assert rate.per_second(now + 3605) == pytest.approx(10, rel=0.1)


def test_a_rate_without_ends_fades() -> None:
    rate, now = steady(10, 100)
    assert rate.per_second(now + 20) < 2


@pytest.mark.parametrize(("waiting", "seconds"), [(0, 1.0), (9, 1.0), (99, 10.0), (10_000, 60.0)])
def test_who_is_sent_away_may_come_when_all_that_wait_are_served(waiting: int, seconds: float) -> None:
    rate, now = steady(10, 100)
    assert rate.retry_after(waiting, now) == pytest.approx(seconds, rel=0.06)


def test_where_nothing_is_known_a_second_is_told() -> None:
    assert DrainRate().retry_after(100, 1000.0) == 1.0
