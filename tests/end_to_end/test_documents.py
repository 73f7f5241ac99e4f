"""The documents that people come with: every block loads as it is, and every command gets what the text promises."""

import json
from collections import Counter
from collections.abc import Mapping

import aiohttp
import pytest

from proxy.config.loader import load_texts
from proxy.config.spec import Config
from proxy.errors import Severity
from proxy.simulator.options import Software
from tests.access.issuers import Issuer, Signer
from tests.documents import NEEDED, Block, Curl, blocks, curls, yaml_of
from tests.end_to_end.engines import RawConnection, StartEngine, raw_engine
from tests.end_to_end.proxies import Proxy, StartProxy
from tests.end_to_end.raw_client import Answer, raw_client
from tests.end_to_end.serving import StartServing

pytestmark = NEEDED

MODEL_ROUTE, ROUTER, MODEL_SERVER, REWRITE, MIXTRAIN = "000", "001", "002", "003", "004"
SMALL, LARGE = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"


@pytest.mark.parametrize("block", blocks("yaml", "json"), ids=str)
def test_a_block_loads_as_it_is(block: Block) -> None:
    found = load_texts({f"document.{block.language}": block.text}).problems
    assert [str(problem) for problem in found if problem.severity is Severity.ERROR] == []


def test_all_blocks_are_looked_at() -> None:
    assert Counter(block.document[:3] for block in blocks("yaml", "json")) == {
        "000": 6,
        "001": 6,
        "002": 5,
        "003": 3,
        "004": 1,
    }


def test_all_blocks_of_all_documents_load_together() -> None:
    texts = {str(block): block.text for block in blocks("yaml")} | {
        f"{block}.json": block.text for block in blocks("json")
    }
    loaded = load_texts(texts)
    assert loaded.config is not None, [str(p) for p in loaded.problems if p.severity is Severity.ERROR]
    assert len(loaded.config.routes) == 5 + 5 + 4 + 2 + 1


# --- what stands behind the documents' names --------------------------------------------------------------------------


async def answering(connection: RawConnection) -> None:
    """An engine that answers whatever it is asked with the port it was asked at."""
    while request := await connection.request():
        await connection.answer(request.split(b" ", 2)[1])


def inventory(*entries: Mapping[str, object]) -> str:
    return json.dumps({"endpoints": list(entries)})


def served(name: str, namespace: str = "default") -> str:
    """A ModelServer of this name, which finds the workload of its name."""
    return (
        "apiVersion: networking.matrixinfer.ai/v1alpha1\nkind: ModelServer\n"
        f"metadata: {{name: {name}, namespace: {namespace}}}\n"
        f"spec: {{modelInferRef: {{name: {name}}}, service: {{port: 8080}}, routing: {{path: /servers/{name}}}}}\n"
    )


def crd_server(name: str, model: str, engine: str) -> str:
    return (
        "apiVersion: networking.serving.volcano.sh/v1alpha1\nkind: ModelServer\n"
        f"metadata: {{name: {name}}}\n"
        f"spec: {{model: {model}, inferenceEngine: {engine}, workloadPort: {{port: 8000}},"
        f" workloadSelector: {{matchLabels: {{app: {name}}}}}}}\n"
    )


def config_of(**texts: str) -> Config:
    loaded = load_texts({f"{name}.yaml": text for name, text in texts.items()})
    assert loaded.config is not None, [str(problem) for problem in loaded.problems]
    return loaded.config


async def ask(front: Proxy, curl: Curl) -> Answer:
    async with raw_client(front.port) as client:
        return await client.ask(curl.on_the_wire(), curl.method)


# --- ModelRoute -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "server"), [(0, "model-server-v1"), (1, "model-server-v2"), (2, "fast-model-server")]
)
async def test_a_model_route_leads_each_command_to_the_server_that_its_comment_names(
    proxy: StartProxy, number: int, server: str
) -> None:
    names = ("model-server-v1", "model-server-v2", "fast-model-server", "accurate-model-server", "beta-model-server")
    async with raw_engine(answering) as right, raw_engine(answering) as wrong:
        entries = [{"url": right.url if name == server else wrong.url, "workload": name} for name in names]
        servers = "---\n".join(served(name) for name in names)
        front = await proxy(config_of(routes=yaml_of(MODEL_ROUTE), servers=servers, engines=inventory(*entries)))
        answer = await ask(front, curls(MODEL_ROUTE)[number])
        assert (answer.status, answer.body[:22]) == (200, b"/v1/models/test/infer" + answer.body[21:22])
        assert (len(right.requests), len(wrong.requests)) == (1, 0)
        assert right.requests[0].endswith(b'{"inputs": {"text": "Hello"}}')


