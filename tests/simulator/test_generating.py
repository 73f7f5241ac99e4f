import asyncio
import json
from typing import Any

import aiohttp
import openai
import pytest

from proxy.simulator.options import Role, Software
from proxy.simulator.running import RunningEngine
from tests.simulator.conftest import Start, until

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello there"}]}
BOTH = pytest.mark.parametrize("software", list(Software))


def openai_client(running: RunningEngine) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)


@BOTH
async def test_the_openai_client_gets_a_chat_the_same_each_time(start: Start, software: Software) -> None:
    async with openai_client(await start(software=software)) as client:
        answers = [await client.chat.completions.create(model="qwen", max_tokens=5, **HELLO) for _ in range(2)]
    first, second = answers
    assert first.object == "chat.completion"
    assert first.id.startswith("chatcmpl-")
    assert first.model == "qwen"
    assert first.choices[0].finish_reason == "length"
    assert len(first.choices[0].message.content.split()) == 5
    assert first.choices[0].message == second.choices[0].message
    assert (first.usage.prompt_tokens, first.usage.completion_tokens, first.usage.total_tokens) == (4, 5, 9)
    assert first.usage.prompt_tokens_details.cached_tokens == 0


@BOTH
async def test_a_stream_carries_the_text_of_the_whole_answer_and_its_usage(start: Start, software: Software) -> None:
    async with openai_client(await start(software=software)) as client:
        whole = await client.chat.completions.create(model="qwen", n=2, **HELLO)
        stream = await client.chat.completions.create(
            model="qwen", n=2, stream=True, stream_options={"include_usage": True}, **HELLO
        )
        chunks = [chunk async for chunk in stream]
    texts, reasons = ["", ""], [None, None]
    for chunk in chunks[:-1]:
        choice = chunk.choices[0]
        texts[choice.index] += choice.delta.content
        reasons[choice.index] = choice.finish_reason
    assert texts == [choice.message.content for choice in whole.choices]
    assert texts[0] != texts[1]
    assert reasons == ["stop", "stop"]
    assert (chunks[-1].choices, chunks[-1].usage.completion_tokens) == ([], 16)
    assert len({chunk.id for chunk in chunks}) == 1


async def test_usage_is_not_streamed_unless_asked_for(start: Start) -> None:
    async with openai_client(await start()) as client:
        stream = await client.chat.completions.create(model="qwen", stream=True, **HELLO)
        chunks = [chunk async for chunk in stream]
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


async def test_a_completion_answers_each_prompt_of_a_batch(start: Start) -> None:
    async with openai_client(await start()) as client:
        answer = await client.completions.create(model="qwen", prompt=["a", "b"], n=2, max_tokens=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in answer.choices}) == 4
    assert answer.usage.completion_tokens == 12


async def test_every_event_is_a_chunk_of_its_own_and_done_is_the_last(
    start: Start, client: aiohttp.ClientSession
) -> None:
    running = await start(time_per_token=0.002)
    body = {**HELLO, "stream": True, "max_tokens": 3}
    async with client.post(f"{running.url}/v1/chat/completions", json=body) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = (await response.read()).split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    assert len(events) == 1 + 3 + 1 + 1
    assert all(json.loads(event[6:])["object"] == "chat.completion.chunk" for event in events[:-2])


async def test_a_prompt_seen_before_is_told_as_cached(start: Start) -> None:
    async with openai_client(await start()) as client:
        body = {"messages": [{"role": "user", "content": "word " * 50}]}
        answers = [await client.chat.completions.create(model="qwen", **body) for _ in range(2)]
    assert [answer.usage.prompt_tokens_details.cached_tokens for answer in answers] == [0, 48]


