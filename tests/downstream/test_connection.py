"""Promises of a client's connection."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.settings_spec import Limits
from proxy.downstream.connection import LINGER, MAX_PIPELINED, DownstreamConnection
from tests.downstream.visits import Visit, chunked, get, post
from tests.transports import pieces

LIMITS = Limits(
    max_body=1000, max_header=2000, header_timeout=10, body_timeout=30, send_timeout=300, keepalive_timeout=75
)

messages = st.one_of(
    st.sampled_from([b"/", b"/a?b", b"/v1/models"]).map(get),
    st.binary(max_size=40).map(post),
    st.lists(st.binary(max_size=20), max_size=4).map(lambda chunks: chunked(*chunks)),
    st.just(get(b"/u", b"Connection: upgrade", b"Upgrade: websocket")),
    st.just(post(b"hi", b"Connection: upgrade", b"Upgrade: h2c")),
    st.just(get(b"/last", b"Connection: close")),
    st.just(b"\r\n"),
)
endings = st.sampled_from(
    [
        b"",
        b"junk\r\n\r\n",
        b"\0",
        b"GET  /two HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HT",
        post(b"x" * 1001),
    ]
)


@given(st.lists(messages, max_size=5), endings, st.lists(st.integers(0, 2000), max_size=12))
def test_any_way_of_cutting_the_input_gives_the_same_requests_and_answers(
    parts: list[bytes], ending: bytes, cuts: list[int]
) -> None:
    data = b"".join(parts) + ending
    outcomes = []
    for way in ([data] if data else [], pieces(data, cuts)):
        visit = Visit(LIMITS)
        heard = b""
        for piece in way:
            visit.sends(piece)
            visit.answer_all()
            heard += visit.hears()
        seen = [(request.head, bytes(request.body)) for request in visit.requests]
        outcomes.append((seen, heard, visit.statuses, visit.hung_up))
    assert outcomes[0] == outcomes[1]


@given(st.lists(st.tuples(messages, st.integers(1, 4)), max_size=6), st.lists(st.integers(0, 2000), max_size=6))
def test_a_client_that_repeats_itself_is_read_as_if_each_request_were_its_first(
    parts: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    one_by_one = [message for message, times in parts for _ in range(times)]
    data = b"".join(one_by_one)
    outcomes = []
    for way in (one_by_one, pieces(data, cuts) if data else []):
        visit = Visit(LIMITS)
        for piece in way:
            visit.sends(piece)
            visit.answer_all()
        seen = [(request.head, bytes(request.body)) for request in visit.requests]
        outcomes.append((seen, visit.hears(), visit.statuses, visit.hung_up))
    assert outcomes[0] == outcomes[1]


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=8))
def test_a_body_is_what_the_client_sent(bodies: list[bytes]) -> None:
    visit = Visit()
    for body in bodies:
        visit.sends(post(body), chunked(body, body))
    visit.answer_all()
    expected = [wanted for body in bodies for wanted in (body, body + body)]
    assert [bytes(request.body) for request in visit.requests] == expected


@pytest.mark.parametrize(
    "junk", [b"junk", b"\0\0\0", b"\x16\x03\x01", b"GET /x HTTP/9.9\r\n\r\n", b"GET /x y HTTP/1.1\r\n"]
)
@pytest.mark.parametrize("whole", [get(b"/good"), post(b"hello", target=b"/good"), chunked(b"hello", target=b"/good")])
def test_a_whole_request_in_front_of_junk_is_answered_and_then_the_connection_closes(whole: bytes, junk: bytes) -> None:
    visit = Visit().sends(whole + junk)
    assert visit.answer_all() == [b"/good"]
    heard = visit.hears()
    assert heard.startswith(b"</good ")
    assert b"HTTP/1.1 " in heard
    assert b"Connection: close" in heard
    assert visit.hung_up


def test_pipelined_requests_are_answered_one_at_a_time_and_in_order() -> None:
    visit = Visit().sends(get(b"/1") + get(b"/2") + post(b"x", target=b"/3"))
    assert len(visit.requests) == 1
    assert visit.answer_all() == [b"/1", b"/2", b"/3"]
    assert visit.hears() == b"</1 ></2 ></3 x>"


def test_nothing_is_answered_behind_a_request_that_closes() -> None:
    visit = Visit().sends(get(b"/1", b"Connection: close") + get(b"/2"))
    visit.answer_all()
    assert [request.head.target for request in visit.requests] == [b"/1"]
    assert visit.hung_up


def test_a_thousand_requests_that_ask_for_an_upgrade_are_each_answered() -> None:
    wish = get(b"/u", b"Connection: upgrade", b"Upgrade: websocket")
    visit = Visit().sends(wish * 1200)
    assert len(visit.answer_all()) == 1200
    assert not visit.statuses


# --- timers -----------------------------------------------------------------------------------------------------------


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word() -> None:
    visit = Visit(LIMITS)
    visit.passes(9.9)
    assert not visit.hung_up
    visit.passes(0.2)
    assert visit.hung_up
    assert visit.hears() == b""


def test_empty_lines_do_not_keep_a_connection() -> None:
    visit = Visit(LIMITS)
    for _ in range(11):
        visit.sends(b"\r\n")
        visit.passes(1)
    assert visit.hung_up


def test_a_head_that_trickles_is_answered_with_408() -> None:
    visit = Visit(LIMITS)
    for octet in get(b"/slow")[:11]:
        visit.sends(bytes([octet]))
        visit.passes(1)
    assert visit.hears().startswith(b"HTTP/1.1 408 ")
    assert visit.hung_up


def test_a_body_that_stops_is_answered_with_408() -> None:
    visit = Visit(LIMITS).sends(post(b"x" * 100)[:-1])
    visit.passes(29)
    assert not visit.hung_up
    visit.passes(1.2)
    assert visit.statuses == [408]
    assert visit.hears().startswith(b"HTTP/1.1 408 ")


def test_a_body_that_trickles_is_cut_although_it_never_stops() -> None:
    visit = Visit(LIMITS).sends(post(b"x" * 900)[:-900])
    for _ in range(32):
        visit.sends(b"x")
        visit.passes(1)
    assert visit.statuses == [408]


def test_a_body_that_flows_may_take_its_time() -> None:
    visit = Visit(Limits(body_timeout=30, max_body=10**6)).sends(post(b"x" * 400 * 1024)[: -400 * 1024])
    for _ in range(200):
        visit.sends(b"x" * 2048)
        visit.passes(1)
    assert not visit.statuses
    assert len(visit.requests) == 1


def test_an_idle_connection_is_closed_after_its_keepalive_time() -> None:
    visit = Visit(LIMITS).sends(get())
    visit.answer_all()
    visit.hears()
    visit.passes(74)
    assert not visit.hung_up
    visit.passes(2)
    assert visit.hung_up
    assert visit.hears() == b""


def test_a_handler_may_take_as_long_as_it_needs() -> None:
    visit = Visit(LIMITS).sends(get())
    visit.passes(100_000)
    assert not visit.hung_up


def test_the_next_head_has_its_own_time_after_a_long_answer() -> None:
    visit = Visit(LIMITS).sends(get() + b"GET /2")
    visit.passes(1000)
    visit.answer()
    visit.passes(9)
    visit.sends(b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert visit.answer_all() == [b"/2"]


def test_a_client_that_does_not_read_is_dropped() -> None:
    visit = Visit(LIMITS).sends(get())
    visit.connection.pause_writing()
    visit.passes(299)
    assert not visit.transport.aborted
    visit.passes(2)
    assert visit.transport.aborted
    assert visit.owner.dispatched[0][1].cancelled


def test_a_client_that_reads_slowly_is_not_dropped() -> None:
    visit = Visit(LIMITS).sends(get())
    for _ in range(5):
        visit.connection.pause_writing()
        visit.passes(200)
        visit.connection.resume_writing()
    visit.passes(1000)
    assert not visit.hung_up


def test_the_last_bytes_of_an_answer_wait_for_a_slow_client() -> None:
    visit = Visit(LIMITS).sends(get(b"/", b"Connection: close"))
    visit.transport.unsent = 40_000
    visit.answer_all()
    for _ in range(10):
        visit.passes(LINGER + 0.1)
    assert not visit.transport.aborted
    visit.transport.unsent = 0
    visit.passes(LINGER + 0.1)
    assert visit.transport.aborted


def test_a_client_that_never_takes_the_last_bytes_is_dropped() -> None:
    visit = Visit(LIMITS).sends(get(b"/", b"Connection: close"))
    visit.transport.unsent = 40_000
    visit.answer_all()
    for _ in range(200):
        visit.passes(LINGER + 0.1)
    assert visit.transport.aborted


def test_a_closed_connection_reads_on_for_a_moment_so_that_its_answer_can_be_read() -> None:
    visit = Visit(LIMITS).sends(b"junk\r\n\r\n", b"more junk", get())
    assert visit.transport.ended
    assert not visit.transport.closing
    assert not visit.requests
    visit.passes(LINGER + 0.1)
    assert visit.transport.closing


def test_a_tls_connection_is_closed_the_way_tls_can() -> None:
    visit = Visit(LIMITS, sslcontext=object())
    assert visit.connection.secure
    visit.sends(b"junk\r\n\r\n")
    assert visit.transport.closing
    assert not visit.transport.ended


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 501),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 501),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
        (b"FROB / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (get(b"/", b"Transfer-Encoding: gzip, chunked"), 501),
        (get(b"/", b"Transfer-Encoding: chunked", b"Content-Length: 1"), 400),
        (get(b"/", b"Content-Length: 1", b"Content-Length: 1"), 400),
        (get(b"/", b"Content-Length: +1"), 400),
        (get(b"/", b"Expect: a-pony"), 417),
        (get(b"/", b"X: " + b"x" * 2000), 431),
        (get(b"/" + b"x" * 2000), 431),
        (get(b"/", *[b"X: y"] * 201), 431),
        (post(b"x" * 1001), 413),
        (post(b"x" * 1001)[:60], 413),
        (chunked(b"x" * 600, b"x" * 401), 413),
        (chunked()[:-5] + b"1;" + b"x" * 8000 + b"\r\nx\r\n0\r\n\r\n", 400),
        (chunked()[:-2] + b"X: " + b"x" * 8000 + b"\r\n\r\n", 400),
        (chunked()[:-5] + b"1\r\nxx\r\n0\r\n\r\n", 400),
    ],
)
def test_what_cannot_be_served_is_refused_by_its_status_and_the_connection_closes(data: bytes, status: int) -> None:
    visit = Visit(LIMITS)
    visit.sends(data)
    assert visit.statuses == [status]
    assert not visit.requests
    heard = visit.hears()
    assert heard.startswith(b"HTTP/1.1 %d " % status)
    assert b"Connection: close" in heard
    assert visit.hung_up


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\nX"])
def test_a_head_without_an_end_is_refused_at_the_limit(start: bytes, size: int) -> None:
    visit = Visit(LIMITS).sends(start)
    sent = 0
    while not visit.hung_up and sent < 10_000:
        visit.sends(b"x" * size)
        sent += size
    assert visit.statuses == [431]
    assert sent <= LIMITS.max_header + size


def test_a_chunked_body_that_carries_more_beside_its_data_is_refused() -> None:
    visit = Visit(LIMITS).sends(chunked()[:-5])
    sent = 0
    while not visit.hung_up and sent < 100_000:
        visit.sends(b"1;" + b"x" * 100 + b"\r\nx\r\n")
        sent += 107
    assert visit.statuses == [400]


def test_a_body_in_chunks_of_one_byte_is_welcome() -> None:
    visit = Visit(LIMITS).sends(*[bytes([octet]) for octet in chunked(*[b"x"] * 1000)])
    assert not visit.statuses
    assert len(visit.requests[0].body) == 1000


@pytest.mark.parametrize("version", [b"2.0", b"0.9", b"1.0"])
def test_a_request_is_judged_by_its_own_version_and_not_by_the_one_before(version: bytes) -> None:
    visit = Visit().sends(get(b"/1"))
    visit.answer_all()
    visit.sends(get(b"/2").replace(b"1.1", version))
    if version == b"1.0":
        assert visit.answer_all() == [b"/2"]
        assert visit.hung_up
    else:
        assert visit.statuses == [505]


@pytest.mark.parametrize("before", [b"", get()])
def test_a_version_is_read_from_the_request_line_alone(before: bytes) -> None:
    old = b"GET / HTTP/1.0\r\nHost: a\r\nX: GET / HTTP/1.1\r\n\r\n"
    visit = Visit().sends(before + old)
    visit.answer_all()
    assert visit.requests[-1].head.said.http10
    assert visit.hung_up


def test_what_a_request_says_of_itself_is_not_taken_from_the_one_before() -> None:
    visit = Visit().sends(post(b"one"), chunked(b"two"), get(b"/3"), get(b"http://b/4"), get(b"/5"))
    visit.answer_all()
    seen = [(bytes(request.body), request.head.has_body, request.head.host) for request in visit.requests]
    assert seen == [
        (b"one", True, b"a"),
        (b"two", True, b"a"),
        (b"", False, b"a"),
        (b"", False, b"b"),
        (b"", False, b"a"),
    ]


def test_a_body_of_exactly_the_limit_is_served() -> None:
    visit = Visit(LIMITS).sends(post(b"x" * 1000), chunked(b"x" * 500, b"x" * 500))
    assert len(visit.answer_all()) == 2


def test_a_crowded_server_refuses_with_503() -> None:
    visit = Visit(crowded=True).sends(get())
    assert visit.hears().startswith(b"HTTP/1.1 503 ")
    assert not visit.requests
    assert visit.hung_up


def test_a_refusal_on_the_messages_api_is_in_its_shape() -> None:
    visit = Visit(LIMITS).sends(post(b"x" * 100, target=b"/v1/messages")[:-50])
    visit.passes(31)
    assert b'{"type":"error"' in visit.hears()


# --- Expect: 100-continue ---------------------------------------------------------------------------------------------

EXPECTS = post(b"hello", b"Expect: 100-continue")


def test_a_client_that_waits_for_100_gets_it_once() -> None:
    visit = Visit().sends(EXPECTS[:-5])
    assert visit.hears() == b"HTTP/1.1 100 Continue\r\n\r\n"
    visit.sends(b"he", b"llo")
    assert visit.hears() == b""
    assert bytes(visit.requests[0].body) == b"hello"


def test_a_client_that_does_not_wait_is_not_told_to_continue() -> None:
    visit = Visit().sends(EXPECTS)
    assert visit.hears() == b""
    assert len(visit.requests) == 1


def test_an_http10_client_is_never_told_to_continue() -> None:
    visit = Visit().sends(EXPECTS.replace(b"HTTP/1.1", b"HTTP/1.0")[:-5])
    assert visit.hears() == b""


def test_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    visit = Visit(LIMITS).sends(post(b"x" * 1001, b"Expect: 100-continue")[:-1001])
    assert visit.hears().startswith(b"HTTP/1.1 413 ")


def test_a_pipelined_client_gets_its_100_after_the_answer_before() -> None:
    visit = Visit().sends(get(b"/1") + EXPECTS[:-5])
    assert visit.hears() == b""
    visit.answer()
    assert visit.hears() == b"</1 >HTTP/1.1 100 Continue\r\n\r\n"


# --- who is slow, who has gone ----------------------------------------------------------------------------------------


def test_a_client_with_too_many_requests_waiting_is_read_no_more_until_they_are_answered() -> None:
    visit = Visit()
    for _ in range(MAX_PIPELINED + 2):
        visit.sends(get())
    assert not visit.transport.reading
    for _ in range(MAX_PIPELINED // 2 + 1):
        visit.answer()
    assert visit.transport.reading
    assert len(visit.answer_all()) == MAX_PIPELINED // 2 + 1


def test_no_further_request_is_begun_for_a_client_that_does_not_read() -> None:
    visit = Visit(LIMITS).sends(get(b"/1") + get(b"/2"))
    visit.connection.pause_writing()
    visit.answer()
    assert visit.connection.active is None
    visit.sends(get(b"/3"))
    assert len(visit.requests) == 1
    visit.connection.resume_writing()
    assert visit.answer_all() == [b"/2", b"/3"]


def test_a_client_that_pipelines_and_does_not_read_is_read_no_more() -> None:
    visit = Visit(LIMITS).sends(get(b"/1") + get(b"/2"))
    visit.connection.pause_writing()
    visit.answer()
    for _ in range(MAX_PIPELINED):
        visit.sends(get(b"/more"))
    assert not visit.transport.reading
    visit.connection.resume_writing()
    visit.answer_all()
    assert visit.transport.reading


def test_a_client_that_pipelines_and_never_reads_is_dropped() -> None:
    visit = Visit(LIMITS).sends(get(b"/1") + get(b"/2"))
    visit.connection.pause_writing()
    visit.answer()
    visit.passes(301)
    assert visit.transport.aborted
    assert len(visit.requests) == 1


def test_a_client_that_catches_up_when_nothing_waits_is_idle() -> None:
    visit = Visit(LIMITS).sends(get(b"/1"))
    visit.connection.pause_writing()
    visit.answer()
    visit.passes(50)
    visit.connection.resume_writing()
    visit.passes(24)
    assert not visit.hung_up
    visit.passes(2)
    assert visit.hung_up


class FakeSource:
    """An engine's side that only knows whether it is read."""

    def __init__(self) -> None:
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


