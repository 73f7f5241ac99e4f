"""A request made of plain data stands for the one that a client would send."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.sample import (
    LONGEST_SUMMARY,
    SampleError,
    is_request,
    request_from,
    request_of,
    sample_of,
    summary,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def test_a_body_alone_is_a_chat_request() -> None:
    request = sample_of({"model": "qwen"})
    assert (request.method, request.path, request.model) == ("POST", "/v1/chat/completions", "qwen")


def test_a_path_without_a_body_is_asked_with_get() -> None:
    assert sample_of(target="/v1/models").method == "GET"
    assert sample_of(target="/v1/files", method="delete").method == "DELETE"
    assert sample_of(headers={"a": "b"}).method == "POST"
    assert sample_of({}, target="/v1/models").method == "POST"


def test_a_target_is_taken_apart() -> None:
    request = sample_of(target="/a%20b?x=1&x=2&y=%41", parameters={"y": "z"})
    assert request.path == "/a b"
    assert (request.query("x"), request.query("y"), request.query("z")) == ("1", "z", None)


def test_headers_are_found_in_any_case() -> None:
    assert sample_of(headers={"User-Type": "premium"}).header("user-type") == "premium"


def test_a_model_that_is_no_text_is_none() -> None:
    assert sample_of({"model": 1}).model is None
    assert sample_of(["model"]).model is None


@pytest.mark.parametrize(
    "data",
    [
        {"body": {"model": "qwen"}},
        {"method": "GET"},
        {"path": "/v1/models"},
        {"headers": {"a": "b"}, "body": None},
        {"method": "POST", "path": "/x", "headers": {}, "query": {}, "body": {}},
    ],
)
def test_a_request_is_known_by_its_parts(data: object) -> None:
    assert is_request(data)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"body": "x"},
        {"query": {}},
        {"headers": {"region": "us"}, "user": {}},
        {"method": 1},
        [],
        None,
        "x",
        {"model": "m"},
    ],
)
def test_anything_else_is_a_body(data: object) -> None:
    assert not is_request(data)
    assert request_of(data).body == data


def test_a_request_is_put_together_from_its_parts() -> None:
    data = {"method": "put", "path": "/v1/x?a=b", "headers": {"X-A": 1}, "query": {"c": True}, "body": {"model": "m"}}
    request = request_of(data)
    assert (request.method, request.path, request.headers) == ("PUT", "/v1/x", {"x-a": "1"})
    assert request.parameters == {"a": "b", "c": "true"}
    assert request.model == "m"


@pytest.mark.parametrize(
    "parts",
    [{"headers": []}, {"headers": {"a": None}}, {"query": {"a": []}}, {"method": 1}, {"path": ""}, {"path": {}}],
)
def test_a_part_of_the_wrong_type_is_refused(parts: dict[str, object]) -> None:
    with pytest.raises(SampleError, match="of a request must be"):
        request_from(parts)


@given(JSON)
def test_any_json_is_a_request(data: object) -> None:
    try:
        request = request_of(data)
    except SampleError:
        return
    assert len(summary(request)) <= LONGEST_SUMMARY + 3
    request.data("request")


def test_a_request_is_told_on_one_line() -> None:
    assert summary(sample_of({"model": "qwen"})) == '{"model":"qwen"}'
    assert summary(sample_of(target="/v1/models")) == "GET /v1/models"
    whole = sample_of({"a": 1}, target="/x?q=1", headers={"x-a": "b", "Authorization": "Bearer secret"})
    assert summary(whole) == 'POST /x ?q=1 x-a: b authorization: *** {"a":1}'
    assert summary(sample_of({"a": "x" * 999})) == '{"a":"' + "x" * (LONGEST_SUMMARY - 6) + "..."
    assert summary(sample_of(json.loads('"\\ud800"'))) == "'\\ud800'"
