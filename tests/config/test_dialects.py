"""Each document reaches the reader that owns it, and what nobody owns is skipped with a word."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.loader import LoadResult, load_texts
from proxy.errors import Problem, Severity
from tests.config.inference_resources import POOLS, REWRITES, ROUTES, endpoint, http_route, pool, rewrite, rule

GOOD = "servers: {a: {endpoints: [http://h:1]}}\nroutes: [{name: r, rules: [{targets: a}]}]\n"


def load(text: str, **variables: str) -> LoadResult:
    return load_texts({"a.yaml": f"{GOOD}---\n{text}"}, variables)


def only_problem(text: str, **variables: str) -> Problem:
    (problem,) = load(text, **variables).problems
    return problem


def as_list(*items: object, kind: str = "List", version: str = "v1") -> str:
    return json.dumps({"apiVersion": version, "kind": kind, "metadata": {"resourceVersion": ""}, "items": items})


# --- foreign kinds ---


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("apps/v1", "Deployment"),
        ("v1", "Service"),
        ("v1", "ConfigMap"),
        ("gateway.networking.k8s.io/v1", "Gateway"),
        ("gateway.networking.k8s.io/v1", "GRPCRoute"),
        ("gateway.networking.k8s.io/v1alpha2", "TCPRoute"),
        ("route.openshift.io/v1", "Route"),
        ("workload.serving.volcano.sh/v1alpha1", "ModelServing"),
        ("workload.serving.volcano.sh/v1alpha1", "ModelBooster"),
        ("workload.matrixinfer.ai/v1alpha1", "ModelInfer"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
        ("llm-d.ai/v1alpha1", "EndpointPickerConfig"),
        ("inference.networking.x-k8s.io/v1alpha1", "InferencePoolImport"),
        ("apps/v1", "DeploymentList"),
    ],
)
def test_a_foreign_kind_is_skipped_with_one_hint(version: str, kind: str) -> None:
    problem = only_problem(f"{{apiVersion: {version}, kind: {kind}, metadata: [], spec: 5, data: {{}}, items: [1]}}")
    assert (problem.severity, problem.code, problem.line) == (Severity.HINT, "PS116", 4)
    assert kind in problem.message


@pytest.mark.parametrize(
    ("kind", "near"),
    [
        ("ModelRout", "ModelRoute"),
        ("modelroute", "ModelRoute"),
        ("ModelServers", "ModelServer"),
        ("InferencePools", "InferencePool"),
        ("InferenceRewrite", "InferenceModelRewrite"),
        ("HttpRoute", "HTTPRoute"),
        ("Pods", "Pod"),
        ("InferenceModel", "InferenceModelRewrite"),
    ],
)
def test_a_kind_near_one_of_ours_is_a_warning_with_that_one(kind: str, near: str) -> None:
    problem = only_problem(f"{{apiVersion: llm-d.ai/v1alpha2, kind: {kind}}}")
    assert (problem.severity, problem.code, problem.suggestion) == (Severity.WARNING, "PS114", near)
    assert problem.path == "kind"


@pytest.mark.parametrize(
    ("version", "kind", "expected"),
    [
        ("networking.volcano.sh/v1alpha1", "ModelRoute", "networking.serving.volcano.sh"),
        ("v1", "InferencePool", "inference.networking.k8s.io"),
        ("llm-d.ai/v1", "InferencePool", "inference.networking.k8s.io"),
        ("networking.k8s.io/v1", "HTTPRoute", "gateway.networking.k8s.io"),
        ("apps/v1", "Pod", "that of v1"),
    ],
)
def test_our_kind_under_a_wrong_group_is_a_warning(version: str, kind: str, expected: str) -> None:
    problem = only_problem(f"{{apiVersion: {version}, kind: {kind}, metadata: {{name: a}}, spec: {{}}}}")
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS114", "apiVersion")
    assert expected in problem.message


def test_the_version_is_held_against_nobody() -> None:
    for version in ("inference.networking.k8s.io/v1", "inference.networking.k8s.io/v9alpha1"):
        text = json.dumps({**pool(), "apiVersion": version})
        config = load(text).config
        assert config is not None
        assert "pool/default/p" in config.servers


def test_a_kind_from_a_variable_is_never_shown() -> None:
    problem = only_problem("{apiVersion: v1, kind: '${K}'}", K="hunter2")
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS114")
    assert "hunter2" not in problem.message


# --- half a resource ---


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("kind: InferencePool", "PS112", "'apiVersion' is missing"),
        ("{kind: InferencePool, metadata: {name: a}, spec: {}}", "PS112", "'apiVersion' is missing"),
        ("apiVersion: v1", "PS112", "'kind' is missing"),
        ("{apiVersion: v1, kind: }", "PS110", "a text such as InferencePool, found nothing"),
        ("{apiVersion: v1, kind: ''}", "PS110", "found ''"),
        ("{apiVersion: [], kind: Pod}", "PS110", "a text such as v1, found an empty list"),
    ],
)
def test_a_document_with_kind_or_api_version_alone_is_told_what_is_missing(text: str, code: str, words: str) -> None:
    problem = only_problem(text)
    assert (problem.severity, problem.code) == (Severity.ERROR, code)
    assert words in problem.message


def test_a_resource_without_a_name_may_be_the_one_that_others_refer_to() -> None:
    text = json.dumps({"apiVersion": POOLS, "kind": "InferencePool", "metadata": {}, "spec": {}})
    assert [problem.code for problem in load(f"{text}\n---\n{json.dumps(rewrite('r', rule('a')))}").problems] == [
        "PS112"
    ]


# --- several documents ---


def test_documents_of_all_dialects_stand_in_one_file() -> None:
    texts = [json.dumps(one) for one in (pool(), rewrite("r", rule("m")))]
    config = load("\n---\n".join([*texts, json.dumps({"endpoints": [endpoint(app="p")]})])).config
    assert config is not None
    assert [route.name for route in config.routes] == ["r", "pool/default/p"]
    assert len(config.servers["pool/default/p"].endpoints) == 1


def test_the_items_of_a_list_are_documents_with_their_own_lines_and_ages() -> None:
    text = """\
