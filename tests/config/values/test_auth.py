"""What callers must show is read alike for servers, routes and settings, and what would let anybody in is refused."""

from pathlib import Path

import pytest

from proxy.config.access_spec import ASYMMETRIC, Auth, JwtAuth
from proxy.config.loader import load_texts
from proxy.config.settings import load_settings_text
from proxy.errors import Problem, Severity
from tests.config.native_documents import ROUTE, route, server

THIS = str(Path(__file__).absolute())
KEYS = "jwks: https://h/keys"


def told(auth: str, **variables: str) -> tuple[Problem, ...]:
    text = f"servers: {{a: {{endpoints: [http://h], auth: {auth}}}}}\n{ROUTE}"
    return load_texts({"a.yaml": text}, variables).problems


def auth(written: str) -> Auth | None:
    found = server(f"endpoints: http://h, auth: {written}").auth
    assert route(f"rules: [{{targets: a}}], auth: {written}").auth == found
    settings = load_settings_text("/etc/penstock.yaml", f"routes: r\nauth: {written}", {}).settings
    assert settings is not None
    assert settings.auth == found
    return found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{client_certificate: true}", Auth(client_certificate=True)),
        (f"{{keys: {THIS}, required: false, forward: true}}", Auth(keys=THIS, required=False, forward=True)),
        ("{jwt: {issuer: 'https://i'}}", Auth(JwtAuth("https://i"))),
        (f"{{jwt: {{issuer: i, {KEYS}}}}}", Auth(JwtAuth("i", (), "https://h/keys"))),
        (f"{{jwt: {{jwks: {THIS}}}}}", Auth(JwtAuth(jwks=THIS))),
        (f"{{jwt: {{audience: [x, y], {KEYS}}}}}", Auth(JwtAuth(None, ("x", "y"), "https://h/keys"))),
        ("{jwt: {issuer: i, audiences: [x], jwksUri: 'https://h/keys'}}", Auth(JwtAuth("i", ("x",), "https://h/keys"))),
        (f"{{jwt: {{audiences: x, {KEYS}}}}}", Auth(JwtAuth(None, ("x",), "https://h/keys"))),
        (
            f"{{jwt: {{{KEYS}, algorithms: [ES256, EdDSA, ES256], leeway: 0, user_claim: uid, tier_claim: plan}}}}",
            Auth(JwtAuth(None, (), "https://h/keys", ("ES256", "EdDSA"), 0.0, "uid", "plan")),
        ),
        (
            f"{{jwt: {{{KEYS}, algorithms: PS512}}, keys: {THIS}}}",
            Auth(JwtAuth(None, (), "https://h/keys", ("PS512",)), THIS),
        ),
    ],
)
def test_what_callers_must_show_is_read(written: str, expected: Auth) -> None:
    assert auth(written) == expected
    assert told(written) == ()


def test_without_a_list_every_asymmetric_algorithm_is_taken() -> None:
    found = auth(f"{{jwt: {{{KEYS}}}}}")
    assert found is not None
    assert found.jwt is not None
    assert found.jwt.algorithms == ASYMMETRIC
    assert not [name for name in ASYMMETRIC if name.startswith("HS") or name == "none"]


