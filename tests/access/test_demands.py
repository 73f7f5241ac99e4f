"""Promises of what is demanded of a caller."""

import pytest

from proxy.access.demands import demand, permit_model, permit_rewrites
from proxy.access.identity import CERTIFICATE, NOBODY, Caller, Fault, Identity, Source
from proxy.config.access_spec import Auth, JwtAuth
from proxy.errors import RequestError
from tests.access.heads import said

FILE = "/etc/penstock/keys.yaml"
ISSUER = JwtAuth("https://issuer", ("llm",))
BAD = Fault("invalid_token", "The key has expired")
FOREIGN = Fault("invalid_token", "The credential is not known", ours=False)


def caller(source: Source, *also: Source) -> Caller:
    return Caller(Identity("ada", "key", source, {}, also=also), None, credential=True)


def refusal(auths: list[Auth], who: Caller) -> RequestError:
    with pytest.raises(RequestError) as raised:
        demand(auths, who)
    return raised.value


def test_nothing_is_demanded_where_nothing_is_configured() -> None:
    demand([], NOBODY)
    demand([], Caller(None, BAD, credential=True))


@pytest.mark.parametrize(
    ("auth", "source"),
    [
        (Auth(keys=FILE), FILE),
        (Auth(jwt=ISSUER), JwtAuth("https://issuer", ("llm",))),
        (Auth(client_certificate=True), CERTIFICATE),
        (Auth(jwt=ISSUER, keys=FILE), FILE),
    ],
)
def test_whoever_one_of_its_sources_knows_passes(auth: Auth, source: Source) -> None:
    demand([auth], caller(source))


@pytest.mark.parametrize(
    ("auth", "source"),
    [
        (Auth(keys=FILE), "/etc/other.yaml"),
        (Auth(keys=FILE), CERTIFICATE),
        (Auth(keys=FILE), ISSUER),
        (Auth(jwt=ISSUER), JwtAuth("https://issuer", ("other",))),
        (Auth(client_certificate=True), FILE),
        (Auth(), FILE),
    ],
)
def test_whoever_only_others_know_is_refused(auth: Auth, source: Source) -> None:
    error = refusal([auth], caller(source))
    assert b'error="invalid_token"' in error.headers


def test_each_one_must_be_satisfied() -> None:
    auths = [Auth(client_certificate=True), Auth(keys=FILE)]
    demand(auths, caller(FILE, CERTIFICATE))
    refusal(auths, caller(FILE))
    refusal(auths, caller(CERTIFICATE))


def test_a_refusal_tells_how_to_call() -> None:
    error = refusal([Auth(keys=FILE)], NOBODY)
    assert (error.status, error.kind, error.code) == (401, "authentication_error", "invalid_api_key")
    assert error.headers == b'WWW-Authenticate: Bearer realm="penstock"\r\n'


def test_a_refusal_tells_what_is_wrong_with_what_was_shown() -> None:
    error = refusal([Auth(keys=FILE)], Caller(None, BAD, credential=True))
    told = b'error="invalid_token", error_description="The key has expired"\r\n'
    assert error.headers == b'WWW-Authenticate: Bearer realm="penstock", ' + told


def test_where_it_is_not_required_nobody_passes_and_so_does_what_was_meant_for_the_engine() -> None:
    auth = Auth(keys=FILE, required=False)
    demand([auth], NOBODY)
    demand([auth], Caller(None, FOREIGN, credential=True))
    demand([auth], caller("/etc/other.yaml"))


def test_where_it_is_not_required_a_bad_credential_of_ours_is_refused() -> None:
    refusal([Auth(keys=FILE, required=False)], Caller(None, BAD, credential=True))


def test_where_keys_of_tokens_cannot_be_had_the_answer_says_so() -> None:
    away = RequestError(503, "away")
    fault = Fault("invalid_token", "The token cannot be checked", unavailable=away)
    assert refusal([Auth(jwt=ISSUER)], Caller(None, fault, credential=True)) is away


# --- models -----------------------------------------------------------------------------------------------------------

LIMITED = Identity("ada", "key", FILE, {}, models=("qwen", "llama-*"))


@pytest.mark.parametrize("identity", [None, Identity("ada", "key", FILE, {})])
def test_whoever_is_not_kept_to_models_may_use_all(identity: Identity | None) -> None:
    permit_model(identity, "any")
    permit_model(identity, None)
    permit_rewrites(identity, said((b"x-gateway-model-name-rewrite", b"any")).fields)


@pytest.mark.parametrize("model", ["qwen", "llama-3"])
def test_a_model_that_is_named_or_fits_a_glob_may_be_used(model: str) -> None:
    permit_model(LIMITED, model)


@pytest.mark.parametrize("model", [None, "", "Qwen", "qwen ", "gpt", "\ud800"])
def test_any_other_model_and_none_at_all_are_refused(model: str | None) -> None:
    with pytest.raises(RequestError) as raised:
        permit_model(LIMITED, model)
    assert (raised.value.status, raised.value.code, raised.value.param) == (403, "model_not_allowed", "model")


@pytest.mark.parametrize("name", [b"X-LLM-D-Model-Name-Rewrite", b"x-gateway-model-name-rewrite"])
def test_a_model_that_a_control_header_asks_for_is_asked_about_too(name: bytes) -> None:
    permit_rewrites(LIMITED, said((name, b" qwen ")).fields)
    permit_rewrites(LIMITED, said((name, b"")).fields)
    for fields in ([(name, b"gpt")], [(name, b"qwen"), (name, b"gpt")], [(name, b"gpt"), (name, b"qwen")]):
        with pytest.raises(RequestError):
            permit_rewrites(LIMITED, said(*fields).fields)
