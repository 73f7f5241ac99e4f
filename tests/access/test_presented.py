"""Promises of what counts as a shown credential, and what attempts to hide or double one get."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.identity import Fault
from proxy.access.presented import LONGEST, MALFORMED, SEVERAL, TOO_LONG, presented
from tests.access.heads import received, said

KEY = b"psk-abc"


def shown(*fields: tuple[bytes, bytes]) -> bytes | Fault | None:
    return presented(said(*fields).fields)


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"BeArEr ", b"Bearer   "])
def test_a_bearer_credential_is_found_however_its_scheme_is_spelled(scheme: bytes) -> None:
    assert shown((b"aUTHORIZATION", b" \t" + scheme + KEY + b"\t ")) == KEY


def test_an_api_key_is_found() -> None:
    assert shown((b"X-Api-Key", b"  " + KEY + b" ")) == KEY


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ((b"Authorization", b"Basic " + KEY),),
        ((b"Authorization", b"Digest username=x"),),
        ((b"Authorization", KEY),),
        ((b"Authorization", b"Bearertoken " + KEY),),
        ((b"Authorization", b"Bearer-x " + KEY),),
        ((b"Authorization", b""),),
        ((b"Authorization", b"Bearer"),),
        ((b"Authorization", b"Bearer  "),),
        ((b"x-api-key", b""),),
        ((b"x-api-key", b" \t "),),
        ((b"Proxy-Authorization", b"Bearer " + KEY),),
        ((b"Cookie", b"authorization=Bearer " + KEY),),
        ((b"X_Api_Key", KEY),),
        ((b"api-key", KEY),),
    ],
)
def test_other_schemes_and_fields_and_empty_ones_show_nothing(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert shown(*fields) is None


@pytest.mark.parametrize(
    "fields",
    [
        ((b"Authorization", b"Bearer " + KEY), (b"Authorization", b"Bearer " + KEY)),
        ((b"Authorization", b"Bearer " + KEY), (b"authorization", b"Basic x")),
        ((b"Authorization", b""), (b"authorization", b"Bearer " + KEY)),
        ((b"x-api-key", KEY), (b"X-API-KEY", KEY)),
        ((b"Authorization", b"Bearer " + KEY), (b"x-api-key", b"other")),
    ],
)
def test_two_credentials_are_none(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    assert shown(*fields) == SEVERAL


def test_the_same_credential_in_both_fields_is_one() -> None:
    assert shown((b"Authorization", b"Bearer " + KEY), (b"x-api-key", KEY)) == KEY
    assert shown((b"Authorization", b"Basic x"), (b"x-api-key", KEY)) == KEY
    assert shown((b"Authorization", b"Bearer " + KEY), (b"x-api-key", b"")) == KEY


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer\t" + KEY,
        b"Bearer \t" + KEY,
        b"Bearer, " + KEY,
        b"Bearer=" + KEY,
        b'Bearer "' + KEY + b'"',
        b"Bearer " + KEY + b", Bearer x",
        b"Bearer x," + KEY,
        b"Bearer " + KEY + b" x",
        b"Bearer Bearer " + KEY,
        b"Bearer " + KEY + b"\x00",
        b"Bearer \x00" + KEY,
        b"Bearer " + KEY + b"\xff",
        b"Bearer \xc2\xa0" + KEY,
        b"Bearer " + KEY + b"\x7f",
    ],
)
def test_what_others_may_read_as_another_credential_is_malformed(value: bytes) -> None:
    assert shown((b"Authorization", value)) == MALFORMED


@pytest.mark.parametrize("value", [KEY + b" x", KEY + b",x", KEY + b"\x00", b"\xff", KEY + b"\x0b"])
def test_a_malformed_api_key_is_none(value: bytes) -> None:
    assert shown((b"x-api-key", value)) == MALFORMED
    assert shown((b"x-api-key", value), (b"Authorization", b"Bearer " + KEY)) == MALFORMED


def test_a_very_long_credential_is_refused_unread() -> None:
    assert shown((b"x-api-key", b"a" * LONGEST)) == b"a" * LONGEST
    assert shown((b"x-api-key", b"a" * (LONGEST + 1))) == TOO_LONG
    assert shown((b"Authorization", b"Bearer " + b"a" * (LONGEST + 1))) == TOO_LONG


@given(value=st.binary(max_size=30))
def test_no_bytes_break_it_and_none_of_them_is_told(value: bytes) -> None:
    for name in (b"authorization", b"x-api-key"):
        found = presented([(name, name, value)])
        assert found in (None, MALFORMED) or (isinstance(found, bytes) and found in value)


@pytest.mark.parametrize(
    "lines",
    [
        b"Authorization:\r\n Bearer " + KEY,
        b"Authorization : Bearer " + KEY,
        b" Authorization: Bearer " + KEY,
        b"X: a\nAuthorization: Bearer " + KEY,
        b"X: a\rAuthorization: Bearer " + KEY,
        b"Authorization: Bearer \x00" + KEY,
        b"Author\x00ization: Bearer " + KEY,
        b"Authorization\t: Bearer " + KEY,
    ],
)
def test_a_field_that_is_smuggled_in_never_gets_so_far(lines: bytes) -> None:
    assert received(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n\r\n") is None


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /v1/models?api_key=psk-abc&authorization=Bearer%20psk-abc HTTP/1.1\r\nHost: a\r\n\r\n",
        b'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\n{"authorization":"Bearer psk-abc"}',
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: Bearer psk-abc\r\n\r\n",
    ],
)
def test_a_key_in_the_query_the_body_or_a_trailer_is_not_looked_at(raw: bytes) -> None:
    head = received(raw)
    assert head is not None
    assert presented(head.said.fields) is None