async def test_a_canary_shares_90_to_10(proxy: StartProxy) -> None:
    async with raw_engine(answering) as stable, raw_engine(answering) as canary:
        entries = [
            {"url": url, "workload": name, "namespace": "ml-models"}
            for name, url in (("stable-model-server", stable.url), ("canary-model-server", canary.url))
        ]
        servers = "---\n".join(served(f"{name}-model-server", "ml-models") for name in ("stable", "canary"))
        front = await proxy(config_of(routes=yaml_of(MODEL_ROUTE), servers=servers, engines=inventory(*entries)))
        request = Curl("POST", "/v1/models/production/infer", (), b"{}")
        for _ in range(100):
            assert (await ask(front, request)).status == 200
        assert (len(stable.requests), len(canary.requests)) == (90, 10)


def test_every_command_of_the_model_route_document_is_tried() -> None:
    assert len(curls(MODEL_ROUTE)) == 3


# --- router routing ---------------------------------------------------------------------------------------------------


async def router(engine: StartEngine, proxy: StartProxy) -> Proxy:
    """Kthena's examples with the engines that they speak of."""
    engines = {
        "deepseek-r1-1-5b": (SMALL, Software.VLLM),
        "deepseek-r1-1-5b-v1": (f"{SMALL}-v1", Software.VLLM),
        "deepseek-r1-1-5b-v2": (f"{SMALL}-v2", Software.VLLM),
        "deepseek-r1-7b": (LARGE, Software.SGLANG),
    }
    entries = []
    for name, (model, software) in engines.items():
        running = await engine(model=model, software=software, name=name, adapters=("lora-A", "lora-B"))
        entries.append({"url": running.url, "labels": {"app": name}})
    words = {Software.VLLM: "vLLM", Software.SGLANG: "SGLang"}
    servers = "---\n".join(crd_server(name, model, words[software]) for name, (model, software) in engines.items())
    return await proxy(config_of(routes=yaml_of(ROUTER), servers=servers, engines=inventory(*entries)))


@pytest.mark.parametrize(
    ("number", "server", "model"),
    [(0, "deepseek-r1-1-5b", SMALL), (1, "deepseek-r1-1-5b", "lora-A"), (3, "deepseek-r1-7b", LARGE)],
)
async def test_a_route_of_the_router_leads_each_command_to_the_model_that_answers_in_the_text(
    engine: StartEngine, proxy: StartProxy, number: int, server: str, model: str
) -> None:
    answer = await ask(await router(engine, proxy), curls(ROUTER)[number])
    said = json.loads(answer.body)
    assert (answer.status, answer.field("x-sim-engine")) == (200, server)
    assert (said["object"], said["model"]) == ("text_completion", model)


async def test_without_the_header_the_smaller_model_answers(engine: StartEngine, proxy: StartProxy) -> None:
    premium = curls(ROUTER)[3]
    plain = Curl(premium.method, premium.target, premium.headers[:1], premium.body)
    answer = await ask(await router(engine, proxy), plain)
    assert json.loads(answer.body)["model"] == SMALL


async def test_of_100_requests_exactly_70_go_to_version_1_and_30_to_version_2(
    engine: StartEngine, proxy: StartProxy
) -> None:
    front = await router(engine, proxy)
    told: Counter[str] = Counter()
    for _ in range(100):
        told[json.loads((await ask(front, curls(ROUTER)[2])).body)["model"]] += 1
    assert told == {f"{SMALL}-v1": 70, f"{SMALL}-v2": 30}


async def test_a_disaggregated_server_answers_whole_requests_at_its_decode_endpoint(
    engine: StartEngine, proxy: StartProxy
) -> None:
    prefill, decode = await engine(model=SMALL, name="prefill"), await engine(model=SMALL, name="decode")
    labels = {"app": "deepseek-r1-1-5b", "modelserving.volcano.sh/group-name": "0"}
    role = "modelserving.volcano.sh/rolename"
    entries = [
        {"url": prefill.url, "labels": {**labels, role: "P-instance"}},
        {"url": decode.url, "labels": {**labels, role: "D-instance"}},
    ]
    front = await proxy(config_of(routes=yaml_of(ROUTER), engines=inventory(*entries)))
    body = json.dumps({"model": "deepseek-r1-1-5b-pd-disaggregation", "prompt": "San Francisco is a"}).encode()
    answer = await ask(front, Curl("POST", "/v1/completions", ("Content-Type: application/json",), body))
    assert (answer.status, answer.field("x-sim-engine")) == (200, "decode")


@pytest.mark.parametrize("model", ["nobody", "deepseek-r1"])
async def test_a_model_without_a_route_is_told_in_words_that_kthenas_users_look_for(
    engine: StartEngine, proxy: StartProxy, model: str
) -> None:
    body = json.dumps({"model": model, "prompt": "x"}).encode()
    answer = await ask(await router(engine, proxy), Curl("POST", "/v1/completions", (), body))
    assert answer.status == 404
    assert "route not found" in json.loads(answer.body)["error"]["message"]


