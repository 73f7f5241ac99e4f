"""Access is written in few words, and none where the reader takes the same without them."""

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.config.access_spec import Auth, Counted, Fail, JwtAuth, Limit, Queueing, Redis, Share
from proxy.config.match_spec import Exact, Prefix
from proxy.config.spec import Config, Credential, EndpointSpec, ModelServer, ServiceListener
from proxy.config.values.policies import WIDEST_TIMEOUTS
from proxy.config.writing.document import write_native

SERVER = ModelServer("a", (EndpointSpec("http", "h", 8000),), timeouts=WIDEST_TIMEOUTS)
THIS = str(Path(__file__).absolute())


@pytest.mark.parametrize(
    ("field", "value", "written"),
    [
        ("auth", Auth(JwtAuth("https://i")), "auth: {jwt: {issuer: https://i}}"),
        (
            "auth",
            Auth(JwtAuth(None, ("a", "b"), "https://h/keys", ("ES256",), 5.0, "uid", "plan")),
            (
                "auth: jwt: {audience: [a, b], jwks: https://h/keys, algorithms: ES256, leeway: 5s, user_claim: uid, "
                "tier_claim: plan}"
            ),
        ),
        (
            "auth",
            Auth(keys="/keys", required=False, forward=True),
            "auth: {keys: /keys, required: false, forward: true}",
        ),
        ("auth", Auth(client_certificate=True), "auth: {client_certificate: true}"),
        ("limits", (Limit(Counted.REQUESTS, 100.0),), "limits: [{requests: 100}]"),
        (
            "limits",
            (Limit(Counted.TOKENS, 5.0, "day", 9.0, (Share.KEY, Share.MODEL), Redis("redis://h")),),
            "limits: [{tokens: 5, per: day, burst: 9, by: [key, model], redis: redis://h}]",
        ),
        (
            "limits",
            (Limit(Counted.OUTPUT_TOKENS, 5.0, by=(Share.USER,), redis=Redis("redis://:p@h", Fail.OPEN, 0.1)),),
            "limits: [{output_tokens: 5, by: user, redis: {url: redis://:p@h, fail: open, timeout: 100ms}}]",
        ),
        ("queueing", Queueing(5), "max_in_flight: 5"),
        ("listener", ServiceListener(80), "listener: {port: 80}"),
        ("listener", ServiceListener(1, "a/b", (Prefix("/m/"),)), "listener: {port: 1, tls_secret: a/b, path: /m/*}"),
        ("listener", ServiceListener(1, None, (Exact("/m"), Prefix("/m/"))), "listener: {port: 1, paths: [/m, /m/*]}"),
        ("credential", Credential(value="sk-1"), "api_key: sk-1"),
        ("credential", Credential(file=THIS), f"api_key_file: {THIS}"),
        ("credential", Credential(secret="a/b", key="k"), "credential: {secret: a/b, key: k}"),
        (
            "credential",
            Credential(secret="a/b", key="k", scheme="APIKey"),
            "credential: {secret: a/b, key: k, scheme: APIKey}",
        ),
    ],
)
def test_it_is_written_in_the_words_of_a_file(field: str, value: object, written: str) -> None:
    server = replace(SERVER, **{field: value})  # type: ignore[arg-type]
    lines = write_native(Config({"a": server}, ())).splitlines()
    assert " ".join(line.strip() for line in lines[3:]) == written


def test_whoever_waits_does_so_for_as_long_as_it_says() -> None:
    server = replace(SERVER, queueing=Queueing(9, 5, 7, 2.0))
    lines = write_native(Config({"a": server}, ())).splitlines()
    assert [line.strip() for line in lines[3:]] == [
        "max_in_flight: 9",
        "max_in_flight_per_endpoint: 5",
        "max_pending: 7",
        "queue_timeout: 2s",
    ]
