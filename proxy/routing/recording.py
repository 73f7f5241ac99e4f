"""Recorded requests, read a piece at a time: a JSON array, JSON lines, or the proxy's own access log in either form."""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import msgspec

from proxy.errors import PenstockError
from proxy.routing.json_items import ItemsError, items_of, lines_of
from proxy.routing.log_lines import LoggedRequest, from_json, from_text, is_event
from proxy.routing.sample import SampleError, SampleRequest, request_of, sample_of
from proxy.routing.table import RouteMatch, RoutingTable

TOLERATED = 1_000
"""Lines that may be none of a log's before the first one that is."""

LONGEST_KEY = 2_048  # bytes
MOST_REMEMBERED = 16_384
"""Requests whose way is remembered: with the longest keys they take 40 MB."""

_EXPECTED = "expected a JSON array of requests, a JSON object on each line, or lines of the access log"
_Undecodable = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RecordingError(PenstockError):
    """What was given holds no requests, or something else between them; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request, and the line on which it stands. Those of one `key` are alike; None is like no other.

    `logged` is "route/rule" as the access log has it, empty where no rule took the request; None is no log's word.
    """

    request: SampleRequest
    line: int = 0
    key: Hashable = None
    logged: str | None = None


class Recording:
    """Requests in the order in which they stand, read while one goes through them, once.

    It counts what it meets on the way: `logged` lines of an access log; lines that are `left_out`, because no route was
    asked about them; `unreadable` ones. Raises RecordingError on what is no request, except within a log, which may be
    cut or hold other lines.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._fault: RecordingError | None = None
        self._plain = False
        self._known: dict[tuple[str, str, str | None], SampleRequest] = {}
        self.logged = 0
        self.left_out = 0
        self.unreadable = 0

    def __repr__(self) -> str:
        return f"<Recording: {self.logged} logged, {self.left_out} left out, {self.unreadable} unreadable>"

    def __iter__(self) -> Iterator[Recorded]:
        pieces = iter(self._pieces)
        start = b""
        while not start.strip() and (piece := next(pieces, None)) is not None:
            start += piece
        start = start.removeprefix(b"\xef\xbb\xbf")
        whole = chain([start], pieces)
        try:
            found = self._array(whole) if start.lstrip()[:1] == b"[" else self._lines(whole)
            yield from (recorded for recorded in found if recorded is not None)
        except ItemsError as fault:
            raise RecordingError(fault.line, str(fault)) from fault
        if self._fault is not None and not self.logged:
            raise self._fault

    def _array(self, pieces: Iterable[bytes]) -> Iterator[Recorded | None]:
        for line, raw in items_of(pieces):
            try:
                data = msgspec.json.decode(raw)
            except _Undecodable as fault:
                raise RecordingError(line, f"not JSON: {fault}") from fault
            yield self._from_data(line, raw, data)

    def _lines(self, pieces: Iterable[bytes]) -> Iterator[Recorded | None]:
        for line, spelled in lines_of(pieces):
            raw = spelled.rstrip()
            if raw.lstrip()[:1] == b"{":
                yield self._from_json(line, raw)
            elif raw:
                yield self._from_text(line, raw.decode(errors="replace"))

    def _from_json(self, line: int, raw: bytes) -> Recorded | None:
        try:
            data = msgspec.json.decode(raw)
        except _Undecodable as fault:
            self._pass_over(RecordingError(line, f"not a JSON object on a line of its own: {fault}"))
            return None
        return self._from_data(line, raw, data)

    def _from_data(self, line: int, raw: bytes, data: object) -> Recorded | None:
        logged = from_json(data)
        if logged is not None:
            return self._from_log(line, logged)
        if is_event(data):
            self.left_out += 1
            return None
        return self._from_request(line, raw, data)

    def _from_text(self, line: int, text: str) -> Recorded | None:
        logged = from_text(text)
        if logged is not None:
            return self._from_log(line, logged)
        if is_event(text):
            self.left_out += 1
            return None
        self._pass_over(RecordingError(line, _EXPECTED))
        return None

    def _from_log(self, line: int, logged: LoggedRequest) -> Recorded | None:
        self.logged += 1
        if not logged.routed:
            self.left_out += 1
            return None
        key = (logged.method, logged.path, logged.model)
        request = self._known.get(key)
        if request is None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            body = None if logged.model is None else {"model": logged.model}
            request = self._known[key] = sample_of(body, method=logged.method, target=logged.path)
        return Recorded(request, line, key, logged.place)

    def _from_request(self, line: int, raw: bytes, data: object) -> Recorded:
        self._plain = True
        if self._fault is not None and not self.logged:
            raise self._fault
        try:
            request = request_of(data)
        except SampleError as fault:
            raise RecordingError(line, str(fault)) from fault
        return Recorded(request, line, raw if len(raw) <= LONGEST_KEY else None)

    def _pass_over(self, fault: RecordingError) -> None:
        """A line that cannot be read: within a log it is counted, among requests it is a fault."""
        self.unreadable += 1
        self._fault = self._fault or fault
        if self._plain or (not self.logged and self.unreadable > TOLERATED):
            raise self._fault


class Lookups:
    """Where recorded requests go by a table. Of those that are alike one is looked up, as long as it is remembered."""

    def __init__(self, table: RoutingTable) -> None:
        self._lookup = table.lookup
        self._known: dict[Hashable, RouteMatch | None] = {}

    def __call__(self, recorded: Recorded) -> RouteMatch | None:
        key = recorded.key
        if key is None:
            return self._lookup(recorded.request)
        if key in self._known:
            return self._known[key]
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        found = self._known[key] = self._lookup(recorded.request)
        return found
