"""A ModelServer is read in the form that it is written in, under either group."""

import pytest

from proxy.config.loader import load as load_files
from proxy.config.spec import Engine
from proxy.errors import Severity
from tests.config.model_resources import (
    KTHENA,
    MATRIXINFER,
    ROOT,
    document,
    examples,
    load,
    only_problem,
    problems,
    server,
)

DOCUMENTED = "{modelInferRef: {name: w}, service: {port: 80}, routing: {path: /m}}"
CRD = "{inferenceEngine: vLLM, workloadSelector: {matchLabels: {app: a}}, workloadPort: {port: 8000}}"


@pytest.mark.parametrize("version", [KTHENA, MATRIXINFER])
@pytest.mark.parametrize(("spec", "engine"), [(DOCUMENTED, Engine.OPENAI), (CRD, Engine.VLLM)])
def test_both_groups_have_both_forms(version: str, spec: str, engine: Engine) -> None:
    found = server(document("ModelServer", spec, version=version))
    assert (found.name, found.engine) == ("ns/r", engine)
    assert (found.origin.line, found.origin.path) == (3, "metadata.name")


@pytest.mark.parametrize("first", ["modelInferRef", "service", "routing", "rateLimit", "authentication", "tls"])
@pytest.mark.parametrize(
    "second", ["workloadSelector", "inferenceEngine", "model", "workloadPort", "trafficPolicy", "kvConnector"]
)
def test_a_mixture_of_both_forms_is_told(first: str, second: str) -> None:
    for one, other in ((first, second), (second, first)):
        problem = only_problem(document("ModelServer", f"{{{one}: {{}}, {other}: {{}}}}"))
        assert (problem.code, problem.severity, problem.path) == ("PS113", Severity.ERROR, f"spec.{other}")
        assert f"a mixture of two forms: '{other}' does not go together with '{one}'" in problem.message


def test_a_spec_of_neither_form_is_told_with_what_it_may_hold() -> None:
    problem = only_problem(document("ModelServer", "{}"))
    assert (problem.code, problem.severity, problem.path) == ("PS112", Severity.ERROR, "spec")
    assert "expected modelInferRef, service" in problem.message


def test_a_server_that_cannot_be_read_is_not_said_to_be_missing() -> None:
    target = "{modelName: m, rules: [{targetModels: [{modelServerName: r}]}]}"
    result = load(document("ModelServer", "{}"), document("ModelRoute", target))
    assert [problem.code for problem in result.problems if problem.severity is Severity.ERROR] == ["PS112"]
    assert "PS131" not in [problem.code for problem in result.problems]


def test_a_server_without_a_spec_is_told_once() -> None:
    text = f"apiVersion: {KTHENA}\nkind: ModelServer\nmetadata: {{name: r}}\n"
    assert "'spec' is missing" in only_problem(text).message


def test_a_name_is_given_once_in_a_namespace() -> None:
    first = document("ModelServer", CRD)
    assert not problems(first, document("ModelServer", CRD, namespace="other"))
    again = only_problem(first, document("ModelServer", CRD))
    assert (again.code, again.line) == ("PS130", 8)
    assert "the server 'ns/r' was already defined at a.yaml:3" in again.message


def test_a_route_of_the_same_namespace_leads_to_a_server_and_one_of_another_does_not() -> None:
    target = "{modelName: m, rules: [{targetModels: [{modelServerName: r}]}]}"
    there = load(document("ModelServer", CRD), document("ModelRoute", target)).problems
    elsewhere = load(document("ModelServer", CRD), document("ModelRoute", target, namespace="other")).problems
    assert [problem.code for problem in there] == ["PS135"]
    assert "PS131" in [problem.code for problem in elsewhere]


@pytest.mark.parametrize("text", examples("002") + examples("001"))
def test_every_example_of_the_documents_loads_alone(text: str) -> None:
    assert not [str(problem) for problem in load(text).problems if problem.severity is Severity.ERROR]


@pytest.mark.parametrize("folder", ["kthena", "matrixinfer"])
def test_the_samples_load_without_a_word_and_every_server_has_endpoints(folder: str) -> None:
    result = load_files([str(ROOT / "config" / "examples" / folder)])
    assert not result.problems
    assert result.config is not None
    assert all(server.endpoints for server in result.config.servers.values())
    assert len(result.config.servers) > 2
