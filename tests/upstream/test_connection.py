"""Promises of a connection to an engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamFailure
from proxy.upstream.assembly import MAX_HEAD, MAX_INTERIM
from proxy.upstream.connection import HIGH_WATER
from tests.transports import pieces
from tests.upstream.talks import Talk, answer, chunked

WHOLE = [
    answer(b"hello"),
    answer(b""),
    chunked(b"hello", b"world"),
    chunked(),
    chunked(b"hello", end=b"0;a=b\r\nX-Trailer: 1\r\n\r\n"),
    b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + answer(b"hello"),
    answer(b"", status=b"204 No Content"),
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
]
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it"

bodies = st.binary(max_size=60)
answers = st.one_of(
    bodies.map(answer),
    st.lists(bodies, max_size=5).map(lambda chunks: chunked(*chunks)),
    bodies.map(lambda body: UNTIL_CLOSE + body),
    st.sampled_from(WHOLE),
    bodies.map(lambda body: b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + body[:6]),
    bodies,
)


@given(answers, st.sampled_from([b"GET", b"POST", b"HEAD"]), st.lists(st.integers(0, 400), max_size=8), st.booleans())
def test_an_answer_does_not_depend_on_where_it_is_cut(data: bytes, method: bytes, cuts: list[int], early: bool) -> None:
    outcomes = []
    for way in ([data] if data else [], pieces(data, cuts)):
        talk = Talk().asks(method)
        for piece in way:
            talk.hears(piece)
            if early and talk.reader is None and talk.answer.done() and talk.answer.exception() is None:
                talk.reads()
        talk.transport.receive_end()
        outcomes.append(talk.outcome())
    assert outcomes[0] == outcomes[1]


heads = bodies.map(lambda body: answer(body)[: len(answer(body)) - len(body)])
exchanges = st.tuples(st.just(b"GET"), st.one_of(bodies.map(answer), answers), st.integers(1, 4)) | st.tuples(
    st.just(b"HEAD"), heads, st.integers(1, 4)
)


@given(st.lists(exchanges, max_size=5), st.lists(st.integers(0, 400), max_size=4))
def test_an_engine_that_repeats_itself_is_read_as_if_each_answer_were_its_first(
    parts: list[tuple[bytes, bytes, int]], cuts: list[int]
) -> None:
    whole, cut = Talk(), Talk()
    for method, data, times in parts:
        for _ in range(times):
            fresh = Talk().asks(method).hears(*[data] if data else [])
            outcome = fresh.outcome(), fresh.connection.reusable
            for talk, way in ((whole, [data] if data else []), (cut, pieces(data, cuts))):
                talk.asks(method).hears(*way)
                assert (talk.outcome(), talk.connection.reusable) == outcome
                talk.connection.rest(0.0)
            if not outcome[1]:
                return


@pytest.mark.parametrize("data", WHOLE)
def test_an_answer_is_passed_on_whole(data: bytes) -> None:
    talk = Talk().asks().hears(data)
    assert talk.connection.complete
    assert talk.reads().ends == [None]


def test_an_answer_in_chunks_is_its_chunks() -> None:
    talk = Talk().asks().hears(chunked(b"hello", b"world"))
    assert talk.reads().data == b"helloworld"


def test_an_answer_that_ends_by_closing_is_whole_when_the_engine_closes() -> None:
    talk = Talk().asks().hears(UNTIL_CLOSE)
    reader = talk.reads()
    assert reader.ends == []
    talk.transport.receive_end()
    assert (reader.data, reader.ends) == (b"all of it", [None])
    assert not talk.connection.reusable


def test_an_answer_that_ends_by_closing_is_cut_when_the_connection_breaks() -> None:
    talk = Talk().asks().hears(UNTIL_CLOSE)
    talk.reads()
    talk.transport.lose(ConnectionResetError())
    assert talk.failure is UpstreamFailure.RESET


# --- no answer to anyone else -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"x", b"\r\n", answer(b"poison"), b"HTTP/1.1 408 Timeout\r\n\r\n"])
def test_bytes_on_an_idle_connection_end_it(data: bytes) -> None:
    talk = Talk().asks().hears(answer(b"hello"))
    talk.connection.rest(0.0)
    talk.hears(data)
    assert talk.transport.aborted
    assert not talk.connection.quiet()


def test_bytes_before_anything_was_asked_end_the_connection() -> None:
    talk = Talk()
    talk.hears(answer(b"poison"))
    assert talk.transport.aborted


@pytest.mark.parametrize("junk", [b"x", b"H", b"\0", b"5\r\nhello\r\n", answer(b"poison"), answer(b"poison")[:20]])
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(
    ("method", "data", "body"),
    [
        (b"GET", answer(b"hello"), b"hello"),
        (b"GET", chunked(b"hello"), b"hello"),
        (b"HEAD", answer(b"")[:-2].replace(b"0", b"5") + b"\r\n", b""),
        (b"HEAD", chunked(end=b""), b""),
        (b"GET", answer(b"", status=b"204 No Content"), b""),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
        (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b""),
    ],
)
def test_what_stands_behind_a_whole_answer_reaches_no_one(
    method: bytes, data: bytes, body: bytes, junk: bytes, apart: bool
) -> None:
    talk = Talk().asks(method).hears(*([data, junk] if apart else [data + junk]))
    assert talk.answer.exception() is None
    reader = talk.reads()
    assert (reader.data, reader.ends) == (body, [None])
    assert not talk.connection.reusable
    assert talk.transport.aborted


def test_a_connection_that_answered_head_is_not_used_again() -> None:
    talk = Talk().asks(b"HEAD").hears(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
    assert talk.reads().data == b""
    assert not talk.connection.reusable


def test_a_connection_is_used_again_after_a_whole_answer() -> None:
    talk = Talk()
    for number in range(5):
        for method, data, body in (
            (b"GET", answer(b"%d" % number), b"%d" % number),
            (b"POST", chunked(b"a", b"b"), b"ab"),
            (b"GET", answer(b"", status=b"204 No Content"), b""),
        ):
            talk.asks(method).hears(data)
            assert talk.reads().data == body
            assert talk.connection.reusable
            talk.connection.rest(0.0)


@pytest.mark.parametrize(
    "data",
    [
        answer(b"ok", b"Connection: close"),
        answer(b"ok", b"Connection: a, ClOsE"),
        answer(b"ok").replace(b"1.1", b"1.0"),
        answer(b"ok", b"Connection: keep-alive")[:-1],
    ],
)
def test_a_connection_that_the_engine_ends_is_not_used_again(data: bytes) -> None:
    assert not Talk().asks().hears(data).connection.reusable


def test_a_connection_with_bytes_that_were_not_sent_is_not_used_again() -> None:
    talk = Talk().asks(b"POST").hears(answer(b"too large", status=b"413 Content Too Large"))
    talk.transport.unsent = 1
    assert not talk.connection.reusable


def test_an_answer_is_judged_by_its_own_version_and_not_by_the_one_before() -> None:
    talk = Talk().asks().hears(answer(b"a"))
    talk.connection.rest(0.0)
    talk.asks().hears(answer(b"b").replace(b"1.1", b"2.0"))
    assert talk.failure is UpstreamFailure.PROTOCOL


# --- truncation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [answer(b"hello"), chunked(b"hello", b"world"), WHOLE[4], WHOLE[8], WHOLE[9]])
def test_an_answer_that_is_cut_anywhere_is_an_error(data: bytes) -> None:
    for end in range(len(data)):
        talk = Talk().asks().hears(*[data[:end]] if end else [])
        if talk.answer.done():
            talk.reads()
        talk.transport.receive_end()
        assert talk.failure is UpstreamFailure.RESET, data[:end]
        assert not talk.connection.reusable


def test_an_engine_that_may_have_begun_is_said_to_have_been_sent_the_request() -> None:
    talk = Talk().asks()
    talk.transport.receive_end()
    assert talk.error is not None
    assert talk.error.sent
    assert not talk.connection.got_bytes


# --- what cannot be passed on -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"junk\r\n\r\n",
        b"\0",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
        answer(b"", b"X: a\r\n b"),
        answer(b"", b"X: a\0b"),
        answer(b"", b"X : a"),
        answer(b"", b"Content-Length: 0"),
        answer(b"", b"Transfer-Encoding: chunked"),
        answer(b"").replace(b": 0", b": +0"),
        answer(b"").replace(b": 0", b": 0x0"),
        answer(b"").replace(b": 0", b":"),
        answer(b"").replace(b": 0", b": " + b"9" * 30),
        chunked().replace(b": chunked", b": gzip, chunked"),
        chunked().replace(b": chunked", b": chunked, chunked"),
        chunked().replace(b": chunked", b": chunked\r\nTransfer-Encoding: chunked"),
        chunked().replace(b"HTTP/1.1", b"HTTP/1.0"),
        chunked(end=b"g\r\n"),
        chunked(end=b"-1\r\n"),
        chunked(end=b"5\r\nhellox\r\n"),
        chunked(end=b"fffffffffffffffff\r\n"),
        chunked(end=b"1\nx\n0\n\n"),
    ],
)
def test_an_answer_that_breaks_the_rules_is_an_error(data: bytes) -> None:
    talk = Talk().asks().hears(data)
    if talk.answer.done() and talk.answer.exception() is None:
        talk.reads()
    assert talk.failure is UpstreamFailure.PROTOCOL
    assert talk.transport.aborted
    assert not talk.connection.reusable


def test_interim_answers_are_told_and_the_final_one_follows() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
    talk = Talk().asks().hears(hints + b"HTTP/1.1 100 Continue\r\n\r\n", hints)
    assert not talk.answer.done()
    assert [head.status for head in talk.interim] == [103, 103]
    assert talk.hears(answer(b"hello")).head.status == 200


def test_a_flood_of_interim_answers_is_an_error() -> None:
    talk = Talk().asks().hears(b"HTTP/1.1 103 Early Hints\r\n\r\n" * MAX_INTERIM)
    assert talk.failure is None
    talk.hears(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert talk.failure is UpstreamFailure.PROTOCOL


@pytest.mark.parametrize("size", [1000, 40_000, 10**6])
@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 ",
        chunked(end=b"5;"),
        chunked(b"hello", end=b"0\r\nX: "),
    ],
)
def test_an_engine_cannot_make_us_hold_a_head_an_extension_or_a_trailer_without_end(start: bytes, size: int) -> None:
    talk = Talk().asks().hears(start)
    if talk.answer.done():
        talk.reads()
    sent = 0
    while talk.failure is None and sent < 4 * MAX_HEAD + size:
        talk.hears(b"x" * size)
        sent += size
    assert talk.failure is UpstreamFailure.PROTOCOL
    assert sent <= MAX_HEAD + 2 * size


@pytest.mark.parametrize("cuts", [1, 2, 3, 10])
def test_a_head_that_is_too_large_is_an_error_however_it_is_cut(cuts: int) -> None:
    data = answer(b"hello", *[b"X-%d: " % number + b"x" * 1000 for number in range(3 * MAX_HEAD // 2000)])
    step = len(data) // cuts + 1
    talk = Talk().asks().hears(*[data[start : start + step] for start in range(0, len(data), step)])
    assert talk.failure is UpstreamFailure.PROTOCOL


def test_a_large_body_behind_a_small_head_is_no_large_head() -> None:
    talk = Talk().asks().hears(answer(b"x" * 200_000))
    assert talk.failure is None
    assert len(talk.reads().data) == 200_000


def test_trailers_do_not_become_fields() -> None:
    talk = Talk().asks().hears(chunked(b"a", end=b"0\r\nX-Late: 1\r\n\r\n"))
    assert [name for name, _, _ in talk.head.said.fields] == [b"transfer-encoding"]
    assert talk.connection.reusable


# --- time -------------------------------------------------------------------------------------------------------------


def test_an_engine_that_does_not_begin_in_time_has_failed() -> None:
    talk = Talk().asks(first_byte=5)
    talk.passes(4.9)
    assert talk.failure is None
    talk.passes(0.2)
    assert talk.failure is UpstreamFailure.TIMEOUT
    assert "no first byte for 5 s" in str(talk.error)
    assert talk.transport.aborted


def test_a_head_that_trickles_does_not_extend_the_time() -> None:
    talk = Talk().asks(first_byte=5)
    for octet in answer(b"hello")[:6]:
        talk.hears(bytes([octet]))
        talk.passes(1)
    assert talk.failure is UpstreamFailure.TIMEOUT


def test_an_engine_that_falls_silent_in_its_answer_has_failed() -> None:
    talk = Talk().asks(first_byte=5, idle=7).hears(chunked(b"hello", end=b""))
    talk.reads()
    for _ in range(5):
        talk.passes(6.9)
        talk.hears(b"1\r\nx\r\n")
    assert talk.failure is None
    talk.passes(7.1)
    assert talk.failure is UpstreamFailure.TIMEOUT
    assert "no further byte for 7 s" in str(talk.error)


def test_a_healthy_stream_is_not_cut_by_time() -> None:
    talk = Talk().asks(first_byte=5, idle=None).hears(chunked(b"hello", end=b""))
    talk.reads()
    talk.passes(10**6)
    assert talk.failure is None


def test_a_total_limit_holds_for_a_flowing_answer_too() -> None:
    talk = Talk().asks(total=20).hears(chunked(b"hello", end=b""))
    talk.reads()
    for _ in range(4):
        talk.hears(b"1\r\nx\r\n")
        talk.passes(5.1)
    assert talk.failure is UpstreamFailure.TIMEOUT
    assert "total limit" in str(talk.error)


def test_no_one_is_blamed_for_silence_while_the_reader_does_not_read() -> None:
    talk = Talk().asks(idle=7).hears(chunked(b"hello", end=b""))
    talk.reads()
    talk.connection.pause_reading()
    assert not talk.transport.reading
    talk.passes(1000)
    assert talk.failure is None
    talk.connection.resume_reading()
    assert talk.transport.reading
    talk.passes(6.9)
    assert talk.failure is None
    talk.passes(0.2)
    assert talk.failure is UpstreamFailure.TIMEOUT


def test_an_idle_connection_is_under_no_timer() -> None:
    talk = Talk().asks(total=10).hears(answer(b"hello"))
    talk.connection.rest(0.0)
    talk.passes(1000)
    assert not talk.transport.closing


# --- pace -------------------------------------------------------------------------------------------------------------


def test_an_answer_that_nobody_reads_yet_is_held_to_a_limit() -> None:
    talk = Talk().asks().hears(chunked(end=b""))
    while talk.transport.reading:
        talk.hears(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    reader = talk.reads()
    assert HIGH_WATER < len(reader.data) <= HIGH_WATER + 4096
    assert talk.transport.reading


def test_a_paused_connection_reads_again_when_it_rests() -> None:
    talk = Talk().asks().hears(answer(b"hello"))
    talk.connection.pause_reading()
    talk.connection.rest(0.0)
    assert talk.transport.reading


def test_a_reader_that_pauses_within_its_first_bytes_stays_paused_until_it_reads() -> None:
    talk = Talk().asks().hears(chunked(b"hello", end=b""))
    talk.connection.pause_reading()
    talk.connection.pause_reading()
    talk.connection.resume_reading()
    talk.connection.resume_reading()
    assert talk.transport.reading


def test_what_came_before_a_failure_is_passed_on_before_it() -> None:
    talk = Talk().asks().hears(chunked(b"hello", end=b""))
    reader = talk.reads()
    talk.hears(b"5\r\nworld\r\ng\r\n")
    assert reader.data == b"helloworld"
    assert talk.failure is UpstreamFailure.PROTOCOL


def test_a_failure_before_anyone_reads_is_told_to_the_reader() -> None:
    talk = Talk().asks().hears(chunked(b"hello", end=b""))
    talk.transport.receive_end()
    reader = talk.reads()
    assert reader.data == b"hello"
    assert talk.failure is UpstreamFailure.RESET


def test_a_closed_connection_tells_nobody_anything() -> None:
    talk = Talk().asks().hears(chunked(b"hello", end=b""))
    reader = talk.reads()
    talk.connection.close()
    talk.transport.settle()
    talk.passes(10**6)
    assert reader.ends == []
    assert talk.transport.aborted


def test_a_request_in_pieces_is_sent_whole() -> None:
    talk = Talk()
    pieces_ = [b"head", bytearray(b"body"), memoryview(b"tail")]
    talk.connection.send(b"POST", pieces_, first_byte=None, idle=None, total_deadline=1e9)
    assert talk.transport.take() == b"headbodytail"


def test_a_repr_tells_an_operator_the_truth() -> None:
    talk = Talk()
    assert repr(talk.connection) == "<UpstreamConnection idle>"
    talk.asks()
    assert repr(talk.connection) == "<UpstreamConnection busy>"
    talk.transport.receive_end()
    assert repr(talk.connection) == "<UpstreamConnection closed>"
