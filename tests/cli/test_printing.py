"""What is printed fits a terminal, is whole where it is piped, and drives nothing."""

import io
import json
import re
from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from proxy.cli.printing import Page, place_of, plain, to_json
from proxy.config.spec import NOWHERE, Origin

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def page(*, terminal: bool, width: int = 40) -> tuple[Page, io.StringIO]:
    output = io.StringIO()
    console = Console(
        file=output, force_terminal=terminal, width=width, highlight=False, no_color=True, legacy_windows=False
    )
    return Page(console), output


def test_a_piped_line_is_whole_and_a_terminals_goes_on_below_it() -> None:
    text = "a " * 30 + "b" * 60
    piped, output = page(terminal=False)
    piped.line(text, 4)
    assert output.getvalue() == f"    {text}\n"
    shown, output = page(terminal=True)
    shown.line(text, 4)
    lines = output.getvalue().splitlines()
    assert len(lines) > 2
    assert all(len(line) <= 40 for line in lines)
    assert all(line.startswith(" " * 6) for line in lines[1:])
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_piped_tables_are_aligned_without_blanks_at_the_end() -> None:
    piped, output = page(terminal=False)
    piped.table("Title", ("Name", "Value"), [("日本", "x" * 99), ("abcdef", "")])
    assert output.getvalue().splitlines() == ["Title", "  Name    Value", f"  日本    {'x' * 99}", "  abcdef"]


def test_a_terminals_table_fits_and_loses_nothing() -> None:
    shown, output = page(terminal=True)
    shown.table("Title", ("Left", "Right"), [("x" * 30, "y" * 30)])
    text = re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue())
    assert all(len(line) <= 40 for line in text.splitlines())
    assert (text.count("x"), text.count("y")) == (30, 30)


def test_sections_are_apart_from_each_other() -> None:
    piped, output = page(terminal=False)
    piped.heading("one")
    piped.heading("two")
    assert output.getvalue() == "one\n\ntwo\n"


@pytest.mark.parametrize("terminal", [True, False])
@given(st.text())
def test_no_text_drives_the_terminal_or_counts_as_markup(terminal: bool, text: str) -> None:
    shown, output = page(terminal=terminal, width=100_000)
    shown.line("[bold]" + text)
    shown.table(text, ("a",), [("[red]" + text,)])
    assert "[bold]" in output.getvalue()
    assert "[red]" in output.getvalue()
    kept = output.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\n", "")
    assert kept.isprintable()


@given(JSON)
def test_json_is_json_and_can_be_printed(value: object) -> None:
    text = to_json(value)
    assert json.loads(text) == value
    assert text.replace("\n", "").isprintable()


def test_json_takes_what_texts_and_numbers_there_are() -> None:
    assert json.loads(to_json({"a": "\ud800", "b": 10**40})) == {"a": "\ud800", "b": 10**40}
    assert to_json("\x7f\x9b\u202e\U000e0001é") == '"\\u007f\\u009b\\u202e\\udb40\\udc01é"'


class Word(Enum):
    ONE = "one"


@dataclass(frozen=True)
class Part:
    words: frozenset[str]
    origin: Origin


def test_specs_become_plain_data() -> None:
    part = Part(frozenset({"b", "a"}), Origin("f.yaml", 3, 1, ""))
    assert plain({1: (part, Word.ONE)}) == {"1": [{"words": ["a", "b"], "origin": "f.yaml:3"}, "one"]}


def test_a_place_is_a_file_and_its_line() -> None:
    assert place_of(Origin("a.yaml", 0, 0, "")) == "a.yaml"
    assert place_of(NOWHERE) == ""
