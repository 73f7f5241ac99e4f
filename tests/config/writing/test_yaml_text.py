"""What is written is read again as it was, by every parser of ours, and looks as a person would have it."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.native.field_conditions import plain
from proxy.config.problems import Problems
from proxy.config.text.document import parse_documents
from proxy.config.writing.yaml_text import Block, Remark, Scalar, Tree, document, number, text
from tests.config.configs import ODD_TEXTS

TEXTS = st.sampled_from(ODD_TEXTS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def read(written: str) -> object:
    """What our own reader makes of a text."""
    problems = Problems()
    (node,) = parse_documents("a.yaml", written, {}, problems).nodes
    assert len(problems) == 0
    return plain(node)


def tree_of(value: object) -> Tree:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {key: tree_of(item) for key, item in value.items()}
    assert isinstance(value, list)
    return [tree_of(item) for item in value]


VALUES = st.recursive(
    TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3))
def test_texts_are_read_as_they_were_whatever_they_look_like(value: dict[str, object]) -> None:
    assert read(document({key: tree_of(item) for key, item in value.items()})) == value


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3))
def test_both_parsers_see_the_same(value: dict[str, object]) -> None:
    written = document({key: tree_of(item) for key, item in value.items()})
    events = [list(yaml.parse(written, Loader=loader)) for loader in (yaml.CSafeLoader, yaml.SafeLoader)]
    first, second = (
        [(type(e).__name__, getattr(e, "value", None), getattr(e, "implicit", None)) for e in found] for found in events
    )
    assert first == second


@given(st.lists(TEXTS, min_size=1))
def test_blocks_hold_what_lines_do(items: list[str]) -> None:
    block = Block([Block({"a": text(item), "b": [text(item), text(item)]}) for item in items], spaced=True)
    assert read(document({"x": block})) == {"x": [{"a": item, "b": [item, item]} for item in items]}


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        ("qwen-7b", "qwen-7b"),
        ("Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("a b", "a b"),
        ("/v1/*", "/v1/*"),
        ("http://10.0.0.1:8000/v1", "http://10.0.0.1:8000/v1"),
        ("60s", "60s"),
        ("yes", "yes"),
        ("8:30", "8:30"),
        ("it's", "it's"),
        ("", '""'),
        ("*", '"*"'),
        ("1", '"1"'),
        ("1.10", '"1.10"'),
        ("true", '"true"'),
        ("null", '"null"'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("a, b", '"a, b"'),
        (" a", '" a"'),
        ("${A}", '"$${A}"'),
        ("a\nb", '"a\\nb"'),
        ("\x1b\u2028\U000e0001", '"\\x1b\\u2028\\U000e0001"'),
        (r"^\d+$", r"'^\d+$'"),
        ('say "hi"', 'say "hi"'),
        ('"it\'s"', "'\"it''s\"'"),
    ],
)
def test_quotes_stand_only_where_they_are_needed(value: str, spelled: str) -> None:
    assert text(value) == Scalar(spelled)


@pytest.mark.parametrize(("value", "spelled"), [(1, "1"), (100.0, "100"), (2.5, "2.5"), (1e22, "1e+22"), (-3, "-3")])
def test_a_whole_number_has_no_fraction(value: float, spelled: str) -> None:
    assert number(value) == Scalar(spelled)


def test_what_is_short_stands_on_one_line_and_what_is_long_on_several() -> None:
    short = {"a": text("x"), "b": [text("y"), text("z")]}
    long = {f"key-{number}": text("x" * 20) for number in range(5)}
    assert document({"short": short, "long": long, "texts": [text("x" * 60)] * 2}).splitlines() == [
        "short: {a: x, b: [y, z]}",
        "",
        "long:",
        *(f"  key-{number}: {'x' * 20}" for number in range(5)),
        "",
        "texts:",
        *[f"  - {'x' * 60}"] * 2,
    ]


def test_several_mappings_have_lines_of_their_own() -> None:
    assert document({"x": [{"a": number(1)}, {"a": number(2)}]}) == "x:\n  - {a: 1}\n  - {a: 2}\n"
    assert document({"x": [text("b"), {"a": number(2)}]}) == "x:\n  - b\n  - {a: 2}\n"
    assert document({"x": [{"a": number(1)}]}) == "x: [{a: 1}]\n"


def test_a_block_has_lines_of_its_own_unless_it_is_empty() -> None:
    assert document({"x": Block({"a": number(1)})}) == "x:\n  a: 1\n"
    assert document({"x": Block({"a": Block([])})}) == "x:\n  a: []\n"


def test_parts_that_are_spaced_are_apart() -> None:
    parts = Block([Block({"a": number(1), "b": number(2)}), number(3)], spaced=True)
    assert document({"x": parts}) == "x:\n  - a: 1\n    b: 2\n\n  - 3\n"


def test_a_remark_stands_on_the_line_before() -> None:
    tree = Block({"a": number(1), "b": Remark(Block({"c": number(2)}), "of c")}, spaced=True)
    assert document({"x": tree}) == "x:\n  a: 1\n\n  # of c\n  b:\n    c: 2\n"


@pytest.mark.parametrize("key", ["k" * 1_500, "\u200b" * 700])
def test_a_key_that_is_too_long_for_one_line_is_marked(key: str) -> None:
    value = {"x": {key: "a"}, "y": {key: {"b": "c" * 200}}, key: ["d"]}
    assert read(document({name: tree_of(item) for name, item in value.items()})) == value


def test_nothing_is_an_empty_mapping() -> None:
    assert read(document({})) == {}
