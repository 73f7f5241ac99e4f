"""Pod documents are endpoints where they are ready to serve."""

from typing import Any

import pytest

from proxy.config.spec import InventoryEntry
from proxy.errors import Severity
from tests.config.inference_resources import load, only_problem, pool, problems, server


def pod(status: object = None, name: str = "vllm-0", **metadata: object) -> dict[str, Any]:
    said = {"name": name, "labels": {"app": "p"}, **metadata}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": said, "status": status or {"podIP": "10.0.0.1"}}


def entry(document: dict[str, Any]) -> InventoryEntry:
    result = load(pool(), document)
    assert result.config is not None, result.problems
    (found,) = result.config.inventory
    return found


def addresses(*documents: object) -> list[str]:
    return [endpoint.address for endpoint in server(pool(), *documents).endpoints]


def test_a_pod_is_an_endpoint_on_the_ports_of_its_pool() -> None:
    assert addresses(pod()) == ["http://10.0.0.1:8000"]
    assert not problems(pool(), pod())


def test_a_pod_as_a_cluster_tells_it_is_read() -> None:
    document = pod(
        {
            "phase": "Running",
            "conditions": [{"type": "Initialized", "status": "False"}, {"type": "Ready", "status": "True"}],
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "hostIP": "192.168.0.1",
            "containerStatuses": [],
        },
        creationTimestamp="2026-01-01T00:00:00Z",
        annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}\n", "note": None},
        ownerReferences=[],
    )
    document["spec"] = {"containers": [{"name": "vllm", "ports": [{"containerPort": 8000}]}]}
    assert addresses(document) == ["http://10.0.0.1:8000"]
    assert not problems(pool(), document)


def test_a_pod_may_have_an_ipv6_address() -> None:
    assert addresses(pod({"podIPs": [{"ip": "fd00::1"}]})) == ["http://[fd00::1]:8000"]


def test_a_pod_belongs_to_its_namespace_and_its_workload() -> None:
    found = entry(pod(namespace="ml", labels={"modelserving.volcano.sh/name": "qwen"}))
    assert (found.namespace, found.workload, found.port) == ("ml", "qwen", None)
    assert entry(pod(labels={"modelinfer.matrixinfer.ai/name": "llama"})).workload == "llama"
    assert entry(pod()).workload is None


@pytest.mark.parametrize(
    ("status", "metadata", "words"),
    [
        ({"podIP": "10.0.0.1", "phase": "Pending"}, {}, "its phase is 'Pending'"),
        ({"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "False"}]}, {}, "it is not ready"),
        ({"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": False}]}, {}, "it is not ready"),
        ({"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "Unknown"}]}, {}, "it is not ready"),
        ({"podIP": "10.0.0.1"}, {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "it is being deleted"),
        ({"phase": "Running"}, {}, "it has no podIP"),
        ({"podIP": ""}, {}, "it has no podIP"),
        ({"podIPs": []}, {}, "it has no podIP"),
    ],
)
def test_a_pod_that_does_not_serve_is_skipped_with_a_hint(status: object, metadata: dict[str, Any], words: str) -> None:
    result = load(pool(), pod(status, **metadata))
    assert result.config is not None
    assert result.config.inventory == ()
    (hint,) = [problem for problem in result.problems if problem.file == "1.json"]
    assert hint.severity is Severity.HINT
    assert words in hint.message


def test_a_pod_without_a_status_is_skipped_with_a_hint() -> None:
    document = pod()
    del document["status"]
    (hint,) = [problem for problem in load(pool(), document).problems if problem.file == "1.json"]
    assert "no podIP" in hint.message


@pytest.mark.parametrize("key", ["llm-d.ai/active-ports", "inference.networking.k8s.io/active-ports"])
def test_an_annotation_names_the_ports_that_a_pod_serves(key: str) -> None:
    assert entry(pod(annotations={key: "8000, 8002"})).active_ports == (8000, 8002)
    assert entry(pod(annotations={key: ""})).active_ports == ()
    assert entry(pod()).active_ports is None


@pytest.mark.parametrize("status", ["True", True])
def test_a_pod_that_is_ready_serves(status: object) -> None:
    assert addresses(pod({"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": status}]}))


def test_what_is_no_port_in_the_annotation_is_told_and_left_out() -> None:
    document = pod(annotations={"llm-d.ai/active-ports": "8000,http"})
    problem = only_problem(pool(), document)
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS120")
    assert entry(document).active_ports == (8000,)


def test_an_address_that_is_none_is_an_error() -> None:
    assert only_problem(pool(), pod({"podIP": "10.0.0.1:8000"})).code == "PS122"


def test_a_status_that_is_no_mapping_is_an_error() -> None:
    assert only_problem(pool(), pod("Running")).code == "PS110"


def test_a_pod_is_given_once() -> None:
    assert only_problem(pool(), pod(), pod()).code == "PS130"
