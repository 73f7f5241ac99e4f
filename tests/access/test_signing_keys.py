"""Promises of reading key sets: what may check a signature, and what never does."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.signing_keys import KeysError, read_keys
from tests.access.issuers import Signer


def key_set(*keys: object) -> bytes:
    return json.dumps({"keys": list(keys)}).encode()


GOOD = Signer("ES256", "good").jwk()


def refused(key: object) -> str:
    """Why a key is left out of a set with a good one."""
    read = read_keys(key_set(GOOD, key))
    assert [one.key_id for one in read.usable] == ["good"]
    return read.refused[0]


@pytest.mark.parametrize(
    ("signer", "algorithms"),
    [
        (Signer("RS256"), {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
        (Signer("ES256"), {"ES256"}),
        (Signer("ES384"), {"ES384"}),
        (Signer("ES512"), {"ES512"}),
        (Signer("EdDSA"), {"EdDSA"}),
        (Signer("Ed448"), {"EdDSA"}),
    ],
    ids=["RSA", "P-256", "P-384", "P-521", "Ed25519", "Ed448"],
)
def test_a_key_fits_the_algorithms_of_its_type_alone(signer: Signer, algorithms: set[str]) -> None:
    assert read_keys(key_set(signer.jwk(alg=None))).usable[0].algorithms == algorithms


def test_a_key_that_names_its_algorithm_fits_no_other() -> None:
    assert read_keys(key_set(Signer("PS384").jwk())).usable[0].algorithms == {"PS384"}


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "s"}, "symmetric"),
        ({"kty": "oct", "k": "c2VjcmV0", "kid": "s", "alg": "RS256"}, "symmetric"),
        (Signer("RS256").jwk(use="enc"), "not for signatures"),
        (Signer("RS256").jwk(use=None, key_ops=["encrypt"]), "not for signatures"),
        (Signer("RS256", bits=1024).jwk(), "shorter than 2048"),
        (Signer("RS256").jwk(alg="HS256"), "does not fit"),
        (Signer("RS256").jwk(alg="none"), "does not fit"),
        (Signer("RS256").jwk(alg="rs256"), "does not fit"),
        (Signer("RS256").jwk(alg="RSA-OAEP"), "does not fit"),
        (Signer("ES256").jwk(alg="ES384"), "does not fit"),
        (Signer("ES256").jwk(d="AAAA"), "private half"),
        (Signer("ES256").jwk(kid="x" * 257), "longer than 256"),
        (Signer("ES256").jwk(kid=7), "cannot be read"),
        (Signer("ES256").jwk(crv="secp256k1", alg=None), "not known"),
        (Signer("ES256").jwk(x="AAAA"), "not those of a key"),
        (Signer("ES256").jwk(y=Signer("ES256", number=1).jwk()["y"]), "not those of a key"),
        (Signer("EdDSA").jwk(x="AAAA"), "not those of a key"),
        (Signer("ES256").jwk(kty="OKP"), "not those of a key"),
        (Signer("RS256").jwk(e="AQ"), "not those of a key"),
        (Signer("RS256").jwk(e="A" * 400 + "AQAB" * 3), "too long"),
        (Signer("RS256").jwk(n="A" * 100_000), "size that is not known"),
        ("text", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_an_unfit_key_is_left_out_and_the_others_stay(key: object, why: str) -> None:
    assert why in refused(key)


def test_why_a_key_is_unfit_says_nothing_of_the_key() -> None:
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "hidden"}
    assert "c2VjcmV0" not in refused(secret)
    assert "hidden" not in refused(secret)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>gone</html>",
        b"[]",
        b"null",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [{"kty": "oct", "k": "AAAA"}]}',
        b'{"key": [' + b"[" * 50_000,
        b'{"keys": ' + b"[" * 50_000,
        b"\xff\xfe",
        key_set(*[GOOD] * 101),
    ],
)
def test_a_set_without_a_usable_key_is_an_error(content: bytes) -> None:
    with pytest.raises(KeysError):
        read_keys(content)


def test_a_hundred_keys_are_read() -> None:
    keys = [{**GOOD, "kid": str(number)} for number in range(100)]
    assert len(read_keys(key_set(*keys)).usable) == 100


def test_a_private_key_is_never_made_of_a_set() -> None:
    assert all("Private" not in type(key.public).__name__ for key in read_keys(key_set(GOOD)).usable)


def test_marks_are_equal_for_equal_keys_alone() -> None:
    again = read_keys(key_set(GOOD)).usable[0].mark
    assert read_keys(key_set(GOOD)).usable[0].mark == again
    assert read_keys(key_set({**GOOD, "kid": "other"})).usable[0].mark != again
    assert read_keys(key_set(Signer("ES256", "good", number=1).jwk())).usable[0].mark != again


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*GOOD, "d", "n", "e"]), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "n", "e", "d", "key_ops"]), JSON, max_size=8))
def test_no_key_makes_the_reader_fail(key: dict[str, object]) -> None:
    assert read_keys(key_set(GOOD, {**GOOD, **key})).usable


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_key_error(content: bytes) -> None:
    with pytest.raises(KeysError):
        read_keys(content)
