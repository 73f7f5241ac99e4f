import aiohttp
import openai
import pytest

from proxy.simulator.options import Role, Software
from tests.simulator.conftest import Start


async def test_the_openai_client_gets_embeddings_the_same_each_time(start: Start) -> None:
    running = await start()
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client:
        one = await client.embeddings.create(model="qwen", input=["a b", "c"])
        two = await client.embeddings.create(model="qwen", input="a b", encoding_format="float")
        short = await client.embeddings.create(model="qwen", input="a b", dimensions=8)
    assert [len(item.embedding) for item in one.data] == [64, 64]
    assert one.data[0].embedding == pytest.approx(two.data[0].embedding, abs=1e-6)
    assert len(short.data[0].embedding) == 8
    assert one.usage.prompt_tokens == 3


async def test_models_lists_adapters(start: Start) -> None:
    running = await start(adapters=("sql-lora",))
    async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client:
        assert [model.id async for model in client.models.list()] == ["qwen", "sql-lora"]
        answer = await client.completions.create(model="sql-lora", prompt="a")
    assert answer.model == "sql-lora"


@pytest.mark.parametrize(
    ("software", "paths"),
    [
        (Software.VLLM, {"/version", "/load", "/ping"}),
        (Software.SGLANG, {"/v1/loads", "/get_load", "/get_model_info", "/get_server_info", "/health_generate"}),
    ],
)
async def test_each_engine_has_its_own_paths(
    start: Start, client: aiohttp.ClientSession, software: Software, paths: set[str]
) -> None:
    running = await start(software=software)
    everything = ["/version", "/load", "/ping", "/v1/loads", "/get_load"]
    everything += ["/get_model_info", "/get_server_info", "/health_generate"]
    found = set()
    for path in everything:
        async with client.get(running.url + path) as response:
            found |= {path} if response.status == 200 else set()
    assert found == paths


async def test_loads_tell_what_runs(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start(software=Software.SGLANG, role=Role.PREFILL)
    load = running.engine.load
    load.running, load.waiting, load.used_tokens = 2, 3, 100
    async with client.get(f"{running.url}/v1/loads") as response:
        rank = (await response.json())["loads"][0]
    assert (rank["num_running_reqs"], rank["num_waiting_reqs"], rank["num_total_reqs"]) == (2, 3, 5)
    assert (rank["num_used_tokens"], rank["max_total_num_tokens"]) == (100, 65536)
    async with client.get(f"{running.url}/get_load") as response:
        assert await response.json() == [{"dp_rank": 0, "num_reqs": 5, "num_waiting_reqs": 3, "num_tokens": 100}]
    async with client.get(f"{running.url}/get_server_info") as response:
        info = await response.json()
    assert (info["disaggregation_mode"], info["disaggregation_bootstrap_port"]) == ("prefill", running.port)


async def test_a_prompt_can_be_cut_into_tokens(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    for body in ({"prompt": "one two"}, {"messages": [{"role": "user", "content": "hello there"}]}):
        async with client.post(f"{running.url}/tokenize", json=body) as response:
            answer = await response.json()
        assert answer["count"] == len(answer["tokens"])


async def test_what_is_not_there_is_refused_as_fastapi_does(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    async with client.get(f"{running.url}/nothing") as response:
        assert (response.status, await response.json()) == (404, {"detail": "Not Found"})
    async with client.delete(f"{running.url}/v1/models") as response:
        assert (response.status, await response.json()) == (405, {"detail": "Method Not Allowed"})


async def test_every_answer_names_its_engine(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start(name="one")
    for path in ("/health", "/metrics", "/v1/models", "/nothing", "/sim/requests"):
        async with client.get(running.url + path) as response:
            assert response.headers["x-sim-engine"] == "one"


async def test_a_body_over_the_limit_is_refused(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start(max_body=100)
    async with client.post(f"{running.url}/v1/completions", data=b"x" * 101) as response:
        assert response.status == 413
    assert running.engine.journal.counters.in_flight == 0
