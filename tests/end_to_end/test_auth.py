"""Who may call, through real sockets: tokens, keys and certificates, as settings, routes and servers ask for them."""

import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trustme

from proxy.config.access_spec import Auth, JwtAuth
from proxy.config.settings_spec import ListenerTls, LogSettings
from proxy.config.spec import Config
from tests.access.issuers import Issuer, Signer
from tests.documents import NEEDED, yaml_of
from tests.end_to_end.callers import Keys, api_key, ask, bearer, error_of, field_of, hello, status_of
from tests.end_to_end.engines import RawEngine, raw_engine
from tests.end_to_end.patience import until
from tests.end_to_end.proxies import Proxy, StartProxy, config_of, listening
from tests.end_to_end.raw_client import chat, get, post, raw_client

SECURE = "/v1/models/secure/infer"


@pytest.fixture
async def engine(stack: AsyncExitStack) -> RawEngine:
    """An engine that hears what comes through."""
    return await stack.enter_async_context(raw_engine(hello))


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer(Signer("ES256")) as running:
        yield running


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def routes_of(engine: RawEngine, *, server: str = "", route: str = "") -> str:
    """All that is asked for goes to this engine; more of its server and of its route."""
    return (
        f"servers: {{engine: {{endpoints: ['{engine.url}']{', ' + server if server else ''}}}}}\n"
        f"routes: [{{name: all{', ' + route if route else ''},"
        " rules: [{name: any, match: {path: '/*'}, targets: [engine]}]}]\n"
    )


# --- tokens -----------------------------------------------------------------------------------------------------------


def documented(engine: RawEngine, issuer: Issuer) -> Config:
    """The document's own resource, with an issuer and a workload that are there."""
    servers = yaml_of("002").replace("https://auth.company.com", issuer.url).replace("matrixinfer-api", "llm")
    entry = {"url": engine.url, "workload": "sensitive-model-infer", "namespace": "ml-models"}
    return config_of("---\n".join((servers, json.dumps({"endpoints": [entry]}) + "\n")))


def of_server(engine: RawEngine, issuer: Issuer) -> Config:
    return config_of(routes_of(engine, server=f"auth: {{jwt: {{issuer: '{issuer.url}', audience: llm}}}}"))


def of_route(engine: RawEngine, issuer: Issuer) -> Config:
    return config_of(routes_of(engine, route=f"auth: {{jwt: {{issuer: '{issuer.url}', audience: llm}}}}"))


def with_keys_at_a_url(engine: RawEngine, issuer: Issuer) -> Config:
    jwt = f"{{issuer: '{issuer.url}', audience: [other, llm], jwks: '{issuer.jwks_url}'}}"
    return config_of(routes_of(engine, server=f"auth: {{jwt: {jwt}}}"))


PLACES = [pytest.param(documented, marks=NEEDED), of_server, of_route, with_keys_at_a_url]


@pytest.mark.parametrize("place", PLACES)
async def test_a_token_of_the_issuer_lets_in_and_nothing_else_does(
    proxy: StartProxy, engine: RawEngine, issuer: Issuer, place: Callable[[RawEngine, Issuer], Config]
) -> None:
    front = await proxy(place(engine, issuer))
    assert await status_of(front.port, bearer(issuer.token()), SECURE) == 200
    assert len(engine.requests) == 1
    stranger = Signer("ES256", number=7)
    refused = {
        "nothing": {},
        "expired": bearer(issuer.token(lifetime=-60)),
        "for others": bearer(issuer.token(aud="elsewhere")),
        "of another issuer": bearer(issuer.token(iss="https://auth.other.example")),
        "of a stranger": bearer(stranger.mint(issuer.claims()).decode()),
        "no token": bearer("hello"),
        "in the field of keys, expired": api_key(issuer.token(lifetime=-60)),
    }
    for what, fields in refused.items():
        answer = await ask(front.port, post(chat(), SECURE, **fields))
        assert (answer.status, error_of(answer)) == (401, "invalid_api_key"), what
        challenge = answer.field("WWW-Authenticate") or ""
        assert challenge.startswith('Bearer realm="penstock"'), what
        assert ('error="invalid_token"' in challenge) == bool(fields), what
    assert len(engine.requests) == 1


