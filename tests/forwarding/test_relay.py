"""Promises of the relay of a body."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import RequestError, UpstreamError, UpstreamFailure
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.relay import LAST_CHUNK, Relay, framed
from proxy.wire.response_gate import Framing
from tests.downstream.visits import Visit, get
from tests.upstream.talks import Talk, chunked

FAULT = RequestError(504, "silent", kind="server_error", code="upstream_timeout")


class Passage:
    """An engine's answer on its way to a client."""

    def __init__(self, framing: Framing = Framing.CHUNKED) -> None:
        self.visit = Visit().sends(get())
        self.talk = Talk().asks()
        self.exchange = Exchange("id", "", "GET", "/", 0.0)
        loop = asyncio.get_running_loop()
        self.relay = Relay(self.visit.connection, self.exchange, framing, b"<head>", loop)

    def start(self) -> "Passage":
        self.relay.start(self.talk.connection)
        return self


async def test_the_head_and_the_bytes_that_are_there_leave_in_one_write() -> None:
    passage = Passage()
    passage.talk.hears(chunked(b"one", b"two", end=b""))
    writes: list[bytes] = []
    passage.visit.transport.write = writes.append  # type: ignore[method-assign,assignment]
    passage.start()
    assert writes == [b"<head>6\r\nonetwo\r\n"]


async def test_the_head_does_not_wait_for_a_body_that_is_not_there() -> None:
    passage = Passage()
    passage.talk.hears(chunked(end=b""))
    passage.start()
    assert passage.visit.hears() == b"<head>"


async def test_each_read_is_one_write() -> None:
    passage = Passage()
    passage.talk.hears(chunked(end=b""))
    passage.start()
    writes: list[bytes] = []
    passage.visit.transport.write = writes.append  # type: ignore[method-assign,assignment]
    passage.talk.hears(b"3\r\none\r\n3\r\ntwo\r\n", b"5\r\nthr", b"ee\r\n0\r\n\r\n")
    assert writes == [b"6\r\nonetwo\r\n", b"3\r\nthr\r\n", b"2\r\nee\r\n", LAST_CHUNK]
    assert await passage.relay.done is None
    assert passage.exchange.bytes_out == 11


@pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.CLOSE])
async def test_a_whole_answer_ends_as_its_framing_says(framing: Framing) -> None:
    passage = Passage(framing)
    passage.talk.hears(chunked(b"one", end=b""))
    passage.start()
    passage.talk.hears(b"0\r\n\r\n")
    heard = passage.visit.hears()
    assert heard == (b"<head>3\r\none\r\n0\r\n\r\n" if framing is Framing.CHUNKED else b"<head>one")


@pytest.mark.parametrize("way", ["close", "junk", "silence"])
async def test_an_answer_that_is_cut_never_ends_as_if_it_were_whole(way: str) -> None:
    passage = Passage()
    passage.talk.hears(chunked(b"one", end=b""))
    passage.start()
    if way == "close":
        passage.talk.transport.receive_end()
    elif way == "junk":
        passage.talk.hears(b"junk")
    else:
        passage.talk.passes(8)
    error = await passage.relay.done
    expected = {"close": UpstreamFailure.RESET, "junk": UpstreamFailure.PROTOCOL, "silence": UpstreamFailure.TIMEOUT}
    assert isinstance(error, UpstreamError)
    assert error.failure is expected[way]
    assert LAST_CHUNK not in passage.visit.hears()


async def test_a_client_that_does_not_read_pauses_its_engine_and_loses_nothing() -> None:
    passage = Passage()
    passage.talk.hears(chunked(b"one", end=b""))
    passage.visit.connection.pause_writing()
    passage.start()
    assert not passage.talk.transport.reading
    passage.visit.connection.resume_writing()
    assert passage.talk.transport.reading
    passage.visit.connection.pause_writing()
    assert not passage.talk.transport.reading
    passage.visit.connection.resume_writing()
    passage.talk.hears(b"3\r\ntwo\r\n0\r\n\r\n")
    assert passage.visit.hears() == b"<head>3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_an_answer_that_ended_before_anyone_looked_is_passed_on() -> None:
    passage = Passage()
    passage.talk.hears(chunked(b"one"))
    passage.start()
    assert passage.visit.hears() == b"<head>3\r\none\r\n0\r\n\r\n"
    assert await passage.relay.done is None


def event_of(words: bytes) -> bytes:
    """What the client's reader of chunks gets."""
    return words.partition(b"\r\n")[2][:-2]


@pytest.mark.parametrize(
    ("tail", "separated"),
    [(b"data: {}\n\n", False), (b"data: {}\r\n\r\n", False), (b"", False), (b"data: {", True), (b"data: {}\n", True)],
)
async def test_the_last_words_end_a_partial_event_first(tail: bytes, separated: bool) -> None:
    passage = Passage()
    passage.talk.hears(chunked(tail, end=b""))
    passage.start()
    event = event_of(passage.relay.last_words(FAULT, b"/v1/chat/completions"))
    assert event.startswith(b'\n\ndata: {"error":' if separated else b'data: {"error":')
    assert event.endswith(b"\n\n")


async def test_the_last_words_are_in_the_shape_that_the_client_reads() -> None:
    passage = Passage().start()
    assert event_of(passage.relay.last_words(FAULT, b"/v1/messages")).startswith(b'event: error\ndata: {"type":"error"')


async def test_the_last_words_to_an_http10_client_are_not_chunked() -> None:
    assert Passage(Framing.CLOSE).start().relay.last_words(FAULT, b"/").startswith(b"data: {")


@given(st.lists(st.binary(min_size=1, max_size=50), min_size=1))
def test_what_is_framed_reads_back_as_it_was(chunks: list[bytes]) -> None:
    talk = Talk().asks().hears(chunked(end=b"") + framed(chunks, Framing.CHUNKED) + LAST_CHUNK)
    assert talk.reads().data == b"".join(chunks)
    assert framed(chunks, Framing.LENGTH) == b"".join(chunks)
