"""A pool is a server that finds its endpoints; a reference to a pool says what it may."""

from typing import Any

import pytest

from proxy.config.spec import Engine, Selector
from proxy.errors import Severity
from tests.config.inference_resources import (
    POOLS,
    backend,
    endpoint,
    errors,
    http_route,
    load,
    only_problem,
    pool,
    problems,
    resource,
    rewrite,
    rule,
    server,
)

SELECTOR = {"matchLabels": {"app": "vllm"}}
PORTS = [{"number": 8000}]
ANNOTATION = "penstock/restore-model"


def of_spec(**spec: object) -> dict[str, Any]:
    return resource(POOLS, "InferencePool", "p", {"selector": SELECTOR, "targetPorts": PORTS, **spec})


def test_a_pool_selects_by_labels_in_its_own_namespace() -> None:
    found = server({**of_spec(), "metadata": {"name": "p", "namespace": "ml"}}, name="pool/ml/p")
    assert found.selector == Selector("ml", (("app", "vllm"),), ports=(8000,))
    assert (found.engine, found.restore_model, found.missing) == (Engine.OPENAI, False, False)


def test_each_port_of_a_pool_is_an_endpoint_of_its_own() -> None:
    ranks = of_spec(targetPorts=[{"number": 8000}, {"number": 8001}])
    found = server(ranks, {"endpoints": [endpoint("a", app="vllm"), endpoint("b", app="vllm")]})
    addresses = [one.address for one in found.endpoints]
    assert addresses == ["http://a:8000", "http://a:8001", "http://b:8000", "http://b:8001"]


def test_a_pool_in_its_first_form_is_read() -> None:
    spec = {"selector": {"app": "vllm"}, "targetPortNumber": 8000, "extensionRef": {"name": "epp", "portNumber": 9002}}
    old = resource("inference.networking.x-k8s.io/v1alpha2", "InferencePool", "p", spec)
    assert server(old).selector == Selector("default", (("app", "vllm"),), ports=(8000,))
    assert not problems(old)


def test_an_endpoint_picker_is_read_and_says_nothing() -> None:
    picker = {"group": "", "kind": "Service", "name": "epp", "port": {"number": 9002}, "failureMode": "FailOpen"}
    assert not problems(of_spec(endpointPickerRef=picker, appProtocol="http"))


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({"selector": None}, "spec.selector", "'selector' has no value"),
        ({"selector": {}}, "spec.selector", "at least one label"),
        ({"selector": {"matchLabels": {}}}, "spec.selector.matchLabels", "at least one label"),
        ({"selector": {"matchLabels": ["a"]}}, "spec.selector.matchLabels", "a mapping of texts"),
        ({"selector": {"matchExpressions": []}}, "spec.selector", "'matchLabels' is missing"),
        ({"selector": "app=vllm"}, "spec.selector", "a mapping with matchLabels"),
        ({"targetPorts": []}, "spec.targetPorts", "a list of 1 to 8 ports"),
        ({"targetPorts": 8000}, "spec.targetPorts", "a list of 1 to 8 ports"),
        ({"targetPorts": [8000]}, "spec.targetPorts[0]", "a mapping with number"),
        ({"targetPorts": [{"number": 0}]}, "spec.targetPorts[0].number", "from 1 to 65535"),
        ({"targetPorts": PORTS * 2}, "spec.targetPorts", "more than once"),
        ({"targetPorts": [{"number": n} for n in range(1, 10)]}, "spec.targetPorts", "at most 8 ports"),
        ({"targetPortNumber": 8000}, "spec.targetPortNumber", "not several"),
        ({"appProtocol": "grpc"}, "spec.appProtocol", "http or kubernetes.io/h2c"),
        ({"endpointPickerRef": "epp"}, "spec.endpointPickerRef", "a mapping with name"),
        ({"endpointPickerRef": {}}, "spec.endpointPickerRef", "'name' is missing"),
        ({"endpointPickerRef": {"name": "e", "failureMode": "Fail"}}, "spec.endpointPickerRef.failureMode", "FailOpen"),
    ],
)
def test_a_slip_in_a_pool_is_an_error(spec: dict[str, Any], path: str, words: str) -> None:
    problem = next(one for one in problems(of_spec(**spec)) if one.severity is Severity.ERROR)
    assert problem.path == path
    assert words in problem.message


def test_a_pool_without_ports_is_an_error() -> None:
    assert errors(resource(POOLS, "InferencePool", "p", {"selector": SELECTOR})) == ["spec"]


def test_http_2_without_tls_is_told_to_be_http_1() -> None:
    problem = only_problem(of_spec(appProtocol="kubernetes.io/h2c"))
    assert (problem.severity, problem.path) == (Severity.WARNING, "spec.appProtocol")


def test_a_pool_is_given_once_in_a_namespace() -> None:
    assert only_problem(pool(), pool()).code == "PS130"
    assert not problems(pool(), pool(namespace="other"))


@pytest.mark.parametrize("key", ["llm-d.ai/engine-type", "inference.networking.k8s.io/engine-type"])
@pytest.mark.parametrize(
    ("said", "engine"), [("vllm", Engine.VLLM), ("sglang", Engine.SGLANG), ("triton", Engine.OPENAI)]
)
def test_a_pool_says_its_engine(key: str, said: str, engine: Engine) -> None:
    assert server(pool(annotations={key: said})).engine is engine
    assert server(pool(labels={key: said})).engine is engine
    assert server(pool(select={key: said})).engine is engine


