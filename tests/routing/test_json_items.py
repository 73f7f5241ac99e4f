"""However bytes are cut into pieces, the same lines and items come of them."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing import json_items
from proxy.routing.json_items import ItemsError, items_of, lines_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\[]{},\n: é', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\],', max_size=3), inner, max_size=3),
    max_leaves=8,
)


def cut(content: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(content) + 1) for place in places})
    return [content[start:end] for start, end in zip([0, *ends], [*ends, len(content)], strict=True)]


@given(st.lists(VALUES), st.lists(st.integers(0, 999)), st.sampled_from([None, 0, 2]), st.booleans())
def test_the_items_of_an_array_are_found_wherever_it_is_cut(
    values: list[object], places: list[int], indent: int | None, escaped: bool
) -> None:
    content = ("\n " + json.dumps(values, indent=indent, ensure_ascii=escaped) + "\n ").encode()
    found = list(items_of(cut(content, places)))
    assert [json.loads(item) for _, item in found] == values
    lines = content.split(b"\n")
    assert all(item.split(b"\n")[0] in lines[line - 1] for line, item in found)


@given(st.binary(), st.lists(st.integers(0, 99)))
def test_the_lines_of_a_text_are_found_wherever_it_is_cut(content: bytes, places: list[int]) -> None:
    whole = content.split(b"\n")
    expected = whole if whole[-1] else whole[:-1]
    assert list(lines_of(cut(content, places))) == list(enumerate(expected, 1))


@given(st.text('[]{}",\\a\n').map(str.encode))
def test_no_text_raises_anything_but_an_error_of_its_own(content: bytes) -> None:
    with suppress(ItemsError):
        assert all(1 <= line <= content.count(b"\n") + 1 for line, _ in items_of([content]))


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"[1,\n,2]", 2, "missing"),
        (b"[1,]", 1, "missing"),
        (b"[1\n", 1, "no end"),
        (b"", 1, "no end"),
        (b"{}", 1, "expected a JSON array"),
        (b"x[1]", 1, "expected a JSON array"),
        (b"[\n{]", 2, "closes what it has not opened"),
        (b"[1]\n x", 1, "behind the array"),
        (b"[1][2]", 1, "behind the array"),
    ],
)
def test_what_is_no_array_is_told_with_its_line(content: bytes, line: int, message: str) -> None:
    with pytest.raises(ItemsError, match=message) as found:
        list(items_of([content]))
    assert found.value.line == line


def test_what_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_items, "LARGEST", 10)
    with pytest.raises(ItemsError, match="item of more than"):
        list(items_of([b"[1, ", b'"aaaaaaaa', b'aaaa"]']))
    with pytest.raises(ItemsError, match="line of more than") as found:
        list(lines_of([b"a\n", b"bbbbbb", b"bbbbbb"]))
    assert found.value.line == 2
