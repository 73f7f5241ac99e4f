"""Promises of the statistical tests: they are the exact ones, at every size."""

import time
from fractions import Fraction
from math import comb, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.significance import binomial_chance, fisher_chance, student_tail, welch_chance

SIZES = st.integers(1, 60)


@st.composite
def groups(draw: st.DrawFn) -> tuple[int, int]:
    trials = draw(SIZES)
    return trials, draw(st.integers(0, trials))


@given(groups(), st.integers(1, 99))
def test_the_binomial_test_is_the_sum_of_all_chances(group: tuple[int, int], percent: int) -> None:
    trials, failures = group
    chance = Fraction(percent, 100)
    exact = sum(
        comb(trials, good) * chance**good * (1 - chance) ** (trials - good) for good in range(trials - failures + 1)
    )
    assert isclose(binomial_chance(trials, failures, percent / 100), exact, rel_tol=1e-9, abs_tol=1e-13)


@given(groups(), groups())
def test_fishers_test_is_the_sum_of_all_tables_that_are_as_bad(one: tuple[int, int], other: tuple[int, int]) -> None:
    (trials, failures), (rest, others) = one, other
    together = failures + others
    tables = [
        comb(trials, count) * comb(rest, together - count) for count in range(failures, min(trials, together) + 1)
    ]
    exact = Fraction(sum(tables), comb(trials + rest, together))
    assert isclose(fisher_chance(trials, failures, rest, others), exact, rel_tol=1e-9, abs_tol=1e-13)


def test_any_failure_is_below_a_threshold_of_everything_and_none_is_below_one_of_nothing() -> None:
    assert binomial_chance(1_000, 1, 1.0) == 0.0
    assert binomial_chance(1_000, 0, 1.0) == 1.0
    assert binomial_chance(1_000, 1_000, 0.0) == 1.0


@pytest.mark.parametrize(
    ("statistic", "freedom", "tail"),
    [
        # Abramowitz, Stegun, table 26.10
        (6.314, 1, 0.05),
        (2.920, 2, 0.05),
        (1.812, 10, 0.05),
        (2.086, 20, 0.025),
        (2.390, 60, 0.01),
        (1.6449, 1e6, 0.05),
        (1.6449, 1e12, 0.05),
        (0.0, 7, 0.5),
        (-1.812, 10, 0.95),
        (float("inf"), 3, 0.0),
    ],
)
def test_the_tail_of_students_distribution_is_that_of_the_tables(statistic: float, freedom: float, tail: float) -> None:
    assert student_tail(statistic, freedom) == pytest.approx(tail, abs=5e-5)


def test_equal_means_without_any_variance_are_no_surprise_and_a_higher_one_is() -> None:
    assert welch_chance(0.0, (20, 0.0), (20, 0.0)) == 1.0
    assert welch_chance(1e-9, (20, 0.0), (20, 0.0)) == 0.0


def test_a_million_trials_are_judged_in_a_few_milliseconds() -> None:
    began = time.process_time()
    for _ in range(10):
        binomial_chance(1_000_000, 51_000, 0.95)
        binomial_chance(1_000_000, 500_500, 0.5)
        fisher_chance(500_000, 25_100, 500_000, 25_000)
        student_tail(1.7, 2e6)
    assert (time.process_time() - began) / 10 < 0.02  # it takes 1 ms
