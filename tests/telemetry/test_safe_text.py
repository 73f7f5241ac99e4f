"""Promises of escaping."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.telemetry.safe_text import FieldMemo, escape_field, escape_message

ANYTHING = st.text(st.characters(exclude_categories=()))


@given(ANYTHING)
def test_a_field_is_visible_ascii_without_blanks(text: str) -> None:
    field = escape_field(text, 1000)
    assert field
    assert field.isascii()
    assert field.isprintable()
    assert not set(' "') & set(field)


@given(ANYTHING, ANYTHING)
def test_different_texts_give_different_fields(one: str, other: str) -> None:
    assert (escape_field(one or "x", 1000) == escape_field(other or "x", 1000)) == ((one or "x") == (other or "x"))


@given(ANYTHING)
def test_a_message_is_one_printable_line(text: str) -> None:
    assert escape_message(text).isprintable()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("/v1/models", "/v1/models"),
        ("a b\r\n", "a\\x20b\\x0d\\x0a"),
        ("\x1b[31m", "\\x1b[31m"),
        ("é\u202e", "\\xe9\\u202e"),
        ("\U0001f600", "\\U0001f600"),
        ("\udcff", "\\udcff"),
        ("\\x20", "\\x5cx20"),
        ("", "-"),
    ],
)
def test_a_field_spells_what_was_there(text: str, field: str) -> None:
    assert escape_field(text, 256) == field


def test_a_long_text_is_cut_and_says_so() -> None:
    assert escape_field("x" * 1_000_000, 256) == "x" * 256 + "..."


def test_a_memo_gives_what_escaping_gives() -> None:
    memo = FieldMemo(limit=8)
    for text in ("", "plain", "two words", "longer than eight", "plain", "longer than eight"):
        assert memo[text] == escape_field(text, 8)


def test_made_up_names_do_not_make_a_memo_grow() -> None:
    memo = FieldMemo(limit=8, capacity=10)
    for number in range(1000):
        assert memo[f"n{number}"]
        assert memo[f"a very long name {number}"]
    assert len(memo) <= 10
    assert max(map(len, memo)) <= 8
