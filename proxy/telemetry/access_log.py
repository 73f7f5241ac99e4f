"""The access log: one line for each finished request, gathered in memory and written in large pieces."""

import time
from collections.abc import Callable

import orjson

from proxy.forwarding.exchange import Exchange
from proxy.telemetry.line_writer import LineWriter
from proxy.telemetry.safe_text import FieldMemo, escape_field

MOST_NAMES = 32_768
LONGEST_FIELD = 256  # characters; a path or a model's name may be as long as a client likes


class Timestamps:
    """Wall-clock time as text ("2026-11-20T13:37:38.123Z"), made once a millisecond. `clock` gives unix seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._second = -1
        self._millisecond = -1
        self._prefix = ""
        self._text = ""

    def now(self) -> str:
        """The time now."""
        millisecond = int(self._clock() * 1000)
        if millisecond != self._millisecond:
            self._turn(millisecond)
        return self._text

    def _turn(self, millisecond: int) -> None:
        second, part = divmod(millisecond, 1000)
        if second != self._second:
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        self._text = f"{self._prefix}.{part:03d}Z"
        self._millisecond = millisecond


class NameMemo(dict[tuple[str, str], str]):
    """Two names of the configuration as text by `form`, made once.

    There are as many pairs as the configuration has, but a reload may bring others: it is emptied when it is full.
    """

    __slots__ = ("_form",)

    def __init__(self, form: Callable[[str, str], str]) -> None:
        super().__init__()
        self._form = form

    def __missing__(self, names: tuple[str, str]) -> str:
        if len(self) >= MOST_NAMES:
            self.clear()
        first, second = (escape_field(name, LONGEST_FIELD) for name in names)
        text = self[names] = self._form(first, second)
        return text


def route_form(route: str, rule: str) -> str:
    """Where the request was led; "-" where no route took it."""
    return " route=-" if route == "-" else f" route={route}/{rule}"


def place_form(server: str, endpoint: str) -> str:
    """Where it went."""
    return f" server={server} endpoint={endpoint}"


class TextLines:
    """Exchanges as blank-separated fields. Its state is what it has formatted before."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._timestamps = Timestamps(clock)
        self._memo = FieldMemo(LONGEST_FIELD)
        self._routes = NameMemo(route_form)
        self._places = NameMemo(place_form)

    def line(self, exchange: Exchange) -> bytes:
        """One line. Hot path: benchmarks/telemetry.py measures it."""
        field = self._memo
        started = exchange.started
        first_byte = exchange.first_byte
        identity = exchange.request_id
        model = exchange.model
        told = exchange.caller or exchange.chain or exchange.output_tokens is not None
        return (
            f"{self._timestamps.now()} {field[exchange.client]} {field[exchange.method]}"
            f" {field[exchange.target.partition('?')[0]]} {exchange.status}"
            f" {(exchange.finished - started) * 1000:.1f}ms"
            f" ttfb={'-' if first_byte is None else f'{(first_byte - started) * 1000:.1f}ms'}"
            f" model={'-' if model is None else field[model]}"
            f"{self._routes[exchange.route, exchange.rule]}{self._places[exchange.server, exchange.endpoint]}"
            f" sent={'-' if exchange.sent_model is None else field[exchange.sent_model]}"
            f" in={exchange.bytes_in} out={exchange.bytes_out}"
            f" id={identity if identity.isalnum() and identity.isascii() else escape_field(identity, LONGEST_FIELD)}"
            f" tries={len(exchange.attempts)} failure={exchange.failure or '-'}"
            f"{self._more(exchange) if told else ''}\n"
        ).encode()

    def _more(self, exchange: Exchange) -> str:
        """What only some requests have: a caller, tokens, and the targets that failed before the one that answered."""
        text = f" caller={self._memo[exchange.caller]}" if exchange.caller else ""
        if exchange.output_tokens is not None:
            known = exchange.input_tokens
            text += f" tokens={'-' if known is None else known}+{exchange.output_tokens}"
        if exchange.chain:
            links = (f"{self._memo[link.server]}:{self._memo[link.reason]}" for link in exchange.chain)
            text += f" chain={','.join(links)}"
        return text


