"""Promises of the heads that the proxy writes."""

import pytest

from proxy.forwarding.heads import (
    BARE,
    CONTROL_FIELDS,
    MAX_REQUEST_ID,
    RequestLines,
    dressing,
    interim_lines,
    response_framing,
    response_lines,
)
from proxy.wire.response_gate import Framing
from tests.downstream.visits import Visit, chunked, get, post
from tests.upstream.talks import Talk, answer


def sent(
    data: bytes,
    *,
    trusted: bool = False,
    prefix: bytes = b"",
    visit: Visit | None = None,
    own: tuple[tuple[str, str], ...] = (),
    credential: tuple[str, str] | None = None,
    strip: bool = False,
    plain: bool = False,
) -> list[bytes]:
    """The lines that an engine gets for what a client sent."""
    visit = visit or Visit()
    visit.connection.trusted = trusted
    visit.sends(data)
    request = visit.requests[-1]
    lines = RequestLines(request.head, visit.connection, b"our-id")
    worn = dressing(own, credential, strip=strip, plain=plain) if own or credential or strip or plain else BARE
    head = lines.for_endpoint(b"engine:1", prefix, len(request.body), worn)
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


def value(lines: list[bytes], name: bytes) -> bytes | None:
    found = [line.partition(b": ")[2] for line in lines[1:] if line.partition(b":")[0].lower() == name]
    assert len(found) <= 1
    return found[0] if found else None


# --- requests ---------------------------------------------------------------------------------------------------------


def test_a_request_names_the_endpoint_and_keeps_its_own_line() -> None:
    lines = sent(get(b"/v1/models?a=b&&?"), prefix=b"/base")
    assert lines[0] == b"GET /base/v1/models?a=b&&? HTTP/1.1"
    assert value(lines, b"host") == b"engine:1"


def test_unknown_fields_go_on_in_order_and_as_they_are_spelled() -> None:
    lines = sent(get(b"/", b"X-b: 1", b"x-A: caf\xff", b"X-b: 2", b"Cookie: a=b", b"Authorization: Bearer x", b"X-E:"))
    expected = [b"X-b: 1", b"x-A: caf\xff", b"X-b: 2", b"Cookie: a=b", b"Authorization: Bearer x", b"X-E: "]
    assert [line for line in lines if line in expected] == expected


@pytest.mark.parametrize(
    "line",
    [
        *(b"Connection: x", b"Keep-Alive: 5", b"Proxy-Connection: x", b"Proxy-Authorization: x", b"TE: trailers"),
        *(b"Trailer: x", b"Upgrade: h2c", b"HTTP2-Settings: x", b"Expect: 100-continue", b"Forwarded: for=x"),
        b"X-Real-IP: 1",
    ],
)
def test_what_is_meant_for_the_next_hop_stops_here(line: bytes) -> None:
    name = line.partition(b":")[0].lower()
    assert value(sent(get(b"/", line)), name) is None


@pytest.mark.parametrize("name", sorted(CONTROL_FIELDS))
def test_no_client_reaches_an_engine_with_a_gateways_control_field(name: bytes) -> None:
    assert value(sent(get(b"/", name.title() + b": 10.0.0.1:8000")), name) is None
    assert value(sent(get(b"/", name + b": 10.0.0.1:8000"), trusted=True), name) is None


def test_a_servers_own_fields_take_the_place_of_the_clients() -> None:
    client = get(b"/", b"authorization: Bearer client", b"X-B: 1", b"x-b: 2", b"X-Other: kept")
    lines = sent(client, own=(("Authorization", "Bearer own"), ("x-B", "own"), ("X-New", "café")))
    assert value(lines, b"authorization") == b"Bearer own"
    assert value(lines, b"x-b") == b"own"
    assert value(lines, b"x-new") == "café".encode()
    assert value(lines, b"x-other") == b"kept"
    assert value(lines, b"via") == b"1.1 penstock"


def test_fields_that_connection_names_stop_here() -> None:
    lines = sent(get(b"/", b"Connection: X-Secret, x-other", b"x-secret: 1", b"X-Other: 2", b"X-Third: 3"))
    assert (value(lines, b"x-secret"), value(lines, b"x-other"), value(lines, b"x-third")) == (None, None, b"3")


