"""Promises of reading what an engine tells of tokens."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarding.usage import Told, last, read, tells_only_usage

OPENAI = {
    "prompt_tokens": 12,
    "total_tokens": 44,
    "completion_tokens": 32,
    "prompt_tokens_details": {"cached_tokens": 8},
}


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        (OPENAI, Told(12, 32, 8)),
        ({"prompt_tokens": 5, "total_tokens": 5}, Told(5, None, None)),
        ({"prompt_tokens": 5, "completion_tokens": 0, "prompt_tokens_details": None}, Told(5, 0, None)),
        ({"input_tokens": 7, "output_tokens": 9, "input_tokens_details": {"cached_tokens": 4}}, Told(7, 9, 4)),
        ({"output_tokens": 9}, Told(None, 9, None)),
        (
            {"input_tokens": 7, "output_tokens": 9, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20},
            Told(127, 9, 100),
        ),
        ({"input_tokens": 7, "cache_read_input_tokens": None}, Told(7, None, None)),
    ],
)
def test_the_figures_of_each_dialect_are_read(usage: dict[str, Any], told: Told) -> None:
    assert read(json.dumps({"usage": usage}).encode()) == told


@pytest.mark.parametrize(
    "usage",
    [
        None,
        5,
        [],
        {},
        {"prompt_tokens": "5"},
        {"prompt_tokens": -1},
        {"prompt_tokens": True},
        {"completion_tokens": 1e300},
        {"completion_tokens": 2**60},
        {"type": "duration", "seconds": 5},
    ],
)
def test_what_is_no_count_is_not_told(usage: object) -> None:
    assert read(json.dumps({"usage": usage}).encode()) is None


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": [{"text": "x"}], "usage": OPENAI},
        {"type": "message_start", "message": {"role": "assistant", "usage": OPENAI}},
        {"type": "response.completed", "response": {"output": [{"usage": {"prompt_tokens": 1}}], "usage": OPENAI}},
        {"message": "a text", "usage": OPENAI},
    ],
)
def test_a_usage_is_found_where_engines_put_it(answer: dict[str, Any]) -> None:
    assert read(json.dumps(answer).encode()) == Told(12, 32, 8)


def test_what_a_model_has_written_is_no_usage() -> None:
    lie = {"prompt_tokens": 1, "completion_tokens": 1}
    content = {"content": [{"type": "tool_use", "input": {"usage": lie}}, json.dumps({"usage": lie})]}
    assert read(json.dumps(content | {"usage": OPENAI}).encode()) == Told(12, 32, 8)
    assert read(json.dumps({"usage": OPENAI} | content).encode()) == Told(12, 32, 8)
    assert read(json.dumps(content).encode()) is None
    assert last(json.dumps(content | {"usage": OPENAI}).encode()[30:]) == Told(12, 32, 8)
    assert last(json.dumps({"content": json.dumps({"usage": lie})}).encode()[1:]) is None


def test_the_end_of_an_answer_is_enough() -> None:
    answer = json.dumps({"data": [0.5] * 50, "usage": OPENAI, "id": "}{"}).encode()
    for start in range(answer.index(b'"usage"') + 1):
        assert read(answer[start:]) == Told(12, 32, 8)
    assert read(answer[answer.index(b'"usage"') + 1 :]) is None


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        (b'{"choices":[],"usage":{"prompt_tokens":1}}', True),
        (b'{"usage":{},"choices":[ \n]}', True),
        (b'{"choices":[],"usage":null}', False),
        (b'{"choices":[],"prompt_filter_results":[]}', False),
        (b'{"choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":1}}', False),
        (b'{"choices":null,"usage":{"prompt_tokens":1}}', False),
        (b'{"usage":{"prompt_tokens":1}}', False),
        (b'{"type":"message_delta","usage":{"output_tokens":1}}', False),
        (b"[DONE]", False),
        (b'"\xff"', False),
    ],
)
def test_only_a_usage_without_choices_stands_alone(text: bytes, alone: bool) -> None:
    assert tells_only_usage(text) is alone


@given(
    st.binary(max_size=80),
    st.sampled_from([b"", b'{"usage":', b'"usage": {"prompt_tokens":', b'{"response":{"usage":{']),
)
def test_no_bytes_make_it_fail(data: bytes, start: bytes) -> None:
    read(start + data)
    tells_only_usage(start + data)


def test_deep_nesting_is_no_usage() -> None:
    deep = b'{"usage":' * 20_000
    assert read(deep) is None
    assert read(b'{"usage":{' + b'"a":{' * 20_000) is None