async def test_the_settings_ask_for_a_token_whatever_the_route(
    proxy: StartProxy, engine: RawEngine, issuer: Issuer
) -> None:
    auth = Auth(jwt=JwtAuth(issuer=issuer.url, audiences=("llm",)))
    front = await proxy(routes_of(engine), auth=auth)
    for data in (get("/anything"), get("/v1/models"), get("/metrics"), post(b"{}", "/nowhere")):
        assert (await ask(front.port, data)).status == 401
    assert (await ask(front.port, get("/v1/models", **bearer(issuer.token())))).status == 200
    assert (await ask(front.port, get("/anything", **bearer(issuer.token())))).status == 200
    for path in ("/health", "/ready"):  # whoever watches the proxy has no credential
        assert (await ask(front.port, get(path))).status == 200
    assert len(engine.requests) == 1


async def test_a_key_of_the_issuer_can_be_exchanged_while_the_proxy_runs(
    proxy: StartProxy, engine: RawEngine, issuer: Issuer
) -> None:
    front = await proxy(of_server(engine, issuer))
    old = issuer.token()
    assert await status_of(front.port, bearer(old)) == 200
    issuer.rotate(Signer("ES256", "two", number=2))
    assert await status_of(front.port, bearer(issuer.token())) == 200
    assert await status_of(front.port, bearer(old)) == 401
    assert issuer.counts["/jwks"] == 2


async def test_tokens_are_good_while_their_issuer_is_away(proxy: StartProxy, engine: RawEngine, issuer: Issuer) -> None:
    front = await proxy(of_server(engine, issuer))
    assert await status_of(front.port, bearer(issuer.token())) == 200
    issuer.down = True
    assert await status_of(front.port, bearer(issuer.token(sub="grace"))) == 200
    assert await status_of(front.port, bearer(issuer.token(lifetime=-60))) == 401
    # A key that nobody has seen yet is looked for, in vain.
    unknown = Signer("ES256", "two", number=2).mint(issuer.claims()).decode()
    assert await status_of(front.port, bearer(unknown)) == 401
    assert await status_of(front.port, bearer(issuer.token(sub="alan"))) == 200


async def test_while_an_issuer_was_never_reached_its_tokens_may_come_again(
    proxy: StartProxy, engine: RawEngine, issuer: Issuer
) -> None:
    issuer.down = True
    front = await proxy(of_server(engine, issuer))
    answer = await ask(front.port, post(chat(), **bearer(issuer.token())))
    assert (answer.status, error_of(answer)) == (503, "issuer_unavailable")
    assert int(answer.field("Retry-After") or "0") >= 1
    assert await status_of(front.port, {}) == 401
    assert engine.requests == []


async def test_keys_of_tokens_in_a_file_are_exchanged_without_a_restart(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path
) -> None:
    issuer = Issuer(Signer("ES256"))
    issuer.url = "https://issuer.example"
    file = tmp_path / "jwks.json"
    file.write_bytes(issuer.jwks())
    jwt = f"{{issuer: '{issuer.url}', audience: llm, jwks: '{file}'}}"
    front = await proxy(routes_of(engine, server=f"auth: {{jwt: {jwt}}}"))
    old = issuer.token()
    assert await status_of(front.port, bearer(old)) == 200
    issuer.rotate(Signer("ES256", "two", number=2))
    file.write_bytes(issuer.jwks())
    assert await front.app.reload_secrets() == []
    assert await status_of(front.port, bearer(issuer.token())) == 200
    assert await status_of(front.port, bearer(old)) == 401
    file.write_text("{")
    assert len(await front.app.reload_secrets()) == 1
    assert await status_of(front.port, bearer(issuer.token())) == 200


async def test_a_withdrawn_key_ends_its_tokens_on_open_connections_too(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path
) -> None:
    issuer = Issuer(Signer("ES256"))
    issuer.url = "https://issuer.example"
    file = tmp_path / "jwks.json"
    file.write_bytes(issuer.jwks())
    front = await proxy(routes_of(engine, server=f"auth: {{jwt: {{issuer: '{issuer.url}', jwks: '{file}'}}}}"))
    request = post(chat(), **bearer(issuer.token()))
    async with raw_client(front.port) as client:
        for _ in range(3):
            assert (await client.ask(request)).status == 200
        issuer.rotate(Signer("ES256", "two", number=2))
        file.write_bytes(issuer.jwks())
        await front.app.reload_secrets()
        assert (await client.ask(request)).status == 401


