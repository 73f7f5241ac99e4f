"""Recorded requests are read in whatever form they come, without being held."""

import json
from collections.abc import Iterator
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing import recording
from proxy.routing.recording import Lookups, Recorded, Recording, RecordingError
from proxy.routing.sample import sample_of
from proxy.routing.table import RouteMatch
from tests.routing.test_log_lines import exchange, json_line, text_line
from tests.routing.written import table_of

BODIES = [{"model": "qwen"}, {"user": {"tier": "premium"}}, {"method": "GET", "path": "/v1/models"}]
EVENT = "2026-11-20T13:37:38.123Z info penstock.app: ready\n"


def read(content: str | bytes) -> list[Recorded]:
    return list(Recording([content.encode() if isinstance(content, str) else content]))


def told(found: list[Recorded]) -> list[tuple[int, str, str, str | None]]:
    return [(one.line, one.request.method, one.request.path, one.request.model) for one in found]


EXPECTED = [
    ("POST", "/v1/chat/completions", "qwen"),
    ("POST", "/v1/chat/completions", None),
    ("GET", "/v1/models", None),
]


def test_an_array_is_read() -> None:
    found = read(json.dumps(BODIES, indent=1))
    assert [one[1:] for one in told(found)] == EXPECTED
    assert [one.line for one in found] == [2, 5, 10]


def test_lines_are_read_and_empty_ones_passed_over() -> None:
    found = read("\ufeff\n" + "\n\n".join(map(json.dumps, BODIES)) + "\n")
    assert [one[1:] for one in told(found)] == EXPECTED
    assert [one.line for one in found] == [2, 4, 6]


def test_anything_in_an_array_is_a_request() -> None:
    assert [one.request.body for one in read('[1, null, "x", [2]]')] == [1, None, "x", [2]]


@pytest.mark.parametrize("content", ["", "\n \n", "[]", " [ ] \n"])
def test_nothing_holds_no_request(content: str) -> None:
    assert read(content) == []


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text()), max_size=5), st.lists(st.integers(0, 99)))
def test_where_it_is_cut_does_not_matter(bodies: list[object], places: list[int]) -> None:
    content = "\n".join(map(json.dumps, bodies)).encode()
    ends = sorted({place % (len(content) + 1) for place in places})
    pieces = [content[start:end] for start, end in zip([0, *ends], [*ends, len(content)], strict=True)]
    assert list(Recording(pieces)) == read(content)


def test_an_access_log_is_read_in_both_forms() -> None:
    lines = [
        exchange(model="qwen", route="chat", rule="default"),
        exchange(target="/health"),
        exchange(method="GET", target="/v1/a%20b"),
    ]
    as_text = "".join(map(text_line, lines))
    as_json = "".join(json.dumps(json_line(line)) + "\n" for line in lines)
    for content in (as_text, as_json, f"[{','.join(as_json.splitlines())}]"):
        found = Recording([content.encode()])
        assert [(one.request.method, one.request.path, one.request.model, one.logged) for one in found] == [
            ("POST", "/v1/x", "qwen", "chat/default"),
            ("GET", "/v1/a b", None, ""),
        ]
        assert (found.logged, found.left_out, found.unreadable) == (3, 1, 0)


def test_a_log_may_be_cut_and_hold_other_lines() -> None:
    line = text_line(exchange())
    found = Recording([("cut " + line[30:] + EVENT + line + "    Traceback\n" + line[:50]).encode()])
    assert len(list(found)) == 1
    assert (found.logged, found.left_out, found.unreadable) == (1, 2, 2)
    assert repr(found) == "<Recording: 1 logged, 2 left out, 2 unreadable>"


