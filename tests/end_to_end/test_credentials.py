"""Whose credential an engine sees: never a caller's, unless that is asked for, and its own server's alone."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trustme

from proxy.access.keys import digest_of
from proxy.config.access_spec import Auth
from proxy.config.settings_spec import ListenerTls
from proxy.config.spec import Config
from tests.end_to_end.callers import Keys, api_key, ask, bearer, error_of, field_of, hello, status_of
from tests.end_to_end.engines import RawConnection, RawEngine, raw_engine, start_engine
from tests.end_to_end.patience import until, until_told
from tests.end_to_end.proxies import StartProxy, config_of, listening, one_route
from tests.end_to_end.raw_client import chat, post, raw_client
from tests.end_to_end.serving import StartServing

FIELDS = ("authorization", "x-api-key")
PLACES = ("/status", "/metrics", "/servers", "/routes", "/rewrites", "/canaries")


@pytest.fixture
async def engine(stack: AsyncExitStack) -> RawEngine:
    """An engine that hears what comes through."""
    return await stack.enter_async_context(raw_engine(hello))


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def routes_of(engine: RawEngine, *, server: str = "", route: str = "") -> str:
    return (
        f"servers: {{engine: {{endpoints: ['{engine.url}']{', ' + server if server else ''}}}}}\n"
        f"routes: [{{name: all{', ' + route if route else ''},"
        " rules: [{name: any, match: {path: '/*'}, targets: [engine]}]}]\n"
    )


def seen(engine: RawEngine, request: int = -1) -> tuple[list[str], list[str]]:
    """What an engine was shown in the two fields of credentials."""
    first, second = (field_of(engine.requests[request], name) for name in FIELDS)
    return first, second


# --- the caller's -----------------------------------------------------------------------------------------------------


async def test_a_callers_key_never_reaches_the_engine(proxy: StartProxy, engine: RawEngine, keys: Keys) -> None:
    key = keys.add("ada")
    asks = f"auth: {{keys: '{keys.path}'}}"
    for front in (
        await proxy(routes_of(engine, server=asks)),
        await proxy(routes_of(engine, route=asks)),
        await proxy(routes_of(engine), auth=Auth(keys=str(keys.path))),
    ):
        for fields in (bearer(key), api_key(key), {**bearer(key), **api_key(key)}):
            assert await status_of(front.port, {**fields, "X_Other": "stays", "Connection": "x-api-key"}) == 200
            assert seen(engine) == ([], [])
            assert key.encode() not in engine.requests[-1]
            assert field_of(engine.requests[-1], "x-other") == ["stays"]
    assert len(engine.requests) == 9


async def test_a_simulated_engine_has_no_key_in_its_journal(
    proxy: StartProxy, stack: AsyncExitStack, keys: Keys
) -> None:
    simulated = await start_engine(stack)()
    key = keys.add("ada")
    front = await proxy(one_route(simulated.url), auth=Auth(keys=str(keys.path)))
    assert await status_of(front.port, bearer(key)) == 200
    assert key not in str(simulated.engine.journal.entries)


@pytest.mark.parametrize("where", ["settings", "server", "route"])
async def test_it_goes_on_where_that_is_asked_for(proxy: StartProxy, engine: RawEngine, keys: Keys, where: str) -> None:
    key = keys.add("ada")
    asks = f"auth: {{keys: '{keys.path}', forward: true}}"
    if where == "settings":
        front = await proxy(routes_of(engine), auth=Auth(keys=str(keys.path), forward=True))
    else:
        front = await proxy(routes_of(engine, **{where: asks}))
    assert await status_of(front.port, bearer(key)) == 200
    assert seen(engine) == ([f"Bearer {key}"], [])
    assert await status_of(front.port, api_key(key)) == 200
    assert seen(engine) == ([], [key])


async def test_where_nobody_asks_who_calls_credentials_are_the_engines(proxy: StartProxy, engine: RawEngine) -> None:
    front = await proxy(routes_of(engine))
    assert await status_of(front.port, bearer("sk-of-the-engine")) == 200
    assert seen(engine) == (["Bearer sk-of-the-engine"], [])


# --- the server's own -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, bearer("sk-of-the-client"), api_key("sk-of-the-client")])
async def test_an_engine_sees_its_servers_key_in_place_of_whatever_the_client_sent(
    proxy: StartProxy, engine: RawEngine, fields: dict[str, str]
) -> None:
    front = await proxy(routes_of(engine, server="api_key: sk-of-the-server"))
    assert await status_of(front.port, fields) == 200
    assert seen(engine) == (["Bearer sk-of-the-server"], [])


async def test_not_even_forward_lets_a_callers_key_stand_beside_the_servers(
    proxy: StartProxy, engine: RawEngine, keys: Keys
) -> None:
    key = keys.add("ada")
    front = await proxy(routes_of(engine, server=f"api_key: sk-1, auth: {{keys: '{keys.path}', forward: true}}"))
    for fields in (bearer(key), api_key(key)):
        assert await status_of(front.port, fields) == 200
        assert seen(engine) == (["Bearer sk-1"], [])


async def test_a_key_in_a_file_is_exchanged_on_open_connections(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-one\n")
    front = await proxy(routes_of(engine, server=f"api_key_file: '{file}'"))
    async with raw_client(front.port) as client:
        for _ in range(3):
            await client.ask(post(chat()))
        assert seen(engine) == (["Bearer sk-one"], [])
        file.write_text("sk-two\n")
        assert await front.app.reload_secrets() == []
        await client.ask(post(chat()))
        assert seen(engine) == (["Bearer sk-two"], [])
        # One that cannot be read any more is told, and the last one is shown on.
        file.unlink()
        told = await front.app.reload_secrets()
        assert len(told) == 1
        assert str(file) in told[0]
        assert "sk-two" not in told[0]
        assert (await client.ask(post(chat()))).status == 200
        assert seen(engine) == (["Bearer sk-two"], [])


async def test_serve_takes_over_a_key_that_changes_on_disk(
    serve: StartServing, engine: RawEngine, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("sk-one")
    front = await serve(routes_of(engine, server=f"api_key_file: '{file}'"))
    assert await status_of(front.port, {}) == 200
    assert seen(engine) == (["Bearer sk-one"], [])
    file.write_text("sk-two")

    async def shown() -> bool:
        await status_of(front.port, {})
        return seen(engine) == (["Bearer sk-two"], [])

    await until_told(shown)
    assert "sk-" not in front.text


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("", (["Bearer sk-1"], [])), (", scheme: x-api-key", ([], ["sk-1"])), (", scheme: APIKey", ([], ["sk-1"]))],
)
async def test_a_secret_is_shown_by_its_scheme(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path, scheme: str, expected: tuple[list[str], list[str]]
) -> None:
    secret = tmp_path / "secrets" / "default" / "engine"
    secret.mkdir(parents=True)
    (secret / "api-key").write_text("sk-1\n")
    credential = f"credential: {{secret: default/engine, key: api-key{scheme}}}"
    front = await proxy(routes_of(engine, server=credential), secrets=str(tmp_path / "secrets"))
    assert await status_of(front.port, bearer("sk-of-the-client")) == 200
    assert seen(engine) == expected


@pytest.mark.parametrize(("kind", "expected"), [("OpenAI", (["Bearer sk-1"], [])), ("Anthropic", ([], ["sk-1"]))])
async def test_a_provider_is_shown_its_secret_as_it_wants_it(
    proxy: StartProxy, stack: AsyncExitStack, tmp_path: Path, kind: str, expected: tuple[list[str], list[str]]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    engine = await stack.enter_async_context(raw_engine(hello, context))
    secret = tmp_path / "secrets" / "default" / "provider"
    secret.mkdir(parents=True)
    (secret / "key").write_text("sk-1")
    front = await proxy(provided(engine.url, kind), secrets=str(tmp_path / "secrets"))
    assert await status_of(front.port, {**bearer("sk-of-the-client"), **api_key("sk-of-the-client")}) == 200
    assert seen(engine) == expected


def provided(url: str, kind: str) -> Config:
    """A ModelRoute to an ExternalModelProvider."""
    return config_of(
        "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ExternalModelProvider\nmetadata: {name: provider}\n"
        f"spec: {{providerType: {kind}, baseURL: '{url}/v1', insecureSkipVerify: true,"
        " auth: {secretRef: {name: provider, key: key}}}\n"
        "---\n"
        "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelRoute\nmetadata: {name: chat}\n"
        "spec: {modelName: qwen, rules: [{name: any, targetModels: [{externalModelProviderName: provider}]}]}\n"
    )


# --- none that can be read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [None, "", "two\nlines", "\xff", "x" * 20_000])
async def test_without_its_credential_nothing_reaches_an_engine(
    proxy: StartProxy, engine: RawEngine, tmp_path: Path, text: str | None
) -> None:
    secret = tmp_path / "secrets" / "default" / "engine"
    secret.mkdir(parents=True)
    if text is not None:
        (secret / "key").write_text(text, encoding="latin-1")
    server = "credential: {secret: default/engine, key: key}"
    front = await proxy(routes_of(engine, server=server), secrets=str(tmp_path / "secrets"))
    answer = await ask(front.port, post(chat(), **bearer("sk-of-the-client")))
    assert (answer.status, error_of(answer)) == (503, "no_credential")
    assert answer.field("Retry-After") is not None
    assert engine.connections == 0
    # It comes later than the proxy, as secrets do.
    (secret / "key").write_text("sk-late")
    assert await front.app.reload_secrets() == []
    assert await status_of(front.port, {}) == 200
    assert seen(engine) == (["Bearer sk-late"], [])


async def test_without_a_folder_of_secrets_none_can_be_read(proxy: StartProxy, engine: RawEngine) -> None:
    front = await proxy(routes_of(engine, server="credential: {secret: default/engine, key: key}"))
    answer = await ask(front.port, post(chat()))
    assert (answer.status, error_of(answer), engine.connections) == (503, "no_credential", 0)


async def test_no_copy_goes_to_a_shadow_whose_credential_cannot_be_read(
    proxy: StartProxy, engine: RawEngine, stack: AsyncExitStack
) -> None:
    copy = await stack.enter_async_context(raw_engine(hello))
    front = await proxy(
        f"servers:\n  engine: {{endpoints: ['{engine.url}']}}\n"
        f"  copy: {{endpoints: ['{copy.url}'], credential: {{secret: default/none, key: key}}}}\n"
        "routes: [{name: all, rules: [{name: any, match: {path: '/*'}, targets: [engine], shadow: {server: copy}}]}]\n"
    )
    assert await status_of(front.port, {}) == 200
    await until(lambda: front.app.report().metrics.shadows)
    assert [series.outcome for series in front.app.report().metrics.shadows] == ["no_credential"]
    assert copy.connections == 0


# --- several servers --------------------------------------------------------------------------------------------------


async def failing(connection: RawConnection) -> None:
    """An engine that is broken."""
    while await connection.request():
        await connection.answer(b"{}", status=b"503 Service Unavailable")


async def test_a_fallback_and_a_shadow_see_their_own_servers_credential(
    proxy: StartProxy, stack: AsyncExitStack, keys: Keys
) -> None:
    first = await stack.enter_async_context(raw_engine(failing))
    second, third, copy, bare = [await stack.enter_async_context(raw_engine(hello)) for _ in range(4)]
    key = keys.add("ada")
    front = await proxy(
        "servers:\n"
        f"  first: {{endpoints: ['{first.url}'], api_key: sk-first, retries: 0}}\n"
        f"  second: {{endpoints: ['{second.url}'], credential: {{secret: default/none, key: key}}}}\n"
        f"  third: {{endpoints: ['{third.url}'], api_key: sk-third}}\n"
        f"  copy: {{endpoints: ['{copy.url}'], api_key: sk-copy}}\n"
        f"  bare: {{endpoints: ['{bare.url}']}}\n"
        "routes:\n"
        "  - {name: one, models: [one], rules: [{name: any, targets: [first], fallback: [second, third],"
        " shadow: {server: copy}}]}\n"
        "  - {name: two, models: [two], rules: [{name: any, targets: [first], fallback: [bare],"
        " shadow: {server: bare}}]}\n",
        auth=Auth(keys=str(keys.path)),
    )
    assert await status_of(front.port, bearer(key), model="one") == 200
    await until(lambda: copy.requests)
    assert seen(first) == (["Bearer sk-first"], [])
    assert second.connections == 0
    assert seen(third) == (["Bearer sk-third"], [])
    assert seen(copy) == (["Bearer sk-copy"], [])
    assert await status_of(front.port, bearer(key), model="two") == 200
    await until(lambda: len(bare.requests) == 2)
    assert [seen(bare, number) for number in (0, 1)] == [([], []), ([], [])]


async def test_a_fallback_and_a_shadow_that_ask_who_calls_get_nothing_of_a_stranger(
    proxy: StartProxy, stack: AsyncExitStack, tmp_path: Path
) -> None:
    first = await stack.enter_async_context(raw_engine(failing))
    closed, open_one = [await stack.enter_async_context(raw_engine(hello)) for _ in range(2)]
    keys = Keys(tmp_path)
    key = keys.add("ada")
    front = await proxy(
        "servers:\n"
        f"  first: {{endpoints: ['{first.url}']}}\n"
        f"  open: {{endpoints: ['{open_one.url}']}}\n"
        f"  closed: {{endpoints: ['{closed.url}'], auth: {{keys: '{keys.path}'}}}}\n"
        "routes:\n"
        "  - {name: one, models: [one], rules: [{name: any, targets: [first], fallback: [closed]}]}\n"
        "  - {name: two, models: [two], rules: [{name: any, targets: [open], shadow: {server: closed}}]}\n"
    )
    assert await status_of(front.port, {}, model="one") == 503
    assert await status_of(front.port, {}, model="two") == 200
    assert closed.requests == []
    assert await status_of(front.port, bearer(key), model="one") == 200
    assert await status_of(front.port, bearer(key), model="two") == 200
    await until(lambda: len(closed.requests) == 2)
    assert [seen(closed, number) for number in (0, 1)] == [([], []), ([], [])]


async def test_two_servers_of_one_connection_see_each_its_own(proxy: StartProxy, stack: AsyncExitStack) -> None:
    one, two = [await stack.enter_async_context(raw_engine(hello)) for _ in range(2)]
    front = await proxy(
        f"servers:\n  one: {{endpoints: ['{one.url}'], api_key: sk-one}}\n"
        f"  two: {{endpoints: ['{two.url}'], api_key: sk-two}}\n"
        "routes:\n"
        "  - {name: one, models: [a], rules: [{name: any, targets: [one]}]}\n"
        "  - {name: two, models: [b], rules: [{name: any, targets: [two]}]}\n"
    )
    async with raw_client(front.port) as client:
        for model in "aabbabab":
            await client.ask(post(chat(model)))
    assert {str(seen(one, number)) for number in range(4)} == {"(['Bearer sk-one'], [])"}
    assert {str(seen(two, number)) for number in range(4)} == {"(['Bearer sk-two'], [])"}


async def test_an_expired_key_beside_a_good_certificate_stays_here_too(
    proxy: StartProxy, engine: RawEngine, keys: Keys, tmp_path: Path
) -> None:
    authority, clients = trustme.CA(), trustme.CA()
    cert, key, client_ca = tmp_path / "proxy.pem", tmp_path / "proxy.key", tmp_path / "clients.pem"
    leaf = authority.issue_cert("localhost")
    leaf.private_key_pem.write_to_path(str(key))
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    clients.cert_pem.write_to_path(str(client_ca))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    clients.issue_cert("ada.example").configure_cert(context)
    front = await proxy(
        routes_of(engine, server=f"auth: {{client_certificate: true, keys: '{keys.path}'}}"),
        listeners=listening(tls=ListenerTls(str(cert), str(key), str(client_ca))),
    )
    for shown, expected in ((keys.add("old", expires="2020-01-01"), []), ("sk-of-the-engine", ["sk-of-the-engine"])):
        await front.app.reload_secrets()
        assert (await ask(front.port, post(chat(), **api_key(shown)), context)).status == 200
        assert seen(engine) == ([], expected)


async def test_neither_the_status_nor_the_metrics_nor_the_output_tells_a_credential(
    serve: StartServing, engine: RawEngine, keys: Keys, tmp_path: Path
) -> None:
    key, file = keys.add("ada"), tmp_path / "key"
    file.write_text("sk-of-the-file")
    routes = (
        f"servers:\n  one: {{endpoints: ['{engine.url}'], api_key: sk-of-the-text}}\n"
        f"  two: {{endpoints: ['{engine.url}'], api_key_file: '{file}'}}\n"
        "routes:\n"
        "  - {name: one, models: [one], rules: [{name: any, targets: [one]}]}\n"
        "  - {name: two, models: [two], rules: [{name: any, targets: [two]}]}\n"
    )
    front = await serve(routes, f"auth: {{keys: '{keys.path}'}}\nlog: {{level: debug}}\n")
    for model in ("one", "two", "none"):
        await status_of(front.port, bearer(key), model=model)
    await status_of(front.port, bearer(f"{key}x"))
    assert [seen(engine, number)[0] for number in (0, 1)] == [["Bearer sk-of-the-text"], ["Bearer sk-of-the-file"]]
    await until(lambda: front.text.count(" caller=ada") == 3)
    told = front.text + "".join([(await front.ask_admin(path)).decode() for path in PLACES])
    for secret in (key, key[4:20], "sk-of-the-text", "sk-of-the-file", digest_of(key.encode()).hex()):
        assert secret not in told


async def test_who_waited_over_a_reload_takes_no_engines_key_to_another(
    proxy: StartProxy, stack: AsyncExitStack
) -> None:
    held = asyncio.Event()

    async def holds(connection: RawConnection) -> None:
        while await connection.request():
            await held.wait()
            await connection.answer(b"{}")

    one = await stack.enter_async_context(raw_engine(holds))
    two = await stack.enter_async_context(raw_engine(hello))
    bound = "max_in_flight: 1, max_pending: 5"
    front = await proxy(one_route(one.url, server=f"api_key: KEY-OF-ONE, {bound}"))
    async with raw_client(front.port) as first, raw_client(front.port) as second:
        first.post(chat())
        await until(lambda: len(one.requests) == 1)
        second.post(chat())
        await until(lambda: any(server.gate and server.gate.waiting for server in front.app._registry.servers.values()))
        await front.apply(one_route(two.url, server=f"api_key: KEY-OF-TWO, {bound}"))
        held.set()
        assert [(await first.answer()).status, (await second.answer()).status] == [200, 503]
        assert await status_of(front.port, {}) == 200
    assert [field_of(request, "authorization") for request in two.requests] == [["Bearer KEY-OF-TWO"]]