@pytest.mark.parametrize(
    ("written", "code", "path", "words"),
    [
        ("jwt", "PS110", "", "a mapping with jwt"),
        ("{}", "PS112", "", "at least one of jwt, keys and client_certificate"),
        ("{required: false}", "PS112", "", "at least one of jwt, keys and client_certificate"),
        ("{client_certificate: false}", "PS112", "", "at least one of jwt, keys and client_certificate"),
        ("{keys: none.json}", "PS123", ".keys", "there is no file 'none.json'"),
        ("{jwt: {}}", "PS112", ".jwt", "issuer, jwks or both"),
        ("{jwt: {audience: a}}", "PS112", ".jwt", "without them every token would do"),
        ("{jwt: {issuer: me}}", "PS122", ".jwt.issuer", "this is no URL, and without jwks"),
        ("{jwt: {issuer: ''}}", "PS120", ".jwt.issuer", "empty"),
        ("{jwt: {jwks: none.json}}", "PS123", ".jwt.jwks", "there is no file 'none.json'"),
        ("{jwt: {jwks: 'https://'}}", "PS122", ".jwt.jwks", "begins with https:// or http://"),
        ("{jwt: {jwks: 'https://user:pass@h/'}}", "PS122", ".jwt.jwks", "a user and password do not belong"),
        (f"{{jwt: {{audience: [1], {KEYS}}}}}", "PS110", ".jwt.audience[0]", "a text"),
        (f"{{jwt: {{audience: a, audiences: b, {KEYS}}}}}", "PS113", ".jwt.audiences", "give one of"),
        (f"{{jwt: {{algorithms: [], {KEYS}}}}}", "PS110", ".jwt.algorithms", "at least one algorithm"),
        (f"{{jwt: {{algorithms: [RS256, none], {KEYS}}}}}", "PS120", ".jwt.algorithms[1]", "'none' signs nothing"),
        (f"{{jwt: {{algorithms: None, {KEYS}}}}}", "PS120", ".jwt.algorithms", "'None' signs nothing"),
        (f"{{jwt: {{algorithms: HS256, {KEYS}}}}}", "PS120", ".jwt.algorithms", "'HS256' is keyed by a secret"),
        (f"{{jwt: {{algorithms: hs512, {KEYS}}}}}", "PS120", ".jwt.algorithms", "whoever knows the public key"),
        (f"{{jwt: {{algorithms: RS128, {KEYS}}}}}", "PS120", ".jwt.algorithms", "expected RS256"),
        (f"{{jwt: {{leeway: long, {KEYS}}}}}", "PS110", ".jwt.leeway", "a duration"),
        (f"{{jwt: {{user_claim: '', {KEYS}}}}}", "PS120", ".jwt.user_claim", "empty"),
        (f"{{jwt: {{secret: a, {KEYS}}}}}", "PS111", ".jwt.secret", "unknown key"),
    ],
)
def test_a_slip_is_told(written: str, code: str, path: str, words: str) -> None:
    (problem,) = [problem for problem in told(written) if problem.severity is Severity.ERROR]
    assert (problem.code, problem.path) == (code, f"servers.a.auth{path}")
    assert words in problem.message


@pytest.mark.parametrize("jwt", ["{jwks: 'http://keys.example/a'}", "{issuer: 'http://10.0.0.1'}"])
def test_keys_that_anyone_on_their_way_could_change_are_a_warning(jwt: str) -> None:
    (problem,) = told(f"{{jwt: {jwt}}}")
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS122")
    assert "use https" in problem.message


@pytest.mark.parametrize("host", ["127.0.0.1:1", "[::1]:1", "localhost"])
def test_keys_from_this_very_host_may_come_over_plain_http(host: str) -> None:
    assert told(f"{{jwt: {{jwks: 'http://{host}/keys'}}}}") == ()


def test_what_comes_from_a_variable_is_not_shown() -> None:
    for jwt in ("{issuer: '${V}'}", "{jwks: '${V}'}", f"{{{KEYS}, algorithms: '${{V}}'}}"):
        (problem,) = told(f"{{jwt: {jwt}}}", V="hunter2")
        assert "hunter2" not in problem.message


def test_an_issuer_whose_variable_is_not_set_is_told_once() -> None:
    (problem,) = told("{jwt: {issuer: '${NONE}'}}")
    assert problem.code == "PS109"


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "http://\u2100.com/x", "https://h:999999/x", "https://a:b/x", "https://h:0/x", "https://[::1]x/x"],
)
@pytest.mark.parametrize("key", ["issuer", "jwks", "jwksUri"])
def test_a_url_where_nobody_can_be_asked_is_told(key: str, url: str) -> None:
    (problem,) = told(f"{{jwt: {{{key}: '{url}'}}}}")
    assert (problem.severity, problem.code, problem.line) == (Severity.ERROR, "PS122", 1)


def test_an_auth_without_a_value_lets_nobody_in_by_accident() -> None:
    (problem,) = told("")
    assert problem.severity is Severity.ERROR
    assert problem.message.startswith("auth is empty")
    assert load_settings_text("/etc/penstock.yaml", "routes: r\nauth:\n", {}).settings is None


@pytest.mark.parametrize("key", ["jwt", "keys"])
def test_a_way_to_be_known_without_a_value_is_told(key: str) -> None:
    (problem,) = told(f"{{client_certificate: true, {key}: }}")
    assert (problem.severity, problem.code, problem.path) == (Severity.ERROR, "PS112", f"servers.a.auth.{key}")
    assert problem.message.startswith(f"{key} is empty")


@pytest.mark.parametrize("url", ["https://h:x/k?token=hunter2", "https://h x/k?token=hunter2"])
def test_the_query_of_a_url_is_not_told(url: str) -> None:
    (problem,) = told(f"{{jwt: {{jwks: '{url}'}}}}")
    assert problem.severity is Severity.ERROR
    assert "hunter2" not in problem.message
