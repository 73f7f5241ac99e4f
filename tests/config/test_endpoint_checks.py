"""A selector that finds nothing is told with what it looks for and what there is; so are endpoints nobody selects."""

import pytest

from proxy.errors import Problem, Severity
from tests.config.inference_resources import endpoint, load, pool


def told(*documents: object, **variables: str) -> Problem:
    """What is told of the pool in the first document."""
    (problem,) = [one for one in load(*documents, **variables).problems if one.code == "PS135"]
    assert (problem.severity, problem.file, problem.path) == (Severity.WARNING, "0.json", "metadata.name")
    return problem


def inventory(*entries: object) -> object:
    return {"endpoints": list(entries)}


def test_a_pool_without_endpoints_says_what_it_looks_for() -> None:
    problem = told(pool(select={"app": "vllm", "zone": "b"}))
    assert "'pool/default/p'" in problem.message
    assert "the labels app='vllm' and zone='b' in the namespace 'default'" in problem.message
    assert "no file lists any endpoint or Pod" in problem.message
    assert problem.message.endswith("its requests get 503")


def test_a_value_that_is_nearly_there_is_suggested() -> None:
    problem = told(pool(select={"app": "vlm"}), inventory(endpoint(app="vllm"), endpoint("h", app="sglang")))
    assert "the values of app there are 'vllm' and 'sglang'" in problem.message
    assert problem.suggestion == "vllm"


def test_a_label_that_is_nearly_there_is_suggested() -> None:
    problem = told(pool(select={"app": "p"}), inventory(endpoint(apps="p", zone="b")))
    assert "the labels there are 'apps' and 'zone'" in problem.message
    assert problem.suggestion == "apps"


def test_endpoints_without_any_label_are_told_so() -> None:
    assert "no endpoint there has any label" in told(pool(), inventory(endpoint())).message


def test_labels_that_no_endpoint_has_together_are_told() -> None:
    problem = told(pool(select={"app": "p", "zone": "b"}), inventory(endpoint(app="p"), endpoint("h", zone="b")))
    assert "none with all" in problem.message


def test_another_namespace_is_named() -> None:
    problem = told(pool(namespace="prod"), inventory({**endpoint(app="p"), "namespace": "prd"}, endpoint("h")))
    assert "the endpoints that are known are in 'prd' and 'default'" in problem.message
    assert problem.suggestion == "prd"


def test_ports_that_no_endpoint_serves_are_told() -> None:
    problem = told(pool(), inventory({**endpoint(app="p"), "active_ports": [9]}))
    assert "there is such an endpoint, but none serves any of the ports" in problem.message


@pytest.mark.parametrize(
    ("select", "entries", "words"),
    [
        ({"labels": {}}, [endpoint()], "neither an endpoint nor the selector says a port"),
        ({"labels": {}}, [endpoint(), endpoint("h")], "there are 2 such endpoints"),
        ({"workload": "w"}, [endpoint()], "no endpoint there names its workload"),
        ({"workload": "w"}, [{**endpoint(), "workload": "v"}], "the workloads there are 'v'"),
        ({"workload": "w", "labels": {"app": "a"}}, [endpoint()], "the workload 'w' with the label app='a'"),
        (
            {"workload": "w", "labels": {"app": "a"}},
            [{**endpoint(), "workload": "w"}],
            "no endpoint there has any label",
        ),
    ],
)
def test_a_server_of_any_dialect_says_why_it_finds_nothing(select: object, entries: list[object], words: str) -> None:
    server = {"servers": {"s": {"select": select}}, "routes": [{"name": "r", "rules": [{"targets": "s"}]}]}
    (problem,) = [one for one in load(server, inventory(*entries)).problems if one.code == "PS135"]
    assert words in problem.message


def test_many_names_are_cut() -> None:
    entries = [endpoint(f"h{i}", app=f"a{i}") for i in range(9)]
    assert "'a4' and 4 more" in told(pool(), inventory(*entries)).message


def test_a_value_from_a_variable_is_never_shown() -> None:
    documents = [pool(select={"app": "${A}"}), inventory(endpoint(app="${B}"), {**endpoint(), "workload": "${B}"})]
    problem = told(*documents, A="hunter2", B="hunter3")
    assert "hunter" not in problem.message
    assert problem.suggestion is None
    assert "hunter" not in told(pool("${A}"), A="hunter2").message


# --- the inventory ---


def unselected(*documents: object) -> list[Problem]:
    return [one for one in load(*documents).problems if one.code == "PS136"]


def test_endpoints_that_no_server_selects_are_a_hint_for_each_file() -> None:
    documents = [
        pool(),
        inventory(endpoint(app="p"), endpoint("h", app="q"), endpoint("i", app="q")),
        inventory(endpoint("j", app="q")),
    ]
    first, second = unselected(*documents)
    assert (first.severity, first.file, first.path) == (Severity.HINT, "1.json", "endpoints[1]")
    assert first.message == "no server selects this endpoint, nor 1 more of this file"
    assert (second.file, second.message) == ("2.json", "no server selects this endpoint")


def test_endpoints_that_a_server_selects_are_told_nothing() -> None:
    assert not unselected(pool(), inventory(endpoint(app="p"), endpoint("h", app="p", zone="b")))


def test_an_endpoint_whose_ports_are_not_asked_for_was_selected_all_the_same() -> None:
    assert not unselected(pool(), inventory({**endpoint(app="p"), "active_ports": [9]}))


def test_many_pools_without_endpoints_are_all_told() -> None:
    found = load(*(pool(f"p{i}") for i in range(120)), inventory(endpoint(app="q"))).problems
    told_of = [one for one in found if one.code == "PS135"]
    assert len(told_of) == 120
    assert sum("there are" in one.message for one in told_of) == 100
