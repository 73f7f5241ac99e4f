"""Promises of a model rewrite."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import RequestError
from proxy.forwarding.splice import length, place_model, splice_model

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text()
    | st.sampled_from(["model", '"model"', "mod\\u0065l", '"model":'])
)
keys = st.text() | st.sampled_from(["model", "mod", "Model", 'a"model"', "model\\", "\\", "m", "\\u006d"])
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3))
documents = st.dictionaries(keys, values, max_size=5)
models = st.text(min_size=1)


def spliced(body: bytes | bytearray, model: str) -> bytes:
    pieces = splice_model(body, model)
    joined = b"".join(pieces)
    assert length(pieces) == len(joined)
    return joined


@given(documents, models, models, st.integers(0, 5), st.booleans(), st.booleans())
def test_only_the_model_changes(
    document: dict[str, object], old: str, new: str, place: int, pretty: bool, in_place: bool
) -> None:
    items = [(key, value) for key, value in document.items() if key != "model"]
    items.insert(place, ("model", old))
    body = orjson.dumps(dict(items), option=orjson.OPT_INDENT_2 if pretty else None)
    assert orjson.loads(spliced(bytearray(body) if in_place else body, new)) == {**dict(items), "model": new}


@given(documents, models, st.lists(st.sampled_from(range(5)), min_size=1, unique=True), st.booleans())
def test_a_key_spelled_with_escapes_is_found(
    document: dict[str, object], new: str, escaped: list[int], upper: bool
) -> None:
    spelled = "".join(
        ("\\u%04X" if upper else "\\u%04x") % ord(letter) if place in escaped else letter
        for place, letter in enumerate("model")
    ).encode()
    rest = {key: value for key, value in document.items() if key != "model"}
    inner = orjson.dumps(rest)[1:-1]
    body = b"{" + inner + (b"," if inner else b"") + b'"' + spelled + b'" :\n "old"}'
    assert orjson.loads(spliced(body, new)) == {**rest, "model": new}


@given(documents)
def test_all_other_bytes_stay_as_they_came(document: dict[str, object]) -> None:
    inner = orjson.dumps({key: value for key, value in document.items() if key != "model"}, option=orjson.OPT_INDENT_2)
    body = inner[:-1].rstrip() + (b"," if len(document.keys() - {"model"}) else b"") + b' "model"\t:\r\n"old" }'
    assert spliced(body, "new") == body[: -len(b'"old" }')] + b'"new" }'


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "a", "model": "b"}',
        b'{"model": "a", "x": {"model": 1}, "mod\\u0065l": "b"}',
        b'{"model": 5, "model": "b"}',
        b'{"model": {"model": 1}, "model": "b"}',
        b'{"model": ["model", {}], "x": [], "\\u006dodel": "b"}',
    ],
)
def test_a_body_that_names_its_model_twice_is_refused(body: bytes) -> None:
    with pytest.raises(RequestError) as raised:
        splice_model(body, "new")
    assert (raised.value.status, raised.value.param) == (400, "model")


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": {"model": "inner"}, "model": "old"}',
        b'{"x": ["model", "model"], "model": "old", "y": "\\"model\\""}',
        b'{"y": "\\\\", "x": "a \\"model", "model": "old"}',
        b'{"x": "model", "model": "old"}',
        b'{"tools": [{"function": {"parameters": {"properties": {"model": {"type": "string"}}}}}], "model": "old"}',
    ],
)
def test_a_model_elsewhere_is_no_model_of_the_request(body: bytes) -> None:
    assert spliced(body, "new") == body.replace(b'"old"', b'"new"')


def test_a_body_is_not_copied() -> None:
    body = b'{"model": "old", "x": "' + b"y" * 1000 + b'"}'
    first, _, last = splice_model(body, "new")
    assert isinstance(first, memoryview)
    assert isinstance(last, memoryview)
    assert first.obj is last.obj is body


@given(documents, models, st.booleans())
def test_a_model_is_put_in_front_where_there_is_none(document: dict[str, object], new: str, pretty: bool) -> None:
    rest = {key: value for key, value in document.items() if key != "model"}
    body = orjson.dumps(rest, option=orjson.OPT_INDENT_2 if pretty else None)
    placed = b"".join(place_model(body, new))
    assert orjson.loads(placed) == {"model": new, **rest}
    assert placed.endswith(body.lstrip()[1:])


def test_a_model_that_is_no_text_is_replaced_where_it_stands() -> None:
    assert b"".join(place_model(b'{"a": 1, "model": null}', "m")) == b'{"a": 1, "model": "m"}'


def test_an_object_with_two_models_is_refused_also_where_one_would_be_placed() -> None:
    with pytest.raises(RequestError):
        place_model(b'{"model": 1, "model": 2}', "m")
