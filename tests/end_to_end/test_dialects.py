"""All dialects in one folder, served by `penstock serve` with two workers: they are read, reloaded and told alike."""

import json
from pathlib import Path

import aiohttp
import pytest

from tests.end_to_end.engines import StartEngine
from tests.end_to_end.patience import until_told
from tests.end_to_end.raw_client import chat, post, raw_client
from tests.end_to_end.serving import Serving, StartServing

NATIVE = """
servers: {{native: {{endpoints: ["{url}"]}}}}
routes:
  - {{name: native, models: [native], rules: [{{targets: [native]}}]}}
  - {{name: to-pool, models: [to-pool], rules: [{{targets: [pool/default/pool]}}]}}
endpoints: [{{url: "{url}", labels: {{app: vllm}}, workload: llama}}]
"""
KTHENA = """
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata: {name: server}
spec:
  {model: kthena-model, inferenceEngine: vLLM, workloadSelector: {matchLabels: {app: vllm}}, workloadPort: {port: 1}}
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata: {name: route}
spec: {modelName: kthena, loraAdapters: [lora], rules: [{targetModels: [{modelServerName: server}]}]}
"""
MATRIXINFER = """
apiVersion: networking.matrixinfer.ai/v1alpha1
kind: ModelServer
metadata: {name: llama}
spec: {modelInferRef: {name: llama}, service: {port: 8080}, routing: {path: /v1/models/llama}}
"""
INFERENCE = """
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: pool}
spec: {selector: {matchLabels: {app: vllm}}, targetPorts: [{number: 1}]}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModelRewrite
metadata: {name: rewrite}
spec: {poolRef: {name: pool}, rules: [{targets: [{modelRewrite: rewritten}]}]}
"""


def mixtrain(url: str, model: str) -> str:
    condition = {"field": "metadata.tier", "operator": "equals", "value": "gold"}
    target = {"provider": "custom", "model_name": model, "endpoint": url}
    return json.dumps({"name": "mix", "rules": [{"name": "gold", "conditions": [condition], "targets": [target]}]})


async def sent(front: Serving, model: str, **more: object) -> str:
    """The model that the engine was asked for, on a connection of its own."""
    async with raw_client(front.port) as client:
        answer = await client.ask(post(chat(model, **more)))
    return str(json.loads(answer.body).get("model", answer.status))


@pytest.fixture
async def front(serve: StartServing, engine: StartEngine, tmp_path: Path) -> Serving:
    adapters = ("kthena-model", "lora", "rewritten", "mixtrain-1", "mixtrain-2", "native", "to-pool")
    running = await engine(model="base", adapters=adapters)
    texts = {"k.yaml": KTHENA, "m.yml": MATRIXINFER, "i.yaml": INFERENCE, "x.json": mixtrain(running.url, "mixtrain-1")}
    (tmp_path / "routes").mkdir()
    for name, text in texts.items():
        (tmp_path / "routes" / name).write_text(text)
    return await serve(NATIVE.format(url=running.url), settings="workers: 2\n")


async def test_a_folder_of_all_dialects_is_served_and_each_edit_is_followed(front: Serving) -> None:
    assert await sent(front, "native") == "native"
    assert await sent(front, "kthena") == "kthena-model"
    assert await sent(front, "lora") == "lora"
    assert await sent(front, "to-pool") == "to-pool"
    assert await sent(front, "other", metadata={"tier": "gold"}) == "mixtrain-1"
    assert await sent(front, "other") == "404"

    (front.routes / "x.json").write_text((front.routes / "x.json").read_text().replace("mixtrain-1", "mixtrain-2"))

    async def followed() -> bool:
        return await sent(front, "other", metadata={"tier": "gold"}) == "mixtrain-2"

    await until_told(followed)


async def test_a_bad_document_of_any_dialect_changes_nothing_and_is_told(front: Serving) -> None:
    before = await front.version()
    (front.routes / "k.yaml").write_text(KTHENA.replace("inferenceEngine: vLLM", "inferenceEngine: vllm-next"))
    (front.routes / "x.json").write_text('{"name": "mix", "rules": []}')
    answer = json.loads(await front.ask_admin("/reload", "POST"))
    assert answer["outcome"] == "rejected"
    told = {(problem["file"].rpartition("/")[2], problem["severity"]) for problem in answer["problems"]}
    assert {("k.yaml", "error"), ("x.json", "error")} <= told
    assert await front.version() == before
    assert await sent(front, "kthena") == "kthena-model"


async def test_the_status_tells_of_each_route_what_document_it_was(front: Serving) -> None:
    status = await front.status()
    kinds = {route["name"]: route["kind"] for route in status["routes"]}
    assert kinds["default/route"] == "ModelRoute"
    assert kinds["server/default/llama"] == "ModelServer"
    assert kinds["mix"] == "Mixtrain"
    assert kinds["native"] == "route"
    pool = next(server for server in status["servers"] if server["name"] == "pool/default/pool")
    assert pool["rewrites"] == [{"models": [], "targets": {"rewritten": 1}}]
    async with (
        aiohttp.ClientSession() as client,
        client.get(f"http://127.0.0.1:{front.port}/v1/models") as answer,
    ):
        models = {card["id"] for card in (await answer.json())["data"]}
    assert models == {"native", "to-pool", "kthena", "lora"}
