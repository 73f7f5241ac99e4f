"""A ModelRoute is read in the form that it is written in, under either group."""

import pytest

from proxy.errors import Severity
from tests.config.model_resources import KTHENA, MATRIXINFER, document, examples, load, only_problem, problems, route

DOCUMENTED = "{routes: [{match: {}, destination: {modelServerRef: {name: a}}}]}"
CRD = "{modelName: m, rules: [{targetModels: [{modelServerName: a}]}]}"


@pytest.mark.parametrize("version", [KTHENA, MATRIXINFER])
@pytest.mark.parametrize(("spec", "models"), [(DOCUMENTED, ()), (CRD, ("m",))])
def test_both_groups_have_both_forms(version: str, spec: str, models: tuple[str, ...]) -> None:
    found = route(document("ModelRoute", spec, version=version))
    assert (found.models, found.kind) == (models, "ModelRoute")
    assert found.rules[0].targets[0].server == "ns/a"
    assert (found.origin.line, found.origin.path) == (3, "metadata.name")


@pytest.mark.parametrize(
    ("spec", "first", "second"),
    [
        ("{routes: [], modelName: m}", "'routes'", "'modelName'"),
        ("{rules: [], canary: {}}", "'rules'", "'canary'"),
        ("{fallback: {}, loraAdapters: []}", "'fallback'", "'loraAdapters'"),
        ("{parentRefs: [], routes: []}", "'parentRefs'", "'routes'"),
        ("{rateLimit: {}, routes: []}", "'rateLimit'", "'routes'"),
    ],
)
def test_a_mixture_of_both_forms_is_told(spec: str, first: str, second: str) -> None:
    problem = only_problem(document("ModelRoute", spec))
    assert (problem.code, problem.severity, problem.line) == ("PS113", Severity.ERROR, 4)
    assert problem.path == f"spec.{second[1:-1]}"
    assert f"a mixture of two forms: {second} does not go together with {first}" in problem.message


def test_a_spec_of_neither_form_is_told_with_what_it_may_hold() -> None:
    typo, nothing = sorted(problems(document("ModelRoute", "{rule: []}")), key=lambda problem: problem.code)
    assert (typo.code, typo.suggestion) == ("PS111", "rules")
    assert (nothing.code, nothing.severity, nothing.path) == ("PS112", Severity.ERROR, "spec")
    assert "expected routes, fallback or canary, or rules, modelName" in nothing.message


def test_a_route_without_a_spec_is_told_once() -> None:
    text = f"apiVersion: {KTHENA}\nkind: ModelRoute\nmetadata: {{name: r}}\n"
    assert "'spec' is missing" in only_problem(text).message


def test_a_name_is_given_once_in_a_namespace() -> None:
    first = document("ModelRoute", CRD)
    assert not problems(first, document("ModelRoute", CRD.replace("modelName: m", "modelName: n"), namespace="other"))
    again = only_problem(first, document("ModelRoute", DOCUMENTED))
    assert (again.code, again.line) == ("PS130", 8)
    assert "the route 'ns/r' was already defined at a.yaml:3" in again.message


def test_a_name_from_a_variable_is_never_shown() -> None:
    texts = [document("ModelRoute", CRD, name="'${SECRET}'")] * 2
    found = load(*texts, SECRET="hunter2").problems
    assert "PS130" in [problem.code for problem in found]
    assert not [problem for problem in found if "hunter2" in str(problem)]


def test_the_oldest_route_of_a_model_comes_first() -> None:
    def dated(name: str, created: str) -> str:
        text = document("ModelRoute", CRD, name=name)
        return text.replace("namespace: ns", f"namespace: ns, creationTimestamp: '{created}'")

    config = load(dated("a", "2026-02-01T00:00:00Z"), dated("b", "2026-01-01T00:00:00Z")).config
    assert config is not None
    assert [found.name for found in config.routes] == ["ns/b", "ns/a"]


def test_a_rule_with_a_mistake_is_not_said_to_take_everything() -> None:
    targets = "targetModels: [{modelServerName: a}]"
    spec = f"{{modelName: m, rules: [{{modelMatch: {{uri: 5}}, {targets}}}, {{{targets}}}]}}"
    assert [problem.code for problem in problems(document("ModelRoute", spec))] == ["PS110"]


@pytest.mark.parametrize("text", examples("000") + examples("001"))
def test_every_example_of_the_documents_loads_alone(text: str) -> None:
    assert not [str(problem) for problem in load(text).problems if problem.severity is Severity.ERROR]