async def test_the_requests_own_name_is_in_the_answers(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    headers = {"x-request-id": "abc"}
    async with client.post(f"{running.url}/v1/chat/completions", json=HELLO, headers=headers) as response:
        assert (await response.json())["id"] == "chatcmpl-abc"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_ends_the_work_at_once(
    start: Start, client: aiohttp.ClientSession, stream: bool
) -> None:
    running = await start(time_per_token=30.0)
    body = {**HELLO, "stream": stream}
    asking = asyncio.create_task(client.post(f"{running.url}/v1/chat/completions", json=body).__aenter__())
    await until(lambda: running.engine.load.running)
    if stream:
        (await asking).close()
    else:
        asking.cancel()
    await until(lambda: not running.engine.load.running)
    counters = running.engine.journal.counters
    assert (counters.executed, counters.aborted, counters.completed, counters.in_flight) == (1, 1, 0, 0)


# --- prefill and decode ---------------------------------------------------------------------------------------------

PREFILL = {**HELLO, "max_tokens": 1, "kv_transfer_params": {"do_remote_decode": True, "do_remote_prefill": False}}


async def test_a_vllm_decode_takes_over_what_a_prefill_computed_once(
    start: Start, client: aiohttp.ClientSession
) -> None:
    prefill, decode = await start(role=Role.PREFILL), await start(role=Role.DECODE)
    async with client.post(f"{prefill.url}/v1/chat/completions", json=PREFILL) as response:
        params = (await response.json())["kv_transfer_params"]
    assert params["do_remote_prefill"] is True
    assert (params["remote_host"], params["remote_port"]) == ("127.0.0.1", prefill.port)
    assert len(prefill.engine.pinned) == 1
    body = {**HELLO, "max_tokens": 5, "kv_transfer_params": params}
    async with client.post(f"{decode.url}/v1/chat/completions", json=body) as response:
        answer = await response.json()
    assert answer["usage"]["completion_tokens"] == 5
    assert len(prefill.engine.pinned) == 0
    async with client.post(f"{decode.url}/v1/chat/completions", json=body) as response:
        assert response.status == 400
        assert "fetched before" in (await response.json())["error"]["message"]


async def test_a_vllm_decode_refuses_a_prefill_that_never_happened(
    start: Start, client: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    prefill, decode = await start(role=Role.PREFILL), await start(role=Role.DECODE)
    made_up = {
        "do_remote_prefill": True,
        "do_remote_decode": False,
        "remote_engine_id": "x",
        "remote_request_id": "y",
        "remote_block_ids": [1],
        "remote_host": "127.0.0.1",
    }
    for port, message in ((prefill.port, "no prefill y is held here"), (unused_tcp_port, "no prefill engine answers")):
        body = {**HELLO, "stream": True, "kv_transfer_params": {**made_up, "remote_port": port}}
        async with client.post(f"{decode.url}/v1/chat/completions", json=body) as response:
            assert response.status == 400
            assert message in (await response.json())["error"]["message"]


async def post(client: aiohttp.ClientSession, running: RunningEngine, body: dict[str, Any]) -> tuple[int, Any]:
    async with client.post(f"{running.url}/v1/chat/completions", json=body) as response:
        return response.status, await response.json()


def sglang_body(prefill: RunningEngine, room: int, **fields: Any) -> dict[str, Any]:
    bootstrap = {"bootstrap_host": "127.0.0.1", "bootstrap_port": prefill.bootstrap_port, "bootstrap_room": room}
    return {**HELLO, **bootstrap, **fields}


async def sglang_pair(start: Start, **changes: Any) -> tuple[RunningEngine, RunningEngine]:
    settings = {"software": Software.SGLANG, **changes}
    prefill = await start(role=Role.PREFILL, bootstrap_port=0, **settings)
    return prefill, await start(role=Role.DECODE, **settings)


async def test_both_halves_of_an_sglang_pair_must_be_asked_at_the_same_time(
    start: Start, client: aiohttp.ClientSession
) -> None:
    prefill, decode = await sglang_pair(start)
    assert prefill.bootstrap_port != prefill.port
    body = sglang_body(prefill, 7, max_tokens=5)
    first, second = await asyncio.gather(post(client, prefill, body), post(client, decode, body))
    assert (first[0], second[0]) == (200, 200)
    assert (first[1]["usage"]["completion_tokens"], second[1]["usage"]["completion_tokens"]) == (1, 5)
    status, answer = await post(client, decode, body)
    assert status == 400
    assert "bootstrap_room 7 has been used before" in answer["message"]


async def test_an_sglang_half_alone_waits_until_its_time_is_over(start: Start, client: aiohttp.ClientSession) -> None:
    prefill, decode = await sglang_pair(start, transfer_timeout=0.05)
    for running in (prefill, decode):
        status, answer = await post(client, running, sglang_body(prefill, running.port))
        assert status == 500
        assert "did not come to the bootstrap room within 0.05 s" in answer["message"]


async def test_an_sglang_batch_meets_in_a_room_for_each_choice(start: Start, client: aiohttp.ClientSession) -> None:
    prefill, decode = await sglang_pair(start)
    lists = {name: [value] * 2 for name, value in sglang_body(prefill, 0).items() if name.startswith("bootstrap")}
    body = {**HELLO, **lists, "bootstrap_room": [8, 9], "n": 2}
    first, second = await asyncio.gather(post(client, prefill, body), post(client, decode, body))
    assert (first[0], second[0]) == (200, 200)
    status, answer = await post(client, decode, {**body, "bootstrap_room": [10, 9]})
    assert (status, len(decode.engine.rooms)) == (400, 0)
    assert "9 has been used" in answer["message"]
