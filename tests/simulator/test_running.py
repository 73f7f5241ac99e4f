import asyncio
import ssl
import time

import aiohttp
import pytest
import trustme

from proxy.simulator.options import EngineOptions
from proxy.simulator.running import serve_engine
from tests.simulator.conftest import Start, until


async def test_an_engine_gets_a_free_port_and_gives_it_back() -> None:
    async with serve_engine(EngineOptions(model="qwen")) as running:
        assert running.url == f"http://127.0.0.1:{running.port}"
        assert running.engine.port == running.port
    async with serve_engine(EngineOptions(model="qwen", port=running.port)) as again:
        assert again.port == running.port


async def test_a_port_that_is_taken_is_an_error(start: Start) -> None:
    running = await start()
    with pytest.raises(OSError, match="in use"):
        await start(port=running.port)


async def test_an_engine_stops_even_while_a_request_stalls(client: aiohttp.ClientSession) -> None:
    async with serve_engine(EngineOptions(model="qwen")) as running:
        headers = {"x-sim-fault": "stall"}
        asking = asyncio.create_task(client.get(f"{running.url}/v1/models", headers=headers).__aenter__())
        await until(lambda: running.engine.journal.counters.in_flight)
        before = time.monotonic()
    assert time.monotonic() - before < 2
    with pytest.raises(aiohttp.ClientError):
        await asking


async def test_an_idle_connection_is_closed_after_its_time(start: Start) -> None:
    running = await start(keepalive=0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    async with asyncio.timeout(2):
        assert await reader.read() == b""
    writer.close()


async def test_time_can_be_handed_in(client: aiohttp.ClientSession) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    options = EngineOptions(model="qwen", time_to_first_token=100.0, time_per_token=10.0, tokens=3)
    async with (
        serve_engine(options, sleep=sleep, clock=lambda: 1234.5) as running,
        client.post(f"{running.url}/v1/completions", json={"prompt": "a"}) as response,
    ):
        assert (await response.json())["created"] == 1234
    assert slept == [100.0, 10.0, 10.0]


async def test_an_engine_can_speak_tls(client: aiohttp.ClientSession) -> None:
    authority = trustme.CA()
    server, trusting = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusting)
    async with serve_engine(EngineOptions(model="qwen"), tls=server) as running:
        assert running.url.startswith("https://")
        async with client.get(f"{running.url}/health", ssl=trusting) as response:
            assert response.status == 200
