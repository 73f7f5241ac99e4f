"""No secret of a configuration is seen in the lines that are shown of it."""

import pytest

from proxy.cli.concealment import concealed


@pytest.mark.parametrize(
    "line",
    [
        "api_key: hunter2",
        "api_keyy: hunter2",
        "apiKey: hunter2,hunter2",
        "{api_keyy: hunter2, api_kee: x}",
        '{"api_keyy":"hunter2, hunter2"}',
        "{a: {api_keyy: [a, hunter2]}}",
        "api_key: 'it''s hunter2'",
        "- my-token: hunter2",
        "SECRET: hunter2 # of hunter2",
        "passwords: [a, hunter2]",
        "headers: {Authorization: Bearer hunter2}",
        "api_key: ${KEY:-hunter2}",
        "api_key: ${KEY}hunter2",
        "jwks: https://h/keys?token=hunter2",
        "jwt: {jwks: https://h/keys?token=hunter2}",
        'jwks: "https://h/keys?a b=hunter2"',
        "jwks: 'https://h/keys?a b=''hunter2'",
        "redis: redis://me:hunter2@h",
        "tls: {key: hunter2, api_key_file: a, token: hunter2}",
    ],
)
def test_a_secret_becomes_stars_and_the_caret_keeps_its_place(line: str) -> None:
    shown = concealed(line, "servers.a.model")
    assert "hunter2" not in shown
    assert len(shown) == len(line)


def test_what_stands_beside_a_secret_stays() -> None:
    assert concealed("{api_keyy: sk-1, model: m}", "") == "{api_keyy: ****, model: m}"
    assert concealed('{jwks: "https://h/k?t=1", isuer: me}', "") == '{jwks: "https://h/k?***", isuer: me}'


@pytest.mark.parametrize("line", ["  hunter2", "  - hunter2", '  "hunter2"'])
def test_a_value_below_its_key_is_a_secret_too(line: str) -> None:
    assert "hunter2" not in concealed(line, "servers.a.api_keys[0]")
    assert concealed(line, "servers.a.api_key_file") == line


@pytest.mark.parametrize(
    "line",
    [
        "api_key_file: /run/secrets/key",
        "auth: {keys: keys.yaml}",
        "listener: {port: 1, tls_secret: ns/name}",
        "limits: [{tokens: 0, by: key}, {input_tokens: 5}]",
        "token_limit: {input: 0}",
        "api_key: ${KEY}",
        'api_key: "${KEY}"',
        "{api_key: '${KEY}', model: m}",
        "endpoints: [http://h:8000]",
        "match: {path: /a?b}",
        "api_key:",
    ],
)
def test_what_lets_nobody_in_stays(line: str) -> None:
    assert concealed(line, "servers.a.model") == line
