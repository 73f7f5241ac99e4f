"""Durations, shares, timeouts and retries are written shortly, and read as exactly what they were."""

import pytest
from hypothesis import given

from proxy.config.problems import Problems
from proxy.config.spec import Retries, Timeouts
from proxy.config.text.nodes import Place, ScalarNode
from proxy.config.values.kinds import Kind, duration, share
from proxy.config.writing.values import duration as written_duration
from proxy.config.writing.values import json_tree, retries, timeouts
from proxy.config.writing.values import share as written_share
from proxy.config.writing.yaml_text import Scalar, document
from tests.config.configs import SECONDS, SHARES
from tests.config.writing.test_yaml_text import read


def read_by(kind: Kind[float], written: Scalar) -> float | None:
    return kind(ScalarNode(Place("a.yaml"), written.spelled, written.spelled), Problems())


@given(SECONDS)
def test_a_duration_is_read_as_exactly_these_seconds(seconds: float) -> None:
    assert read_by(duration, written_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (60.0, "1m"),
        (0.025, "25ms"),
        (90.5, "90.5s"),
        (0.1, "100ms"),
        (0.0, "0s"),
        (1 / 3, "0.3333333333333333s"),
        (1.5e-9, "0.0000000015s"),
        (1.2345678901234567e-9, "0.0012345678901234566us"),
    ],
)
def test_a_duration_is_written_as_a_person_would(seconds: float, written: str) -> None:
    assert written_duration(seconds) == Scalar(written)


@given(SHARES)
def test_a_share_is_read_as_exactly_that(value: float) -> None:
    assert read_by(share, written_share(value)) == value


@pytest.mark.parametrize(
    ("value", "written"), [(0.2, "20%"), (1.0, "100%"), (0.0, "0%"), (0.125, "12.5%"), (0.123456789, "12.3456789%")]
)
def test_a_share_is_written_in_per_cent(value: float, written: str) -> None:
    assert written_share(value) == Scalar(written)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Timeouts(), None),
        (Timeouts(connect=5.0), None),
        (Timeouts(first_byte=2.0, idle=2.0), "x: 2s\n"),
        (Timeouts(first_byte=2.0, idle=3.0), "x: {first_byte: 2s, idle: 3s}\n"),
        (Timeouts(connect=1.0, first_byte=2.0, idle=2.0), "x: {connect: 1s, first_byte: 2s, idle: 2s}\n"),
        (Timeouts(total=60.0), "x: {total: 1m}\n"),
    ],
)
def test_timeouts_say_what_differs_from_the_wider_scope(value: Timeouts, written: str | None) -> None:
    tree = timeouts(value, Timeouts(connect=5.0))
    assert (None if tree is None else document({"x": tree})) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Retries(3), "3"),
        (Retries(0), "0"),
        (Retries(backoff=1.0), "{backoff: 1s}"),
        (Retries(1, frozenset(), frozenset({429})), "{attempts: 1, on: [429]}"),
        (Retries(2, frozenset({"timeout", "reset"}), frozenset()), "{on: [reset, timeout]}"),
        (Retries(2, frozenset(), frozenset()), "{on: []}"),
        (Retries(2, frozenset(), frozenset(range(500, 600)) | {429}, 0.0), "{on: [5xx, 429], backoff: 0s}"),
        (Retries(2, frozenset(), frozenset(range(400, 600))), "{on: [4xx, 5xx]}"),
    ],
)
def test_retries_are_a_number_where_all_else_is_as_ever(value: Retries, written: str) -> None:
    text = document({"x": retries(value)})
    assert text == f"x: {written}\n"


def test_json_keeps_its_numbers_apart() -> None:
    value = {"a": 1, "b": 1.0, "c": [True, None, "1", 1e22], "d": {"e": -0.5}}
    assert document({"x": json_tree(value)}) == ('x: {a: 1, b: 1.0, c: [true, null, "1", 1e+22], d: {e: -0.5}}\n')
    assert read(document({"x": json_tree(value)})) == {"x": value}


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_a_number_beyond_all_bounds_stays_one(value: float) -> None:
    assert read(document({"x": json_tree([value])})) == {"x": [value]}