@pytest.mark.parametrize(
    "name", [b"Authorization", b"Cookie", b"Content-Type", b"Content-Encoding", b"X-Api-Key", b"X-Forwarded-For"]
)
def test_a_client_cannot_make_the_proxy_drop_what_carries_meaning(name: bytes) -> None:
    lines = sent(get(b"/", b"Connection: close, " + name, name + b": kept"), trusted=True)
    assert (value(lines, name.lower()) or b"").startswith(b"kept")
    assert value(sent(post(b"abc", b"Connection: content-length, host")), b"content-length") == b"3"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (get(), None),
        (post(b""), b"0"),
        (post(b"abc"), b"3"),
        (chunked(b"abc", b"de"), b"5"),
        (chunked(), b"0"),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", None),
    ],
)
def test_a_body_goes_with_its_length(data: bytes, told: bytes | None) -> None:
    lines = sent(data)
    assert value(lines, b"content-length") == told
    assert value(lines, b"transfer-encoding") is None


def test_who_asked_is_told_and_what_strangers_say_of_it_is_not_believed() -> None:
    claims = (
        b"X-Forwarded-For: 1.1.1.1",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: evil",
        b"X-Request-Id: theirs",
    )
    lines = sent(get(b"/", *claims))
    assert value(lines, b"x-forwarded-for") == b"192.0.2.7"
    assert value(lines, b"x-forwarded-proto") == b"http"
    assert value(lines, b"x-forwarded-host") == b"a"
    assert value(lines, b"x-request-id") == b"our-id"
    assert value(lines, b"via") == b"1.1 penstock"


def test_a_trusted_proxy_is_believed() -> None:
    claims = (b"X-Forwarded-For: 1.1.1.1", b"x-forwarded-for: 2.2.2.2", b"X-Forwarded-Proto: https",
              b"X-Forwarded-Host: shop", b"X-Request-Id: theirs", b"Via: 1.0 front")  # fmt: skip
    lines = sent(get(b"/", *claims), trusted=True)
    assert value(lines, b"x-forwarded-for") == b"1.1.1.1, 2.2.2.2, 192.0.2.7"
    assert value(lines, b"x-forwarded-proto") == b"https"
    assert value(lines, b"x-forwarded-host") == b"shop"
    assert value(lines, b"x-request-id") == b"theirs"
    assert value(lines, b"via") == b"1.0 front, 1.1 penstock"


def test_an_id_of_a_trusted_proxy_is_bounded_and_an_empty_one_is_ours() -> None:
    assert (
        value(sent(get(b"/", b"X-Request-Id: " + b"x" * 500), trusted=True), b"x-request-id") == b"x" * MAX_REQUEST_ID
    )
    assert value(sent(get(b"/", b"X-Request-Id:"), trusted=True), b"x-request-id") == b"our-id"


def test_a_client_over_tls_is_told_to_be_one() -> None:
    assert value(sent(get(), visit=Visit(sslcontext=object())), b"x-forwarded-proto") == b"https"


def test_an_http10_client_is_told_to_be_one_and_may_have_named_no_host() -> None:
    lines = sent(b"GET / HTTP/1.0\r\n\r\n")
    assert lines[0] == b"GET / HTTP/1.1"
    assert value(lines, b"via") == b"1.0 penstock"
    assert value(lines, b"x-forwarded-host") is None


def test_each_request_of_a_connection_is_written_by_what_it_says_itself() -> None:
    visit = Visit()
    seen = []
    for data in (
        get(b"/", b"X: 1"),
        get(b"/", b"X: 1"),
        get(b"http://b/", b"X: 1"),
        get(b"/", b"X: 1"),
        get(b"/", b"X: 2"),
    ):
        lines = sent(data, visit=visit)
        seen.append((value(lines, b"x"), value(lines, b"x-forwarded-host")))
        visit.answer_all()
    assert seen == [(b"1", b"a"), (b"1", b"a"), (b"1", b"b"), (b"1", b"a"), (b"2", b"a")]


# --- answers ----------------------------------------------------------------------------------------------------------


