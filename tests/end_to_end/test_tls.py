"""TLS in front and behind: who is believed, and certificates that are renewed while connections are open."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import openai
import pytest
import trustme
from openai import AsyncOpenAI

from proxy.config.settings_spec import ListenerTls
from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.patience import until, until_told
from tests.end_to_end.proxies import Proxy, StartProxy, listening, one_route
from tests.end_to_end.raw_client import chat, get, post, raw_client
from tests.end_to_end.serving import StartServing, free_port
from tests.end_to_end.test_streams import Flood, read_all, standstill

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


class Files:
    """A certificate and its key on disk."""

    def __init__(self, folder: Path, name: str = "proxy") -> None:
        self.cert = folder / f"{name}.pem"
        self.key = folder / f"{name}.key"

    def write(self, leaf: trustme.LeafCert) -> None:
        leaf.private_key_pem.write_to_path(str(self.key))
        self.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> Files:
    files = Files(tmp_path)
    files.write(authority.issue_cert("localhost", "127.0.0.1"))
    return files


def client_side(authority: trustme.CA, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if leaf is not None:
        leaf.configure_cert(context)
    return context


def server_side(leaf: trustme.LeafCert, clients: trustme.CA | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_of(proxy: Proxy, context: ssl.SSLContext) -> AsyncOpenAI:
    http = openai.DefaultAsyncHttpxClient(verify=context)
    return AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="sk-test", max_retries=0, timeout=20, http_client=http)


async def secure(start: StartProxy, routes: str, files: Files, client_ca: str | None = None) -> Proxy:
    return await start(routes, listeners=listening(tls=ListenerTls(str(files.cert), str(files.key), client_ca)))


# --- in front ---------------------------------------------------------------------------------------------------------


async def test_a_client_is_served_over_tls_whole_and_streamed(
    proxy: StartProxy, qwen: RunningEngine, files: Files, authority: trustme.CA
) -> None:
    front = await secure(proxy, one_route(qwen.url), files)
    async with client_of(front, client_side(authority)) as client:
        answer = await client.chat.completions.create(model="qwen", messages=MESSAGES)
        assert answer.choices[0].message.content
        tokens = 0
        async for chunk in await client.chat.completions.create(model="qwen", messages=MESSAGES, stream=True):
            tokens += bool(chunk.choices[0].delta.content)
    assert tokens == 8
    headers = dict(qwen.engine.journal.entries[-1].headers)
    assert headers["X-Forwarded-Proto"] == "https"


async def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(
    proxy: StartProxy, qwen: RunningEngine, files: Files, authority: trustme.CA, tmp_path: Path
) -> None:
    clients = trustme.CA()
    ca = tmp_path / "clients.pem"
    clients.cert_pem.write_to_path(str(ca))
    front = await secure(proxy, one_route(qwen.url), files, str(ca))
    async with client_of(front, client_side(authority, clients.issue_cert("client"))) as client:
        assert (await client.chat.completions.create(model="qwen", messages=MESSAGES)).choices
    for stranger in (None, trustme.CA().issue_cert("client")):
        async with client_of(front, client_side(authority, stranger)) as client:
            with pytest.raises(openai.APIConnectionError):
                await client.chat.completions.create(model="qwen", messages=MESSAGES)
    assert qwen.engine.journal.counters.received == 1


async def test_old_versions_of_tls_are_refused(
    proxy: StartProxy, qwen: RunningEngine, files: Files, authority: trustme.CA
) -> None:
    front = await secure(proxy, one_route(qwen.url), files)
    context = client_side(authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with raw_client(front.port, context) as client:
        assert (await client.ask(get("/ready"), "GET")).status == 200
    context = client_side(authority)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        async with raw_client(front.port, context):
            pass


async def test_a_client_of_plain_http_is_turned_away(proxy: StartProxy, qwen: RunningEngine, files: Files) -> None:
    front = await secure(proxy, one_route(qwen.url), files)
    async with raw_client(front.port) as client:
        client.post(chat())
        assert b"HTTP/1.1 200" not in await client.rest()
    assert qwen.engine.journal.counters.received == 0


async def serial(port: int, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a new connection is shown."""
    async with raw_client(port, context) as client:
        told = client.writer.get_extra_info("peercert")["serialNumber"]
        assert (await client.ask(get("/ready"), "GET")).status == 200
        return int(told, 16)


async def test_a_renewed_certificate_is_shown_and_open_connections_stay(
    proxy: StartProxy, engine: StartEngine, files: Files, authority: trustme.CA
) -> None:
    slow = await engine(time_per_token=0.05, tokens=10)
    front = await secure(proxy, one_route(slow.url), files)
    context = client_side(authority)
    before = await serial(front.port, context)
    async with raw_client(front.port, context) as client:
        client.post(chat(stream=True))
        await client.head()
        await client.chunk()
        files.write(authority.issue_cert("localhost", "127.0.0.1"))
        assert await front.app.reload_secrets() == []
        after = await serial(front.port, context)
        assert after != before
        rest = b""
        while piece := await client.chunk():
            rest += piece
        assert rest.endswith(b"data: [DONE]\n\n")
        assert (await client.ask(get("/ready"), "GET")).status == 200
    files.cert.write_text("half a certif")
    failures = await front.app.reload_secrets()
    assert len(failures) == 1
    assert str(files.cert) in failures[0]
    assert await serial(front.port, context) == after


