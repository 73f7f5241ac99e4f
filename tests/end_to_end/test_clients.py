"""What a user's client gets: the real `openai` package, through the proxy, from engines."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import openai
import orjson
import pytest
from openai import AsyncOpenAI

from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.proxies import Proxy, StartProxy, one_route
from tests.end_to_end.raw_client import chat, raw_client

MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def front(proxy: StartProxy, qwen: RunningEngine) -> Proxy:
    return await proxy(one_route(qwen.url))


@pytest.fixture
async def client(front: Proxy) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(front) as client:
        yield client


def client_of(proxy: Proxy) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="sk-test", max_retries=0, timeout=20)


async def test_a_chat_is_answered(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="qwen", messages=MESSAGES, max_tokens=5)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 5
    assert answer.choices[0].message.content


async def test_a_streamed_chat_says_the_same_as_a_whole_one(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="qwen", messages=MESSAGES, seed=3)
    text = ""
    async for chunk in await client.chat.completions.create(model="qwen", messages=MESSAGES, seed=3, stream=True):
        text += chunk.choices[0].delta.content or ""
    assert text == whole.choices[0].message.content


async def test_a_streams_tokens_arrive_while_the_engine_makes_them(engine: StartEngine, proxy: StartProxy) -> None:
    slow = await engine(time_per_token=0.05, tokens=10)
    front = await proxy(one_route(slow.url))
    loop = asyncio.get_running_loop()
    times = []
    async with client_of(front) as client:
        async for chunk in await client.chat.completions.create(model="qwen", messages=MESSAGES, stream=True):
            if chunk.choices[0].delta.content:
                times.append(loop.time())  # noqa: PERF401 (one at a time is the point)
    assert len(times) == 10
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) > 0.02, "events were merged"


async def test_a_completion_is_answered_whole_and_streamed(client: AsyncOpenAI) -> None:
    whole = await client.completions.create(model="qwen", prompt="once upon", seed=1)
    text = ""
    async for chunk in await client.completions.create(model="qwen", prompt="once upon", seed=1, stream=True):
        text += chunk.choices[0].text
    assert text == whole.choices[0].text != ""


async def test_embeddings_are_answered(client: AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="qwen", input=["a", "b"])
    assert [len(item.embedding) for item in answer.data] == [64, 64]


async def test_the_models_of_the_routes_are_listed(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["qwen", "sql-lora"]


async def test_a_lora_name_goes_on_unchanged(client: AsyncOpenAI, qwen: RunningEngine) -> None:
    answer = await client.chat.completions.create(model="sql-lora", messages=MESSAGES)
    assert answer.model == "sql-lora"
    assert orjson.loads(qwen.engine.journal.entries[-1].body)["model"] == "sql-lora"


async def test_a_target_can_rewrite_the_model(engine: StartEngine, proxy: StartProxy) -> None:
    renamed = await engine(model="Qwen/Qwen2.5-7B-Instruct")
    front = await proxy(
        f"servers: {{small: {{endpoints: ['{renamed.url}']}}}}\n"
        "routes: [{name: chat, models: [qwen], rules: [{targets: [{server: small, model: Qwen/Qwen2.5-7B-Instruct}]}]}]"
    )
    async with client_of(front) as client:
        answer = await client.chat.completions.create(model="qwen", messages=MESSAGES)
    assert answer.choices[0].message.content
    assert orjson.loads(renamed.engine.journal.entries[-1].body)["model"] == "Qwen/Qwen2.5-7B-Instruct"


async def test_audio_is_routed_by_the_model_in_its_form(proxy: StartProxy) -> None:
    async def transcribe(connection: RawConnection) -> None:
        while await connection.request():
            await connection.answer(b'{"text": "hello"}', b"Content-Type: application/json")

    async with raw_engine(transcribe) as speech, raw_engine(transcribe) as other:
        front = await proxy(
            "servers:\n"
            f"  speech: {{endpoints: ['{speech.url}'], model: large-v3}}\n"
            f"  other: {{endpoints: ['{other.url}']}}\n"
            "routes:\n"
            "  - {name: speech, models: [whisper], rules: [{targets: speech}]}\n"
            "  - {name: rest, rules: [{targets: other}]}\n"
        )
        sound = BytesIO(bytes(range(256)) * 400)
        sound.name = "speech.wav"
        async with client_of(front) as client:
            answer = await client.audio.transcriptions.create(model="whisper", file=sound)
        assert answer.text == "hello"
        assert (len(speech.requests), other.requests) == (1, [])
        assert sound.getvalue() in speech.requests[0]
        assert b'name="model"\r\n\r\nlarge-v3\r\n' in speech.requests[0]


async def test_a_stored_response_is_found_by_its_path(client: AsyncOpenAI, qwen: RunningEngine) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve("resp_123")
    entry = qwen.engine.journal.entries[-1]
    assert (entry.method, entry.path) == ("GET", "/v1/responses/resp_123")
    assert all(name.lower() not in {"content-length", "transfer-encoding"} for name, _ in entry.headers)


# --- errors -----------------------------------------------------------------------------------------------------------


async def test_an_unknown_model_is_named_in_a_404(proxy: StartProxy) -> None:
    front = await proxy(
        "servers: {e: {endpoints: ['http://127.0.0.1:1']}}\nroutes: [{name: a, models: [qwen], rules: [{targets: e}]}]"
    )
    async with client_of(front) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "gpt-5" in caught.value.message
    assert caught.value.request_id


async def test_a_rate_limit_is_told_with_the_time_to_wait(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url, server="rate_limit: {requests_per_second: 0.5, burst: 2}"))
    async with client_of(front) as client:
        first = await client.chat.completions.with_raw_response.create(model="qwen", messages=MESSAGES)
        await client.chat.completions.create(model="qwen", messages=MESSAGES)
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="qwen", messages=MESSAGES)
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "2"
    assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    assert qwen.engine.journal.counters.received == 2


async def test_a_client_that_retries_as_told_gets_its_answer(proxy: StartProxy, qwen: RunningEngine) -> None:
    front = await proxy(one_route(qwen.url, server="rate_limit: {requests_per_second: 1, burst: 1}"))
    async with client_of(front).with_options(max_retries=2) as client:
        await client.chat.completions.create(model="qwen", messages=MESSAGES)
        await client.chat.completions.create(model="qwen", messages=MESSAGES)
    assert qwen.engine.journal.counters.executed == 2


async def test_no_endpoint_is_a_503_that_says_when_to_come_back(proxy: StartProxy) -> None:
    front = await proxy("servers: {e: {endpoints: []}}\nroutes: [{name: a, models: [qwen], rules: [{targets: e}]}]")
    async with client_of(front) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="qwen", messages=MESSAGES)
    assert (caught.value.status_code, caught.value.code) == (503, "no_endpoint")
    assert caught.value.response.headers["retry-after"] == "1"


async def test_an_engine_that_is_silent_is_a_504(proxy: StartProxy, qwen: RunningEngine) -> None:
    qwen.engine.faults.arm("stall", None)
    front = await proxy(one_route(qwen.url, server="timeout: {first_byte: 200ms}"))
    async with client_of(front) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="qwen", messages=MESSAGES)
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")


async def test_an_engines_own_error_passes_untouched(client: AsyncOpenAI, front: Proxy, qwen: RunningEngine) -> None:
    body = chat(messages="none")
    async with raw_client(front.port) as through, raw_client(qwen.port) as direct:
        through.post(body)
        direct.post(body)
        proxied, plain = await through.answer(), await direct.answer()
    assert (proxied.status, proxied.body) == (plain.status, plain.body)
    assert proxied.status == 400
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="qwen", messages=[])


async def test_errors_on_v1_messages_have_anthropics_shape(proxy: StartProxy) -> None:
    front = await proxy(
        "servers: {e: {endpoints: ['http://127.0.0.1:1']}}\nroutes: [{name: a, models: [qwen], rules: [{targets: e}]}]"
    )
    async with raw_client(front.port) as client:
        client.post(chat("sonata"), "/v1/messages")
        answer = await client.answer()
        client.post(chat("sonata"), "/v1/messages?beta=true")
        with_query = await client.answer()
        client.post(chat("qwen"), "/v1/messages")
        refused = await client.answer()
    assert answer.status == with_query.status == 404
    told = orjson.loads(answer.body)
    assert (told["type"], told["error"]["type"]) == ("error", "not_found_error")
    assert "sonata" in told["error"]["message"]
    assert refused.status == 502
    assert orjson.loads(refused.body)["error"]["type"] == "api_error"


@pytest.mark.parametrize("body", [b'{"model": "qwen"', b"[1]", b'"qwen"', b"\xff\xfe"])
async def test_a_body_that_is_no_json_object_is_a_400_where_a_model_is_needed(proxy: StartProxy, body: bytes) -> None:
    front = await proxy(
        "servers: {e: {endpoints: ['http://127.0.0.1:1']}}\nroutes: [{name: a, models: [qwen], rules: [{targets: e}]}]"
    )
    async with raw_client(front.port) as client:
        client.post(body)
        answer = await client.answer()
    assert answer.status == 400
    assert orjson.loads(answer.body)["error"]["code"] == "invalid_json"