def test_a_client_that_does_not_read_slows_its_engine() -> None:
    visit = Visit().sends(get())
    source = visit.connection.source = FakeSource()
    visit.connection.pause_writing()
    assert not source.reading
    visit.connection.resume_writing()
    assert source.reading


@pytest.mark.parametrize("how", ["end", "reset"])
def test_a_client_that_leaves_cancels_its_handler(how: str) -> None:
    visit = Visit().sends(get(b"/1") + get(b"/2"))
    if how == "end":
        visit.transport.receive_end()
    else:
        visit.transport.lose(ConnectionResetError())
    assert visit.connection.gone
    assert visit.owner.dispatched[0][1].cancelled
    assert len(visit.owner.dispatched) == 1
    assert not visit.owner.open
    visit.connection.write(b"to nobody")
    visit.connection.finish(keep_alive=True)
    assert len(visit.owner.dispatched) == 1


def test_a_finished_handler_is_not_cancelled() -> None:
    visit = Visit().sends(get())
    visit.answer_all()
    visit.transport.receive_end()
    assert not visit.owner.dispatched[0][1].cancelled


# --- closing ----------------------------------------------------------------------------------------------------------


def test_an_idle_connection_closes_when_told() -> None:
    visit = Visit().sends(get())
    visit.answer_all()
    assert visit.connection.close_when_idle()
    assert visit.hung_up
    assert visit.connection.close_when_idle()


