import asyncio
import hashlib
from typing import Any

import aiohttp
import pytest

from proxy.simulator.options import Software
from tests.simulator.conftest import Start, until

COMPLETION: dict[str, Any] = {"prompt": "hello"}


async def test_an_echo_tells_what_was_received_to_the_byte(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start(name="one")
    body = b'{"a": 1.0, \xff}'
    headers = {"x-sim-echo": "1", "X-Odd": "a,b"}
    url = aiohttp.client.URL(f"{running.url}/any/%2Fpath?q=%20&q", encoded=True)
    async with client.request("PURGE", url, data=body, headers=headers) as response:
        echo = await response.json()
        assert response.headers["x-sim-engine"] == "one"
    assert (echo["method"], echo["path"]) == ("PURGE", "/any/%2Fpath?q=%20&q")
    assert ["X-Odd", "a,b"] in echo["headers"]
    assert (echo["body_length"], echo["body_sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


async def test_the_journal_keeps_what_came_and_how_it_ended(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start(name="one")
    async with client.post(f"{running.url}/v1/completions?a=b", json=COMPLETION, headers={"X-A": "1"}):
        pass
    async with client.post(f"{running.url}/v1/completions", data=b"{"):
        pass
    async with client.get(f"{running.url}/sim/requests") as response:
        told = await response.json()
    good, bad = told["requests"]
    assert (good["method"], good["path"], good["query"], good["body"]) == (
        "POST",
        "/v1/completions",
        "a=b",
        '{"prompt": "hello"}',
    )
    assert ["X-A", "1"] in good["headers"]
    assert (good["status"], good["executed"], good["aborted"]) == (200, True, False)
    assert (bad["status"], bad["executed"]) == (400, False)
    assert good["started"] <= good["finished"]
    assert told["counters"] == {
        "received": 2,
        "executed": 1,
        "completed": 1,
        "aborted": 0,
        "refused": 1,
        "faulted": 0,
        "in_flight": 0,
        "probes": 0,
    }


async def test_probes_are_counted_apart(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    for path in ("/health", "/metrics", "/version", "/v1/models"):
        async with client.get(running.url + path) as response:
            assert response.status == 200
    counters = running.engine.journal.counters
    assert (counters.probes, counters.received) == (3, 1)


@pytest.mark.parametrize("software", list(Software))
async def test_each_engine_refuses_in_its_own_shape(
    start: Start, client: aiohttp.ClientSession, software: Software
) -> None:
    running = await start(software=software)
    body = {**COMPLETION, "model": "gpt"}
    async with client.post(f"{running.url}/v1/completions", json=body) as response:
        answer = await response.json()
        assert response.status == 404
    fields = {"message": "The model `gpt` does not exist.", "type": "NotFoundError", "param": "model", "code": 404}
    assert answer == ({"error": fields} if software is Software.VLLM else {"object": "error", **fields})


async def test_a_key_is_asked_for_on_v1_alone(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start(api_key="secret")
    statuses = []
    for path, key in (
        ("/v1/models", None),
        ("/v1/models", "Bearer x"),
        ("/v1/models", "Bearer secret"),
        ("/health", None),
    ):
        async with client.get(running.url + path, headers={"authorization": key} if key else {}) as response:
            statuses.append(response.status)
    assert statuses == [401, 401, 200, 200]


async def test_a_status_fault_comes_before_any_work(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    headers = {"x-sim-fault": "status=503;retry-after=2"}
    async with client.post(f"{running.url}/v1/completions", json=COMPLETION, headers=headers) as response:
        assert (response.status, response.headers["retry-after"]) == (503, "2")
        assert (await response.json())["error"]["type"] == "ServiceUnavailableError"
    counters = running.engine.journal.counters
    assert (counters.received, counters.executed, counters.faulted) == (1, 0, 1)


async def raw(port: int, fault: str, body: bytes = b'{"prompt":"hello"}') -> bytes:
    """All bytes that a request brings; raises what the connection's end raises."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /v1/completions HTTP/1.1\r\nHost: a\r\nx-sim-fault: {fault}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_refusal_closes_before_any_byte(start: Start) -> None:
    assert await raw((await start()).port, "refuse") == b""


async def test_a_reset_is_a_reset(start: Start) -> None:
    with pytest.raises(ConnectionResetError):
        await raw((await start()).port, "reset")


async def test_garbage_is_no_http(start: Start) -> None:
    assert not (await raw((await start()).port, "garbage")).startswith(b"HTTP/")


async def test_a_stall_sends_nothing_and_ends_with_the_client(start: Start) -> None:
    running = await start()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await raw(running.port, "stall")
    counters = running.engine.journal.counters
    await until(lambda: not counters.in_flight)
    assert (counters.aborted, counters.executed) == (1, 0)


async def test_a_stall_with_an_end_goes_on(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    headers = {"x-sim-fault": "stall=0.01"}
    async with client.post(f"{running.url}/v1/completions", json=COMPLETION, headers=headers) as response:
        assert response.status == 200
    assert running.engine.journal.counters.completed == 1


STREAM = b'{"prompt":"hello","stream":true}'


async def test_a_cut_stream_has_its_events_and_no_end(start: Start) -> None:
    running = await start()
    received = await raw(running.port, "close-after=3", STREAM)
    assert received.count(b"data: ") == 3
    assert not received.endswith(b"0\r\n\r\n")
    assert running.engine.journal.entries[0].events == 3
    assert running.engine.journal.counters.faulted == 1


async def test_a_stream_can_be_reset_after_its_events(start: Start) -> None:
    running = await start()
    with pytest.raises(ConnectionResetError):
        await raw(running.port, "reset-after=2", STREAM)
    assert running.engine.journal.entries[0].events == 2


async def test_a_stream_that_stalls_has_sent_its_events(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    headers = {"x-sim-fault": "stall-after=2"}
    async with client.post(f"{running.url}/v1/completions", data=STREAM, headers=headers) as response:
        received = [await response.content.readuntil(b"\n\n") for _ in range(2)]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await response.content.readany()
    assert all(event.startswith(b"data: {") for event in received)
    await until(lambda: running.engine.journal.counters.aborted)


async def test_a_stall_in_mid_stream_may_end(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    headers = {"x-sim-fault": "stall-after=2;seconds=0.01"}
    async with client.post(f"{running.url}/v1/completions", data=STREAM, headers=headers) as response:
        assert (await response.read()).endswith(b"data: [DONE]\n\n")


async def test_a_slow_engine_waits_before_each_event(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start(tokens=3)
    headers = {"x-sim-fault": "slow=0.01"}
    started = asyncio.get_running_loop().time()
    async with client.post(f"{running.url}/v1/completions", data=STREAM, headers=headers) as response:
        await response.read()
    assert asyncio.get_running_loop().time() - started >= 0.035


async def test_an_answer_that_is_not_streamed_is_cut_by_bytes(start: Start) -> None:
    received = await raw((await start()).port, "close-after=10")
    head, _, body = received.partition(b"\r\n\r\n")
    assert len(body) == 10
    assert int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) > 10
