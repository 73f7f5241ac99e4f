"""Access is told as a person would, and no secret with it."""

import pytest

from proxy.config.access_spec import Auth, Counted, Fail, JwtAuth, Limit, Queueing, Redis, Share
from proxy.config.match_spec import Exact, Prefix
from proxy.config.spec import Credential, ServiceListener
from proxy.routing import access_wording


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        (Auth(JwtAuth()), "a JSON Web Token of any issuer"),
        (
            Auth(JwtAuth("https://i", ("a", "b"), "https://h/keys?token=hunter2"), "/keys.json", True),
            (
                "a JSON Web Token of https://i, for a or b, with keys of https://h/keys; or an API key of "
                "/keys.json; or a client certificate"
            ),
        ),
        (
            Auth(JwtAuth("i", (), "/a", ("ES256", "EdDSA"), 5.0, "uid", "plan"), required=False, forward=True),
            (
                "a JSON Web Token of i, with keys of /a, signed by ES256 or EdDSA, with a leeway of 5s, the user in "
                "uid, the tier in plan; or nothing, which goes on to the engine"
            ),
        ),
    ],
)
def test_what_callers_show_is_told(terms: Auth, told: str) -> None:
    assert access_wording.auth(terms) == told


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        (Limit(Counted.REQUESTS, 0.5, "hour"), "0.5 requests per hour"),
        (
            Limit(Counted.OUTPUT_TOKENS, 1e6, "month", 5000.0, (Share.KEY, Share.MODEL)),
            "1,000,000 output tokens per month for each key and model, 5,000 at once",
        ),
        (
            Limit(Counted.TOKENS, 1.0, redis=Redis("rediss://:hunter2@h:1/2", Fail.CLOSED, 0.05)),
            "1 tokens per second, shared by rediss://h:1/2 (fail closed, timeout 50ms)",
        ),
    ],
)
def test_a_limit_is_told_without_a_password(terms: Limit, told: str) -> None:
    assert access_wording.limit(terms) == told


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        (Credential(value="hunter2"), "an API key"),
        (Credential(file="/key"), "the API key of /key"),
        (Credential(secret="a/b", key="k", scheme="APIKey"), "the key k of the secret a/b, sent as APIKey"),
    ],
)
def test_a_credential_is_told_by_where_it_is(terms: Credential, told: str) -> None:
    assert access_wording.credential(terms) == told


def test_a_queue_and_a_listener_are_told() -> None:
    assert (
        access_wording.queueing(Queueing(None, 8, 1, 1.5))
        == "at most 8 at each endpoint, 1 request may wait up to 1.5s"
    )
    listener = ServiceListener(443, "a/b", (Exact("/m"), Prefix("/m/")))
    assert (
        access_wording.listener(listener) == "port 443 with TLS from a/b, where path is '/m' or path begins with '/m/'"
    )


@pytest.mark.parametrize("place", ["/a/path", "me@home", "http://[::1", "unix:///run/redis.sock"])
def test_a_place_without_secrets_is_told_or_not_at_all(place: str) -> None:
    assert access_wording.without_secrets(place) in {place, "a URL"}
