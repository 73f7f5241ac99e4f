"""Promises of the request gate."""

import re
from collections.abc import Iterator

import pytest

from proxy.errors import RequestError
from proxy.forwarding.heads import RequestLines
from proxy.wire.request_gate import MAX_FIELDS, RequestHead, check_fields, check_request
from tests.downstream.visits import Visit

OCTETS = [bytes([octet]) for octet in range(256)]
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]")


def check(
    *lines: tuple[bytes, bytes],
    method: bytes = b"POST",
    target: bytes = b"/",
    version: str = "1.1",
    host: bytes | None = b"a",
) -> RequestHead:
    fields = list(lines)
    if host is not None:
        fields.insert(0, (b"Host", host))
    lengths = [value for name, value in fields if name == b"Content-Length"]
    said = check_fields(version, [field for field in fields if field[0] != b"Content-Length"])
    return check_request(method, target, lengths[0] if lengths else None, said)


def refusal(*lines: tuple[bytes, bytes], **more: object) -> int:
    with pytest.raises(RequestError) as raised:
        check(*lines, **more)  # type: ignore[arg-type]
    assert raised.value.close
    return raised.value.status


# --- host and target --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        b"a",
        b"example.com",
        b"example.com:8000",
        b"a:",
        b"127.0.0.1:80",
        b"[::1]",
        b"[::1]:8000",
        b"a_b",
        b" a\t",
        b"%41",
    ],
)
def test_a_host_is_a_name_or_an_address_with_an_optional_port(host: bytes) -> None:
    assert check(host=host).host == host.strip(b" \t")


@pytest.mark.parametrize(
    "host",
    [
        *(b"a b", b"a#b", b"a/b", b"a@b", b"http://a", b"a:80:80", b"a:x", b"a:123456", b"[::1", b"::1", b"a\\b"),
        *(b"a?b", b'a"b', b"a<b", b"[g]", b"a\xff", b"%zz", b"a\x0b", b"", b" "),
    ],
)
def test_what_is_not_a_host_is_refused(host: bytes) -> None:
    assert refusal(host=host) == 400


def test_http11_needs_one_host_and_http10_none() -> None:
    assert refusal(host=None) == 400
    assert refusal((b"Host", b"a")) == 400
    assert refusal((b"HOST", b"b")) == 400
    assert check(host=None, version="1.0").host == b""


@pytest.mark.parametrize("octet", OCTETS)
def test_every_octet_of_a_path_is_passed_on_as_it_is_or_refused(octet: bytes) -> None:
    target = b"/a" + octet + b"b?" + octet + b"?"
    if 0x21 <= octet[0] <= 0x7E and octet != b"#":
        assert check(target=target).target == target
    else:
        assert refusal(target=target) == 400


@pytest.mark.parametrize("target", [b"/", b"/?", b"//", b"/a//b/../%2e%2e;x=y?a=b&&c", b"/%", b'/"<>\\^`{|}'])
def test_a_target_is_passed_on_unchanged(target: bytes) -> None:
    assert check(target=target).target == target


@pytest.mark.parametrize(
    ("target", "origin", "host"),
    [
        (b"http://b/x?y", b"/x?y", b"b"),
        (b"HTTPS://b:8/x", b"/x", b"b:8"),
        (b"http://b", b"/", b"b"),
        (b"http://b?y", b"/?y", b"b"),
        (b"http://[::1]:80/", b"/", b"[::1]:80"),
    ],
)
def test_an_absolute_target_becomes_a_path_and_its_authority_is_the_host(
    target: bytes, origin: bytes, host: bytes
) -> None:
    head = check(target=target)
    assert (head.target, head.host) == (origin, host)


@pytest.mark.parametrize(
    "target",
    [b"", b"a", b"*", b"?x", b"#", b"/#", b"/a#b", b"a:443", b"http://", b"http:///x", b"http://u@b/", b"http://a b/",
     b"ftp://b/", b"http:/b", b"http://b/#x", b"http://b\\c/", b"\\x", b"/a b"],
)  # fmt: skip
def test_what_is_neither_a_path_nor_a_url_is_refused(target: bytes) -> None:
    assert refusal(target=target) == 400


def test_options_may_ask_about_the_server_as_a_whole() -> None:
    assert check(method=b"OPTIONS", target=b"*").target == b"*"


@pytest.mark.parametrize("target", [b"a:443", b"/", b"http://a/", b"*"])
def test_connect_is_refused_whatever_it_asks_for(target: bytes) -> None:
    assert refusal(method=b"CONNECT", target=target) == 405


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0", "3.0"])
def test_other_versions_are_refused(version: str) -> None:
    assert refusal(version=version) == 505