async def test_a_renewed_certificate_is_noticed_on_disk(
    serve: StartServing, qwen: RunningEngine, files: Files, authority: trustme.CA
) -> None:
    port = free_port()
    tls = f"tls: {{cert: {files.cert}, key: {files.key}}}"
    running = await serve(one_route(qwen.url), listeners=(f"{{address: 127.0.0.1:{port}, {tls}}}",))
    context = client_side(authority)
    before = await serial(port, context)
    files.write(authority.issue_cert("localhost", "127.0.0.1"))

    async def renewed() -> bool:
        return await serial(port, context) != before

    await until_told(renewed)
    assert running.process.returncode is None


async def test_a_slow_reader_over_tls_stalls_its_engine(proxy: StartProxy, files: Files, authority: trustme.CA) -> None:
    flood = Flood(64 * 1024 * 1024)
    async with raw_engine(flood) as engine:
        front = await secure(proxy, one_route(engine.url), files)
        async with raw_client(front.port, client_side(authority)) as client:
            client.post(chat(stream=True))
            await client.head()
            await standstill(flood)
            assert flood.sent < 48 * 1024 * 1024
            assert await read_all(client) == 64 * 1024 * 1024


async def test_a_client_that_leaves_over_tls_ends_its_request_at_once(
    proxy: StartProxy, files: Files, authority: trustme.CA
) -> None:
    left = asyncio.Event()

    async def think(connection: RawConnection) -> None:
        await connection.request()
        await connection.gone()
        left.set()

    async with raw_engine(think) as engine:
        front = await secure(proxy, one_route(engine.url), files)
        async with raw_client(front.port, client_side(authority)) as client:
            client.post(chat())
            await until(lambda: engine.requests)
        await until(left.is_set, 0.1)
        await until(lambda: not front.in_flight)


async def test_a_client_over_tls_can_read_why_it_was_refused(
    proxy: StartProxy, qwen: RunningEngine, files: Files, authority: trustme.CA
) -> None:
    front = await secure(proxy, one_route(qwen.url), files)
    async with raw_client(front.port, client_side(authority)) as client:
        assert (await client.ask(b"GET /x HTTP/1.1\r\n\r\n")).status == 400
        assert await client.rest() == b""


# --- behind -----------------------------------------------------------------------------------------------------------


def trusted(folder: Path, authority: trustme.CA) -> str:
    ca = folder / "engines.pem"
    authority.cert_pem.write_to_path(str(ca))
    return f"ca: '{ca}'"


async def status_of(front: Proxy) -> int:
    async with raw_client(front.port) as client:
        return (await client.ask(post(chat()))).status


async def test_an_engine_behind_tls_is_reached_and_checked(
    proxy: StartProxy, engine: StartEngine, authority: trustme.CA, tmp_path: Path
) -> None:
    known = await engine(tls=server_side(authority.issue_cert("127.0.0.1")))
    front = await proxy(one_route(known.url, server=f"tls: {{{trusted(tmp_path, authority)}}}"))
    assert await status_of(front) == 200
    assert await status_of(front) == 200
    assert front.endpoint(known.url).idle_connections == 1
    unknown = await proxy(one_route(known.url))
    assert await status_of(unknown) == 502
    trusting = await proxy(one_route(known.url, server="tls: {verify: false}"))
    assert await status_of(trusting) == 200
    assert known.engine.journal.counters.executed == 3


async def test_an_engine_with_a_certificate_for_another_name_is_refused(
    proxy: StartProxy, engine: StartEngine, authority: trustme.CA, tmp_path: Path
) -> None:
    other = await engine(tls=server_side(authority.issue_cert("engine.internal")))
    ca = trusted(tmp_path, authority)
    front = await proxy(one_route(other.url, server=f"tls: {{{ca}}}"))
    assert await status_of(front) == 502
    assert other.engine.journal.counters.received == 0
    named = await proxy(one_route(other.url, server=f"tls: {{{ca}, server_name: engine.internal}}"))
    assert await status_of(named) == 200


async def test_an_engine_that_asks_for_a_certificate_is_shown_one(
    proxy: StartProxy, engine: StartEngine, authority: trustme.CA, tmp_path: Path
) -> None:
    clients = trustme.CA()
    strict = await engine(tls=server_side(authority.issue_cert("127.0.0.1"), clients))
    ca = trusted(tmp_path, authority)
    shown = Files(tmp_path, "client")
    shown.write(clients.issue_cert("penstock"))
    front = await proxy(one_route(strict.url, server=f"tls: {{{ca}, cert: '{shown.cert}', key: '{shown.key}'}}"))
    assert await status_of(front) == 200
    bare = await proxy(one_route(strict.url, server=f"tls: {{{ca}}}"))
    assert await status_of(bare) == 502
    assert strict.engine.journal.counters.executed == 1


async def test_an_engine_that_speaks_no_tls_is_a_502(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url.replace("http:", "https:")))
    assert await status_of(front) == 502
    assert qwen.engine.journal.counters.received == 0
