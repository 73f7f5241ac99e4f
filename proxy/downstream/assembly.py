"""Requests being put together from the parser's callbacks, with every limit on what a client may make us hold."""

from dataclasses import dataclass

import httptools

from proxy.config.settings_spec import Limits
from proxy.errors import RequestError
from proxy.wire.fields import SpelledField
from proxy.wire.repeated_head import RepeatedHead, learn
from proxy.wire.request_gate import RequestFields, RequestHead, check_fields, check_request

Body = bytes | bytearray

MAX_LEARNT = 64 * 1024
"""Bytes of a read from which a head is remembered."""

_LENGTH_SIZE = len(b"content-length")


@dataclass(slots=True)
class Request:
    """A whole request that has passed the gate. Its body is held once: the piece it came in, or one grown in place."""

    head: RequestHead
    body: Body


class RequestAssembly:
    """Owns the message that is being received: its head's pieces, its body so far, and what broke it.

    Whole requests are put into `requests`; a `fault` ends the input for good, and never takes a whole request with it.
    """

    __slots__ = (
        "_alone",
        "_body",
        "_fed",
        "_fields",
        "_hit",
        "_known",
        "_length",
        "_limits",
        "_parser",
        "_raw",
        "_repeated",
        "_repeats",
        "_url",
        "body_deadline",
        "fault",
        "head",
        "receiving",
        "requests",
        "size",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser: httptools.HttpRequestParser | None = None
        self._fields: list[SpelledField] = []
        self._length: bytes | None = None
        self._known: RequestFields | None = None
        self._repeats: RepeatedHead | None = None
        self._repeated: RequestHead | None = None
        self._hit = False
        self._url = b""
        self._raw = b""
        self._alone = True
        self._fed = 0
        self._body: Body = b""
        self.body_deadline = 0.0
        self.size = 0
        self.head: RequestHead | None = None
        self.receiving = False
        self.requests: list[Request] = []
        self.fault: RequestError | None = None

    def new_parser(self) -> httptools.HttpRequestParser:
        """A parser that calls this assembly back."""
        self._parser = httptools.HttpRequestParser(self)
        return self._parser

    def release(self) -> None:
        """The connection is gone: let go of the parser, which holds us, and of what was half received."""
        self._parser = None
        self._body = b""
        self._raw = b""

    # --- around each read --------------------------------------------------------------------------------------------

    def recognise(self, data: bytes) -> bool:
        """Take these bytes if they are a whole request that differs from an earlier one in its body alone."""
        repeats, head = self._repeats, self._repeated
        if repeats is None or head is None or self.receiving:
            return False
        body = repeats.body_of(data)
        if body is None or len(body) > self._limits.max_body:
            return False
        self.requests.append(Request(RequestHead(head.method, head.target, len(body), head.said, head.authority), body))
        return True

    def begin_feed(self, data: bytes) -> None:
        """These bytes go to the parser next."""
        self._fed += len(data)
        if not self.receiving:
            self._raw = data
            self._alone = True
        elif self.head is None:
            self._raw += data
        else:
            self._raw = data
            self._alone = False

    def end_feed(self) -> None:
        """The parser has read what it was fed: is what it still holds within bounds?"""
        if self.fault is not None or not self.receiving:
            return
        if self.head is None:
            if self._fed > self._limits.max_header:
                self.fault = _too_large()
        elif self.head.said.chunked and self._overweight():
            self.fault = _overhead()

    def failed(self, error: httptools.HttpParserError) -> None:
        """The parser met bytes that are not HTTP/1.1."""
        if self.fault is not None:
            return
        if isinstance(error, httptools.HttpParserInvalidMethodError):
            self.fault = RequestError.malformed("the request's method is not known", 501)
        else:
            self.fault = RequestError.malformed("the request is not valid HTTP/1.1")

    # --- the parser's calls ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.receiving = True
        self._fields = []
        self._length = None
        self._url = b""
        self.head = None
        self.size = 0
        self._body = b""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head is not None:
            return
        if len(name) != _LENGTH_SIZE or name.lower() != b"content-length":
            self._fields.append((name, value))
        elif self._length is None:
            self._length = value
        elif self.fault is None:
            self.fault = RequestError.malformed("the request has more than one Content-Length field")

    def on_headers_complete(self) -> None:
        if self.fault is not None:
            return
        try:
            self._check_head()
        except RequestError as error:
            self.fault = error

    def on_body(self, data: bytes) -> None:
        if self.fault is not None:
            return
        size = self.size = self.size + len(data)
        if size > self._limits.max_body:
            self.fault = _body_too_large(self._limits.max_body)
        elif size == len(data):
            self._body = data
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data

    def on_message_complete(self) -> None:
        head, self.head = self.head, None
        if self.fault is not None or head is None:
            self.head = head
            return
        if head.said.chunked and self._overweight():
            self.fault = _overhead()
            return
        self.receiving = self._alone = False
        if self._hit and self._fed == len(self._raw) and len(self._raw) <= MAX_LEARNT:
            self._remember(head)
        self._fed = 0
        self.requests.append(Request(head, self._body))
        self._body = b""

    # --- inside ------------------------------------------------------------------------------------------------------

    def _check_head(self) -> None:
        parser, limits = self._parser, self._limits
        if parser is None:
            return
        method = parser.get_method()
        version = "1.1"
        # llhttp lets several spaces pass between the parts of a request line; other parsers may split it otherwise.
        # Only a message that stands first in what was read can be told by the first bytes there.
        if not self._alone or not self._raw.startswith(b"%b %b HTTP/1.1\r\n" % (method, self._url)):
            version = parser.get_http_version()
            if b"%b %b HTTP/%b\r\n" % (method, self._url, version.encode()) not in self._raw:
                raise RequestError.malformed("the request line is malformed", 505 if version == "0.9" else 400)
        if self._fed + len(self._raw) > limits.max_header and self._head_size() > limits.max_header:
            raise _too_large()
        head = check_request(method, self._url, self._length, self._said(version))
        if head.content_length is not None and head.content_length > limits.max_body:
            raise _body_too_large(limits.max_body)
        self.head = head

    def _said(self, version: str) -> RequestFields:
        """A kept-alive client mostly repeats its fields: what has been checked is not checked again.

        This and its like for answers took 4 of 29 us of a request (benchmarks/hot_path.py).
        """
        known = self._known
        self._hit = known is not None and known.spelled == self._fields and known.version == version
        if known is None or not self._hit:
            known = self._known = check_fields(version, self._fields)
        return known

    def _remember(self, head: RequestHead) -> None:
        """The client repeats itself: from the next time on its head is known by its bytes."""
        said = head.said
        special = said.http10 or said.chunked or said.expects_continue or b"upgrade" in said.dropped
        if said.keep_alive and not special and self._raw.startswith(b"%b %b HTTP/1.1\r\n" % (head.method, self._url)):
            self._repeats = learn(self._raw)
            self._repeated = head

    def _overweight(self) -> bool:
        """Whether chunk sizes, extensions and trailers outweigh the data: a chunk of one byte takes six more."""
        return self._fed - self.size > 2 * self._limits.max_header + 8 * self.size

    def _head_size(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._fields)


def _too_large() -> RequestError:
    return RequestError.malformed("the request's header is too large", 431)


def _overhead() -> RequestError:
    return RequestError.malformed("the chunks of the body carry too much beside its data")


def _body_too_large(limit: int) -> RequestError:
    return RequestError(413, f"the request's body is larger than {limit} bytes", code="body_too_large", close=True)
