"""A request made of plain data, for asking where it would go without sending it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeGuard
from urllib.parse import parse_qsl, unquote

import msgspec

from proxy.errors import PenstockError
from proxy.routing.request_data import as_text, message_data
from proxy.routing.wording import cut, header_value

DEFAULT_PATH = "/v1/chat/completions"

REQUEST_KEYS = frozenset({"method", "path", "headers", "query", "body"})

LONGEST_SUMMARY = 160
"""Characters of a request that a summary shows."""


class SampleError(PenstockError):
    """Data that is no request; the message says what was expected."""


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """Fits `RequestFacts` by shape. Header names are lower-case; `body` is parsed JSON, None where there is none."""

    method: str = "POST"
    path: str = DEFAULT_PATH
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: object = None

    @property
    def model(self) -> str | None:
        """The model's name in the body."""
        model = self.body.get("model") if isinstance(self.body, dict) else None
        return model if isinstance(model, str) else None

    def header(self, name: str) -> str | None:
        """A header's value."""
        return self.headers.get(name)

    def query(self, name: str) -> str | None:
        """A query parameter's value."""
        return self.parameters.get(name)

    def field(self, keys: tuple[str, ...]) -> str | None:
        """A field of the body, as conditions compare it."""
        return as_text(self.body, keys)

    def data(self, name: str) -> object:
        """A top-level field of the body, or what the message says of itself."""
        body = self.body if isinstance(self.body, dict) else {}
        value: object = body.get(name)
        if name != "request" or isinstance(value, dict):
            return value
        return message_data(self.method, self.path, self.model, body.get("stream"), self.headers, self.parameters)


def sample_of(
    body: object = None,
    *,
    method: str | None = None,
    target: str | None = None,
    headers: Mapping[str, str] | None = None,
    parameters: Mapping[str, str] | None = None,
) -> SampleRequest:
    """A request with this target (path and query). Without a method it is a GET where there is a path and no body, else
    a POST."""
    path, _, query = (DEFAULT_PATH if target is None else target).partition("?")
    found = dict(reversed(parse_qsl(query, keep_blank_values=True)))
    usual = "GET" if body is None and target is not None else "POST"
    return SampleRequest(
        method=(method or usual).upper(),
        path=unquote(path, errors="surrogateescape"),
        headers={name.lower(): value for name, value in (headers or {}).items()},
        parameters={**found, **(parameters or {})},
        body=body,
    )


def request_of(data: object) -> SampleRequest:
    """A request from parsed JSON: an object with method, path, headers, query and body, or else the body itself.

    Raises SampleError where such a part is of the wrong type.
    """
    return request_from(data if is_request(data) else {"body": data})


def request_from(parts: Mapping[str, object]) -> SampleRequest:
    """A request from its parts by name. Raises SampleError where one is of the wrong type."""
    return sample_of(
        parts.get("body"),
        method=_text(parts, "method"),
        target=_text(parts, "path"),
        headers=_texts(parts, "headers"),
        parameters=_texts(parts, "query"),
    )


def is_request(data: object) -> TypeGuard[dict[str, object]]:
    """The data are a request's parts: nothing but those, and one at least whose type tells it."""
    if not isinstance(data, dict) or not data.keys() <= REQUEST_KEYS:
        return False
    told = isinstance(data.get("body"), dict) or isinstance(data.get("headers"), dict)
    return told or isinstance(data.get("method"), str) or isinstance(data.get("path"), str)


def summary(request: SampleRequest) -> str:
    """A request on one line, cut: its body alone where that is all there is to tell; credentials are not shown."""
    parts = []
    if (request.method, request.path) != ("POST", DEFAULT_PATH) or request.body is None:
        parts.append(f"{request.method} {request.path}")
    if request.parameters:
        parts.append("?" + "&".join(f"{name}={value}" for name, value in request.parameters.items()))
    parts += [f"{name}: {header_value(name, value)}" for name, value in request.headers.items()]
    if request.body is not None:
        parts.append(_json(request.body))
    return cut(" ".join(parts), LONGEST_SUMMARY)


def _json(body: object) -> str:
    try:
        return msgspec.json.encode(body).decode()
    except (TypeError, ValueError, RecursionError):
        return repr(body)


def _text(data: Mapping[str, object], key: str) -> str | None:
    value = data.get(key)
    if value is None or (isinstance(value, str) and value):
        return value
    raise SampleError(f"{key!r} of a request must be a text")


def _texts(data: Mapping[str, object], key: str) -> dict[str, str]:
    """Texts by names; numbers and booleans as JSON spells them."""
    found = data.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict) or any(value is None or isinstance(value, dict | list) for value in found.values()):
        raise SampleError(f"{key!r} of a request must be an object of texts")
    return {name: as_text(value) or "" for name, value in found.items()}