def test_every_command_of_the_router_document_is_tried() -> None:
    assert len(curls(ROUTER)) == 4


# --- ModelServer ------------------------------------------------------------------------------------------------------


async def test_a_model_server_answers_at_its_own_path(proxy: StartProxy) -> None:
    async with raw_engine(answering) as right:
        entry = {"url": right.url, "workload": "llama-7b-infer"}
        front = await proxy(config_of(servers=yaml_of(MODEL_SERVER), engines=inventory(entry)))
        answer = await ask(front, curls(MODEL_SERVER)[0])
        assert (answer.status, answer.body) == (200, b"/v1/models/llama-7b/infer")


async def test_a_model_server_with_a_rate_limit_tells_how_it_stands(proxy: StartProxy) -> None:
    async with raw_engine(answering) as engine:
        entry = {"url": engine.url, "workload": "production-model-infer", "namespace": "production"}
        front = await proxy(config_of(servers=yaml_of(MODEL_SERVER), engines=inventory(entry)))
        answer = await ask(front, curls(MODEL_SERVER)[1])
        assert (answer.status, answer.body) == (200, b"/v1/models/production/infer")
        told = [answer.field(f"x-ratelimit-{name}-requests") for name in ("limit", "remaining")]
        assert told == ["200", "199"]


async def test_a_model_server_that_asks_for_a_token_serves_those_who_have_one(proxy: StartProxy) -> None:
    async with raw_engine(answering) as engine, Issuer(Signer("ES256")) as issuer:
        entry = {"url": engine.url, "workload": "sensitive-model-infer", "namespace": "ml-models"}
        servers = yaml_of(MODEL_SERVER).replace("https://auth.company.com", issuer.url)
        front = await proxy(config_of(servers=servers, engines=inventory(entry)))
        path = "/v1/models/secure/infer"
        command = curls(MODEL_SERVER)[1]
        assert "Authorization: Bearer <token>" in command.headers
        refused = await ask(front, Curl("POST", path, command.headers, command.body))
        assert (refused.status, json.loads(refused.body)["error"]["code"]) == (401, "invalid_api_key")
        assert (refused.field("WWW-Authenticate") or "").startswith('Bearer realm="penstock"')
        assert engine.requests == []
        token = issuer.token(aud="matrixinfer-api")
        headers = tuple(header.replace("<token>", token) for header in command.headers)
        answer = await ask(front, Curl("POST", path, headers, command.body))
        assert (answer.status, answer.body) == (200, path.encode())


async def test_health_readiness_and_metrics_answer(serve: StartServing) -> None:
    front = await serve(yaml_of(MODEL_SERVER))
    paths = [curl.target for curl in curls(MODEL_SERVER)[2:]]
    assert paths == ["/health", "/ready", "/metrics"]
    async with aiohttp.ClientSession() as client:
        for path in paths:
            # Metrics of all workers are told at the admin address.
            port = front.admin if path == "/metrics" else front.port
            async with client.get(f"http://127.0.0.1:{port}{path}") as answer:
                assert answer.status == 200


def test_every_command_of_the_model_server_document_is_tried() -> None:
    assert len(curls(MODEL_SERVER)) == 5


# --- InferenceModelRewrite --------------------------------------------------------------------------------------------

POOL = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: vllm-qwen3-32b}
spec: {selector: {matchLabels: {app: vllm}}, targetPorts: [{number: 8000}]}
"""


async def pool(engine: StartEngine, proxy: StartProxy, rewrites: str) -> Proxy:
    adapters = ("small-segment-lora-v1", "small-segment-lora-v2")
    running = await engine(model="Qwen/Qwen3-32B", adapters=adapters)
    entry = {"url": running.url, "labels": {"app": "vllm"}}
    return await proxy(config_of(rewrites=rewrites, pool=POOL, engines=inventory(entry)))


async def test_an_alias_reaches_the_version_that_it_stands_for_and_the_answer_tells_the_alias(
    engine: StartEngine, proxy: StartProxy
) -> None:
    front = await pool(engine, proxy, blocks_of_rewrites()[0])
    body = b'{"model": "small-segment-lora", "prompt": "hello"}'
    answer = await ask(front, Curl("POST", "/v1/completions", (), body))
    assert (answer.status, json.loads(answer.body)["model"]) == (200, "small-segment-lora")


async def test_a_model_that_nobody_knows_reaches_the_default_model(engine: StartEngine, proxy: StartProxy) -> None:
    front = await pool(engine, proxy, blocks_of_rewrites()[1])
    for body in (b'{"model": "whatever", "prompt": "hello"}', b'{"prompt": "hello"}'):
        answer = await ask(front, Curl("POST", "/v1/completions", (), body))
        assert answer.status == 200, answer.body


def blocks_of_rewrites() -> list[str]:
    return [block.text for block in blocks("yaml") if block.document.startswith(REWRITE)]