# --- keys -------------------------------------------------------------------------------------------------------------

ASKERS = ["settings", "server", "route"]


async def asking(proxy: StartProxy, engine: RawEngine, keys: Keys, where: str, more: str = "") -> Proxy:
    """A proxy that asks for a key of this file, in one of three places."""
    if where == "settings":
        return await proxy(routes_of(engine), auth=Auth(keys=str(keys.path)))
    return await proxy(routes_of(engine, **{where: f"auth: {{keys: '{keys.path}'{more}}}"}))


@pytest.mark.parametrize("where", ASKERS)
async def test_a_key_lets_in_as_bearer_and_as_api_key(
    proxy: StartProxy, engine: RawEngine, keys: Keys, where: str
) -> None:
    key = keys.add("ada")
    front = await asking(proxy, engine, keys, where)
    for fields in (bearer(key), api_key(key), {"authorization": f"bearer  {key}"}, {**bearer(key), **api_key(key)}):
        assert await status_of(front.port, fields) == 200
    wrong = f"{key[:-1]}{'a' if key[-1] != 'a' else 'b'}"
    for fields in ({}, bearer(wrong), api_key(wrong), bearer(key[:-1]), {"Authorization": f"Basic {key}"}):
        answer = await ask(front.port, post(chat(), **fields))
        assert answer.status == 401
        assert (answer.field("WWW-Authenticate") or "").startswith("Bearer ")
        assert key[:-1] not in answer.body.decode()
    assert len(engine.requests) == 4


@pytest.mark.parametrize("where", ASKERS)
async def test_a_key_file_is_edited_while_the_proxy_runs(
    proxy: StartProxy, engine: RawEngine, keys: Keys, where: str
) -> None:
    ada = keys.add("ada")
    front = await asking(proxy, engine, keys, where)
    async with raw_client(front.port) as client:
        for _ in range(3):
            assert (await client.ask(post(chat(), **bearer(ada)))).status == 200
        bob = keys.add("bob")
        assert await status_of(front.port, bearer(bob)) == 401
        assert await front.app.reload_secrets() == []
        assert await status_of(front.port, bearer(bob)) == 200
        keys.revoke("ada")
        assert await front.app.reload_secrets() == []
        assert (await client.ask(post(chat(), **bearer(ada)))).status == 401
        # What cannot be read changes nothing, and is told.
        keys.path.write_text('{"version": 1, "keys": [{"name": "ada"')
        assert str(keys.path) in "".join(await front.app.reload_secrets())
        assert await status_of(front.port, bearer(bob)) == 200


async def test_a_key_is_good_until_it_expires(proxy: StartProxy, engine: RawEngine, keys: Keys) -> None:
    past, future = keys.add("past", expires="2020-01-01"), keys.add("future", expires="2999-12-31T00:00:00Z")
    front = await asking(proxy, engine, keys, "server")
    answer = await ask(front.port, post(chat(), **bearer(past)))
    assert (answer.status, "expired" in (answer.field("WWW-Authenticate") or "")) == (401, True)
    assert await status_of(front.port, bearer(future)) == 200


async def test_what_a_new_configuration_asks_for_holds_on_open_connections(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path
) -> None:
    one, two = Keys(tmp_path, "one"), Keys(tmp_path, "two")
    key = one.add("ada")
    front = await proxy(routes_of(engine))
    async with raw_client(front.port) as client:
        for server, expected, reaches in (
            ("", 200, [f"Bearer {key}"]),
            (f"auth: {{keys: '{one.path}'}}", 200, []),
            (f"auth: {{keys: '{two.path}'}}", 401, None),
            (f"auth: {{keys: '{two.path}', required: false}}", 401, None),
            (f"auth: {{keys: '{one.path}', forward: true}}", 200, [f"Bearer {key}"]),
            ("", 200, [f"Bearer {key}"]),
        ):
            await front.apply(routes_of(engine, server=server))
            before = len(engine.requests)
            for _ in range(3):
                assert (await client.ask(post(chat(), **bearer(key)))).status == expected, server
            heard = [field_of(request, "authorization") for request in engine.requests[before:]]
            assert heard == ([] if reaches is None else [reaches] * 3), server