def returned(
    data: bytes, *, method: bytes = b"GET", http10: bool = False, keep_alive: bool = True, extra: bytes = b""
) -> list[bytes]:
    """The lines that a client gets for what an engine sent."""
    head = Talk().asks(method).hears(data).head
    framing = response_framing(head, http10)
    written = response_lines(head, framing, http10=http10, keep_alive=keep_alive, request_id=b"our-id", extra=extra)
    assert written.endswith(b"\r\n\r\n")
    return written[:-4].split(b"\r\n")


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "method", "http10", "length", "coding"),
    [
        (answer(b"ok"), b"GET", False, b"2", None),
        (answer(b"ok"), b"GET", True, b"2", None),
        (CHUNKED, b"GET", False, None, b"chunked"),
        (CHUNKED, b"GET", True, None, None),
        (CLOSING, b"GET", False, None, b"chunked"),
        (CLOSING, b"GET", True, None, None),
        (answer(b"")[:-2].replace(b"0", b"7") + b"\r\n", b"HEAD", False, b"7", None),
        (CHUNKED, b"HEAD", False, None, None),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", b"GET", False, b"7", None),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", b"GET", False, None, None),
    ],
)
def test_the_end_of_the_body_is_told_as_the_client_can_read_it(
    data: bytes, method: bytes, http10: bool, length: bytes | None, coding: bytes | None
) -> None:
    lines = returned(data, method=method, http10=http10)
    assert (value(lines, b"content-length"), value(lines, b"transfer-encoding")) == (length, coding)


def test_an_answers_line_and_fields_are_the_engines_own() -> None:
    lines = returned(
        answer(b"", b"Server: uvicorn", b"x-A: caf\xff", b"Set-Cookie: a", b"Set-Cookie: b", status=b"418 Tea \xe9")
    )
    assert lines[0] == b"HTTP/1.1 418 Tea \xe9"
    assert lines[1:5] == [b"Server: uvicorn", b"x-A: caf\xff", b"Set-Cookie: a", b"Set-Cookie: b"]
    assert value(lines, b"date") is None


def test_what_an_engine_says_of_its_own_connection_stops_here() -> None:
    lines = returned(
        answer(b"", b"Connection: close, X-Hop, content-type", b"X-Hop: 1", b"Keep-Alive: 5", b"Content-Type: a/b")
    )
    assert (value(lines, b"x-hop"), value(lines, b"keep-alive"), value(lines, b"connection")) == (None, None, None)
    assert value(lines, b"content-type") == b"a/b"


@pytest.mark.parametrize(
    ("http10", "keep_alive", "said"),
    [(False, True, None), (False, False, b"close"), (True, True, b"keep-alive"), (True, False, b"close")],
)
def test_a_client_is_told_what_becomes_of_its_connection(http10: bool, keep_alive: bool, said: bytes | None) -> None:
    assert value(returned(answer(b"ok"), http10=http10, keep_alive=keep_alive), b"connection") == said


def test_the_id_is_told_unless_the_engine_tells_one() -> None:
    assert value(returned(answer(b"ok")), b"x-request-id") == b"our-id"
    assert value(returned(answer(b"ok", b"x-request-id: theirs")), b"x-request-id") == b"theirs"


def test_further_fields_of_the_proxy_stand_beside_them() -> None:
    assert value(returned(answer(b"ok"), extra=b"X-More: 1\r\n"), b"x-more") == b"1"


def test_an_interim_answer_has_neither_an_end_nor_an_id() -> None:
    talk = Talk().asks().hears(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\nConnection: x\r\n\r\n")
    assert interim_lines(talk.interim[0]) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


def test_framing_follows_the_engine_where_the_client_can() -> None:
    for data, framing, old in (
        (answer(b""), Framing.LENGTH, Framing.LENGTH),
        (CHUNKED, Framing.CHUNKED, Framing.CLOSE),
        (CLOSING, Framing.CHUNKED, Framing.CLOSE),
    ):
        head = Talk().asks().hears(data).head
        assert (response_framing(head, http10=False), response_framing(head, http10=True)) == (framing, old)


def test_an_engine_says_nothing_of_our_limits_and_fallbacks() -> None:
    told = b"X-RateLimit-Limit-Requests: 9\r\nX-Penstock-Fallback: a=b\r\nX-Own: 1\r\n"
    data = b"HTTP/1.1 200 OK\r\n%bContent-Length: 0\r\n\r\n" % told
    ours = b"x-ratelimit-limit-requests: 1\r\n"
    assert [line for line in returned(data, extra=ours) if line.lower().startswith(b"x-rate")] == [ours[:-2]]
    assert b"X-RateLimit-Limit-Requests: 9" in returned(data)
    assert not [line for line in returned(data) if b"Fallback" in line]
    assert b"X-Own: 1" in returned(data, extra=ours)
