"""Ports that model servers have of their own: who is served there, under which certificate, and until when."""

import asyncio
import json
import os
import signal
import socket
import ssl
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.runtime.service_plan import ServicePort, plan_services
from proxy.simulator.running import RunningEngine
from tests.documents import NEEDED, curls, yaml_of
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.patience import until, until_told
from tests.end_to_end.proxies import StartProxy, config_of
from tests.end_to_end.raw_client import Answer, chat, get, post, raw_client
from tests.end_to_end.serving import Serving, StartServing, free_port


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def free_ports(count: int) -> list[int]:
    """Several ports that are free, no two the same."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


class Secrets:
    """A folder of secrets as Kubernetes mounts them: files are links through `..data`, which is swapped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._generation = 0

    def put(self, name: str, leaf: trustme.LeafCert) -> None:
        """Put a pair in place of the one that is there, if one is, in one step."""
        mount = self.folder / name
        self._generation += 1
        generation = mount / f"..{self._generation}"
        generation.mkdir(parents=True)
        (generation / "tls.key").write_bytes(leaf.private_key_pem.bytes())
        (generation / "tls.crt").write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        (mount / "..data_tmp").symlink_to(generation.name)
        (mount / "..data_tmp").rename(mount / "..data")
        for file in ("tls.crt", "tls.key"):
            with suppress(FileExistsError):
                (mount / file).symlink_to(f"..data/{file}")


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path / "secrets")


def model_server(name: str, port: int, path: str = "/*", secret: str | None = None, namespace: str = "default") -> str:
    """A document of a ModelServer whose workload has its name."""
    tls = f", tls: {{enabled: true, secretName: {secret}}}" if secret else ""
    return (
        "apiVersion: networking.matrixinfer.ai/v1alpha1\nkind: ModelServer\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{modelInferRef: {{name: {name}}}, service: {{port: {port}}}, routing: {{path: '{path}'}}{tls}}}\n"
    )


def routes_of(*documents: str, **engines: str) -> str:
    """A file of these documents, with the engine of each workload."""
    entries = [{"url": url, "workload": name} for name, url in engines.items()]
    return "---\n".join((*documents, json.dumps({"endpoints": entries}) + "\n"))


def plan(routes: str) -> tuple[ServicePort, ...]:
    return plan_services(config_of(routes))


def client_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.check_hostname = False
    return context


async def ask(port: int, data: bytes, tls: ssl.SSLContext | None = None, method: str = "POST") -> Answer:
    async with raw_client(port, tls) as client:
        return await client.ask(data, method)