# --- the model's name in answers ---


def restores(on_pool: object, *on_rewrites: object) -> bool:
    def metadata(said: object) -> dict[str, Any]:
        return {} if said is None else {"annotations": {ANNOTATION: said}}

    rewrites = [rewrite(f"r{n}", rule(f"m{n}"), **metadata(said)) for n, said in enumerate(on_rewrites)]
    return server(pool(**metadata(on_pool)), *rewrites).restore_model


def test_answers_of_a_pool_with_rewrites_name_the_model_that_the_client_asked_for() -> None:
    assert restores(None, None)
    assert not restores(None)


def test_a_pool_or_any_of_its_rewrites_turns_that_off() -> None:
    assert not restores("false", None)
    assert not restores(None, "false")
    assert not restores("true", None, "false")
    assert not restores("false", "true")


def test_a_pool_without_rewrites_may_turn_it_on() -> None:
    assert restores("true")


def test_the_annotation_says_true_or_false() -> None:
    for document in (pool(annotations={ANNOTATION: "no"}), rewrite("r", rule(), annotations={ANNOTATION: "no"})):
        problem = only_problem(document)
        assert (problem.severity, problem.code) == (Severity.ERROR, "PS120")
        assert problem.path == "metadata.annotations.penstock/restore-model"


def test_an_annotation_that_is_nearly_ours_is_told() -> None:
    problem = only_problem(pool(annotations={"penstock/restore_model": "false"}))
    assert (problem.severity, problem.code, problem.suggestion) == (Severity.WARNING, "PS111", ANNOTATION)


# --- references ---


def referring(**reference: object) -> dict[str, Any]:
    spec = {"poolRef": reference, "rules": [rule("a")]}
    return resource("llm-d.ai/v1alpha2", "InferenceModelRewrite", "r", spec)


@pytest.mark.parametrize("group", [None, "inference.networking.k8s.io"])
def test_a_reference_means_the_pool_of_its_name_and_namespace(group: str | None) -> None:
    document = referring(name="p", group=group, kind="InferencePool")
    assert server(document, pool(), pool(namespace="other")).rewrites[0].models == ("a",)
    assert server(document, pool(), pool(namespace="other"), name="pool/other/p").rewrites == ()


def test_a_reference_to_a_pool_that_no_file_defines_is_a_warning() -> None:
    result = load(referring(name="vlm"), pool("vllm"))
    (missing,) = [problem for problem in result.problems if problem.code == "PS131"]
    assert (missing.severity, missing.path, missing.suggestion) == (Severity.WARNING, "spec.poolRef.name", "vllm")
    assert result.config is not None
    stand_in = result.config.servers["pool/default/vlm"]
    assert (stand_in.missing, stand_in.endpoints, len(stand_in.rewrites)) == (True, (), 1)
    # Beside a pool that is there, it takes no requests.
    assert [(route.name, route.models) for route in result.config.routes] == [("pool/default/vllm/other", ())]


@pytest.mark.parametrize("group", ["", "llm-d.ai", "example.com"])
def test_a_group_that_no_pool_is_of_is_told_and_the_rewrite_is_for_no_pool(group: str) -> None:
    document = referring(name="p", group=group)
    problem = only_problem(pool(), document)
    assert (problem.severity, problem.path) == (Severity.WARNING, "spec.poolRef.group")
    assert server(pool(), document).rewrites == ()


def test_a_pool_of_another_group_is_told_and_not_rewritten() -> None:
    old = {**pool(), "apiVersion": "inference.networking.x-k8s.io/v1alpha2"}
    problem = only_problem(old, referring(name="p"))
    assert (problem.severity, problem.path) == (Severity.WARNING, "spec.poolRef.name")
    assert problem.suggestion == "inference.networking.x-k8s.io"
    assert server(old, referring(name="p")).rewrites == ()
    named = referring(name="p", group="inference.networking.x-k8s.io")
    assert len(server(old, named).rewrites) == 1
    assert not problems(old, named)


def test_the_kind_of_a_reference_is_not_compared_but_told() -> None:
    document = referring(name="p", kind="Service")
    assert only_problem(pool(), document).path == "spec.poolRef.kind"
    assert len(server(pool(), document).rewrites) == 1


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ({}, "spec.poolRef"),
        ({"name": ""}, "spec.poolRef.name"),
        ({"name": "p" * 254}, "spec.poolRef.name"),
        ({"name": "p", "group": "Example.com"}, "spec.poolRef.group"),
        ({"name": "p", "group": "a..b"}, "spec.poolRef.group"),
        ({"name": "p", "group": "a" * 254}, "spec.poolRef.group"),
        ({"name": "p", "kind": ""}, "spec.poolRef.kind"),
        ({"name": "p", "kind": "1st"}, "spec.poolRef.kind"),
        ({"name": "p", "kind": "K" * 64}, "spec.poolRef.kind"),
    ],
)
def test_a_slip_in_a_reference_is_an_error(reference: dict[str, Any], path: str) -> None:
    assert errors(referring(**reference)) == [path]


def test_a_route_to_a_pool_leads_to_it() -> None:
    assert not problems(pool(), http_route({"backendRefs": [backend()]}))
