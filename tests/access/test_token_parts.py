"""Promises of taking tokens apart: strict about the form, and deaf to what a token says of its own keys."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.token_parts import (
    CRITICAL,
    ENCRYPTED,
    MALFORMED,
    NESTED,
    WRONG_TYPE,
    Parts,
    TokenFault,
    looks_like_token,
    read_parts,
    unverified_issuer,
)
from tests.access.issuers import Signer, encode_part


def token(header: object, payload: bytes = b"{}", signature: bytes = b"sig") -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return b".".join(encode_part(part) for part in (head, payload, signature))


def test_a_token_is_taken_apart() -> None:
    made = token({"alg": "ES256", "kid": "one", "typ": "JWT"}, b'{"sub":"ada"}')
    assert read_parts(made) == Parts("ES256", "one", made.rpartition(b".")[0], b'{"sub":"ada"}', b"sig")


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ({"alg": "ES256", "crit": ["exp"]}, CRITICAL),
        ({"alg": "ES256", "crit": []}, CRITICAL),
        ({"alg": "ES256", "crit": None}, CRITICAL),
        ({"alg": "ES256", "crit": ["b64"], "b64": False}, CRITICAL),
        ({"alg": "ES256", "b64": False}, CRITICAL),
        ({"alg": "ES256", "b64": "no"}, MALFORMED),
        ({"alg": "ES256", "typ": "JWE"}, WRONG_TYPE),
        ({"alg": "ES256", "typ": ""}, WRONG_TYPE),
        ({"alg": "ES256", "typ": "logout+jwt"}, WRONG_TYPE),
        ({"alg": "ES256", "typ": 1}, MALFORMED),
        ({"alg": "ES256", "cty": "JWT"}, NESTED),
        ({"alg": "ES256", "kid": 7}, MALFORMED),
        ({"alg": "ES256", "kid": ["one"]}, MALFORMED),
        ({"alg": "ES256", "kid": "k" * 257}, MALFORMED),
        ({"alg": ["ES256"]}, MALFORMED),
        ({"alg": None}, MALFORMED),
        ({}, MALFORMED),
        ([], MALFORMED),
        (b"", MALFORMED),
        (b'{"alg":"ES256"} {}', MALFORMED),
        (b'\xef\xbb\xbf{"alg":"ES256"}', MALFORMED),
        (b'{"alg":"\xff"}', MALFORMED),
        (b'{"alg":"ES256","x":' + b"[" * 5000, MALFORMED),
    ],
)
def test_a_header_that_cannot_be_honoured_is_refused(header: object, fault: TokenFault) -> None:
    assert read_parts(token(header)) == fault


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", None])
def test_the_types_of_access_tokens_are_accepted(kind: str | None) -> None:
    assert isinstance(read_parts(token({"alg": "ES256", "typ": kind})), Parts)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", MALFORMED),
        (b"..", MALFORMED),
        (b"a.b", MALFORMED),
        (b"a.b.c.d", MALFORMED),
        (b"a.b.c.d.e", ENCRYPTED),
        (b"eyJhbGciOiJFUzI1NiJ9.e30=.c2ln", MALFORMED),
        (b"eyJhbGciOiJFUzI1NiJ9.e30.c2 ln", MALFORMED),
        (b"eyJhbGciOiJFUzI1NiJ9.e30.c2+/", MALFORMED),
        (b"eyJhbGciOiJFUzI1NiJ9.e30.c2ln\n", MALFORMED),
        (b"eyJhbGciOiJFUzI1NiJ9.e30.c", MALFORMED),
        (b"eyJhbGciOiJFUzI1NiJ9.e30.", MALFORMED),
        (b"eyJhbGciOiJFUzI1NiJ9..c2ln", MALFORMED),
        (b"\xe2\x80\xa6.e30.c2ln", MALFORMED),
    ],
)
def test_only_three_parts_of_base64url_are_a_token(text: bytes, fault: TokenFault) -> None:
    assert read_parts(text) == fault


def test_a_second_spelling_of_a_part_is_refused() -> None:
    assert isinstance(read_parts(b"eyJhbGciOiJFUzI1NiJ9.e30.AA"), Parts)
    assert read_parts(b"eyJhbGciOiJFUzI1NiJ9.e30.AB") == MALFORMED


def test_a_credential_that_looks_like_a_token_is_known_by_its_form() -> None:
    assert looks_like_token(Signer("ES256").mint({}))
    for other in (b"", b"sk-abc.def.ghi", b"eyJhbGciOiJFUzI1NiJ9", b"eyJ.a", b"eyJ.a.b.c", b"eyJ.a b.c", b"eyJ.\xff.c"):
        assert not looks_like_token(other)
    assert not looks_like_token(b"eyJ." + b"a" * 20_000 + b".c")


def test_the_issuer_is_told_of_a_token_that_says_it() -> None:
    signer = Signer("ES256")
    assert unverified_issuer(signer.mint({"iss": "https://issuer.example"})) == "https://issuer.example"
    for payload in (b"{}", b'{"iss":1}', b"[]", b"\xff", b'{"iss":"a","x":' + b"[" * 9000):
        assert unverified_issuer(signer.mint(payload)) is None
    assert unverified_issuer(signer.mint({"iss": "a" * 20_000})) is None


PART = st.binary(max_size=60).map(encode_part) | st.binary(max_size=20)


@given(st.lists(PART, max_size=6).map(b".".join) | st.binary(max_size=100))
def test_no_bytes_make_it_fail(text: bytes) -> None:
    assert isinstance(read_parts(text), Parts | TokenFault)
    assert unverified_issuer(text) is None or looks_like_token(text)


@given(st.binary(max_size=60))
def test_no_header_makes_it_fail(header: bytes) -> None:
    assert isinstance(read_parts(token(header)), Parts | TokenFault)
