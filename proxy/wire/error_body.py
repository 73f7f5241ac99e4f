"""The answers that the proxy makes itself: OpenAI-shaped errors, Anthropic-shaped ones on /v1/messages."""

import math
from email.utils import formatdate
from http import HTTPStatus

import orjson

from proxy.errors import RequestError

# Anthropic's names: https://docs.anthropic.com/en/api/errors
_KIND_BY_STATUS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def wants_anthropic(path: bytes) -> bool:
    """Whether clients of this path read Anthropic's error shape."""
    return path == b"/v1/messages" or path.startswith((b"/v1/messages/", b"/v1/messages?"))


def error_document(error: RequestError, path: bytes) -> bytes:
    """The JSON body of an error."""
    if wants_anthropic(path):
        default = "invalid_request_error" if error.status < 500 else "api_error"
        kind = _KIND_BY_STATUS.get(error.status, default)
        return orjson.dumps({"type": "error", "error": {"type": kind, "message": error.message}})
    inner = {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}
    return orjson.dumps({"error": inner})


def error_event(error: RequestError, path: bytes) -> bytes:
    """The server-sent event that ends a stream which cannot go on."""
    name = b"event: error\n" if wants_anthropic(path) else b""
    return name + b"data: " + error_document(error, path) + b"\n\n"


def render(
    status: int,
    body: bytes,
    *,
    keep_alive: bool,
    with_body: bool = True,
    content_type: bytes = b"application/json",
    extra: bytes = b"",
) -> bytes:
    """A whole HTTP/1.1 message.

    `with_body` is False for an answer to HEAD, whose length is still told; `extra` are more lines of the head, each
    with its end.
    """
    lines = [
        b"HTTP/1.1 %d %b" % (status, HTTPStatus(status).phrase.encode()),
        b"Content-Type: " + content_type,
        b"Content-Length: %d" % len(body),
        b"Date: " + formatdate(usegmt=True).encode(),
        b"Connection: keep-alive" if keep_alive else b"Connection: close",
    ]
    return b"\r\n".join(lines) + b"\r\n" + extra + b"\r\n" + (body if with_body else b"")


def render_error(
    error: RequestError,
    path: bytes,
    *,
    keep_alive: bool,
    with_body: bool = True,
    extra: bytes = b"",
) -> bytes:
    """A whole HTTP/1.1 message that tells an error. Retry-After is in whole seconds, rounded up."""
    if error.retry_after is not None:
        extra += b"Retry-After: %d\r\n" % max(1, math.ceil(error.retry_after))
    body = error_document(error, path)
    return render(
        error.status, body, keep_alive=keep_alive and not error.close, with_body=with_body, extra=extra + error.headers
    )
