"""Promises of the response gate."""

import re

import pytest

from proxy.forwarding.heads import response_lines
from proxy.wire.response_gate import Framing, ProtocolViolationError, ResponseHead, check_fields, check_response
from tests.upstream.talks import Talk, answer

OCTETS = [bytes([octet]) for octet in range(256)]
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")


def check(
    *lines: tuple[bytes, bytes],
    status: int = 200,
    reason: bytes = b"OK",
    version: str = "1.1",
    method: bytes = b"GET",
    length: bytes | None = None,
) -> ResponseHead:
    said = check_fields(version, list(lines))
    return check_response(status, reason, length, said, method)


CHUNKED = (b"Transfer-Encoding", b"Chunked")


def test_the_end_of_a_body_is_told_by_length_by_chunks_or_by_closing() -> None:
    assert (check(length=b"5").framing, check(length=b"5").length) == (Framing.LENGTH, 5)
    assert (check(CHUNKED).framing, check(CHUNKED).length) == (Framing.CHUNKED, None)
    assert (check().framing, check().keep_alive) == (Framing.CLOSE, False)
    assert check((b"Connection", b"keep-alive"), version="1.0").keep_alive is False


def test_an_answer_with_a_content_coding_is_known_by_it() -> None:
    coding = b"Content-Encoding"
    assert check((coding, b"gzip")).said.coded
    assert check((coding, b"identity"), (coding, b"br")).said.coded
    assert not check((coding, b"Identity")).said.coded
    assert not check().said.coded


@pytest.mark.parametrize(
    ("status", "method"), [(200, b"HEAD"), (204, b"GET"), (304, b"GET"), (103, b"GET"), (404, b"HEAD")]
)
def test_some_answers_have_no_body_whatever_they_say(status: int, method: bytes) -> None:
    for head in (
        check(status=status, method=method, length=b"5"),
        check(CHUNKED, status=status, method=method),
        check(status=status, method=method),
    ):
        assert head.framing is Framing.NONE
        assert head.keep_alive


@pytest.mark.parametrize("value", [b"gzip, chunked", b"chunked, chunked", b"identity", b"", b"chunked;a", b"xchunked"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_coding_that_we_cannot_undo_is_refused(value: bytes, method: bytes) -> None:
    with pytest.raises(ProtocolViolationError):
        check((b"Transfer-Encoding", value), method=method)


def test_two_framings_are_refused() -> None:
    with pytest.raises(ProtocolViolationError):
        check(CHUNKED, length=b"5")
    with pytest.raises(ProtocolViolationError):
        check(CHUNKED, CHUNKED)
    with pytest.raises(ProtocolViolationError):
        check(CHUNKED, version="1.0")


@pytest.mark.parametrize("length", [b"", b"+1", b"-1", b"1,1", b"x", b"1" * 19])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_length_that_is_no_number_is_refused(length: bytes, method: bytes) -> None:
    with pytest.raises(ProtocolViolationError):
        check(length=length, method=method)


@pytest.mark.parametrize("status", [0, 99, 101, 600, 999])
def test_a_status_that_cannot_be_passed_on_is_refused(status: int) -> None:
    with pytest.raises(ProtocolViolationError):
        check(status=status)


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0"])
def test_other_versions_are_refused(version: str) -> None:
    with pytest.raises(ProtocolViolationError):
        check(version=version)


@pytest.mark.parametrize("reason", [b"a\rb", b"a\nb", b"\0", b"a\x7f"])
def test_a_reason_cannot_split_an_answer(reason: bytes) -> None:
    with pytest.raises(ProtocolViolationError):
        check(reason=reason)
    assert check(reason=b"caf\xc3\xa9\t\xff").reason == b"caf\xc3\xa9\t\xff"


# --- with the parser in front -----------------------------------------------------------------------------------------


def returned(data: bytes) -> bytes | None:
    """The head that a client would be sent for what an engine sent; None if the answer is refused."""
    talk = Talk().asks().hears(data)
    return None if talk.failure else response_lines(talk.head, Framing.LENGTH, http10=False, keep_alive=True)


@pytest.mark.parametrize("octet", OCTETS)
@pytest.mark.parametrize("place", [b"X-%bA: v", b"%bX-A: v", b"X-A%b: v"])
def test_every_octet_of_a_fields_name_is_returned_as_it_is_or_refused(octet: bytes, place: bytes) -> None:
    line = place.replace(b"%b", octet)
    head = returned(answer(b"ok", line))
    if octet == b":":
        assert head is None or b"\r\n" + line.replace(b":", b": ", 1).replace(b"  ", b" ") + b"\r\n" in head
    elif TOKEN.fullmatch(octet):
        assert head is not None
        assert b"\r\n" + line + b"\r\n" in head
    else:
        assert head is None


@pytest.mark.parametrize("octet", OCTETS)
@pytest.mark.parametrize("place", [b"X-A: v%bv", b"X-A: %bv", b"X-A: v%b"])
def test_every_octet_of_a_fields_value_is_returned_as_it_is_or_refused(octet: bytes, place: bytes) -> None:
    line = place.replace(b"%b", octet)
    head = returned(answer(b"ok", line))
    if octet in b"\t " or 0x21 <= octet[0] != 0x7F:
        expected = line if octet not in b"\t " or place.endswith(b"v%bv") else b"X-A: v"
        assert head is not None
        assert any(found.rstrip(b" \t") == expected for found in head.split(b"\r\n"))
    else:
        assert head is None


@pytest.mark.parametrize("octet", OCTETS)
def test_every_octet_of_a_reason_is_returned_as_it_is_or_refused(octet: bytes) -> None:
    head = returned(answer(b"ok", status=b"200 a" + octet + b"b"))
    if octet == b"\t" or 0x20 <= octet[0] != 0x7F:
        assert head is not None
        assert head.startswith(b"HTTP/1.1 200 a" + octet + b"b\r\n")
    else:
        assert head is None
