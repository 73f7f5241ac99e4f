"""Promises of what routing is told of a request."""

import pytest

from proxy.downstream.assembly import Request
from proxy.forwarding.facts import MAX_QUERY_FIELDS, Facts
from proxy.forwarding.peek import Peek
from tests.downstream.visits import Visit, chunked, get, post


def request(data: bytes) -> Request:
    return Visit().sends(data).requests[0]


def facts(data: bytes, *names: str) -> Facts:
    return Facts(request(data), Peek(names))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/v1/models", "/v1/models"),
        (b"/v1/models?a=/b", "/v1/models"),
        (b"/v1/%6dodels", "/v1/models"),
        (b"/caf%C3%A9", "/café"),
        (b"/%FF", "/\udcff"),
        (b"/a%2Fb%3Fc", "/a/b?c"),
        (b"/%zz%", "/%zz%"),
        (b"http://b/x?y", "/x"),
    ],
)
def test_a_path_is_told_as_an_engine_sees_it(target: bytes, path: str) -> None:
    assert facts(get(target)).path == path


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        (b"a=b", "a", "b"),
        (b"a=b&a=c", "a", "b"),
        (b"a=", "a", ""),
        (b"a", "a", ""),
        (b"a=%20b+c", "a", " b c"),
        (b"%61=1", "a", "1"),
        (b"a=caf%C3%A9", "a", "café"),
        (b"b=1", "a", None),
        (b"", "a", None),
        (b"&".join([b"a=1"] * (MAX_QUERY_FIELDS + 1)), "a", None),
    ],
)
def test_a_query_parameter_is_decoded_and_its_first_value_counts(query: bytes, name: str, value: str | None) -> None:
    told = facts(get(b"/?" + query))
    assert told.query(name) == value
    assert told.query(name) == value


def test_a_header_is_told_by_its_lower_case_name_and_several_are_joined() -> None:
    told = facts(get(b"/", b"X-A: 1 ", b"x-a: 2", b"X-B: caf\xc3\xa9", b"X-C: a\xffb", b"X-D:"))
    assert told.header("x-a") == "1 , 2"
    assert told.header("x-b") == "café"
    assert told.header("x-c") == "a\udcffb"
    assert told.header("x-d") == ""
    assert told.header("x-e") is None
    assert told.header("snow☃") is None


def test_octets_that_are_no_text_are_not_mistaken_for_other_text() -> None:
    assert facts(get(b"/", b"X-A: adm\xffin")).header("x-a") != "admin"


@pytest.mark.parametrize(
    ("body", "asks"),
    [
        (b'{"stream": true}', True),
        (b'{"\\u0073tream": true}', True),
        (b'{"stream": "yes"}', True),
        (b'{"stream": false, "stream": 1}', True),
        (b'{"stream": true, "stream": false}', False),
        (b'{"stream": null}', False),
        (b'{"messages": [{"stream": true}]}', False),
        (b"[true]", False),
        (b"", False),
    ],
)
def test_a_stream_is_asked_for_as_an_engine_would_read_it(body: bytes, asks: bool) -> None:
    assert facts(post(body)).asks_for_stream is asks


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model": "a"}', "a"),
        (b'{"x": {"model": "b"}, "model": "a"}', "a"),
        (b'{"model": 5}', None),
        (b'{"model": null}', None),
        (b"{}", None),
        (b"[]", None),
        (b"", None),
        (b'{"model": "a"', None),
    ],
)
@pytest.mark.parametrize("content_type", [b"application/json", b"text/plain"])
def test_a_model_is_found_in_a_json_body_whatever_its_type_says(
    body: bytes, model: str | None, content_type: bytes
) -> None:
    told = facts(post(body, b"Content-Type: " + content_type))
    assert told.model == model
    assert told.json is (body[:1] == b"{" and body[-1:] == b"}")


def test_a_model_is_found_in_a_body_that_came_in_pieces() -> None:
    assert facts(chunked(b'{"mod', b'el": ', b'"a"}')).model == "a"


def test_a_model_is_found_in_a_form_with_its_place() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b--\r\n'
    told = facts(post(body, b"Content-Type: multipart/form-data; boundary=b"))
    assert told.model == "whisper"
    assert told.model_span is not None
    assert body[told.model_span[0] : told.model_span[1]] == b"whisper"
    assert told.field(("model",)) is None


def test_fields_of_the_body_are_told_as_conditions_compare_them() -> None:
    told = facts(post(b'{"model": "a", "stream": true, "user": {"tier": "gold", "n": 1}}'), "stream", "user")
    assert told.field(("stream",)) == "true"
    assert told.field(("user", "tier")) == "gold"
    assert told.field(("user", "n")) == "1"
    assert told.field(("user",)) is None
    assert told.field(("other",)) is None


def test_a_request_without_a_body_has_no_fields() -> None:
    told = facts(get())
    assert (told.model, told.json, told.field(("model",)), told.method) == (None, False, None, "GET")


def test_data_are_the_bodys_own_fields_of_any_type() -> None:
    found = facts(post(b'{"user": {"tier": 1}, "tags": ["a"], "other": 1}'), "user", "tags")
    assert found.data("user") == {"tier": 1}
    assert found.data("tags") == ["a"]
    assert found.data("none") is None


def test_data_tell_what_the_message_says_of_itself() -> None:
    body = b'{"model": "m", "stream": true, "request": "no object"}'
    message = post(body, b"X-A: 1", b"x-a: 2", target=b"/v1/chat/completions?q=1&q=2")
    found = facts(message, "request", "stream").data("request")
    assert isinstance(found, dict)
    assert (found["method"], found["path"], found["type"]) == ("POST", "/v1/chat/completions", "chat")
    assert (found["model"], found["stream"], found["query"]) == ("m", True, {"q": "1"})
    assert found["headers"]["x-a"] == "1, 2"


def test_a_bodys_own_request_object_wins_over_what_the_message_says() -> None:
    assert facts(post(b'{"request": {"type": "image"}}'), "request").data("request") == {"type": "image"}


def test_a_request_without_a_body_has_data_too() -> None:
    found = facts(get(b"/v1/models")).data("request")
    assert isinstance(found, dict)
    assert (found["method"], found["model"], found["stream"], found["type"]) == ("GET", None, False, None)
    assert facts(get(b"/")).data("user") is None


def test_the_host_is_the_targets_own_where_it_names_one() -> None:
    assert facts(get(b"/")).header("host") == "a"
    assert facts(get(b"http://b:8000/x")).header("host") == "b:8000"
