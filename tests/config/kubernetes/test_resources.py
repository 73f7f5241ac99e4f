"""What all resources have in common is read leniently, and what defines a kind is told from what is one."""

import pytest

from proxy.config.kubernetes.resources import Resource, is_definition, read_resource
from proxy.config.loader import load_texts
from proxy.config.problems import Problems
from proxy.config.text.document import parse_documents
from proxy.config.text.nodes import MappingNode
from proxy.errors import Problem


def node_of(text: str) -> MappingNode:
    (node,) = parse_documents("a.yaml", text, {}, Problems()).nodes
    assert isinstance(node, MappingNode)
    return node


def read(metadata: str, rest: str = "spec: {}") -> tuple[Resource | None, tuple[Problem, ...]]:
    problems = Problems()
    text = f"apiVersion: apps/v1\nkind: Thing\nmetadata: {metadata}\n{rest}\n"
    return read_resource(node_of(text), problems), problems.all()


def resource(metadata: str) -> Resource:
    found, problems = read(metadata)
    assert found is not None
    assert not problems
    return found


def test_a_resource_is_known_by_its_namespace_and_name() -> None:
    found = resource("{name: a, namespace: b, labels: {x: y, n: 1}}")
    assert (found.key, found.group, found.kind) == ("b/a", "apps", "Thing")
    assert found.labels == (("x", "y"), ("n", "1"))
    assert (found.place.line, found.place.path) == (3, "metadata.name")
    assert resource("{name: a}").key == "default/a"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2026-01-01T00:00:00Z", 1767225600.0),
        ("'2026-01-01T01:00:00+01:00'", 1767225600.0),
        ("2026-01-01T00:00:00.5Z", 1767225600.5),
        ("null", None),
    ],
)
def test_a_resource_has_an_age(written: str, seconds: float | None) -> None:
    age = resource(f"{{name: a, creationTimestamp: {written}}}").age
    assert (age.created, age.name) == (seconds, "default/a")


@pytest.mark.parametrize("written", ["yesterday", "5", "[]", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "''"])
def test_what_is_no_time_is_told(written: str) -> None:
    _, (problem,) = read(f"{{name: a, creationTimestamp: {written}}}")
    assert (problem.code, problem.path) == ("PS120", "metadata.creationTimestamp")


def test_annotations_may_be_whole_documents() -> None:
    found = resource('{name: a, annotations: {last-applied: "{}\\n", empty: , other: {a: b}}}')
    assert {key: node.text for key, node in found.annotations.items()} == {"last-applied": "{}\n", "empty": ""}


def test_what_clusters_add_to_metadata_is_no_stranger() -> None:
    resource("{name: a, uid: x, resourceVersion: '1', generation: 1, managedFields: [], ownerReferences: []}")


@pytest.mark.parametrize(
    ("metadata", "code", "path"),
    [
        ("", "PS112", "metadata"),
        ("a", "PS110", "metadata"),
        ("{}", "PS112", "metadata"),
        ("{name: }", "PS112", "metadata.name"),
        ("{name: [a]}", "PS110", "metadata.name"),
        ("{name: ''}", "PS120", "metadata.name"),
    ],
)
def test_a_resource_without_a_name_is_told(metadata: str, code: str, path: str) -> None:
    found, (problem,) = read(metadata)
    assert found is None
    assert (problem.code, problem.path) == (code, path)


@pytest.mark.parametrize(("rest", "code"), [("", "PS112"), ("spec: ", "PS112"), ("spec: []", "PS110")])
def test_a_resource_without_a_spec_is_told(rest: str, code: str) -> None:
    found, (problem,) = read("{name: a}", rest)
    assert found is not None
    assert found.spec is None
    assert problem.code == code


def test_a_kind_that_needs_no_spec_may_leave_it_out() -> None:
    problems = Problems()
    node = node_of("{apiVersion: v1, kind: Pod, metadata: {name: a}}")
    assert read_resource(node, problems, needs_spec=False) is not None
    assert not problems.all()


@pytest.mark.parametrize(
    ("spec", "defines"),
    [
        ("{a: string, b: [{c: int32, d: {}}], e: []}", True),
        ("string", True),
        ("{a: string, b: x}", False),
        ("{a: string, b: }", False),
        ("{}", False),
        ("{a: {}, b: []}", False),
        ("", False),
    ],
)
def test_a_definition_has_types_wherever_values_would_be(spec: str, defines: bool) -> None:
    assert is_definition(node_of(f"kind: Thing\nspec: {spec}")) is defines


def test_a_misspelled_key_of_the_metadata_is_told_and_plumbing_is_not() -> None:
    metadata = "{name: p, namesapce: prod, uid: x, resourceVersion: '1', managedFields: [], ownerReferences: []}"
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {metadata}\nstatus: {{podIP: 10.0.0.1, phase: Running}}\n"
    told = [problem for problem in load_texts({"a.yaml": text}).problems if problem.code == "PS111"]
    assert [(problem.path, problem.suggestion) for problem in told] == [("metadata.namesapce", "namespace")]


def test_an_empty_namespace_is_none() -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: ''}\nstatus: {podIP: 10.0.0.1, phase: Running}\n"
        "---\nservers: {s: {endpoints: [http://h]}}\nroutes: [{name: r, rules: [{targets: s}]}]\n"
    )
    config = load_texts({"a.yaml": text}).config
    assert config is not None
    assert config.inventory[0].namespace == "default"
