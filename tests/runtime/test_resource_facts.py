import msgspec

from proxy.config.loader import load_texts
from proxy.config.spec import NOWHERE, Config, Credential, EndpointSpec, ModelServer, Route, Rule, Target
from proxy.runtime.resource_facts import Identity, ResourceFacts, RuleFacts, resource_facts

SERVED = """\
apiVersion: networking.matrixinfer.ai/v1alpha1
kind: ModelServer
metadata: {name: llama, namespace: team, generation: 3, creationTimestamp: "2026-11-20T13:37:38Z"}
spec:
  modelInferRef: {name: llama}
  service: {port: 8080}
  routing: {path: /v1/models/llama}
---
apiVersion: networking.matrixinfer.ai/v1alpha1
kind: ModelRoute
metadata: {name: ab, namespace: team}
spec:
  routes:
    - {match: {headers: {version: v1}}, destination: {modelServerRef: {name: llama}}, weight: 90}
    - {match: {headers: {version: v1}}, destination: {modelServerRef: {name: gone}}, weight: 10}
  fallback: {modelServerRef: {name: llama}}
"""
REWRITES = """\
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: vllm, namespace: NAMESPACE}
spec: {selector: {matchLabels: {app: vllm}}, targetPorts: [{number: 8000}]}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata: {name: small, namespace: NAMESPACE}
spec:
  poolRef: {name: vllm}
  rules:
    - {matches: [{model: {value: NAMESPACE-a}}, {model: {value: b}}], targets: [{modelRewrite: x}]}
    - {matches: [{model: {value: b}}, {model: {value: c}}], targets: [{modelRewrite: y}]}
"""


def facts_of(*texts: str) -> ResourceFacts:
    result = load_texts({f"{number}.yaml": text for number, text in enumerate(texts)})
    assert result.config is not None, result.problems
    return resource_facts(result.config, result.filed)


def test_a_document_goes_by_its_own_names() -> None:
    facts = facts_of(SERVED)
    llama, gone = facts.servers
    assert llama.identity == Identity(
        "team/llama",
        "ModelServer",
        "0.yaml",
        3,
        "llama",
        namespace="team",
        api_version="networking.matrixinfer.ai/v1alpha1",
        generation=3,
        created=1_795_181_858.0,
    )
    assert (llama.selects, llama.missing, llama.port, llama.path) == (True, False, 8080, "/v1/models/llama")
    assert (gone.identity.name, gone.identity.api_version, gone.missing) == ("team/gone", "", True)


def test_routes_are_counted_once_for_each_server_that_they_lead_to() -> None:
    facts = facts_of(SERVED)
    assert [route.identity.name for route in facts.routes] == ["server/team/llama", "team/ab"]
    assert [(server.identity.name, server.routes) for server in facts.servers] == [("team/llama", 2), ("team/gone", 1)]
    assert facts.routes[1].rules[0].targets == (("team/llama", 90), ("team/gone", 10))
    assert facts.routes[1].fallback == ("team/llama",)


def test_what_is_turned_off_leads_nowhere() -> None:
    off = Rule("off", (Target("engine"),), enabled=False)
    on = Rule("on", (Target("other", 3),), fallback=(Target("last"),))
    config = Config({"engine": ModelServer("engine", ())}, (Route("chat", (off, on)),))
    facts = resource_facts(config)
    assert facts.servers[0].routes == 0
    assert facts.routes[0].rules == (RuleFacts("on", (("other", 3),), ("last",)),)


def test_a_native_server_has_no_document() -> None:
    server = ModelServer("engine", (EndpointSpec("http", "10.0.0.1", 80),), credential=Credential(value="s3cret"))
    facts = resource_facts(Config({"engine": server}, ()))
    (told,) = facts.servers
    assert told.identity == Identity("engine", "server", NOWHERE.file, NOWHERE.line, "engine")
    assert (told.endpoints, told.selects, told.credential, told.port) == (1, False, True, None)
    assert b"s3cret" not in msgspec.msgpack.encode(facts)


def test_a_rewrite_is_one_thing_whatever_its_rules_and_knows_the_pool_of_its_own_namespace() -> None:
    both = "---\n".join(REWRITES.replace("NAMESPACE", name) for name in ("one", "two"))
    told = [(each.identity.name, each.server, each.models) for each in facts_of(both).rewrites]
    assert told == [
        ("one/small", "pool/one/vllm", ("one-a", "b", "c")),
        ("two/small", "pool/two/vllm", ("two-a", "b", "c")),
    ]


def test_a_rewrite_without_effect_is_there_without_a_server() -> None:
    strange = REWRITES.replace("NAMESPACE", "one").replace("poolRef: {name", "poolRef: {group: other.io, name")
    (rewrite,) = facts_of(strange).rewrites
    assert (rewrite.identity.name, rewrite.server, rewrite.models) == ("one/small", None, ())


def test_rewrites_of_a_native_server_are_told_one_by_one() -> None:
    native = """\
servers: {chat: {endpoints: [http://a], rewrites: [{models: gpt, targets: x}, {name: rest, targets: y}]}}
routes: [{name: all, rules: [{name: all, targets: chat}]}]
"""
    told = [(each.identity.name, each.identity.kind, each.server, each.models) for each in facts_of(native).rewrites]
    assert told == [("chat/1", "rewrite", "chat", ("gpt",)), ("chat/rest", "rewrite", "chat", ())]


def test_facts_cross_to_another_process_as_they_are() -> None:
    facts = facts_of(SERVED, REWRITES.replace("NAMESPACE", "one"))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(facts), type=ResourceFacts) == facts