@pytest.mark.parametrize("data", [get(b"/1"), get(b"/1") + get(b"/2"), get(b"/1")[:10], post(b"hello")[:-1]])
def test_a_connection_that_has_asked_for_something_does_not_close_when_told(data: bytes) -> None:
    visit = Visit().sends(data)
    assert not visit.connection.close_when_idle()
    assert not visit.hung_up


def test_a_cut_answer_ends_with_its_last_words() -> None:
    visit = Visit().sends(get(b"/1") + get(b"/2"))
    visit.connection.cut(b"sorry")
    assert visit.hears() == b"sorry"
    assert visit.hung_up
    assert len(visit.requests) == 1


def test_an_aborted_answer_ends_the_connection_at_once() -> None:
    visit = Visit().sends(get(b"/1") + get(b"/2"))
    visit.connection.abort()
    assert visit.transport.aborted


def test_a_repr_tells_an_operator_the_truth() -> None:
    visit = Visit()
    assert repr(visit.connection) == "<DownstreamConnection 192.0.2.7 head, 0 waiting>"
    visit.sends(get() + get())
    assert repr(visit.connection) == "<DownstreamConnection 192.0.2.7 busy, 1 waiting>"


def test_a_client_on_a_unix_socket_is_local() -> None:
    assert Visit(peername="").connection.client == "local"


