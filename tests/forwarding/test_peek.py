"""Promises of the look into a JSON body."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarding.peek import Peek

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@given(st.dictionaries(st.sampled_from(["model", "stream", "user", "other", "é"]) | st.text(), values), st.booleans())
def test_the_named_fields_are_what_the_document_says(document: dict[str, object], in_place: bool) -> None:
    peek = Peek(["stream", "user", "é", "model"])
    body = orjson.dumps(document)
    peeked = peek.decode(bytearray(body) if in_place else body)
    assert peeked is not None
    for name in ("model", "stream", "user", "é"):
        assert peek.value(peeked, name) == orjson.loads(body).get(name)
    assert peek.value(peeked, "other") is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"model"',
        b"1",
        b"{",
        b'{"model"',
        b'{"model": }',
        b'{"model": "a"} x',
        b"model=a",
        b"\xff",
        b'{"model": "\xff"}',
    ],
)
def test_what_is_no_json_object_has_no_fields(body: bytes) -> None:
    assert Peek().decode(body) is None


def test_a_body_nested_without_end_is_no_fault_of_ours() -> None:
    deep = 100_000
    assert Peek(["x"]).decode(b'{"x": ' + b"[" * deep + b"]" * deep + b"}") is None


def test_a_key_may_be_spelled_with_escapes() -> None:
    peek = Peek()
    peeked = peek.decode(b'{"mod\\u0065l": "a"}')
    assert peeked is not None
    assert peek.value(peeked, "model") == "a"


def test_the_last_of_two_keys_counts_as_it_does_for_engines() -> None:
    peek = Peek()
    peeked = peek.decode(b'{"model": "a", "model": "b"}')
    assert peeked is not None
    assert peek.value(peeked, "model") == "b"
