"""Rewrites of a pool: what engines are asked for, and what clients are told."""

import json
from collections import Counter

import pytest
from openai import AsyncOpenAI

from proxy.config.loader import load_texts
from proxy.config.spec import Config
from proxy.simulator.running import RunningEngine
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.proxies import StartProxy
from tests.end_to_end.raw_client import chat, post, raw_client

POOL = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: pool{pool}}}
spec: {{selector: {{matchLabels: {{app: vllm}}}}, targetPorts: [{{number: 8000}}]}}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata: {{name: rewrite{rewrite}}}
spec:
  poolRef: {{name: pool}}
  rules:
    - matches: [{{model: {{value: small}}}}]
      targets: [{{modelRewrite: small-v1, weight: 90}}, {{modelRewrite: small-v2, weight: 10}}]
    - targets: [{{modelRewrite: org/base}}]
---
endpoints: [{{url: "{url}", labels: {{app: vllm}}}}]
"""
OFF = ', annotations: {penstock/restore-model: "false"}'


def config_of(url: str, *, pool: str = "", rewrite: str = "") -> Config:
    loaded = load_texts({"pool.yaml": POOL.format(url=url, pool=pool, rewrite=rewrite)})
    assert loaded.config is not None, loaded.problems
    return loaded.config


async def base(engine: StartEngine) -> RunningEngine:
    return await engine(model="org/base", adapters=("small-v1", "small-v2"))


async def test_a_client_of_the_real_library_is_told_the_name_that_it_asked_for(
    engine: StartEngine, proxy: StartProxy
) -> None:
    running = await base(engine)
    front = await proxy(config_of(running.url))
    async with AsyncOpenAI(base_url=f"{front.url}/v1", api_key="k", max_retries=0) as client:
        question = [{"role": "user", "content": "hello"}]
        told = Counter[str]()
        for _ in range(20):
            whole = await client.chat.completions.create(model="small", messages=question)  # type: ignore[call-overload]
            told[whole.model] += 1
        stream = await client.chat.completions.create(model="other", messages=question, stream=True)  # type: ignore[call-overload]
        told.update({chunk.model async for chunk in stream})
    assert told == {"small": 20, "other": 1}
    asked = Counter(json.loads(entry.body)["model"] for entry in running.engine.journal.entries)
    assert asked == {"small-v1": 18, "small-v2": 2, "org/base": 1}


@pytest.mark.parametrize("where", ["pool", "rewrite"])
async def test_an_annotation_leaves_the_engines_own_name_in_the_answer(
    engine: StartEngine, proxy: StartProxy, where: str
) -> None:
    front = await proxy(config_of((await base(engine)).url, **{where: OFF}))
    async with raw_client(front.port) as client:
        assert json.loads((await client.ask(post(chat("other")))).body)["model"] == "org/base"


async def test_a_name_that_the_wire_cuts_in_two_is_restored(proxy: StartProxy) -> None:
    async def cutting(connection: RawConnection) -> None:
        while await connection.request():
            await connection.begin_stream()
            for piece in (b'data: {"id":1,"mod', b'el": "org/b', b'ase"}\n\n', b"data: [DONE]\n\n"):
                await connection.chunk(piece)
            await connection.end_stream()

    async with raw_engine(cutting) as engine:
        front = await proxy(config_of(engine.url))
        async with raw_client(front.port) as client:
            for _ in range(3):
                answer = await client.ask(post(chat("whatever", stream=True)))
                assert answer.body == b'data: {"id":1,"model": "whatever"}\n\ndata: [DONE]\n\n'


async def test_control_headers_ask_for_a_model_and_never_reach_an_engine(proxy: StartProxy) -> None:
    async def echoing(connection: RawConnection) -> None:
        while request := await connection.request():
            await connection.answer(request)

    async with raw_engine(echoing) as engine:
        text = POOL.format(url=engine.url, pool="", rewrite="").replace(
            "    - targets: [{modelRewrite: org/base}]\n", ""
        )
        loaded = load_texts({"pool.yaml": text})
        assert loaded.config is not None
        front = await proxy(loaded.config)
        async with raw_client(front.port) as client:
            fields = {"x_llm_d_model_name_rewrite": "asked", "x_prefiller_host_port": "10.0.0.1:80"}
            small = (await client.ask(post(chat("small"), **fields))).body
            other = (await client.ask(post(chat("unknown"), **fields))).body
    assert b'"small-v1"' in small
    assert b'"asked"' in other
    assert b"x-llm-d" not in (small + other).lower()
    assert b"prefiller" not in (small + other).lower()


async def test_an_embedding_is_rewritten_too(engine: StartEngine, proxy: StartProxy) -> None:
    running = await base(engine)
    front = await proxy(config_of(running.url))
    async with raw_client(front.port) as client:
        answer = await client.ask(post(b'{"input": "a", "model": "e5"}', "/v1/embeddings"))
    assert json.loads(answer.body)["model"] == "e5"
    assert '"model": "org/base"' in running.engine.journal.entries[0].body