@given(st.lists(st.sampled_from(["data", "answer", "pause", "resume", "time", "close"]), max_size=30))
def test_no_interleaving_leaves_a_connection_that_waits_for_nothing(steps: list[str]) -> None:
    visit = Visit(LIMITS)
    for step in steps:
        _take(step, visit, visit.connection)
    if visit.transport.closing:
        return
    if not visit.connection.writable:
        visit.connection.resume_writing()
    asked, unread = len(visit.requests), visit.connection.active
    visit.answer_all()
    assert asked == 0 or unread is not None or visit.connection.active is None
    visit.passes(LIMITS.keepalive_timeout + 1)
    assert visit.hung_up


def _take(step: str, visit: Visit, connection: DownstreamConnection) -> None:
    match step:
        case "data":
            visit.sends(get() + get())
        case "answer" if connection.active is not None:
            visit.answer()
        case "pause" if connection.writable and not visit.transport.closing:
            connection.pause_writing()
        case "resume" if not connection.writable and not visit.transport.closing:
            connection.resume_writing()
        case "time":
            visit.passes(50)
        case "close":
            connection.close_when_idle()
        case _:
            pass


# --- who is there -----------------------------------------------------------------------------------------------------


def test_the_certificate_that_a_client_has_shown_is_told_while_it_is_connected() -> None:
    certificate = {"subject": ((("commonName", "client"),),)}
    visit = Visit(sslcontext=object(), peercert=certificate)
    assert visit.connection.client_certificate == certificate
    visit.connection.abort()
    visit.transport.settle()
    assert visit.connection.client_certificate is None


@pytest.mark.parametrize("extra", [{}, {"sslcontext": object()}, {"sslcontext": object(), "peercert": {}}])
def test_a_client_that_has_shown_no_certificate_has_none(extra: dict[str, Any]) -> None:
    assert Visit(**extra).connection.client_certificate is None
