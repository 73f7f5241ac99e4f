from typing import Any

import pytest

from proxy.simulator.generation import read_generation, read_object
from proxy.simulator.options import EngineOptions
from proxy.simulator.refusal import RefusedError
from proxy.simulator.text import token_ids

OPTIONS = EngineOptions(model="qwen", adapters=("sql-lora",), tokens=8, max_model_len=100)
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def chat(**fields: Any) -> Any:
    return read_generation({**HELLO, **fields}, OPTIONS, chat=True)


def completion(**fields: Any) -> Any:
    return read_generation({"prompt": "hello", **fields}, OPTIONS, chat=False)


@pytest.mark.parametrize(
    ("fields", "tokens", "reason"),
    [
        ({}, 8, "stop"),
        ({"max_tokens": 3}, 3, "length"),
        ({"max_tokens": 8}, 8, "length"),
        ({"max_tokens": 9}, 8, "stop"),
        ({"max_tokens": 9, "max_completion_tokens": 2}, 2, "length"),
        ({"max_tokens": 20, "ignore_eos": True}, 20, "length"),
        ({"max_tokens": 20, "min_tokens": 12}, 12, "stop"),
        ({"max_tokens": None}, 8, "stop"),
    ],
)
def test_an_answer_ends_at_its_limit_or_by_itself(fields: dict[str, Any], tokens: int, reason: str) -> None:
    generation = chat(**fields)
    assert (generation.tokens, generation.finish_reason) == (tokens, reason)


def test_an_adapter_is_asked_for_by_its_name_and_a_missing_model_is_the_engines_own() -> None:
    assert (chat(model="sql-lora").model, chat(model="sql-lora").adapter) == ("sql-lora", "sql-lora")
    assert (chat().model, chat().adapter) == ("qwen", None)


def test_an_unknown_model_is_refused_with_404() -> None:
    with pytest.raises(RefusedError, match="The model `gpt` does not exist") as caught:
        chat(model="gpt")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [
        ("a b", (token_ids("a b"),)),
        (["a", "b c"], (token_ids("a"), token_ids("b c"))),
        ([1, 2, 3], ((1, 2, 3),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
    ],
)
def test_a_prompt_may_be_text_or_tokens_one_or_many(prompt: object, prompts: tuple[tuple[int, ...], ...]) -> None:
    assert completion(prompt=prompt).prompts == prompts


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": "hello"},
        {"messages": [{"content": "no role"}]},
        {"max_tokens": 0},
        {"max_tokens": "5"},
        {"max_tokens": True},
        {"n": 0},
        {"stream": "yes"},
        {"model": 7},
        {"stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": [1]},
        {"messages": [{"role": "user", "content": "word " * 100}]},
    ],
)
def test_a_wrong_field_is_refused_with_400(fields: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        chat(**fields)
    assert caught.value.status == 400


@pytest.mark.parametrize("prompt", [None, [], 7, ["a", 1], {"a": 1}, [[]]])
def test_a_wrong_prompt_is_refused_with_400(prompt: object) -> None:
    with pytest.raises(RefusedError, match="prompt must be"):
        completion(prompt=prompt)


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'"text"', b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        read_object(raw)
    assert caught.value.status == 400


def test_parts_of_a_message_that_are_not_text_count_as_tokens() -> None:
    picture = [{"type": "text", "text": "what is this"}, {"type": "image_url", "image_url": {"url": "http://a/b.png"}}]
    assert chat(messages=[{"role": "user", "content": picture}]).prompt_tokens > 10
