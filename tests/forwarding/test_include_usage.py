"""Promises of asking a stream for its usage."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarding.include_usage import with_usage
from proxy.forwarding.splice import place_model

CHAT = "/v1/chat/completions"


def asked(body: bytes, path: str = CHAT) -> bytes | None:
    pieces = with_usage(body, path)
    return None if pieces is None else b"".join(pieces)


NAMES = st.text(max_size=6) | st.sampled_from(["stream", "stream_options", "include_usage", '"stream_options":', "\\"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=10,
)
OPTIONS = st.dictionaries(NAMES, VALUES, max_size=3)


def merged(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"stream_options": (document.get("stream_options") or {}) | {"include_usage": True}}


@given(
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.none()
    | OPTIONS
    | st.fixed_dictionaries({"include_usage": st.sampled_from([False, None])}, optional={"a": VALUES}),
    st.integers(0, 5),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.booleans(),
)
def test_any_body_asks_for_its_usage_and_says_all_else_that_it_said(
    document: dict[str, Any], options: dict[str, Any] | None, place: int, indent: int | None, plain: bool, wide: bool
) -> None:
    items = [(key, value) for key, value in document.items() if key not in {"stream", "stream_options"}]
    items.insert(place, ("stream_options", options))
    items.insert(place // 2, ("stream", True))
    body = dict(items)
    separators = (" , ", " : ") if wide else None
    text = json.dumps(body, ensure_ascii=plain, indent=indent, separators=separators)
    found = asked(text.encode("utf-8", "surrogatepass"))
    said = (options or {}).get("include_usage")
    if said is not None and (not isinstance(said, int) or said != 0):
        assert found is None
        return
    assert found is not None
    assert json.loads(found) == merged(body)
    assert list(json.loads(found)) == list(body)


@given(st.dictionaries(NAMES, VALUES, max_size=5), st.booleans())
def test_a_body_without_options_gets_them_in_front(document: dict[str, Any], plain: bool) -> None:
    rest = {key: value for key, value in document.items() if key != "stream_options"} | {"stream": True}
    text = json.dumps(rest, ensure_ascii=plain).encode()
    found = asked(text)
    assert found == b'{"stream_options":{"include_usage":true},' + text[1:]
    assert json.loads(found) == merged(rest)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"stream":true}', b'{"stream_options":{"include_usage":true},"stream":true}'),
        (b' {\n"stream":true }', b' {"stream_options":{"include_usage":true},\n"stream":true }'),
        (b'{"stream":true,"stream_options":null}', b'{"stream":true,"stream_options":{"include_usage":true}}'),
        (b'{"stream":true,"stream_options":{ }}', b'{"stream":true,"stream_options":{"include_usage":true }}'),
        (
            b'{"stream":true,"stream_options" : {"continuous_usage_stats": true}}',
            b'{"stream":true,"stream_options" : {"include_usage":true,"continuous_usage_stats": true}}',
        ),
        (
            b'{"stream":true,"stream_options":{"include_usage": false ,"x":1e3}}',
            b'{"stream":true,"stream_options":{"include_usage": true ,"x":1e3}}',
        ),
        (
            b'{"stream":true,"stream_options":{"x":{"include_usage":null},"include_usage":null}}',
            b'{"stream":true,"stream_options":{"x":{"include_usage":null},"include_usage":true}}',
        ),
        (
            b'{"x":{"stream_options":null},"stream_options":null,"y":{"stream_options":null},"stream":true}',
            b'{"x":{"stream_options":null},"stream_options":{"include_usage":true},"y":{"stream_options":null},"stream":true}',
        ),
    ],
)
def test_no_other_byte_changes(body: bytes, expected: bytes) -> None:
    assert asked(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"stream":true',
        b'{"stream":false}',
        b'{"stream":null,"stream_options":{}}',
        b'{"stream":[true]}',
        b'{"stream":"no"}',
        b'{"stream":true,"stream_options":{"include_usage":true}}',
        b'{"stream":true,"stream_options":{"include_usage":false,"include_usage":true}}',
        b'{"stream":true,"stream_options":null,"stream_options":{"include_usage":true}}',
        b'{"stream":true,"stream":false}',
        b'{"stream":true,"stream_options":{"include_usage":"yes"}}',
        b'{"stream":true,"stream_options":{"include_usage":1}}',
        b'{"stream":true,"stream_options":{"include_usage":"none"}}',
        b'{"stream":true,"stream_options":{"include_usage":[]}}',
        b'{"stream":true,"stream_options":{"include_usage":1e999}}',
        b'{"stream":true,"stream_options":5}',
        b'{"stream":true,"stream_options":[]}',
        b'{"stream":true,"stream_options":"null"}',
        b'{"stream":true,"stream_options":{"a":NaN}}',
        b'{"stream":true,"x":' + b"[" * 100_000,
        b'{"stream":true,"stream_options":{"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}}",
        b'{"stream":true,"\xff":"\xff","stream_options":"\xff"}',
    ],
)
def test_what_asks_already_or_does_not_stream_or_cannot_be_read_goes_as_it_came(body: bytes) -> None:
    assert with_usage(body, CHAT) is None
    assert with_usage(bytearray(body), CHAT) is None


@pytest.mark.parametrize("stream", [b"true", b"1", b"1.0", b'"True"', b'"yes"', b'"on"'])
def test_whatever_engines_take_for_a_stream_is_asked(stream: bytes) -> None:
    assert with_usage(b'{"stream":%b}' % stream, CHAT) is not None


@pytest.mark.parametrize("value", [b"false", b"null", b"0", b'"no"', b'"False"', b'"off"'])
def test_whatever_engines_take_for_no_becomes_a_yes(value: bytes) -> None:
    found = asked(b'{"stream":true,"stream_options":{"include_usage":%b}}' % value)
    assert found == b'{"stream":true,"stream_options":{"include_usage":true}}'


@pytest.mark.parametrize(
    ("path", "is_asked"),
    [
        (CHAT, True),
        ("/v1/completions", True),
        ("/v1/messages", False),
        ("/v1/responses", False),
        ("/v1/embeddings", False),
        ("/generate", False),
    ],
)
def test_only_paths_whose_streams_keep_their_usage_to_themselves_are_asked(path: str, is_asked: bool) -> None:
    assert (asked(b'{"stream":true}', path) is not None) is is_asked


@pytest.mark.parametrize(
    "body",
    [
        b'{"stream":true,"stream_options":{"include_usage":true},"stream_options":{"include_usage":false}}',
        b'{"stream":true,"stream_options":null,"stream_options":null}',
        b'{"stream":true,"stream_options":{"include_usage":true},"stream_options":null}',
        b'{"stream":true,"stream_options":{"include_usage":true,"include_usage":false,"a":2}}',
        b'{"stream":true,"stream\\u005foptions":{"include_usage":false,"a":1}}',
        b'{"strea\\u006d":true,"stream_options":{"includ\\u0065_usage":null}}',
        b'{"stream":true,"stream_options":{},"x":[' + b'{"stream_options":{}},' * 9 + b"0]}",
        b'{"stream":true,"stream_options":{"include_usage":null,"x":[' + b'{"include_usage":null},' * 9 + b"0]}}",
    ],
)
def test_of_names_that_stand_twice_or_are_hidden_the_engine_reads_the_one_that_asks(body: bytes) -> None:
    found = asked(body)
    assert found is not None
    assert json.loads(found) == merged(json.loads(body))


@given(st.binary(max_size=60), st.sampled_from([b"", b'{"stream":true,', b'{"stream":true,"stream_options":']))
def test_no_bytes_make_it_fail(data: bytes, start: bytes) -> None:
    found = asked(start + data)
    assert found is None or json.loads(found)["stream_options"]["include_usage"] is True


@given(st.dictionaries(NAMES, VALUES, max_size=4), st.none() | st.just({"include_usage": False}), NAMES, st.booleans())
def test_the_model_can_be_rewritten_in_what_comes_out(
    document: dict[str, Any], options: dict[str, Any] | None, model: str, named: bool
) -> None:
    body = document | {"stream": True, "stream_options": options} | ({"model": "old"} if named else {})
    found = asked(json.dumps(body).encode())
    assert found is not None
    assert json.loads(b"".join(place_model(found, model))) == merged(body) | {"model": model}


def test_a_body_is_not_copied_where_options_are_put_in_front() -> None:
    body = b'{"stream":true,"x":"' + b"y" * 1000 + b'"}'
    first, _, last = with_usage(body, CHAT) or []
    assert isinstance(first, memoryview)
    assert isinstance(last, memoryview)
    assert first.obj is last.obj is body