class JsonLines:
    """Exchanges as one JSON object each; durations are in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._timestamps = Timestamps(clock)

    def line(self, exchange: Exchange) -> bytes:
        """One line; JSON's own escapes keep it one. Hot path: benchmarks/telemetry.py measures it."""
        fields = self._fields(exchange)
        try:
            return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
        except orjson.JSONEncodeError:
            # Lone surrogates: bytes of a client that were not UTF-8.
            return orjson.dumps(encodable(fields), option=orjson.OPT_APPEND_NEWLINE)

    def _fields(self, exchange: Exchange) -> dict[str, object]:
        started = exchange.started
        first_byte = exchange.first_byte
        model = exchange.model
        return {
            "time": self._timestamps.now(),
            "request_id": exchange.request_id[:LONGEST_FIELD],
            "client": exchange.client,
            "method": exchange.method[:LONGEST_FIELD],
            "path": exchange.target.partition("?")[0][:LONGEST_FIELD],
            "status": exchange.status,
            "duration": exchange.finished - started,
            "time_to_first_byte": None if first_byte is None else first_byte - started,
            "model": None if model is None else model[:LONGEST_FIELD],
            "route": exchange.route,
            "rule": exchange.rule,
            "server": exchange.server,
            "endpoint": exchange.endpoint,
            "sent_model": None if exchange.sent_model is None else exchange.sent_model[:LONGEST_FIELD],
            "bytes_in": exchange.bytes_in,
            "bytes_out": exchange.bytes_out,
            "failure": exchange.failure,
            **_more_fields(exchange),
            "attempts": [
                {"server": attempt.server, "endpoint": attempt.endpoint, "outcome": attempt.outcome}
                for attempt in exchange.attempts
            ],
        }


def _more_fields(exchange: Exchange) -> dict[str, object]:
    """What only some requests have."""
    fields: dict[str, object] = {}
    if exchange.caller:
        fields["caller"] = exchange.caller[:LONGEST_FIELD]
    if exchange.queued:
        fields["queued"] = exchange.queued
    if exchange.output_tokens is not None:
        fields["input_tokens"] = exchange.input_tokens
        fields["output_tokens"] = exchange.output_tokens
        fields["cached_tokens"] = exchange.cached_tokens
    if exchange.chain:
        fields["chain"] = [{"server": link.server, "reason": link.reason} for link in exchange.chain]
    return fields


def encodable(fields: dict[str, object]) -> dict[str, object]:
    """The fields with their lone surrogates escaped."""
    return {
        name: value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for name, value in fields.items()
    }


class AccessLog:
    """Takes finished exchanges, whose lines reach the file at the next `flush`. Query strings, which may hold keys,
    never do.

    `path` is a file or "-" for standard output, `form` is text or json, `clock` gives unix seconds. Raises
    PenstockError where the file cannot be opened.
    """

    def __init__(self, path: str, form: str = "text", clock: Callable[[], float] = time.time) -> None:
        self._writer = LineWriter(path)
        lines = JsonLines(clock) if form == "json" else TextLines(clock)
        self._line = lines.line
        self._append = self._writer.append

    def __repr__(self) -> str:
        return f"<AccessLog {self._writer.path} {self.waiting} waiting, {self.dropped} dropped>"

    @property
    def waiting(self) -> int:
        """Lines not yet written."""
        return self._writer.waiting

    @property
    def dropped(self) -> int:
        """Lines lost since the start: the disk was full, or nobody read the pipe."""
        return self._writer.dropped

    def write(self, exchange: Exchange) -> None:
        """Add a line. Hot path."""
        self._append(self._line(exchange))

    def flush(self) -> None:
        """Write what waits; never raises."""
        self._writer.flush()

    def reopen(self) -> None:
        """Write what waits to the old file, then go on in a new one of the same name, as log rotation asks."""
        self._writer.reopen()

    def close(self) -> None:
        """Write what waits and close the file."""
        self._writer.close()