async def test_a_worker_whose_key_file_is_gone_lets_nobody_in_until_it_is_back(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path
) -> None:
    one, two = Keys(tmp_path, "one"), Keys(tmp_path, "two")
    key = one.add("ada")
    front = await proxy(routes_of(engine, server=f"auth: {{keys: '{one.path}'}}"))
    config = config_of(routes_of(engine, server=f"auth: {{keys: '{two.path}'}}"))
    text = two.path.read_text()
    two.path.unlink()
    await front.apply(config)
    assert [await status_of(front.port, fields) for fields in (bearer(key), {})] == [401, 401]
    two.path.write_text(text)
    two.add("ada", key)
    assert await front.app.reload_secrets() == []
    assert [await status_of(front.port, fields) for fields in (bearer(key), {})] == [200, 401]


def two_models(engine: RawEngine, more: str = "") -> str:
    """The models small and large, and whatever names none."""
    return (
        f"servers: {{engine: {{endpoints: ['{engine.url}']{more}}}}}\n"
        "routes:\n"
        "  - {name: models, models: [small, large], rules: [{name: any, targets: [engine]}]}\n"
        "  - {name: rest, rules: [{name: any, match: {path: '/*'}, targets: [engine]}]}\n"
    )


async def test_a_key_may_use_its_models_and_no_others(proxy: StartProxy, engine: RawEngine, keys: Keys) -> None:
    some, every = keys.add("some", models=["sm*"]), keys.add("every")
    front = await proxy(two_models(engine), auth=Auth(keys=str(keys.path)))
    for model, expected in (("small", 200), ("smart", 200), ("large", 403), ("", 403), ("Small", 403)):
        assert await status_of(front.port, bearer(some), model=model) == expected, model
    assert await status_of(front.port, bearer(every), model="large") == 200
    heard = len(engine.requests)
    rewrites = ("x_gateway_model_name_rewrite", "x_llm_d_model_name_rewrite")
    for rewrite in rewrites:
        answer = await ask(front.port, post(chat("small"), **bearer(some), **{rewrite: "large"}))
        assert (answer.status, error_of(answer)) == (403, "model_not_allowed")
    for data in (post(b"", **bearer(some)), post(b"{}", **bearer(some)), get("/v1/anything", **bearer(some))):
        answer = await ask(front.port, data)
        assert (answer.status, error_of(answer)) == (403, "model_not_allowed")
    assert len(engine.requests) == heard
    for rewrite in rewrites:
        assert (await ask(front.port, post(chat("small"), **bearer(some), **{rewrite: "smart"}))).status == 200


