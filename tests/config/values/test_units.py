"""Durations and sizes are read as people write them, and written back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.values.units import UnitError, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5.0),
        ("25ms", 0.025),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("7", 7.0),
        ("0.25", 0.25),
        ("1d", 86_400.0),
        ("250us", 0.00025),
        (" 5s ", 5.0),
        ("0", 0.0),
    ],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5 s", "s", "-5s", "5x", "1e3", "\u0665s", "5s,", "nan", "400d", "9" * 400])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UnitError, match="a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 * 1024**2),
        ("32KiB", 32 * 1024),
        ("10MB", 10_000_000),
        ("64Mi", 64 * 1024**2),
        ("1.5KiB", 1536),
        ("512", 512),
        ("512B", 512),
        ("1 GiB", 1024**3),
    ],
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1.3B", "1iB", "1XB", "9999999TiB", "64 M i B"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UnitError, match="a size"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=366 * 86_400 * 1_000_000))
def test_a_duration_survives_being_written_and_read(micros: int) -> None:
    seconds = micros / 1_000_000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@given(st.integers(min_value=0, max_value=2**53))
def test_a_size_survives_being_written_and_read(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0s"), (5.0, "5s"), (0.025, "25ms"), (5400.0, "1h30m"), (1.5, "1.5s"), (0.0002, "200us"), (300.0, "5m")],
)
def test_a_duration_is_written_as_a_person_would(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_size_is_written_in_its_largest_exact_unit() -> None:
    assert [format_size(size) for size in (0, 1000, 1024, 64 * 1024**2)] == ["0", "1000", "1KiB", "64MiB"]
