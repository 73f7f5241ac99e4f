"""Answers being put together from the parser's callbacks, with every limit on what an engine may make us hold."""

from collections.abc import Callable

import httptools

from proxy.wire.fields import SpelledField
from proxy.wire.repeated_head import RepeatedHead, learn
from proxy.wire.response_gate import (
    Framing,
    ProtocolViolationError,
    ResponseFields,
    ResponseHead,
    check_fields,
    check_response,
)

MAX_HEAD = 64 * 1024
"""Bytes of an answer's head, of a chunk's extensions or of trailers (nginx: 4 to 8 KiB; Envoy: 60 KiB)."""

MAX_INTERIM = 16
"""Interim (1xx) answers before the final one."""

_LENGTH_SIZE = len(b"content-length")


class AnswerAssembly:
    """Owns the answer that is being received: its head, what of its body nobody has taken yet, and whether it is whole.

    `spoiled` says that bytes came beyond a whole answer: the answer stands, its connection must not be used again.
    """

    __slots__ = (
        "_fed",
        "_fields",
        "_hit",
        "_interim",
        "_known",
        "_length",
        "_method",
        "_on_interim",
        "_overhead",
        "_parser",
        "_progress",
        "_reason",
        "_repeated",
        "_repeats",
        "chunks",
        "complete",
        "got_bytes",
        "head",
        "spoiled",
    )

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = None
        self._method = b""
        self._on_interim: Callable[[ResponseHead], None] | None = None
        self._fields: list[SpelledField] = []
        self._length: bytes | None = None
        self._reason = b""
        self._known: ResponseFields | None = None
        self._hit = False
        self._repeats: RepeatedHead | None = None
        self._repeated: ResponseHead | None = None
        self._fed = 0
        self._overhead = 0
        self._interim = 0
        self._progress = False
        self.head: ResponseHead | None = None
        self.chunks: list[bytes] = []
        self.complete = False
        self.got_bytes = False
        self.spoiled = False

    def expect(self, method: bytes, on_interim: Callable[[ResponseHead], None] | None) -> None:
        """The next bytes answer a request of this method."""
        self._method = method
        self._on_interim = on_interim
        self._overhead = self._interim = 0
        self.head = None
        self.chunks = []
        self.complete = self.got_bytes = False

    def release(self) -> None:
        """The connection is gone: let go of the parser, which holds us."""
        self._parser = None
        self._on_interim = None

    def feed(self, data: bytes) -> str | None:
        """Take what one read brought; tells what is wrong with it, if it is no answer that can be passed on."""
        first = not self.got_bytes
        if first and self._recognise(data):
            return None
        self.got_bytes = True
        self._progress = False
        self._fed = len(data)
        trouble = self._parse(data)
        if self.complete:
            self.spoiled = self.spoiled or trouble is not None
            if first and self._hit:
                self._remember(data)
            return None
        return trouble or self._bounded()

    def ends_with_connection(self) -> bool:
        """The engine has closed the connection: whether that is how this answer ends."""
        if self.head is not None and self.head.framing is Framing.CLOSE:
            self.complete = True
        return self.complete

    def take_chunks(self) -> list[bytes]:
        """What of the body has come and nobody has taken."""
        chunks, self.chunks = self.chunks, []
        return chunks

    # --- the parser's calls ------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.spoiled = self.spoiled or self.complete
        self._fields = []
        self._length = None
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head is not None:
            return
        if len(name) != _LENGTH_SIZE or name.lower() != b"content-length":
            self._fields.append((name, value))
        elif self._length is None:
            self._length = value
        else:
            raise ProtocolViolationError("the engine's answer has more than one Content-Length")

    def on_headers_complete(self) -> None:
        parser = self._parser
        if self.complete or parser is None:
            return
        if self._overhead + self._fed > MAX_HEAD and self._head_size() > MAX_HEAD:
            raise ProtocolViolationError("the engine's header is too large")
        said = self._said(parser.get_http_version())
        head = check_response(parser.get_status_code(), self._reason, self._length, said, self._method)
        if head.status < 200:
            self._pass_interim(head)
            return
        self.head = head
        self._progress = True
        if head.framing is Framing.NONE:
            self.complete = True
            # llhttp cannot be told that an answer to HEAD has no body: it would take for one whatever follows.
            self.spoiled = self._method == b"HEAD"

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self.spoiled = True
            return
        self._progress = True
        self.chunks.append(data)

    def on_message_complete(self) -> None:
        if self.head is not None:
            self.complete = True

    # --- inside ------------------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> str | None:
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return "the engine switched protocols though nobody asked"
        except httptools.HttpParserError as error:
            cause = error.__context__  # our own words where the gate refused; llhttp's are about its own workings
            return (
                str(cause) if isinstance(cause, ProtocolViolationError) else "the engine's answer is not valid HTTP/1.1"
            )
        return None

    def _bounded(self) -> str | None:
        """Bytes that bring neither a head nor a part of the body may not go on for ever."""
        if self._progress:
            self._overhead = 0
            return None
        self._overhead += self._fed
        too_large = self._overhead > MAX_HEAD
        return "the engine's header, chunk extensions or trailers are too large" if too_large else None

    def _head_size(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self._fields)

    def _pass_interim(self, head: ResponseHead) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise ProtocolViolationError("the engine sent too many interim answers")
        if head.status != 100 and self._on_interim is not None:
            self._on_interim(head)

    def _said(self, version: str) -> ResponseFields:
        """An engine mostly repeats its fields: what has been checked is not checked again."""
        known = self._known
        self._hit = known is not None and known.spelled == self._fields and known.version == version
        if known is None or not self._hit:
            known = self._known = check_fields(version, self._fields)
        return known

    def _remember(self, data: bytes) -> None:
        """The engine repeats itself: from the next time on its head is known by its bytes."""
        head = self.head
        if head is not None and head.framing is Framing.LENGTH and not self._interim and head.keep_alive:
            self._repeats = learn(data)
            self._repeated = head

    def _recognise(self, data: bytes) -> bool:
        """Take these bytes if they are a whole answer that differs from an earlier one in its body alone."""
        repeats, head = self._repeats, self._repeated
        if repeats is None or head is None or self._method == b"HEAD":
            return False
        body = repeats.body_of(data)
        if body is None:
            return False
        self.got_bytes = self.complete = True
        self.head = ResponseHead(head.status, head.reason, head.framing, len(body), head.said)
        if body:
            self.chunks.append(body)
        return True