async def test_the_list_of_models_holds_what_its_asker_may_use(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    some, every = keys.add("some", models=["sm*"]), keys.add("every")
    front = await proxy(two_models(engine), auth=Auth(keys=str(keys.path)))

    async def listed(key: str) -> list[str]:
        answer = await ask(front.port, get("/v1/models", **bearer(key)))
        return [model["id"] for model in json.loads(answer.body)["data"]]

    assert (await listed(some), await listed(every)) == (["small"], ["small", "large"])


@pytest.mark.parametrize("where", ["server", "route"])
async def test_strangers_use_up_no_limit_of_those_who_may_call(
    proxy: StartProxy, engine: RawEngine, keys: Keys, where: str
) -> None:
    key = keys.add("ada")
    limited = f"limits: [{{requests: 1, per: day}}], auth: {{keys: '{keys.path}'}}"
    front = await proxy(routes_of(engine, **{where: limited}))
    assert [await status_of(front.port, fields) for fields in ({}, bearer("x"), {})] == [401, 401, 401]
    assert [await status_of(front.port, bearer(key)) for _ in range(2)] == [200, 429]
    assert await status_of(front.port, {}) == 401


# --- what conditions see of a caller ----------------------------------------------------------------------------------


def tiers(premium: RawEngine, normal: RawEngine, auth: str) -> str:
    condition = "{fields: [{field: user.tier, operator: equals, value: premium}]}"
    return (
        f"servers:\n  premium: {{endpoints: ['{premium.url}']}}\n  normal: {{endpoints: ['{normal.url}']}}\n"
        f"routes:\n  - name: all\n    auth: {auth}\n    rules:\n"
        f"      - {{name: premium, match: {condition}, targets: [premium]}}\n"
        "      - {name: normal, match: {path: '/*'}, targets: [normal]}\n"
    )


async def test_a_rule_goes_by_the_tier_of_a_key_and_of_a_token_and_not_by_what_the_body_says(
    proxy: StartProxy, stack: AsyncExitStack, issuer: Issuer, keys: Keys
) -> None:
    premium = await stack.enter_async_context(raw_engine(hello))
    normal = await stack.enter_async_context(raw_engine(hello))
    auth = f"{{keys: '{keys.path}', jwt: {{issuer: '{issuer.url}', audience: llm}}}}"
    gold, plain = keys.add("gold", metadata={"tier": "premium"}), keys.add("plain")
    front = await proxy(tiers(premium, normal, auth))
    claims: dict[str, object] = {"tier": "premium"}
    for credential, body, expected in (
        (gold, {}, premium),
        (gold, {"user": {"tier": "poor"}}, premium),
        (issuer.token(tier="premium"), {}, premium),
        (plain, {"user": claims}, normal),
        (issuer.token(), {"user": claims}, normal),
        (issuer.token(tier="poor"), {"user": claims, "user.tier": "premium"}, normal),
    ):
        before = len(expected.requests)
        assert await status_of(front.port, bearer(credential), **body) == 200
        assert len(expected.requests) == before + 1, body


# --- asked, but not required ------------------------------------------------------------------------------------------


async def test_where_no_credential_is_required_a_wrong_one_of_ours_is_still_refused(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    key, expired = keys.add("ada"), keys.add("old", expires="2020-01-01")
    front = await asking(proxy, engine, keys, "route", ", required: false")
    assert await status_of(front.port, {}) == 200
    assert await status_of(front.port, bearer(key)) == 200
    assert await status_of(front.port, bearer("sk-of-the-engine")) == 200
    seen = [field_of(request, "authorization") for request in engine.requests]
    assert seen == [[], [], ["Bearer sk-of-the-engine"]]
    for wrong in (f"{key}x", expired, "psk-" + "a" * 43):
        assert await status_of(front.port, bearer(wrong)) == 401
    assert len(engine.requests) == 3


async def test_one_part_may_require_what_another_merely_asks_for(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    key = keys.add("ada")
    routes = (
        f"servers: {{engine: {{endpoints: ['{engine.url}']}}}}\n"
        "routes:\n"
        f"  - {{name: closed, auth: {{keys: '{keys.path}'}},"
        " rules: [{name: any, match: {path: '/closed*'}, targets: [engine]}]}\n"
        "  - {name: open, rules: [{name: any, match: {path: '/*'}, targets: [engine]}]}\n"
    )
    front = await proxy(routes, auth=Auth(keys=str(keys.path), required=False))
    for path, fields, expected in (
        ("/open", {}, 200),
        ("/open", bearer(key), 200),
        ("/closed", {}, 401),
        ("/closed", bearer("sk-of-the-engine"), 401),
        ("/closed", bearer(key), 200),
    ):
        assert await status_of(front.port, fields, path) == expected, path


async def test_the_settings_and_a_server_must_both_be_satisfied(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path
) -> None:
    all_keys, own = Keys(tmp_path, "all"), Keys(tmp_path, "own")
    common, only_all, only_own = all_keys.add("ada"), all_keys.add("bob"), own.add("eve")
    own.add("ada", common)
    front = await proxy(routes_of(engine, server=f"auth: {{keys: '{own.path}'}}"), auth=Auth(keys=str(all_keys.path)))
    statuses = [await status_of(front.port, bearer(key)) for key in (common, only_all, only_own)]
    assert (statuses, len(engine.requests)) == ([200, 401, 401], 1)


# --- certificates -----------------------------------------------------------------------------------------------------


async def test_a_client_certificate_lets_in_where_a_server_asks_for_one(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path
) -> None:
    authority, clients = trustme.CA(), trustme.CA()
    leaf = authority.issue_cert("localhost")
    cert, key, client_ca = tmp_path / "proxy.pem", tmp_path / "proxy.key", tmp_path / "clients.pem"
    leaf.private_key_pem.write_to_path(str(key))
    cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    clients.cert_pem.write_to_path(str(client_ca))
    log = tmp_path / "access.log"
    front = await proxy(
        routes_of(engine, server="auth: {client_certificate: true}"),
        listeners=listening(tls=ListenerTls(str(cert), str(key), str(client_ca))),
        log=LogSettings(path=str(log)),
    )

    def shows(leaf: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        leaf.configure_cert(context)
        return context

    async with raw_client(front.port, shows(clients.issue_cert("ada.example"))) as client:
        for _ in range(3):
            assert (await client.ask(post(chat()))).status == 200
    await until(lambda: log.exists() and log.read_text().count(" caller=ada.example") == 3)
    # A certificate that names nobody is no identity.
    nameless = clients.issue_cert(common_name="\x07")
    assert (await ask(front.port, post(chat()), shows(nameless))).status == 401
    assert len(engine.requests) == 3


async def test_what_a_client_merely_says_is_no_certificate(proxy: StartProxy, engine: RawEngine) -> None:
    front = await proxy(routes_of(engine, server="auth: {client_certificate: true}"))
    said = {"X_Forwarded_Client_Cert": "By=x;URI=spiffe://a/b", "X_SSL_Client_Verify": "SUCCESS", "X_Client_Cert": "x"}
    assert await status_of(front.port, said) == 401
    assert engine.requests == []


# --- what is told of callers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
async def test_the_access_log_names_the_caller_and_never_shows_a_credential(
    proxy: StartProxy, engine: RawEngine, issuer: Issuer, keys: Keys, tmp_path: Path, form: str
) -> None:
    log = tmp_path / "access.log"
    key, token = keys.add("ada"), issuer.token(sub="grace")
    auth = f"auth: {{keys: '{keys.path}', jwt: {{issuer: '{issuer.url}'}}}}"
    front = await proxy(routes_of(engine, server=auth), log=LogSettings(path=str(log), format=form))
    wrong = f"{key[:-4]}abcd"
    for fields, path in (
        (bearer(key), "/one"),
        (api_key(key), "/two"),
        (bearer(token), "/three"),
        (bearer(wrong), "/four"),
        ({}, f"/five?api_key={key}"),
    ):
        await status_of(front.port, fields, path)
    await until(lambda: log.exists() and "/five" in log.read_text())
    text = log.read_text()
    names = re.findall(r'caller(?:=|":")(\w+)', text)
    assert names == ["ada", "ada", "grace"]
    for secret in (key, key[4:24], wrong, token, token.split(".")[2]):
        assert secret not in text


@pytest.mark.parametrize("fields", [{}, bearer("sk-of-the-engine")])
async def test_where_credentials_are_optional_nobody_gets_a_tier_by_saying_so(
    proxy: StartProxy, stack: AsyncExitStack, keys: Keys, fields: dict[str, str]
) -> None:
    premium = await stack.enter_async_context(raw_engine(hello))
    normal = await stack.enter_async_context(raw_engine(hello))
    key = keys.add("gold", tier="premium")
    front = await proxy(tiers(premium, normal, f"{{keys: '{keys.path}', required: false}}"))
    assert await status_of(front.port, fields, user={"tier": "premium"}) == 200
    assert (len(premium.requests), len(normal.requests)) == (0, 1)
    assert await status_of(front.port, bearer(key)) == 200
    assert len(premium.requests) == 1


async def test_of_a_key_that_stands_in_two_files_the_models_of_both_hold(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path
) -> None:
    all_keys, own = Keys(tmp_path, "all"), Keys(tmp_path, "own")
    key = all_keys.add("ada", models=["small", "medium"])
    own.add("ada", key, models=["medium", "large"])
    front = await proxy(routes_of(engine, server=f"auth: {{keys: '{own.path}'}}"), auth=Auth(keys=str(all_keys.path)))
    models = ("small", "medium", "large")
    assert [await status_of(front.port, bearer(key), model=model) for model in models] == [403, 200, 403]