def test_the_number_of_fields_is_bounded() -> None:
    assert len(check(*[(b"X", b"y")] * (MAX_FIELDS - 1)).said.fields) == MAX_FIELDS
    assert refusal(*[(b"X", b"y")] * MAX_FIELDS) == 431


# --- connection, expectation ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "values", "kept"),
    [
        ("1.1", [], True),
        ("1.1", [b"keep-alive"], True),
        ("1.1", [b"CLOSE"], False),
        ("1.1", [b"x-a", b"close"], False),
        ("1.0", [], False),
        ("1.0", [b"Keep-Alive"], True),
        ("1.0", [b"close"], False),
    ],
)
def test_a_connection_is_kept_as_its_version_and_its_options_say(version: str, values: list[bytes], kept: bool) -> None:
    assert check(*[(b"Connection", value) for value in values], version=version).said.keep_alive is kept


def test_fields_that_connection_names_are_told() -> None:
    assert check((b"Connection", b"x-a"), (b"connection", b"X-B, x-c")).said.dropped == {b"x-a", b"x-b", b"x-c"}


def test_one_expectation_is_known() -> None:
    assert check((b"Expect", b" 100-Continue ")).said.expects_continue
    assert check((b"Expect", b"100-continue"), (b"Expect", b"100-continue")).said.expects_continue
    assert not check((b"Expect", b"100-continue"), version="1.0").said.expects_continue
    assert refusal((b"Expect", b"a-pony")) == 417
    assert refusal((b"Expect", b"100-continue, a-pony")) == 417


def test_a_content_type_stands_once() -> None:
    assert check((b"Content-Type", b"a/b")).said.content_type == b"a/b"
    assert refusal((b"Content-Type", b"a/b"), (b"Content-Type", b"a/b")) == 400


# --- framing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b" CHUNKED\t"])
def test_a_chunked_body_is_told(value: bytes) -> None:
    head = check((b"Transfer-Encoding", value))
    assert (head.said.chunked, head.content_length, head.has_body) == (True, None, True)


def test_a_length_is_told() -> None:
    head = check((b"Content-Length", b"5"))
    assert (head.said.chunked, head.content_length, head.has_body) == (False, 5, True)
    assert check((b"Content-Length", b"0")).has_body
    assert not check().has_body


@pytest.mark.parametrize(
    "value",
    [b"", b"gzip", b"identity", b"gzip, chunked", b"chunked, chunked", b"chunked,", b",chunked", b"chunked;q=1",
     b"xchunked", b"\x0bchunked", b"chunked\x0b", b'"chunked"', b"chunke\x64\x00", b"c hunked", b"chunked identity"],
)  # fmt: skip
def test_any_other_coding_is_refused(value: bytes) -> None:
    assert refusal((b"Transfer-Encoding", value)) == 501