async def names(port: int, context: ssl.SSLContext, asked: str) -> set[str]:
    """The names in the certificate that a client is shown that asks for this one."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=asked)
    try:
        return {value for _, value in writer.get_extra_info("peercert")["subjectAltName"]}
    finally:
        writer.transport.abort()


async def serial(port: int, context: ssl.SSLContext) -> str:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="localhost")
    try:
        return str(writer.get_extra_info("peercert")["serialNumber"])
    finally:
        writer.transport.abort()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def states(front: Serving) -> dict[tuple[int, str], str]:
    """How each server stands at its port."""
    services: Sequence[dict[str, Any]] = (await front.status())["services"]
    return {(status["port"], name): status["state"] for status in services for name in status["servers"]}


# --- who is served there ----------------------------------------------------------------------------------------------


async def naming(connection: RawConnection) -> None:
    """An engine that answers with the address that it was asked at."""
    while await connection.request():
        await connection.answer(connection.engine.url.encode())


async def test_a_port_serves_its_own_servers_by_their_paths_the_most_specific_first(proxy: StartProxy) -> None:
    one, two = free_ports(2)
    async with raw_engine(naming) as small, raw_engine(naming) as large, raw_engine(naming) as other:
        routes = routes_of(
            model_server("small", one, "/v1/models*"),
            model_server("large", one, "/v1/models/large"),
            model_server("other", two, "/v1/other"),
            small=small.url,
            large=large.url,
            other=other.url,
        )
        front = await proxy(routes)
        assert await front.app.set_services(plan(routes)) == []
        for port, path, expected in (
            (one, "/v1/models/small", small.url),
            (one, "/v1/models/large/infer", large.url),
            (two, "/v1/other", other.url),
            (front.port, "/v1/other", other.url),
        ):
            assert (await ask(port, post(b"{}", path))).body.decode() == expected
        for port, path in ((one, "/v1/other"), (two, "/v1/models/small"), (one, "/v1/otherwise")):
            answer = await ask(port, post(b"{}", path))
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (404, "no_route")


async def test_the_models_of_other_routes_are_not_reached_through_a_port(
    proxy: StartProxy, qwen: RunningEngine
) -> None:
    port = free_port()
    native = f"servers: {{chat: {{endpoints: ['{qwen.url}']}}}}\n"
    native += "routes: [{name: chat, models: [qwen], rules: [{name: all, targets: [chat]}]}]\n"
    routes = f"{native}---\n" + routes_of(model_server("a", port, "/a"), a=qwen.url)
    front = await proxy(routes)
    await front.app.set_services(plan(routes))
    assert (await ask(front.port, post(chat()))).status == 200
    assert (await ask(port, post(chat()))).status == 404
    assert (await ask(port, get("/v1/models"), method="GET")).status == 404


async def test_health_and_readiness_are_told_at_the_port(proxy: StartProxy, qwen: RunningEngine) -> None:
    empty, served = free_ports(2)
    routes = routes_of(model_server("empty", empty), model_server("a", served), a=qwen.url)
    front = await proxy(routes)
    await front.app.set_services(plan(routes))
    for port, ready in ((empty, 503), (served, 200)):
        assert (await ask(port, get("/health"), method="GET")).status == 200
        assert (await ask(port, get("/ready"), method="GET")).status == ready
    front.app._server.draining = True
    assert (await ask(served, get("/ready"), method="GET")).status == 503


async def test_a_path_that_a_server_names_itself_is_its_own(proxy: StartProxy) -> None:
    port = free_port()
    async with raw_engine(naming) as engine:
        routes = routes_of(model_server("a", port, "/health"), a=engine.url)
        front = await proxy(routes)
        await front.app.set_services(plan(routes))
        assert (await ask(port, get("/health"), method="GET")).body.decode() == engine.url
        assert (await ask(port, get("/ready"), method="GET")).body == b'{"status":"ok"}'


async def test_metrics_that_cannot_be_had_are_no_reason_to_hang(proxy: StartProxy, qwen: RunningEngine) -> None:
    port = free_port()
    routes = routes_of(model_server("a", port), a=qwen.url)
    front = await proxy(routes)
    await front.app.set_services(plan(routes))
    assert (await ask(port, get("/metrics"), method="GET")).status == 503


# --- certificates -----------------------------------------------------------------------------------------------------


async def test_two_servers_share_a_port_with_a_certificate_each(
    proxy: StartProxy, qwen: RunningEngine, secrets: Secrets, authority: trustme.CA
) -> None:
    port = free_port()
    secrets.put("default/a", authority.issue_cert("a.test"))
    secrets.put("default/b", authority.issue_cert("*.b.test"))
    routes = routes_of(model_server("a", port, "/a", "a"), model_server("b", port, "/b", "b"), a=qwen.url, b=qwen.url)
    front = await proxy(routes, secrets=str(secrets.folder))
    assert await front.app.set_services(plan(routes)) == []
    context = client_side(authority)
    assert await names(port, context, "a.test") == {"a.test"}
    assert await names(port, context, "x.b.test") == {"*.b.test"}
    assert await names(port, context, "unknown.test") == {"a.test"}
    assert (await ask(port, get("/health"), context, "GET")).status == 200


async def test_a_port_with_a_secret_is_never_served_in_the_clear(
    proxy: StartProxy, qwen: RunningEngine, secrets: Secrets, authority: trustme.CA
) -> None:
    missing, secure = free_ports(2)
    secrets.put("default/b", authority.issue_cert("b.test"))
    routes = routes_of(
        model_server("a", missing, "/a", "a"), model_server("b", secure, "/b", "b"), a=qwen.url, b=qwen.url
    )
    front = await proxy(routes, secrets=str(secrets.folder))
    failures = await front.app.set_services(plan(routes))
    assert [(failure.port, failure.secret) for failure in failures] == [(missing, "default/a"), (missing, None)]
    assert not listens(missing)
    async with raw_client(secure) as client:
        client.send(get("/health"))
        assert b"200 OK" not in await client.rest()
    assert (await ask(secure, get("/health"), client_side(authority), "GET")).status == 200


async def test_a_port_that_turns_to_tls_is_no_longer_served_in_the_clear(
    proxy: StartProxy, qwen: RunningEngine, secrets: Secrets, authority: trustme.CA
) -> None:
    port = free_port()
    secrets.put("default/a", authority.issue_cert("localhost"))
    before = routes_of(model_server("a", port), a=qwen.url)
    after = routes_of(model_server("a", port, secret="a"), a=qwen.url)
    front = await proxy(before, secrets=str(secrets.folder))
    await front.app.set_services(plan(before))
    async with raw_client(port) as client:
        assert (await client.ask(get("/health"), "GET")).status == 200
        await front.apply(after)
        assert await front.app.set_services(plan(after)) == []
        assert await client.rest() == b""
    assert (await ask(port, get("/health"), client_side(authority), "GET")).status == 200


async def test_a_rotated_secret_is_shown_by_all_workers_and_a_running_stream_ends_whole(
    serve: StartServing, engine: StartEngine, secrets: Secrets, authority: trustme.CA
) -> None:
    port = free_port()
    slow = await engine(time_per_token=0.1, tokens=20)
    secrets.put("default/web", authority.issue_cert("localhost"))
    routes = routes_of(model_server("a", port, "/v1*", "web"), a=slow.url)
    await serve(routes, f"workers: 2\nsecrets: {secrets.folder}\n")
    context = client_side(authority)
    before = await serial(port, context)
    async with raw_client(port, context) as client:
        client.send(post(chat(stream=True)))
        await client.head()
        secrets.put("default/web", authority.issue_cert("localhost"))

        async def rotated() -> bool:
            return before not in {await serial(port, context) for _ in range(16)}

        await until_told(rotated)
        rest = b""
        while piece := await client.chunk():
            rest += piece
        assert rest.endswith(b"data: [DONE]\n\n")
        assert (await client.ask(get("/health"), "GET")).status == 200


# --- what becomes of ports --------------------------------------------------------------------------------------------


async def test_a_port_that_closes_lets_requests_end_and_then_closes_its_connections(
    proxy: StartProxy, engine: StartEngine
) -> None:
    port = free_port()
    slow = await engine(time_per_token=0.03, tokens=10)
    routes = routes_of(model_server("a", port, "/v1*"), a=slow.url)
    front = await proxy(routes)
    await front.app.set_services(plan(routes))
    async with raw_client(port) as busy, raw_client(port) as idle:
        assert (await idle.ask(get("/health"), "GET")).status == 200
        busy.send(post(chat(stream=True)))
        await busy.head()
        await front.apply("servers: {}")
        await front.app.set_services(())
        assert await idle.rest() == b""
        assert not listens(port)
        rest = b""
        while piece := await busy.chunk():
            rest += piece
        assert rest.endswith(b"data: [DONE]\n\n")
        assert await busy.rest() == b""


async def test_two_workers_open_a_port_and_close_it_as_the_files_say(serve: StartServing, qwen: RunningEngine) -> None:
    first, second = free_ports(2)
    front = await serve(routes_of(model_server("a", first, "/a"), a=qwen.url), "workers: 2\n")
    assert await states(front) == {(first, "default/a"): "listening"}
    front.file.write_text(
        routes_of(model_server("a", first, "/a"), model_server("b", second, "/b"), a=qwen.url, b=qwen.url)
    )
    await until_told(lambda: answers(second))
    front.file.write_text(routes_of(model_server("b", second, "/b"), b=qwen.url))
    await until(lambda: not listens(first), 10)
    assert await answers(second)
    assert await states(front) == {(second, "default/b"): "listening"}


async def answers(port: int) -> bool:
    with suppress(ConnectionError):
        return (await ask(port, get("/health"), method="GET")).status == 200
    return False


async def test_a_worker_that_is_replaced_opens_the_ports_too(serve: StartServing, qwen: RunningEngine) -> None:
    port = free_port()
    front = await serve(routes_of(model_server("a", port), a=qwen.url), "workers: 1\n")
    (worker,) = (await front.status())["workers"]
    os.kill(worker["pid"], signal.SIGKILL)

    async def replaced() -> bool:
        workers = (await front.status())["workers"]
        return [found["pid"] for found in workers] not in ([worker["pid"]], [])

    await until_told(replaced)
    await until_told(lambda: answers(port))


async def test_an_occupied_port_is_told_and_opened_when_it_is_free(serve: StartServing, qwen: RunningEngine) -> None:
    free = free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        occupied = other.getsockname()[1]
        routes = routes_of(model_server("a", occupied, "/v1*"), model_server("b", free, "/b"), a=qwen.url, b=qwen.url)
        front = await serve(routes, "workers: 2\n")
        assert await states(front) == {(occupied, "default/a"): "failed", (free, "default/b"): "listening"}
        assert (
            f"port {occupied} of default/a: failed: cannot listen on 127.0.0.1:{occupied}: Address already"
            in front.text
        )
        assert await answers(free)
        assert (await ask(front.port, post(chat()))).status == 200
    front.file.write_text(f"# touched\n{routes}")
    await until_told(lambda: answers(occupied))
    assert set((await states(front)).values()) == {"listening"}


async def test_a_reload_tries_again_what_could_not_be_opened_also_when_no_file_has_changed(
    serve: StartServing, qwen: RunningEngine
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        front = await serve(routes_of(model_server("a", port), a=qwen.url))
        assert await states(front) == {(port, "default/a"): "failed"}
    assert json.loads(await front.ask_admin("/reload", "POST"))["outcome"] == "unchanged"
    assert await answers(port)


async def test_what_a_port_has_served_is_still_counted_after_a_reload(proxy: StartProxy, qwen: RunningEngine) -> None:
    port = free_port()
    server = f"chat: {{endpoints: ['{qwen.url}'], listener: {{port: {port}}}}}"
    routes = f"servers: {{{server}}}\nroutes: [{{name: x, models: [x], rules: [{{name: all, targets: [chat]}}]}}]\n"
    front = await proxy(routes)
    await front.app.set_services(plan(routes))
    assert (await ask(port, post(chat()))).status == 200
    await front.apply(routes)
    assert [series.route for series in front.app.report().metrics.requests] == ["server/chat"]


async def test_a_secret_that_is_missing_at_the_start_is_taken_up_when_it_comes(
    serve: StartServing, qwen: RunningEngine, secrets: Secrets, authority: trustme.CA
) -> None:
    secure, plain = free_ports(2)
    routes = routes_of(model_server("a", secure, secret="web"), model_server("b", plain, "/b"), a=qwen.url, b=qwen.url)
    front = await serve(routes, f"workers: 2\nsecrets: {secrets.folder}\n")
    assert await states(front) == {(secure, "default/a"): "failed", (plain, "default/b"): "listening"}
    assert "default/web/tls.crt" in front.text
    secrets.put("default/web", authority.issue_cert("localhost"))

    async def served() -> bool:
        return (await states(front))[secure, "default/a"] == "listening"

    await until_told(served)
    assert (await ask(secure, get("/health"), client_side(authority), "GET")).status == 200


async def test_the_proxys_own_port_is_not_opened_for_a_server(serve: StartServing, qwen: RunningEngine) -> None:
    front = await serve(routes_of(model_server("a", 1), a=qwen.url))
    front.file.write_text(routes_of(model_server("a", front.admin), a=qwen.url))

    async def told() -> bool:
        return (front.admin, "default/a") in await states(front)

    await until_told(told)
    (status,) = (await front.status())["services"]
    assert (status["state"], status["message"]) == ("failed", f"port {front.admin} is that of the admin listener")
    assert (await ask(front.port, get("/health"), method="GET")).status == 200


async def test_the_metrics_of_the_whole_proxy_are_told_at_the_port(serve: StartServing, qwen: RunningEngine) -> None:
    port = free_port()
    front = await serve(routes_of(model_server("a", port, "/v1*"), a=qwen.url), "workers: 2\n")
    for _ in range(4):
        assert (await ask(port, post(chat()))).status == 200
    answer = await ask(port, get("/metrics"), method="GET")
    assert (answer.status, answer.field("Content-Type")) == (200, "text/plain; version=1.0.0; charset=utf-8")
    counted = b'penstock_requests_total{route="server/default/a",server="default/a",status="200"} 4.0'
    assert counted in answer.body.splitlines()
    assert (await ask(front.port, get("/metrics"), method="GET")).status == 404


async def test_all_ports_stop_to_accept_at_a_drain_and_running_streams_end_whole(
    serve: StartServing, engine: StartEngine
) -> None:
    port = free_port()
    slow = await engine(time_per_token=0.1, tokens=20)
    front = await serve(routes_of(model_server("a", port, "/v1*"), a=slow.url), "workers: 2\ndrain_notice: 0s\n")
    async with raw_client(port) as client:
        client.send(post(chat(stream=True)))
        await client.head()
        front.signal(signal.SIGTERM)
        await until(lambda: not listens(port))
        rest = b""
        while piece := await client.chunk():
            rest += piece
        assert rest.endswith(b"data: [DONE]\n\n")
    assert await front.ended() == 0


# --- the document -----------------------------------------------------------------------------------------------------


@NEEDED
async def test_the_servers_of_the_document_are_reached_at_their_ports(
    serve: StartServing, qwen: RunningEngine, secrets: Secrets, authority: trustme.CA
) -> None:
    async with raw_engine(naming) as engine:
        plain, secure = free_ports(2)
        secrets.put("production/model-server-tls", authority.issue_cert("localhost"))
        workloads = {
            "llama-7b-infer": "default",
            "production-model-infer": "production",
            "sensitive-model-infer": "ml-models",
            "multi-model-infer": "default",
        }
        entries = [{"url": engine.url, "workload": name, "namespace": space} for name, space in workloads.items()]
        document = yaml_of("002").replace(" port: 8080", f" port: {plain}").replace(" port: 443", f" port: {secure}")
        routes = f"{document}\n---\n{json.dumps({'endpoints': entries})}\n"
        front = await serve(routes, f"workers: 2\nsecrets: {secrets.folder}\n")
        assert await states(front) == {
            (plain, "default/llama-server"): "listening",
            (plain, "default/multi-port-server"): "listening",
            (plain, "ml-models/secure-model-server"): "listening",
            (secure, "production/public-model-server"): "listening",
        }
        first, production, *local = curls("002")
        assert (await ask(plain, first.on_the_wire())).body.decode() == engine.url
        assert (await ask(plain, post(b"{}", "/v1/models/multi/infer"))).body.decode() == engine.url
        context = client_side(authority)
        assert (await ask(secure, production.on_the_wire(), context)).body.decode() == engine.url
        assert (await ask(secure, first.on_the_wire(), context)).status == 404
        assert (await ask(plain, post(b"{}", "/v1/models/secure/infer"))).status in {401, 501}
        assert [curl.target for curl in local] == ["/health", "/ready", "/metrics"]
        for command in local:
            assert (await ask(plain, command.on_the_wire(), method="GET")).status == 200
