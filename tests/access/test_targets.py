"""Promises of paths that cannot be read in two ways."""

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.targets import refuse_ambiguous
from proxy.errors import RequestError
from tests.access.heads import received


def refused(target: bytes) -> bool:
    try:
        refuse_ambiguous(target)
    except RequestError as error:
        return (error.status, error.code) == (400, "ambiguous_path")
    return False


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/?a=b",
        b"*",
        b"/v1/chat/completions",
        b"/v1/chat/completions/",
        b"/v1/models/org/model:tag@1",
        b"/v1/models/org%20model",
        b"/v1/models/%E2%82%AC",
        b"/.well-known/x",
        b"/a.b/..c/...",
        b"/v1/a..b",
        b"/100%25",
        b"/a%2Bb",
        b"/v1/models?path=/../%2e%2e//;\\&b=%zz",
        b"/a/?//",
    ],
)
def test_a_path_that_everybody_reads_alike_passes_whatever_its_query_holds(target: bytes) -> None:
    assert not refused(target)


@pytest.mark.parametrize(
    "target",
    [
        b"//",
        b"//v1/models",
        b"/v1//models",
        b"/v1/models//",
        b"/v1/models//?a=b",
        b"/./v1/models",
        b"/v1/./models",
        b"/v1/models/.",
        b"/v1/models/..",
        b"/v1/models/..?x",
        b"/public/../v1/models",
        b"/..",
        b"/%2e%2e/v1/models",
        b"/public/%2E./v1",
        b"/public/.%2e/v1",
        b"/public/%2e/v1",
        b"/v1%2fmodels",
        b"/v1%2Fmodels",
        b"/v1/models%2f",
        b"/v1\\models",
        b"/v1%5cmodels",
        b"/v1%5Cmodels",
        b"/v1/models;x=y",
        b"/v1/models%3bx",
        b"/v1/models%3Bx",
        b"/v1/models%3fa=b",
        b"/v1/models%23",
        b"/v1/models#x",
        b"/%252e%252e/v1",
        b"/v1%252fmodels",
        b"/v1%252Fmodels",
        b"/v1%25252fmodels",
        b"/v1%25%32%66models",
        b"/v1/models%00",
        b"/v1/models%0d%0a",
        b"/v1/models%09",
        b"/v1/models%7F",
        b"/v1/models%1f",
        b"/v1/models%C2%80",
        b"/v1/models%",
        b"/v1/models%2",
        b"/v1/models%zz",
        b"/v1/models%%32e",
        b"/%u002e%u002e/v1",
        b"/%c0%ae%c0%ae/v1",
        b"/v1%c0%afmodels",
        b"/v1%e0%80%afmodels",
        b"/v1/%ff",
        b"/v1/%ed%a0%80",
        b"/v1/mod\xc3\xa9ls",
        b"/v1/a b",
        b"",
        b"v1/models",
        b"http://host/v1/models",
        b"**",
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(target: bytes) -> None:
    assert refused(target)


@given(st.text("/.%2ef5cC;\\a?", min_size=1, max_size=12))
def test_what_passes_reads_the_same_however_often_it_is_decoded_and_normalised(text: str) -> None:
    target = b"/" + text.encode()
    if refused(target):
        return
    path = target.partition(b"?")[0]
    once = unquote_to_bytes(path)
    assert unquote_to_bytes(once) == once
    assert once.count(b"/") == path.count(b"/")
    assert b"//" not in once
    assert not {b".", b".."} & set(once.split(b"/"))
    assert not set(b";\\?") & set(once)


@given(st.binary(max_size=20))
def test_no_bytes_break_it(junk: bytes) -> None:
    refused(b"/" + junk)


def test_a_long_path_costs_one_walk() -> None:
    assert refused(b"/a" * 100_000 + b"//")
    assert refused(b"/" + b"a" * 100_000 + b"%")


@pytest.mark.parametrize(
    ("line", "host"),
    [
        (b"GET http://penstock//v1/models HTTP/1.1", b"penstock"),
        (b"GET http://penstock/%2e%2e/v1/models HTTP/1.1", b"penstock"),
        (b"GET http://penstock/public/..;/v1/models HTTP/1.1", b"penstock"),
    ],
)
def test_an_absolute_target_is_judged_by_its_path(line: bytes, host: bytes) -> None:
    head = received(line + b"\r\nHost: " + host + b"\r\n\r\n")
    assert head is not None
    assert refused(head.target)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET http://user@penstock/v1/models HTTP/1.1\r\nHost: penstock\r\n\r\n",
        b"GET http:///v1/models HTTP/1.1\r\nHost: penstock\r\n\r\n",
        b"GET ftp://penstock/v1/models HTTP/1.1\r\nHost: penstock\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: localhost:4000/#@x\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: localhost/health?\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /v1/models#x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET v1/models HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_a_malformed_host_or_absolute_target_never_gets_so_far(raw: bytes) -> None:
    assert received(raw) is None
