"""Promises of the estimate of a request's input tokens."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarding.prompt import MANY, estimate

CHAT = "/v1/chat/completions"
JSON = b"application/json"


def tokens(document: object, path: str = CHAT) -> int:
    return estimate(json.dumps(document).encode(), path, JSON)


def chatml(*messages: tuple[str, str]) -> int:
    return math.ceil(sum(len(f"<|im_start|>{role}\n{text}<|im_end|>\n") for role, text in messages) / 4)


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=40)), max_size=6))
def test_a_chat_counts_as_its_messages_in_chatml(messages: list[tuple[str, str]]) -> None:
    document = {"model": "m", "messages": [{"role": role, "content": text} for role, text in messages]}
    body = json.dumps(document, ensure_ascii=False).encode()
    assert estimate(body, CHAT, JSON) == estimate(bytearray(body), CHAT, b"") == chatml(*messages)


@given(st.text())
def test_a_prompt_counts_as_a_quarter_of_its_characters(text: str) -> None:
    assert estimate(json.dumps({"prompt": text}, ensure_ascii=False).encode(), "/v1/completions", JSON) == math.ceil(
        len(text) / 4
    )


@pytest.mark.parametrize(
    ("document", "path", "expected"),
    [
        ({"prompt": "äöü😀x"}, "/v1/completions", 2),
        ({"prompt": ["abc", "de"]}, "/v1/completions", 2),
        ({"prompt": [1, 2, 3]}, "/v1/completions", 3),
        ({"prompt": [[1, 2], [3]]}, "/v1/completions", 3),
        ({"prompt": ["abcde", [7, 8], 9]}, "/v1/completions", 5),
        ({"prompt": ""}, "/v1/completions", 0),
        ({"prompt": []}, "/v1/completions", 0),
        ({"messages": []}, CHAT, 0),
        ({"messages": [{"role": "user", "content": None}]}, CHAT, chatml(("user", ""))),
        ({"messages": [{"role": "user"}]}, CHAT, chatml(("user", ""))),
        ({"messages": [{"content": "abc", "role": 5}]}, CHAT, chatml(("", "abc"))),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "ab"}, {"type": "text", "text": "c"}]}
                ]
            },
            CHAT,
            chatml(("user", "ab\nc")),
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x" * 999}}, "abc"]}
                ]
            },
            CHAT,
            chatml(("user", "abc")),
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "text": "abc"}, {"type": "text"}]}]},
            CHAT,
            chatml(("user", "")),
        ),
        (
            {"system": "You are.", "messages": [{"role": "user", "content": "Hi"}]},
            "/v1/messages",
            chatml(("system", "You are."), ("user", "Hi")),
        ),
        (
            {"messages": [], "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            "/v1/messages",
            chatml(("system", "a\nb")),
        ),
        ({"input": "Hi"}, "/v1/responses", chatml(("user", "Hi"))),
        ({"input": "Hi", "instructions": "Be."}, "/v1/responses", chatml(("developer", "Be."), ("user", "Hi"))),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                    {"type": "function_call_output", "output": "x" * 999},
                    {"role": "assistant", "content": [{"type": "output_text", "text": "Ho"}]},
                ]
            },
            "/v1/responses",
            chatml(("user", "Hi"), ("assistant", "Ho")),
        ),
        ({"prompt": {"id": "stored"}, "input": "Hi"}, "/v1/responses", chatml(("user", "Hi"))),
        ({"input": "abcde"}, "/v1/embeddings", 2),
        ({"input": ["abcd", "efgh"]}, "/v1/embeddings", 2),
        ({"input": [[1, 2, 3], [4]]}, "/v1/embeddings", 4),
        ({"query": "abcd", "documents": ["efgh", {"text": "ijkl"}]}, "/rerank", 4),
        ({"query": "abcd", "texts": ["efgh"]}, "/rerank", 2),
        ({"documents": {"content": [{"type": "text", "text": "efgh"}]}, "query": "abcd"}, "/v1/rerank", 2),
        ({"text_1": "abcd", "text_2": "efgh"}, "/score", 2),
        ({"text_1": ["abcd", "abcd"], "text_2": ["efgh", "efgh"]}, "/score", 4),
        ({"queries": "abcd", "items": ["efgh", "ijkl", "mnop"]}, "/score", 6),
        ({"model": "m"}, CHAT, 4),
    ],
)
def test_each_kind_of_request_is_read(document: dict[str, Any], path: str, expected: int) -> None:
    assert tokens(document, path) == expected


def test_a_small_field_beside_does_not_hide_a_large_one() -> None:
    messages = [{"role": "user", "content": "x" * 4000}]
    large = tokens({"messages": messages})
    assert tokens({"messages": messages, "prompt": "", "input": "x", "query": "", "documents": []}) == large
    assert tokens({"prompt": "", "input": "x" * 4000}, "/v1/embeddings") == 1000


UNREADABLE = [
    b"null",
    b'"text"',
    b'{"messages":"Hi"}',
    b'{"messages":[5]}',
    b'{"messages":[{"content":5}]}',
    b'{"prompt":[[["a"]]]}',
    b'{"prompt":{"a":1},"x":1e999}',
    b'{"system":1e999}',
    b'{"input":' + b"9" * 5000 + b"}",
    b'{"prompt":"\\ud800"}',
    b'{"prompt":"\xff"}',
    b'{"prompt":"x","temperature":NaN}',
    b'\xef\xbb\xbf{"prompt":"x"}',
    b'{"prompt":' + b"[" * 200_000,
    b'{"query":{"content":' * 50_000,
    b"not JSON",
]


@pytest.mark.parametrize("body", UNREADABLE)
def test_what_cannot_be_read_counts_as_its_size(body: bytes) -> None:
    assert estimate(body, CHAT, JSON) == math.ceil(len(body) / 4)


def test_what_has_no_body_brings_no_tokens() -> None:
    assert estimate(b"", CHAT, JSON) == estimate(bytearray(), "/v1/models", b"") == 0


def test_a_list_without_end_is_not_taken_apart() -> None:
    for item in (b"{}", b"1", b"[]", b'""'):
        body = b'{"messages":[' + (item + b",") * (MANY + 1) + item + b"]}"
        assert estimate(body, CHAT, JSON) == math.ceil(len(body) / 4)


def test_a_long_text_with_few_commas_is_read_whole() -> None:
    assert tokens({"prompt": "ä" * MANY, "x": "," * 99}) == MANY // 4


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nabcde\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + b"\0" * 999 + b"\r\n--b--\r\n"
)


def test_of_a_form_the_prompt_counts_and_not_the_file() -> None:
    path = "/v1/audio/transcriptions"
    assert estimate(FORM, path, b"multipart/form-data; boundary=b") == 2
    assert estimate(bytearray(FORM), path, b"Multipart/Form-Data; boundary=b") == 2
    assert estimate(FORM.replace(b"prompt", b"other"), path, b"multipart/form-data; boundary=b") == 0


NAMES = st.sampled_from(
    ["prompt", "messages", "system", "input", "query", "documents", "text_1", "content", "role", "text"]
)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NAMES, ANY, max_size=5), st.sampled_from([CHAT, "/v1/responses", "/rerank", ""]))
def test_no_json_makes_it_fail(document: dict[str, Any], path: str) -> None:
    assert tokens(document, path) >= 0


@given(st.binary(max_size=80), st.sampled_from([b"", b'{"messages":[{"content":', b'{"prompt":', b'{"input":[{']))
def test_no_bytes_make_it_fail(data: bytes, start: bytes) -> None:
    assert estimate(start + data, CHAT, b"") >= 0
