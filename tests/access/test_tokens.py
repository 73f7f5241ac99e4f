"""Promises of checking tokens: what gets in, what is remembered, and what attempts to break in get."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from proxy.access import token_claims, token_parts, tokens
from proxy.access.key_sets import KeySet
from proxy.access.key_sources import Fetched, KeyUrl
from proxy.access.token_claims import EXPIRED, Claims
from proxy.access.token_parts import CRITICAL, ENCRYPTED, MALFORMED, NESTED, TokenFault
from proxy.access.tokens import (
    ALGORITHM,
    NO_KEY_NAMED,
    SIGNATURE,
    TOO_LONG,
    UNFIT_KEY,
    UNKNOWN_KEY,
    TokenVerifier,
)
from proxy.config.access_spec import JwtAuth
from proxy.errors import RequestError
from tests.access.issuers import Issuer, Signer, encode_part, forge_hmac

NOW = 1_700_000_000.0
RSA, EC, ED = Signer("RS256", "rsa"), Signer("ES256", "ec"), Signer("EdDSA", "ed")
STRANGER = Signer("RS256", "rsa", number=9)
CLAIMS = {"sub": "ada", "tier": "gold", "exp": NOW + 600}


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Source:
    """A place with keys, which counts who asks."""

    def __init__(self, *signers: Signer, **members: object) -> None:
        self.published = [signer.jwk(**members) for signer in signers]
        self.asked = 0

    async def fetch(self) -> Fetched:
        self.asked += 1
        return Fetched(json.dumps({"keys": self.published}).encode())


async def verifier(*signers: Signer, auth: JwtAuth | None = None, **members: object) -> TokenVerifier:
    """A verifier that has these keys and has just asked for them, so that it may not ask again soon."""
    keys = KeySet(Source(*(signers or (RSA, EC, ED)), **members), clock=Clock())
    await keys.ask()
    return TokenVerifier(auth or JwtAuth(), keys, Clock())


def source_of(checking: TokenVerifier) -> Source:
    assert isinstance(checking.keys.source, Source)
    return checking.keys.source


def pass_time(checking: TokenVerifier, seconds: float) -> None:
    for clock in (checking._clock, checking.keys._clock):
        assert isinstance(clock, Clock)
        clock.now += seconds


@pytest.mark.parametrize(
    "name", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed448"]
)
async def test_a_token_signed_with_each_algorithm_gets_in(name: str) -> None:
    signer = Signer(name)
    claims = (await verifier(signer)).known(signer.mint(CLAIMS))
    assert isinstance(claims, Claims)
    assert (claims.id, claims.tier, claims.expires) == ("ada", "gold", NOW + 600)


async def test_a_key_without_an_algorithm_of_its_own_checks_all_that_fit() -> None:
    checking = await verifier(RSA, alg=None)
    for name in ("RS256", "RS512", "PS256"):
        assert isinstance(checking.known(Signer(name, "rsa").mint(CLAIMS)), Claims)


async def test_a_remembered_token_is_not_checked_again() -> None:
    checking = await verifier()
    token = RSA.mint(CLAIMS)
    first = checking.known(token)
    assert checking.known(token) is first
    assert checking.known(bytes(bytearray(token))) is first


async def test_a_remembered_token_is_refused_once_it_has_expired() -> None:
    checking = await verifier(auth=JwtAuth(leeway=30.0))
    token = RSA.mint(CLAIMS)
    pass_time(checking, 629.0)
    first = checking.known(token)
    assert isinstance(first, Claims)
    assert checking.known(token) is first
    pass_time(checking, 1.0)
    assert checking.known(token) == EXPIRED
    assert (len(checking._remembered), checking._size) == (0, 0)


async def test_a_token_is_remembered_for_an_hour_at_most() -> None:
    checking = await verifier()
    token = RSA.mint({**CLAIMS, "exp": NOW + 90_000})
    first = checking.known(token)
    pass_time(checking, 3599.0)
    assert checking.known(token) is first
    pass_time(checking, 1.0)
    again = checking.known(token)
    assert again == first
    assert again is not first


async def test_a_remembered_token_falls_with_its_key() -> None:
    checking = await verifier(RSA, EC)
    withdrawn, kept = RSA.mint(CLAIMS), EC.mint(CLAIMS)
    assert isinstance(checking.known(withdrawn), Claims)
    still = checking.known(kept)
    source_of(checking).published = [EC.jwk()]
    await checking.keys.reload()
    assert checking.known(withdrawn) == UNKNOWN_KEY
    assert checking.known(kept) is still


async def test_a_remembered_token_falls_with_its_key_though_the_id_stays() -> None:
    checking = await verifier(RSA)
    token = RSA.mint(CLAIMS)
    assert isinstance(checking.known(token), Claims)
    source_of(checking).published = [STRANGER.jwk()]
    await checking.keys.reload()
    assert checking.known(token) == SIGNATURE


async def test_no_more_than_so_many_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_REMEMBERED", 3)
    checking = await verifier(ED)
    made = [ED.mint({**CLAIMS, "sub": f"user-{number}"}) for number in range(4)]
    first = [checking.known(token) for token in made[:3]]
    assert checking.known(made[0]) is first[0]
    checking.known(made[3])
    assert checking.known(made[0]) is first[0], "used of late"
    assert checking.known(made[1]) is not first[1], "the longest unused goes"
    assert len(checking._remembered) == 3
    assert checking._size == sum(held.size for held in checking._remembered.values())


async def test_remembered_tokens_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "LARGEST_MEMORY", 10_000)
    checking = await verifier(ED)
    for number in range(10):
        assert isinstance(checking.known(ED.mint({**CLAIMS, "jti": str(number), "fill": "x" * 3000})), Claims)
    assert len(checking._remembered) == 2
    assert checking._size <= 10_000


async def test_a_refused_token_is_not_remembered() -> None:
    checking = await verifier()
    checking.known(STRANGER.mint(CLAIMS))
    checking.known(RSA.mint({**CLAIMS, "exp": 1}))
    assert not checking._remembered


# Attempts to get in.


def swap_last(token: bytes) -> bytes:
    """The same token with another last byte in its signature. Its last character has two bits."""
    return token[:-1] + (b"A" if token[-1:] != b"A" else b"Q")


def with_payload(token: bytes, claims: Mapping[str, object]) -> bytes:
    head, _, signature = token.split(b".")
    return b".".join((head, encode_part(claims), signature))


def with_header(token: bytes, **header: object) -> bytes:
    _, payload, signature = token.split(b".")
    return b".".join((encode_part(header), payload, signature))


def der(signer: Signer) -> bytes:
    return bytes(signer.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


ROOT = {**CLAIMS, "sub": "root"}
GOOD = RSA.mint(CLAIMS)
ATTEMPTS: dict[str, tuple[bytes, TokenFault]] = {
    "signed by a stranger under our key id": (STRANGER.mint(CLAIMS), SIGNATURE),
    "claims changed, signature kept": (with_payload(GOOD, ROOT), SIGNATURE),
    "header changed, signature kept": (with_header(GOOD, alg="RS256", kid="rsa", x=1), SIGNATURE),
    "last character of the signature changed": (swap_last(GOOD), SIGNATURE),
    "another spelling of an EdDSA signature": (ED.mint(CLAIMS)[:-1] + b"_", MALFORMED),
    "signature cut": (GOOD[:-2], SIGNATURE),
    "signature empty": (GOOD.rpartition(b".")[0] + b".", MALFORMED),
    "signature of zeroes": (GOOD.rpartition(b".")[0] + b"." + encode_part(bytes(256)), SIGNATURE),
    "ECDSA signature of zeroes (CVE-2022-21449)": (
        EC.mint(CLAIMS).rpartition(b".")[0] + b"." + encode_part(bytes(64)),
        SIGNATURE,
    ),
    "expired": (RSA.mint({**CLAIMS, "exp": NOW - 31}), EXPIRED),
    "alg none": (encode_part({"alg": "none"}) + b"." + encode_part(ROOT) + b".", MALFORMED),
    "alg none with a signature": (RSA.mint(ROOT, alg="none"), ALGORITHM),
    "alg None": (RSA.mint(ROOT, alg="None"), ALGORITHM),
    "alg NONE": (RSA.mint(ROOT, alg="NONE"), ALGORITHM),
    "alg nOnE": (RSA.mint(ROOT, alg="nOnE"), ALGORITHM),
    "alg empty": (RSA.mint(ROOT, alg=""), ALGORITHM),
    "alg missing": (RSA.mint(ROOT, alg=None), MALFORMED),
    "alg a list": (RSA.mint(ROOT, alg=["RS256"]), MALFORMED),
    "alg in small letters": (RSA.mint(CLAIMS, alg="rs256"), ALGORITHM),
    "alg with a space": (RSA.mint(CLAIMS, alg="RS256 "), ALGORITHM),
    "alg with a NUL": (RSA.mint(CLAIMS, alg="RS256\0"), ALGORITHM),
    "HS256 keyed with our public key as PEM": (forge_hmac(RSA.pem(), ROOT, kid="rsa"), ALGORITHM),
    "HS256 keyed with PEM without its last newline": (forge_hmac(RSA.pem().strip(), ROOT, kid="rsa"), ALGORITHM),
    "HS256 keyed with DER": (forge_hmac(der(RSA), ROOT, kid="rsa"), ALGORITHM),
    "HS256 keyed with the JWK": (forge_hmac(json.dumps(RSA.jwk()).encode(), ROOT, kid="rsa"), ALGORITHM),
    "HS256 with an empty key": (forge_hmac(b"", ROOT), ALGORITHM),
    "hs256 in small letters": (forge_hmac(RSA.pem(), ROOT, "hs256", kid="rsa"), ALGORITHM),
    "HS512": (forge_hmac(RSA.pem(), ROOT, "HS512", kid="rsa"), ALGORITHM),
    "HMAC that calls itself RS256": (forge_hmac(RSA.pem(), ROOT, "RS256", kid="rsa"), SIGNATURE),
    "EC key under an RS256 header": (EC.mint(CLAIMS, alg="RS256"), UNFIT_KEY),
    "RSA key under an ES256 header": (RSA.mint(CLAIMS, alg="ES256"), UNFIT_KEY),
    "RS256 key under a PS256 header": (RSA.mint(CLAIMS, alg="PS256"), UNFIT_KEY),
    "Ed25519 key under an ES256 header": (ED.mint(CLAIMS, alg="ES256"), UNFIT_KEY),
    "ES256K, which is not known": (EC.mint(CLAIMS, alg="ES256K"), ALGORITHM),
    "a key of its own in jwk": (STRANGER.mint(ROOT, jwk=STRANGER.jwk()), SIGNATURE),
    "a key of its own in jwk, no kid": (STRANGER.mint(ROOT, jwk=STRANGER.jwk(), kid=None), SIGNATURE),
    "a key of its own at jku": (STRANGER.mint(ROOT, jku="http://127.0.0.1:9/jwks", kid="evil"), UNKNOWN_KEY),
    "a key of its own at x5u": (STRANGER.mint(ROOT, x5u="http://127.0.0.1:9/cert"), SIGNATURE),
    "a key of its own in x5c": (STRANGER.mint(ROOT, x5c=["MIIB"]), SIGNATURE),
    "kid of a path": (STRANGER.mint(ROOT, kid="../../../../dev/null"), UNKNOWN_KEY),
    "kid of a URL": (STRANGER.mint(ROOT, kid="http://127.0.0.1:9/key"), UNKNOWN_KEY),
    "kid of SQL": (STRANGER.mint(ROOT, kid="x' UNION SELECT 'key"), UNKNOWN_KEY),
    "kid of a shell": (STRANGER.mint(ROOT, kid="rsa|id"), UNKNOWN_KEY),
    "kid with a NUL": (STRANGER.mint(ROOT, kid="rsa\0"), UNKNOWN_KEY),
    "kid empty": (STRANGER.mint(ROOT, kid=""), UNKNOWN_KEY),
    "kid a number": (RSA.mint(CLAIMS, kid=0), MALFORMED),
    "kid a list": (RSA.mint(CLAIMS, kid=["rsa"]), MALFORMED),
    "kid an object": (RSA.mint(CLAIMS, kid={"$ne": ""}), MALFORMED),
    "kid very long": (RSA.mint(CLAIMS, kid="k" * 8000), MALFORMED),
    "an extension that must be known": (RSA.mint(CLAIMS, crit=["exp"]), CRITICAL),
    "a payload that is not encoded (RFC 7797)": (RSA.mint(CLAIMS, b64=False, crit=["b64"]), CRITICAL),
    "a token of another kind": (RSA.mint(CLAIMS, typ="logout+jwt"), token_parts.WRONG_TYPE),
    "a token in a token": (RSA.mint(GOOD, cty="JWT"), NESTED),
    "a token in a token that does not say so": (RSA.mint(GOOD), token_claims.NO_OBJECT),
    "encrypted": (encode_part({"alg": "dir", "enc": "A256GCM"}) + b"..aaaa.aaaa.aaaa", ENCRYPTED),
    "two tokens in one": (GOOD + b"." + GOOD, MALFORMED),
    "a second payload": (GOOD + b".e30", MALFORMED),
    "a space before": (b" " + GOOD, MALFORMED),
    "a newline after": (GOOD + b"\n", MALFORMED),
    "JSON serialization": (b'{"payload":"","signatures":[]}', MALFORMED),
    "longer than 16 KiB": (RSA.mint({**CLAIMS, "fill": "x" * 16_000}), TOO_LONG),
    "a megabyte of dots": (b"." * 1_000_000, TOO_LONG),
    "a header of brackets": (b".".join([encode_part(b"[" * 9000), b"e30", b"c2ln"]), MALFORMED),
    "claims of brackets": (RSA.mint(b'{"sub":' + b"[" * 9000), token_claims.NO_OBJECT),
    "an expiry of a thousand digits": (RSA.mint(b'{"sub":"ada","exp":1' + b"0" * 1000 + b"}"), token_claims.NO_TIME),
    "an expiry that is infinite": (RSA.mint(b'{"sub":"ada","exp":Infinity}'), token_claims.NO_OBJECT),
    "no expiry": (RSA.mint({"sub": "ada"}), token_claims.NO_EXPIRY),
    "no user": (RSA.mint({"exp": NOW + 60}), token_claims.NO_USER),
    "a line end in the user": (RSA.mint({**CLAIMS, "sub": "ada\r\nx-admin: 1"}), token_claims.NO_USER),
    "nothing": (b"", MALFORMED),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTEMPTS)
async def test_an_attempt_to_get_in_fails(name: str) -> None:
    token, fault = ATTEMPTS[name]
    checking = await verifier(RSA, EC, ED)
    assert checking.known(token) == fault
    assert await checking.verify(token) == fault
    assert source_of(checking).asked == 1, "a token makes nobody fetch what it points to"


async def test_the_good_token_that_the_attempts_are_made_of_gets_in() -> None:
    assert isinstance((await verifier(RSA, EC, ED)).known(GOOD), Claims)


async def test_a_symmetric_algorithm_stays_out_even_if_it_is_configured() -> None:
    checking = await verifier(auth=JwtAuth(algorithms=("HS256", "none", "RS256")))
    assert checking.known(forge_hmac(RSA.pem(), ROOT, kid="rsa")) == ALGORITHM
    assert checking.known(RSA.mint(ROOT, alg="none")) == ALGORITHM
    assert isinstance(checking.known(GOOD), Claims)


async def test_an_algorithm_that_is_not_allowed_is_refused() -> None:
    checking = await verifier(auth=JwtAuth(algorithms=("ES256",)))
    assert checking.known(GOOD) == ALGORITHM
    assert isinstance(checking.known(EC.mint(CLAIMS)), Claims)


async def test_a_symmetric_key_that_an_issuer_publishes_checks_nothing() -> None:
    checking = await verifier(RSA)
    secret = base64.urlsafe_b64encode(b"s" * 32).decode()
    source_of(checking).published.append({"kty": "oct", "k": secret, "kid": "shared", "alg": "HS256"})
    await checking.keys.reload()
    assert checking.known(forge_hmac(b"s" * 32, ROOT, kid="shared")) == ALGORITHM


def test_a_fault_may_stand_in_a_header() -> None:
    faults = [
        value
        for module in (tokens, token_parts, token_claims)
        for value in vars(module).values()
        if isinstance(value, TokenFault)
    ]
    assert len(faults) > 15
    assert all(re.fullmatch(r"[A-Za-z0-9 ]+", fault.description) for fault in faults)
    assert {fault.error for fault in faults} == {"invalid_token"}


# Tokens that name no key.


async def test_a_token_without_a_key_id_is_tried_with_the_keys_that_fit() -> None:
    signers = [Signer("ES256", f"ec-{number}", number=number) for number in range(4)]
    checking = await verifier(RSA, *signers)
    assert isinstance(checking.known(signers[3].mint(CLAIMS, kid=None)), Claims)
    assert checking.known(Signer("ES256", None, number=8).mint(CLAIMS)) == SIGNATURE


async def test_a_token_without_a_key_id_is_not_tried_with_many_keys() -> None:
    signers = [Signer("ES256", f"ec-{number}", number=number) for number in range(5)]
    checking = await verifier(*signers)
    assert checking.known(signers[0].mint(CLAIMS, kid=None)) == NO_KEY_NAMED
    assert isinstance(checking.known(signers[0].mint(CLAIMS)), Claims)


async def test_keys_without_ids_are_had_again_when_none_of_them_fits() -> None:
    old, new = Signer("ES256", None), Signer("ES256", None, number=1)
    checking = await verifier(old)
    source_of(checking).published = [new.jwk()]
    assert checking.known(new.mint(CLAIMS)) == SIGNATURE
    pass_time(checking, 10.0)
    assert checking.known(new.mint(CLAIMS)) is None
    assert isinstance(await checking.verify(new.mint(CLAIMS)), Claims)
    assert source_of(checking).asked == 2


# A real issuer.


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer(RSA) as started:
        yield started


def checking_at(issuer: Issuer, clock: Clock) -> TokenVerifier:
    auth = JwtAuth(issuer=issuer.url, audiences=("llm",))
    return TokenVerifier(auth, KeySet(KeyUrl(issuer.jwks_url), clock=clock))


async def test_a_token_gets_in_once_its_key_has_been_fetched(issuer: Issuer) -> None:
    checking = checking_at(issuer, Clock())
    token = issuer.token().encode()
    assert checking.known(token) is None
    claims = await checking.verify(token)
    assert isinstance(claims, Claims)
    assert checking.known(token) is claims


async def test_a_rotated_key_is_fetched_once_for_all_who_show_it(issuer: Issuer) -> None:
    clock = Clock()
    checking = checking_at(issuer, clock)
    await checking.verify(issuer.token().encode())
    issuer.rotate(Signer("ES256", "next"))
    clock.now += 10.0
    shown = [issuer.token(sub=f"user-{number}").encode() for number in range(20)]
    answers = await asyncio.gather(*(checking.verify(token) for token in shown))
    assert all(isinstance(answer, Claims) for answer in answers)
    assert issuer.counts["/jwks"] == 2


async def test_a_flood_of_unknown_keys_is_one_fetch_in_ten_seconds(issuer: Issuer) -> None:
    clock = Clock()
    checking = checking_at(issuer, clock)
    good = issuer.token().encode()
    await checking.verify(good)
    for number in range(300):
        assert await checking.verify(STRANGER.mint(issuer.claims(), kid=f"flood-{number}")) == UNKNOWN_KEY
        assert isinstance(checking.known(good), Claims)
        clock.now += 0.101
    assert issuer.counts["/jwks"] == 3


async def test_an_issuer_that_is_down_stops_no_known_key(issuer: Issuer) -> None:
    clock = Clock()
    checking = checking_at(issuer, clock)
    await checking.verify(issuer.token().encode())
    issuer.down = True
    clock.now += 10.0
    assert await checking.verify(STRANGER.mint(issuer.claims(), kid="other")) == UNKNOWN_KEY
    assert isinstance(await checking.verify(issuer.token(sub="bob").encode()), Claims)


async def test_without_any_keys_a_token_gets_a_503_and_not_a_401(issuer: Issuer) -> None:
    issuer.status = 500
    clock = Clock()
    checking = checking_at(issuer, clock)
    for _ in range(3):
        with pytest.raises(RequestError) as caught:
            await checking.verify(issuer.token().encode())
        assert (caught.value.status, caught.value.code) == (503, "issuer_unavailable")
    assert issuer.counts["/jwks"] == 1
    issuer.status = 200
    clock.now += 10.0
    assert isinstance(await checking.verify(issuer.token().encode()), Claims)


async def test_rubbish_gets_a_401_though_there_are_no_keys(issuer: Issuer) -> None:
    issuer.status = 500
    assert await checking_at(issuer, Clock()).verify(b"eyJ.rubbish") == MALFORMED
    assert issuer.counts == {}


@pytest.mark.parametrize(
    ("change", "fault"),
    [({"iss": "https://issuer.example"}, token_claims.ISSUER), ({"aud": "other"}, token_claims.AUDIENCE)],
)
async def test_a_token_for_somebody_else_is_refused(issuer: Issuer, change: Any, fault: TokenFault) -> None:
    assert await checking_at(issuer, Clock()).verify(issuer.token(**change).encode()) == fault


async def test_a_repr_tells_no_token(issuer: Issuer) -> None:
    checking = checking_at(issuer, Clock())
    token = issuer.token()
    await checking.verify(token.encode())
    assert "1 tokens remembered" in repr(checking)
    assert token[:20] not in repr(checking)
    assert token.encode() not in checking._remembered


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=3))
async def test_no_change_of_a_good_token_gets_in(place: int, change: bytes) -> None:
    checking = await verifier(RSA, EC, ED)
    changed = GOOD[:place] + change + GOOD[place + len(change) :]
    answer = checking.known(changed)
    assert isinstance(answer, TokenFault) or changed == GOOD


@given(st.sampled_from([RSA, EC, ED]), st.binary(min_size=1, max_size=300))
async def test_no_signature_makes_it_fail(signer: Signer, signature: bytes) -> None:
    signed = signer.mint(CLAIMS).rpartition(b".")[0]
    assert (await verifier(RSA, EC, ED)).known(signed + b"." + encode_part(signature)) == SIGNATURE


async def test_two_verifiers_may_share_the_keys_of_an_issuer() -> None:
    checking = await verifier(RSA)
    stricter = TokenVerifier(replace(checking.auth, audiences=("llm",)), checking.keys, Clock())
    assert isinstance(checking.known(GOOD), Claims)
    assert stricter.known(GOOD) == token_claims.AUDIENCE