def test_events_among_json_lines_are_no_requests() -> None:
    event = json.dumps({"time": "", "level": "info", "logger": "a", "message": "b"})
    found = Recording([f"{event}\n{json.dumps(json_line(exchange()))}\n{{\n".encode()])
    assert len(list(found)) == 1
    assert (found.logged, found.left_out, found.unreadable) == (1, 1, 1)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ('{"model": "qwen"}\n{"model": \n', 2, "not a JSON object"),
        ('{\n"model": "qwen"}\n', 1, "not a JSON object on a line of its own"),
        ('{"model": "qwen"}\nhello\n', 2, "expected a JSON array"),
        ("hello\n", 1, "expected a JSON array"),
        ('hello\n{"model": "qwen"}\n', 1, "expected a JSON array"),
        ('[{"a": 1},\n {"a": }]', 2, "not JSON"),
        ("[1\n", 1, "no end"),
        ('{"headers": {"a": []}}\n', 1, "'headers' of a request"),
        (b'{"a": "\xff"}\n', 1, "not a JSON object"),
        ('{"a": NaN}\n', 1, "not a JSON object"),
        ("[" * 100_000 + "]" * 100_000, 1, "not JSON"),
    ],
)
def test_what_is_no_request_is_told_with_its_line(content: str | bytes, line: int, message: str) -> None:
    with pytest.raises(RecordingError, match=message) as found:
        read(content)
    assert found.value.line == line
    assert str(found.value).startswith(f"line {line}: ")


def test_a_file_that_is_none_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "TOLERATED", 3)

    def endless() -> Iterator[bytes]:
        while True:
            yield b"x\n"

    with pytest.raises(RecordingError, match="line 1"):
        list(Recording(endless()))


@pytest.mark.parametrize("start", [b'{"model": "qwen"}\nhello\n', b'hello\n{"model": "qwen"}\n'])
def test_a_line_among_requests_that_is_none_is_told_at_once(start: bytes) -> None:
    def endless() -> Iterator[bytes]:
        yield start
        while True:
            yield b'{"model": "qwen"}\n'

    with pytest.raises(RecordingError):
        for _ in Recording(endless()):
            pass


def test_a_recording_is_read_a_request_at_a_time() -> None:
    given_out = 0

    def pieces() -> Iterator[bytes]:
        nonlocal given_out
        for _ in range(1_000_000_000):
            given_out += 1
            yield b'{"model": "qwen"}\n'

    requests = iter(Recording(pieces()))
    assert [next(requests).line for _ in range(5)] == [1, 2, 3, 4, 5]
    assert given_out < 10


@given(st.binary(max_size=60))
def test_no_content_raises_anything_but_an_error_of_its_own(content: bytes) -> None:
    for start in (b"", b"[", b'{"a":'):
        with suppress(RecordingError):
            read(start + content)


class Counted:
    """A table that counts how often it is asked."""

    def __init__(self) -> None:
        self.table = table_of()
        self.asked = 0

    def lookup(self, facts: object) -> RouteMatch | None:
        self.asked += 1
        return self.table.lookup(facts)  # type: ignore[arg-type]


def test_requests_that_are_alike_are_looked_up_once() -> None:
    counted = Counted()
    lookups = Lookups(counted)  # type: ignore[arg-type]
    content = '{"model": "qwen"}\n{"model": "x"}\n' * 5
    places = [(found.route if found else None) for found in map(lookups, read(content))]
    assert places == ["chat", None] * 5
    assert counted.asked == 2


def test_only_so_many_requests_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MOST_REMEMBERED", 1)
    counted = Counted()
    lookups = Lookups(counted)  # type: ignore[arg-type]
    found = list(map(lookups, read('{"model": "qwen"}\n{"model": "qwen"}\n{"model": "x"}\n' * 2)))
    assert [match is None for match in found] == [False, False, True] * 2
    assert counted.asked == 4


def test_long_requests_are_not_remembered() -> None:
    counted = Counted()
    lookups = Lookups(counted)  # type: ignore[arg-type]
    long = json.dumps({"model": "qwen", "prompt": "x" * 5_000})
    for recorded in read(f"{long}\n{long}\n"):
        assert recorded.key is None
        lookups(recorded)
    lookups(Recorded(sample_of({"model": "qwen"})))
    assert counted.asked == 3


def test_bodies_are_read_as_the_proxy_reads_them() -> None:
    raw = '{"model":"a","model":"b","n":18446744073709551616}'
    assert read(raw + "\n")[0].request.body == msgspec.json.decode(raw)