def test_two_framings_are_refused() -> None:
    assert refusal((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5")) == 400
    assert refusal((b"Content-Length", b"5"), (b"Transfer-Encoding", b"gzip")) in {400, 501}
    assert refusal((b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")) == 400
    assert refusal((b"Transfer-Encoding", b"chunked"), version="1.0") == 400


# --- both with the parser in front ------------------------------------------------------------------------------------


def forwarded(data: bytes) -> list[bytes]:
    """What an engine would be sent for what a client sent."""
    visit = Visit().sends(data)
    visit.answer_all()
    messages = []
    for number, request in enumerate(visit.requests):
        lines = RequestLines(request.head, visit.connection, b"id-%d" % number)
        messages.append(lines.for_endpoint(b"engine", b"", len(request.body)) + bytes(request.body))
    return messages


@pytest.mark.parametrize("octet", OCTETS)
@pytest.mark.parametrize("place", [b"X-%bA: v", b"%bX-A: v", b"X-A%b: v"])
def test_every_octet_of_a_fields_name_is_passed_on_as_it_is_or_refused(octet: bytes, place: bytes) -> None:
    line = place.replace(b"%b", octet)
    messages = forwarded(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
    if octet == b":":
        assert not messages or b"\r\n" + line.replace(b":", b": ", 1).replace(b"  ", b" ") + b"\r\n" in messages[0]
    elif TOKEN.fullmatch(octet):
        assert b"\r\n" + line + b"\r\n" in messages[0]
    else:
        assert messages == []


@pytest.mark.parametrize("octet", OCTETS)
@pytest.mark.parametrize("place", [b"X-A: v%bv", b"X-A: %bv", b"X-A: v%b"])
def test_every_octet_of_a_fields_value_is_passed_on_as_it_is_or_refused(octet: bytes, place: bytes) -> None:
    line = place.replace(b"%b", octet)
    messages = forwarded(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
    if octet in b"\t " or 0x21 <= octet[0] != 0x7F:
        expected = line if octet not in b"\t " or place.endswith(b"v%bv") else b"X-A: v"
        assert any(found.rstrip(b" \t") == expected for found in messages[0].split(b"\r\n"))
    else:
        assert messages == []


@pytest.mark.parametrize("octet", OCTETS)
def test_every_octet_of_a_target_is_passed_on_as_it_is_or_refused(octet: bytes) -> None:
    target = b"/a" + octet + b"b"
    messages = forwarded(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert all(message.startswith(b"GET " + target + b" HTTP/1.1\r\n") for message in messages)
    assert bool(messages) is (0x21 <= octet[0] <= 0x7E and octet != b"#")


def mutations() -> Iterator[bytes]:
    """Spellings of a Transfer-Encoding line that some parser somewhere takes for one, and another does not."""
    octets = (*range(0x21), 0x7F, 0x80, 0x85, 0xA0, 0xFF)
    whites = [*(bytes([octet]) for octet in octets), b"\r\n ", b"\n", b"\r", b"\r\n\t"]
    for white in whites:
        yield b"Transfer-Encoding" + white + b": chunked"
        yield b"Transfer-Encoding:" + white + b"chunked"
        yield b"Transfer-Encoding: chunked" + white
        yield b"Transfer-Encoding: " + white + b"chunked" + white + b"x"
        yield white + b"Transfer-Encoding: chunked"
        yield b"Transfer" + white + b"-Encoding: chunked"
        yield b"X: y" + white + b"Transfer-Encoding: chunked"
        yield b"Transfer-Encoding: ch" + white + b"unked"
        yield b"Transfer-Encoding: identity" + white + b"chunked"
    names = [
        *(
            b"Transfer_Encoding",
            b"Transfer Encoding",
            b"TransferEncoding",
            b"X-Transfer-Encoding",
            b"transfer-encoding",
        ),
        *(b"TRANSFER-ENCODING", b"Transfer-Encoding-", b"Transfer--Encoding", b"Content-Encoding", b"TE"),
        *(b"Transfer-\xc9ncoding", b"Transfer%2dEncoding", b"'Transfer-Encoding'", b"Transfer-Encoding\\"),
    ]
    values = [
        *(b"chunked", b"Chunked", b"CHUNKED", b"chunke", b"chunkedd", b"xchunked", b"chunked, identity"),
        *(b"identity, chunked", b"chunked,chunked", b"chunked;a=b", b'"chunked"', b"'chunked'", b"[chunked]"),
        *(b"chunked, ", b", chunked", b"cow", b"cow, chunked", b"chunked, cow", b"", b"gzip", b"deflate, chunked"),
        *(b"chun\\ked", b"chunked\\", b"%63hunked", b"c\xcchunked", b"chunked\xff", b"0", b"chunked " * 20),
    ]
    for name in names:
        for value in values:
            yield name + b": " + value
            yield name + b":" + value
    yield b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow"
    yield b"Transfer-Encoding: cow\r\nTransfer-Encoding: chunked"
    yield b"Transfer-Encoding:\r\n chunked"
    yield b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked"
    yield b"Connection: content-length\r\nTransfer-Encoding: chunked"


BODY = b"4\r\nabcd\r\n0\r\n\r\n"
SMUGGLED = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("length", [True, False])
def test_no_spelling_of_a_transfer_encoding_is_read_in_two_ways(length: bool) -> None:
    count = 0
    for mutation in mutations():
        for body in (BODY, SMUGGLED):
            count += 1
            line = b"Content-Length: %d\r\n" % len(body) if length else b""
            data = b"POST /p HTTP/1.1\r\nHost: a\r\n" + line + mutation + b"\r\n\r\n" + body
            for message in forwarded(data):
                _is_unambiguous(message, mutation)
    assert count > 1500


def _is_unambiguous(message: bytes, mutation: bytes) -> None:
    """One framing, written by us, that fits the body to the byte; whatever came is gone or is only a strange field."""
    head, _, body = message.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert names.count(b"content-length") <= 1, mutation
    told = re.search(rb"\r\nContent-Length: (\d+)$", head)
    assert (int(told.group(1)) if told else 0) == len(body), mutation
    assert all(TOKEN.sub(b"", name) == b"" and name != b"transfer-encoding" for name in names), mutation
    assert not re.search(rb"[\r\n\0]", head.replace(b"\r\n", b"")), mutation
