"""What operators see: metrics, status, logs; and what nobody may see."""

import signal

import aiohttp
import orjson
import pytest

from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import StartEngine
from tests.end_to_end.patience import until
from tests.end_to_end.proxies import one_route
from tests.end_to_end.raw_client import chat, get, post, raw_client
from tests.end_to_end.scrape import Scrape
from tests.end_to_end.serving import Serving, StartServing

pytestmark = pytest.mark.timeout(60)
SECRETS = (
    "sk-caller-7f3a",
    "cookie-55aa",
    "s3cr3t-variable",
    "prompt-that-is-private",
    "query-token-99",
    "basic-dXNlcjpwYXNz",
)


async def test_the_metrics_count_the_requests_that_were_made(serve: StartServing, qwen: RunningEngine) -> None:
    running = await serve(one_route(qwen.url, server="retries: {attempts: 1, backoff: 0s}"))
    async with raw_client(running.port) as client:
        for _ in range(7):
            assert (await client.ask(post(chat()))).status == 200
        for _ in range(2):
            assert (await client.ask(post(chat(stream=True)))).status == 200
        qwen.engine.faults.arm("status=503", 1)
        assert (await client.ask(post(chat()))).status == 200
        assert (await client.ask(post(chat(messages=1)))).status == 400
        assert (await client.ask(get("/v1/models"), "GET")).status == 200
    async with raw_client(running.port) as client:
        assert (await client.ask(b"GET / HTTP/1.1\r\n\r\n")).status == 400
    async with raw_client(running.port) as client:
        qwen.engine.faults.arm("stall", 1)
        client.post(chat())
        await until(lambda: qwen.engine.journal.counters.in_flight)
    await until(lambda: not qwen.engine.journal.counters.in_flight)
    scrape = Scrape(await running.ask_admin("/metrics"))
    assert scrape.value("penstock_requests_total", route="chat", server="engine", status="200") == 10
    assert scrape.value("penstock_requests_total", route="chat", status="400") == 1
    assert scrape.value("penstock_requests_total", route="chat", status="499") == 1
    assert scrape.value("penstock_requests_total", route="", status="400") == 1
    assert scrape.value("penstock_attempt_failures_total", server="engine", endpoint=qwen.url, reason="503") == 1
    assert scrape.value("penstock_retries_total", server="engine") == 1
    assert scrape.value("penstock_request_failures_total", reason="client_gone") == 1
    assert scrape.value("penstock_request_duration_seconds_count", route="chat") == 12
    assert scrape.value("penstock_request_bytes_total", route="chat") > 12 * len(chat()) - 30
    assert scrape.value("penstock_endpoint_in_flight") == 0
    assert scrape.value("penstock_in_flight") == 0
    assert qwen.engine.journal.counters.received == 13


async def test_the_status_shows_what_is_configured_and_what_goes_on(serve: StartServing, engine: StartEngine) -> None:
    slow = await engine(time_to_first_token=30.0)
    running = await serve(one_route(slow.url, server="engine: vllm"), "workers: 2\n")
    async with raw_client(running.port) as client:
        client.post(chat())
        await until(lambda: slow.engine.journal.counters.in_flight)
        status = await running.status()
    assert status["ready"] is True
    assert status["listeners"] == [running.url]
    assert sorted(status["config"]) == ["last_reload_successful", "loaded_at", "problems", "reloads", "version"]
    assert [worker["worker"] for worker in status["workers"]] == [0, 1]
    assert sum(worker["in_flight"] for worker in status["workers"]) == 1
    (server,) = status["servers"]
    assert (server["name"], server["engine"], server["in_flight"]) == ("engine", "vllm", 1)
    assert server["origin"] == f"{running.file}:2"
    (endpoint,) = server["endpoints"]
    assert (endpoint["address"], endpoint["state"], endpoint["in_flight"]) == (slow.url, "available", 1)
    assert [route["name"] for route in status["routes"]] == ["chat", "rest"]
    assert (await running.status())["workers"]