apiVersion: v1
kind: List
items:
- apiVersion: llm-d.ai/v1alpha2
  kind: InferenceModelRewrite
  metadata: {name: new, creationTimestamp: "2026-02-01T00:00:00Z"}
  spec: {poolRef: {name: p}, rules: [{targets: [{modelRewrite: new}]}]}
- apiVersion: llm-d.ai/v1alpha2
  kind: InferenceModelRewrite
  metadata: {name: old, creationTimestamp: "2026-01-01T00:00:00Z"}
  spec: {poolRef: {name: p}, rules: [{targets: [{modelRewrite: old}]}]}
"""
    config = load_texts({"a.yaml": text}).config
    assert config is not None
    rewrites = config.servers["pool/default/p"].rewrites
    assert [(one.name, one.origin.line) for one in rewrites] == [("old", 11), ("new", 7)]
    assert rewrites[0].origin.path == "items[1].spec.rules[0]"


def test_the_items_of_a_list_of_one_kind_need_not_say_what_they_are() -> None:
    bare = {key: value for key, value in pool().items() if key not in {"apiVersion", "kind"}}
    config = load(as_list(bare, pool("q"), kind="InferencePoolList", version=POOLS)).config
    assert config is not None
    assert {"pool/default/p", "pool/default/q"} <= set(config.servers)


def test_an_item_of_a_list_of_one_kind_may_say_that_it_is_another() -> None:
    service = {"apiVersion": "v1", "kind": "Service"}
    problem = only_problem(as_list(service, kind="InferencePoolList", version=POOLS))
    assert "'Service' of 'v1'" in problem.message


def test_a_slip_in_an_item_of_a_list_of_one_kind_is_told_at_its_place() -> None:
    text = "apiVersion: llm-d.ai/v1alpha2\nkind: InferenceObjectiveList\nitems:\n- metadata: {name: a}\n  spec: {}\n"
    (problem,) = load_texts({"a.yaml": text}).problems
    assert (problem.line, problem.path) == (5, "items[0].spec")


def test_a_list_may_hold_lists_and_nothing() -> None:
    assert load(as_list(json.loads(as_list()))).problems == ()


@pytest.mark.parametrize("kind", ["List", "ModelRouteList"])
def test_a_list_without_items_is_told(kind: str) -> None:
    assert only_problem(f"{{apiVersion: {REWRITES}, kind: {kind}}}").code == "PS112"
    assert only_problem(f"{{apiVersion: {REWRITES}, kind: {kind}, items: {{}}}}").code == "PS110"


def test_foreign_items_of_a_list_are_hints_of_their_own() -> None:
    foreign = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}
    assert [problem.code for problem in load(as_list(foreign, foreign)).problems] == ["PS116", "PS116"]


# --- resources that say nothing ---


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        (REWRITES, "InferenceModelRewrite"),
        (REWRITES, "InferenceObjective"),
        (POOLS, "InferencePool"),
        (ROUTES, "HTTPRoute"),
    ],
)
@pytest.mark.parametrize(("spec", "code"), [("", "PS112"), ("[]", "PS110")])
def test_a_resource_without_a_spec_is_an_error(version: str, kind: str, spec: str, code: str) -> None:
    problem = only_problem(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {spec}\n")
    assert (problem.severity, problem.code, problem.path) == (Severity.ERROR, code, "spec")


# --- definitions ---


def test_the_definition_of_a_kind_is_skipped_with_a_hint() -> None:
    text = "apiVersion: llm-d.ai/v1alpha2\nkind: InferenceObjective\nmetadata: {name: string}\nspec: {priority: int32}"
    problem = only_problem(text)
    assert (problem.severity, problem.code) == (Severity.HINT, "PS117")


# --- whatever comes ---


KINDS = st.sampled_from(
    [
        (REWRITES, "InferenceModelRewrite"),
        (REWRITES, "InferenceObjective"),
        (POOLS, "InferencePool"),
        (POOLS, "InferencePoolList"),
        (ROUTES, "HTTPRoute"),
        ("v1", "Pod"),
        ("v1", "List"),
    ]
)
# fmt: off
KEYS = st.sampled_from([
    "poolRef", "group", "kind", "name", "rules", "matches", "model", "type", "value", "targets", "modelRewrite",
    "weight", "priority", "selector", "matchLabels", "targetPorts", "number", "targetPortNumber", "appProtocol",
    "extensionRef",
    "endpointPickerRef", "hostnames", "path", "headers", "queryParams", "method", "backendRefs", "timeouts", "request",
    "backendRequest", "retry", "codes", "filters", "podIP", "podIPs", "ip", "phase", "conditions", "status",
    "namespace", "annotations", "labels", "creationTimestamp", "penstock/restore-model", "llm-d.ai/active-ports",
    "address", "port",
])
# fmt: on
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1, 70_000)
    | st.text(max_size=4)
    | st.sampled_from(
        ["a", "/x", "Exact", "RegularExpression", "a(", "PathPrefix", "*.a.b", "1s", "InferencePool", "${A}"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)


@given(KINDS, st.fixed_dictionaries({"name": VALUES}), VALUES, VALUES, VALUES)
def test_no_resource_makes_a_reader_raise(
    kind: tuple[str, str], metadata: object, spec: object, status: object, items: object
) -> None:
    document = {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, "spec": spec, "status": status}
    text = json.dumps({**document, "items": items})
    result = load_texts({"a.json": text, "b.json": text}, {"A": "x"})
    assert (result.config is None) == any(problem.severity is Severity.ERROR for problem in result.problems)


RULES = st.lists(st.dictionaries(KEYS, VALUES, max_size=4) | VALUES, max_size=3)


@given(RULES, RULES, VALUES, VALUES)
def test_no_rule_makes_a_reader_raise(
    rules: list[object], more: list[object], hosts: object, endpoints: object
) -> None:
    documents = [rewrite("r", *rules), http_route(*more, hostnames=hosts), {"endpoints": endpoints}, pool()]
    load_texts({f"{number}.json": json.dumps(one) for number, one in enumerate(documents)}, {"A": "x"})
