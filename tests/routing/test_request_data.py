"""A request as data: its type by its path, and values as texts."""

import pytest

from proxy.routing.request_data import as_text, message_data, request_type


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", "chat"),
        ("/engine/v1/messages", "chat"),
        ("/v1/completions", "completion"),
        ("/v1/embeddings", "embedding"),
        ("/v1/images/generations", "image"),
        ("/v1/audio/speech", "audio"),
        ("/v2/rerank", "rerank"),
        ("/v1/score", "score"),
        ("/v1/files", None),
        ("/", None),
    ],
)
def test_a_path_tells_what_is_asked_for(path: str, kind: str | None) -> None:
    assert request_type(path) == kind


def test_a_message_says_what_it_is() -> None:
    data = message_data("POST", "/v1/completions", "m", True, {"a": "b"}, {"q": "1"})
    assert data == {
        "method": "POST",
        "path": "/v1/completions",
        "type": "completion",
        "model": "m",
        "stream": True,
        "headers": {"a": "b"},
        "query": {"q": "1"},
    }


@pytest.mark.parametrize(
    ("value", "keys", "text"),
    [
        ("a", (), "a"),
        (True, (), "true"),
        (False, (), "false"),
        (5, (), "5"),
        (0.5, (), "0.5"),
        (None, (), None),
        ([], (), None),
        ({}, (), None),
        ({"a": {"b": "c"}}, ("a", "b"), "c"),
        ({"a": {"b": "c"}}, ("a",), None),
        ({"a": 1}, ("a", "b"), None),
        ({"a": 1}, ("c",), None),
        ("abc", ("a",), None),
        (["a"], ("0",), None),
    ],
)
def test_a_scalar_is_told_as_json_spells_it(value: object, keys: tuple[str, ...], text: str | None) -> None:
    assert as_text(value, keys) == text
