"""Promises of what the claims of a token must be, at a fixed time."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.token_claims import (
    AUDIENCE,
    EXPIRED,
    FROM_THE_FUTURE,
    ISSUER,
    NO_EXPIRY,
    NO_OBJECT,
    NO_TIME,
    NO_USER,
    NOT_YET,
    TIER,
    ClaimRules,
    Claims,
)
from proxy.access.token_parts import TokenFault
from proxy.config.access_spec import JwtAuth

NOW = 1_700_000_000.0
AUTH = JwtAuth(issuer="https://issuer.example", audiences=("llm", "chat"), leeway=30.0)
GOOD: dict[str, object] = {"iss": "https://issuer.example", "aud": "llm", "sub": "ada", "exp": NOW + 60}


def check(auth: JwtAuth = AUTH, /, **changes: object) -> Claims | TokenFault:
    claims = {**GOOD, **changes}
    return ClaimRules(auth).check(json.dumps(claims).encode(), NOW)


def raw(text: str) -> Claims | TokenFault:
    """The verdict on the good claims with one more member, as it is written."""
    return ClaimRules(AUTH).check((json.dumps(GOOD)[:-1] + f", {text}}}").encode(), NOW)


def test_good_claims_say_who_calls() -> None:
    claims = check(tier="gold", team="search")
    assert isinstance(claims, Claims)
    assert (claims.id, claims.tier, claims.expires, claims.claims["team"]) == ("ada", "gold", NOW + 60, "search")


def test_the_user_and_the_tier_may_stand_elsewhere() -> None:
    auth = JwtAuth(user_claim="email", tier_claim="https://example.com/plan")
    claims = check(auth, email="ada@example.com", **{"https://example.com/plan": "free"})
    assert isinstance(claims, Claims)
    assert (claims.id, claims.tier) == ("ada@example.com", "free")


def test_claims_cannot_be_changed() -> None:
    claims = check()
    assert isinstance(claims, Claims)
    with pytest.raises(TypeError):
        claims.claims["sub"] = "bob"  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("exp", NOW - 29, None),
        ("exp", NOW - 30, EXPIRED),
        ("exp", 0, EXPIRED),
        ("exp", -1, EXPIRED),
        ("exp", str(NOW + 60), NO_TIME),
        ("exp", True, NO_TIME),
        ("exp", None, NO_TIME),
        ("exp", [NOW + 60], NO_TIME),
        ("exp", 10**12 + 1, NO_TIME),
        ("exp", 10**400, NO_TIME),
        ("nbf", NOW + 30, None),
        ("nbf", NOW + 31, NOT_YET),
        ("nbf", "soon", NO_TIME),
        ("nbf", None, NO_TIME),
        ("iat", NOW + 90, None),
        ("iat", NOW + 91, FROM_THE_FUTURE),
        ("iat", False, NO_TIME),
        ("iat", {}, NO_TIME),
    ],
)
def test_times_are_kept_with_a_leeway(name: str, value: object, fault: TokenFault | None) -> None:
    verdict = check(**{name: value})
    assert verdict == fault if fault else isinstance(verdict, Claims)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_that_is_not_finite_is_refused_wherever_it_stands(number: str) -> None:
    assert raw(f'"exp": {number}') == NO_OBJECT
    assert raw(f'"other": {number}') == NO_OBJECT


def test_the_last_of_two_claims_of_one_name_is_checked_and_used() -> None:
    assert raw('"sub": "bob", "exp": 1') == EXPIRED
    verdict = raw('"sub": "bob"')
    assert isinstance(verdict, Claims)
    assert (verdict.id, verdict.claims["sub"]) == ("bob", "bob")


def test_a_token_without_an_expiry_is_refused() -> None:
    assert ClaimRules(AUTH).check(b'{"sub":"ada"}', NOW) == NO_EXPIRY


@pytest.mark.parametrize(
    "issuer", ["https://issuer.example/", "https://ISSUER.example", "", None, ["https://issuer.example"], 1]
)
def test_another_issuer_is_refused(issuer: object) -> None:
    assert check(iss=issuer) == ISSUER


def test_any_issuer_will_do_where_none_is_asked_for() -> None:
    assert isinstance(check(JwtAuth(), iss="https://other.example", aud="other"), Claims)


@pytest.mark.parametrize(
    "audience", ["LLM", "llm2", "", None, [], ["other"], {"llm": 1}, ["llm", 1], [["llm"]], "llm chat", 0]
)
def test_another_audience_is_refused(audience: object) -> None:
    assert check(aud=audience) == AUDIENCE


@pytest.mark.parametrize("audience", ["llm", "chat", ["other", "chat"]])
def test_one_of_the_audiences_is_enough(audience: object) -> None:
    assert isinstance(check(aud=audience), Claims)


@pytest.mark.parametrize(
    "user", ["", None, 7, True, ["ada"], {"id": "ada"}, "a" * 257, "ada\nbob", "ada\x00", "a\u202eb"]
)
def test_a_user_that_cannot_be_named_is_refused(user: object) -> None:
    assert check(sub=user) == NO_USER


@pytest.mark.parametrize("user", ["a" * 256, "Ada Lovelace", "auth0|5f7c", "Jörg", "阿达"])
def test_a_user_may_have_any_visible_name(user: str) -> None:
    verdict = check(sub=user)
    assert isinstance(verdict, Claims)
    assert verdict.id == user


@pytest.mark.parametrize("tier", [3, "", ["gold"], "a" * 257, "gold\r\n"])
def test_a_tier_that_cannot_be_read_is_not_taken_for_none(tier: object) -> None:
    assert check(tier=tier) == TIER


def test_a_tier_may_be_missing() -> None:
    verdict = check(tier=None)
    assert isinstance(verdict, Claims)
    assert verdict.tier is None


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"null", b'"text"', b"eyJ.eyJ.sig", b"\xff", b'{"a":' * 4000, b"{} {}"]
)
def test_claims_that_are_no_object_are_refused(payload: bytes) -> None:
    assert ClaimRules(AUTH).check(payload, NOW) == NO_OBJECT


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.text(max_size=3))


@given(st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "tier"]), VALUES))
def test_no_claims_make_the_rules_fail(changes: dict[str, object]) -> None:
    verdict = check(**changes)
    assert isinstance(verdict, Claims | TokenFault)
    if isinstance(verdict, Claims):
        assert verdict.expires + AUTH.leeway > NOW
        assert verdict.id
