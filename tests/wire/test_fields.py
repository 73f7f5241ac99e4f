"""Promises of what both directions know of fields."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.fields import connection_options, content_length


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (b"", set()),
        (b" , ,\t", set()),
        (b"close", {b"close"}),
        (b"Keep-Alive , X-A,x-b\t", {b"keep-alive", b"x-a", b"x-b"}),
    ],
)
def test_connection_options_are_told_whatever_their_case_and_spaces(value: bytes, options: set[bytes]) -> None:
    assert connection_options(value) == options


@given(st.integers(0, 10**18 - 1))
def test_a_content_length_is_its_digits(size: int) -> None:
    assert content_length(b" %d\t" % size) == size


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b"+1",
        b"-1",
        b"1.0",
        b"1e3",
        b"0x10",
        b"1_0",
        b"1,1",
        b"1 1",
        b"\xb2",
        b"\xd9\xa1",
        b"1" * 19,
        b"\x0b1",
    ],
)
def test_what_is_not_digits_is_no_content_length(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a number"):
        content_length(value)


def test_what_is_remembered_of_connection_fields_stays_small() -> None:
    tracemalloc.start()
    try:
        for number in range(300):
            connection_options(b",".join(b"%x" % (number * 10_000 + item) for item in range(5_000)))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