@pytest.mark.parametrize("form", ["text", "json"])
async def test_secrets_and_prompts_are_told_to_nobody(serve: StartServing, qwen: RunningEngine, form: str) -> None:
    routes = one_route(qwen.url) + (
        "  - name: hidden\n    models: [hidden]\n    priority: 5\n"
        "    rules: [{match: {headers: {x-key: '${PLANTED}'}, query: {k: '${PLANTED}'}}, targets: [engine]}]\n"
    )
    running = await serve(routes, f"log: {{level: debug, format: {form}}}\n", PLANTED="s3cr3t-variable")
    fields = {
        "Authorization": "Bearer sk-caller-7f3a",
        "x-api-key": "sk-caller-7f3a",
        "Cookie": "cookie-55aa",
        "Proxy-Authorization": "basic-dXNlcjpwYXNz",
    }
    private = chat(messages=[{"role": "user", "content": "prompt-that-is-private"}])
    told = b""
    for path, body, fault in [
        ("/v1/chat/completions", private, ""),
        ("/v1/chat/completions", private, "reset"),
        ("/v1/chat/completions", private, "status=500"),
        ("/v1/chat/completions", private.replace(b"qwen", b"hidden"), ""),
        ("/v1/chat/completions", private[:-5], ""),
        ("/v1/messages?api_key=query-token-99", private, "garbage"),
    ]:
        async with raw_client(running.port) as client:
            if fault:
                qwen.engine.faults.arm(fault, None)
            answer = await client.ask(post(body, path, **fields))
            told += answer.head + answer.body
            qwen.engine.faults.clear()
    async with raw_client(running.port) as client:
        told += (await client.ask(get("/x", Host="sk-caller-7f3a /", **fields), "GET")).body
    running.file.write_text(routes.replace("targets: [engine]", "tragets: ['${PLANTED}']"))
    told += await running.ask_admin("/reload", "POST")
    running.file.write_text(routes.replace("priority: 5", "priority: ${PLANTED}"))
    told += await running.ask_admin("/reload", "POST")
    for path in ("/status", "/metrics"):
        told += await running.ask_admin(path)
    running.signal(signal.SIGTERM)
    running.signal(signal.SIGTERM)
    await running.ended()
    everything = told.decode("latin-1") + running.text
    assert "POST /v1/chat/completions" in running.text or '"method":"POST"' in running.text
    assert [secret for secret in SECRETS if secret in everything] == []


async def test_every_request_has_one_line_in_the_access_log(serve: StartServing, qwen: RunningEngine) -> None:
    running = await serve(one_route(qwen.url), "log: {format: json, path: access.log}\n")
    async with raw_client(running.port) as client:
        for _ in range(3):
            await client.ask(post(chat()))
        answer = await client.ask(post(chat("qwen")))
        qwen.engine.faults.arm("stall", 1)
        client.post(chat())
        await until(lambda: qwen.engine.journal.counters.in_flight)
    await until(lambda: not qwen.engine.journal.counters.in_flight)
    log = running.folder / "access.log"

    def lines() -> list[dict[str, object]]:
        found = [orjson.loads(line) for line in log.read_text().splitlines()]
        return [line for line in found if line["method"] == "POST"]

    await until(lambda: len(lines()) == 5)
    assert [line["status"] for line in lines()] == [200, 200, 200, 200, 499]
    assert lines()[3]["request_id"] == answer.field("x-request-id")


async def test_a_web_page_cannot_make_a_browser_use_the_admin_listener(
    serve: StartServing, qwen: RunningEngine
) -> None:
    running: Serving = await serve(one_route(qwen.url))
    async with aiohttp.ClientSession() as client:
        url = f"http://127.0.0.1:{running.admin}"
        async with client.get(f"{url}/status", headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
        async with client.post(f"{url}/reload", headers={"Origin": "http://evil.example"}) as answer:
            assert answer.status == 403
    async with raw_client(running.port) as front:
        assert b"penstock" not in (await front.ask(get("/status"), "GET")).body
