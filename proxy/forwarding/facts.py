"""What routing asks of a request, answered lazily from its head and body."""

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_to_bytes

from proxy.downstream.assembly import Request
from proxy.forwarding.multipart import field_span
from proxy.forwarding.peek import Peek
from proxy.routing.request_data import as_text, message_data

MAX_QUERY_FIELDS = 256
"""Query parameters that are looked at."""


class Facts:
    """Fits `proxy.routing.facts.RequestFacts` by shape. Only `model` is found at once: every lookup begins with it."""

    __slots__ = (
        "_caller",
        "_headers",
        "_peek",
        "_peeked",
        "_query",
        "_request",
        "_said",
        "json",
        "method",
        "model",
        "model_span",
        "path",
    )

    def __init__(self, request: Request, peek: Peek, caller: Mapping[str, object] | None = None) -> None:
        head = request.head
        self._caller = caller
        self._request = request
        self._peek = peek
        self._peeked: object | None = None
        self._headers: dict[bytes, bytes] | None = None
        self._query: dict[str, str] | None = None
        self._said: dict[str, object] | None = None
        self.method = _method(head.method)
        path = head.path
        self.path = _remembered(path) if len(path) <= 256 else _decoded(path)
        self.json = False
        self.model: str | None = None
        self.model_span: tuple[int, int] | None = None
        if request.body:
            self._find_model(request, head.said.content_type)

    def header(self, name: str) -> str | None:
        """A header's value, several fields joined."""
        found = self._fields().get(name.encode("latin-1", "replace"))
        return None if found is None else found.strip(b" \t").decode("utf-8", "surrogateescape")

    def query(self, name: str) -> str | None:
        """A query parameter's first value."""
        return self._parameters().get(name)

    def field(self, keys: tuple[str, ...]) -> str | None:
        """A field of the JSON body."""
        if self._peeked is None:
            return None
        return as_text(self._peek.value(self._peeked, keys[0]), keys[1:])

    @property
    def asks_for_stream(self) -> bool:
        """Whether the JSON body has a `stream` that an engine could take for true."""
        stream: object = None if self._peeked is None else self._peek.stream(self._peeked)
        return stream is not None and stream is not False

    def _fields(self) -> dict[bytes, bytes]:
        headers = self._headers
        if headers is None:
            headers = self._headers = {}
            for key, _, value in self._request.head.said.fields:
                headers[key] = headers[key] + b", " + value if key in headers else value
            if self._request.head.authority is not None:  # it is the host that the request is for, RFC 9112 3.2.2
                headers[b"host"] = self._request.head.authority
        return headers

    def _parameters(self) -> dict[str, str]:
        query = self._query
        if query is None:
            query = self._query = _parsed(self._request.head.target.partition(b"?")[2])
        return query

    def data(self, name: str) -> object:
        """A top-level field of the body, or what the message says of itself, or the credential of its caller."""
        if name == "user" and self._caller is not None:
            return self._caller
        value: object = None if self._peeked is None else self._peek.value(self._peeked, name)
        return self._message() if name == "request" and not isinstance(value, dict) else value

    def _message(self) -> dict[str, object]:
        """Made once: each rule of a walk may ask for another part of it."""
        if self._said is None:
            stream = None if self._peeked is None else self._peek.value(self._peeked, "stream")
            headers = {key.decode("latin-1"): self.header(key.decode("latin-1")) or "" for key in self._fields()}
            self._said = message_data(self.method, self.path, self.model, stream, headers, self._parameters())
        return self._said

    def _find_model(self, request: Request, content_type: bytes) -> None:
        """In a form where the content type says so, else in a JSON object if the body is one."""
        if content_type != b"application/json" and content_type[:19].lower() == b"multipart/form-data":
            self.model_span = span = field_span(request.body, content_type, b"model")
            if span is not None:
                self.model = bytes(request.body[span[0] : span[1]]).decode("utf-8", "replace")
            return
        self._peeked = peeked = self._peek.decode(request.body)
        if peeked is not None:
            self.json = True
            model = self._peek.model(peeked)
            self.model = model if isinstance(model, str) else None


@lru_cache(maxsize=64)
def _method(method: bytes) -> str:
    return method.decode("ascii")


@lru_cache(maxsize=512)
def _remembered(path: bytes) -> str:
    return _decoded(path)


def _decoded(path: bytes) -> str:
    """As engines see it: percent-decoded."""
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("utf-8", "surrogateescape")


def _parsed(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError:
        return {}
    return dict(reversed(pairs))
