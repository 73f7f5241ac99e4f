"""Promises of the answers that the proxy makes itself."""

import orjson
import pytest

from proxy.errors import RequestError
from proxy.wire.error_body import error_document, error_event, render, render_error, wants_anthropic

ERROR = RequestError(
    429, 'too "much"', kind="rate_limit_error", code="rate_limit_exceeded", param="model", retry_after=1.2
)


@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/messages/count_tokens", b"/v1/messages?beta=true"])
def test_the_messages_api_reads_anthropics_shape(path: bytes) -> None:
    assert wants_anthropic(path)
    document = orjson.loads(error_document(ERROR, path))
    assert document == {"type": "error", "error": {"type": "rate_limit_error", "message": 'too "much"'}}


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/messagesque", b"", b"/"])
def test_everyone_else_reads_openais_shape(path: bytes) -> None:
    inner = {"message": 'too "much"', "type": "rate_limit_error", "param": "model", "code": "rate_limit_exceeded"}
    assert orjson.loads(error_document(ERROR, path)) == {"error": inner}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (404, "not_found_error"), (413, "request_too_large"), (502, "api_error"),
     (503, "overloaded_error"), (504, "api_error")],
)  # fmt: skip
def test_an_error_on_the_messages_api_has_the_kind_of_its_status(status: int, kind: str) -> None:
    assert orjson.loads(error_document(RequestError(status, "x"), b"/v1/messages"))["error"]["type"] == kind


def test_an_error_event_is_one_event() -> None:
    event = error_event(ERROR, b"/v1/chat/completions")
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 2
    assert error_event(ERROR, b"/v1/messages").startswith(b"event: error\ndata: {")


def test_an_answer_tells_its_length_and_what_becomes_of_the_connection() -> None:
    head, _, body = render(200, b"ok", keep_alive=True, extra=b"X-A: b\r\n").partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert {b"Content-Length: 2", b"Connection: keep-alive", b"X-A: b"} <= set(lines)
    assert body == b"ok"
    assert b"\r\nConnection: close\r\n" in render(200, b"ok", keep_alive=False)


def test_an_answer_to_head_has_a_length_and_no_body() -> None:
    rendered = render_error(ERROR, b"/", keep_alive=True, with_body=False)
    assert rendered.endswith(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(error_document(ERROR, b"/")) in rendered


@pytest.mark.parametrize(("seconds", "told"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.2, b"2"), (60.0, b"60")])
def test_retry_after_is_in_whole_seconds_and_never_too_early(seconds: float, told: bytes) -> None:
    error = RequestError(503, "x", retry_after=seconds)
    assert b"\r\nRetry-After: " + told + b"\r\n" in render_error(error, b"/", keep_alive=True)


def test_an_error_that_broke_the_framing_closes_the_connection() -> None:
    assert b"Connection: close" in render_error(RequestError.malformed("x"), b"/", keep_alive=True)
