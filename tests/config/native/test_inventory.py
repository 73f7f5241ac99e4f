"""The inventory is read, llm-d's endpoint file included, and each slip in it is told at its place."""

import pytest

from proxy.config.loader import load_texts
from proxy.config.spec import InventoryEntry
from proxy.errors import Problem, Severity

SERVED = "servers: {a: {endpoints: [http://h:1]}}\nroutes: [{name: r, rules: [{targets: a}]}]\n"


def entries(text: str) -> list[tuple[object, ...]]:
    """What the entries say, but for their places."""
    result = load_texts({"a.yaml": SERVED + text})
    assert result.config is not None, result.problems
    return [said(one) for one in result.config.inventory]


def said(one: InventoryEntry) -> tuple[object, ...]:
    return one.scheme, one.host, one.port, one.prefix, one.weight, one.namespace, one.labels, one.workload


def errors(text: str) -> list[Problem]:
    problems = load_texts({"a.yaml": SERVED + text}, {"N": "hunter2"}).problems
    return [problem for problem in problems if problem.severity is Severity.ERROR]


def test_llm_ds_endpoint_file_is_read_as_it_is() -> None:
    text = """\
endpoints:
  - name: vllm-0
    namespace: ml
    address: "10.0.0.1"
    port: "8000"
    labels: {llm-d.ai/role: decode, llm-d.ai/engine-type: vllm}
"""
    labels = (("llm-d.ai/role", "decode"), ("llm-d.ai/engine-type", "vllm"))
    assert entries(text) == [(None, "10.0.0.1", 8000, "", 1, "ml", labels, None)]


def test_an_entry_says_everything_about_itself() -> None:
    text = "endpoints: [{url: 'https://h:8443/v1', labels: {rank: 1}, workload: w, weight: 2, namespace: n}]"
    assert entries(text) == [("https", "h", 8443, "/v1", 2, "n", (("rank", "1"),), "w")]


def test_an_entry_may_be_its_url_alone() -> None:
    assert entries("endpoints: [http://h]") == [("http", "h", 80, "", 1, "default", (), None)]


@pytest.mark.parametrize(
    ("address", "host"),
    [("10.0.0.1", "10.0.0.1"), ("'::1'", "::1"), ("'[::1]'", "::1"), ("vllm-0.ml.svc", "vllm-0.ml.svc")],
)
def test_an_address_is_of_any_kind_and_leaves_its_port_open(address: str, host: str) -> None:
    assert entries(f"endpoints: [{{address: {address}}}]") == [(None, host, None, "", 1, "default", (), None)]


@pytest.mark.parametrize("port", ["8000", "'8000'", "'08000'"])
def test_a_port_is_a_number_or_a_text(port: str) -> None:
    assert entries(f"endpoints: [{{address: h, port: {port}}}]")[0][2] == 8000


def test_an_entry_may_serve_some_ports_of_its_pool_alone() -> None:
    config = load_texts({"a.yaml": f"{SERVED}endpoints: [{{address: h, active_ports: [8000, '8001']}}]"}).config
    assert config is not None
    assert config.inventory[0].active_ports == (8000, 8001)


def test_an_entry_knows_where_it_stands() -> None:
    config = load_texts({"a.yaml": f"{SERVED}endpoints:\n- http://h\n- address: i\n"}).config
    assert config is not None
    places = [(one.origin.line, one.origin.path) for one in config.inventory]
    assert places == [(4, "endpoints[0]"), (5, "endpoints[1]")]


@pytest.mark.parametrize(
    ("entry", "path", "words"),
    [
        ("{}", "endpoints[0]", "'address' is missing (or 'url' in its place)"),
        ("{address: }", "endpoints[0].address", "has no value"),
        ("{address: h, url: 'http://h'}", "endpoints[0].address", "one of url and address"),
        ("{url: 'http://h', port: 1}", "endpoints[0].port", "one of url and port"),
        ("{address: 'h:8000'}", "endpoints[0].address", "its port is given by itself"),
        ("{address: 'a b'}", "endpoints[0].address", "no host name and no address"),
        ("{address: 'http://h'}", "endpoints[0].address", "no host name and no address"),
        ("{address: 'zz::1'}", "endpoints[0].address", "no host name and no address"),
        ("{address: h, port: 0}", "endpoints[0].port", "a port from 1 to 65535, found the number 0"),
        ("{address: h, port: '65536'}", "endpoints[0].port", "a port from 1 to 65535"),
        ("{address: h, port: -1}", "endpoints[0].port", "a port from 1 to 65535"),
        ("{address: h, port: http}", "endpoints[0].port", "a port from 1 to 65535, found 'http'"),
        ("{address: h, weight: 0}", "endpoints[0].weight", "from 1 to 1000000"),
        ("{address: h, label: {}}", "endpoints[0].label", "unknown key 'label'"),
        ("{address: h, labels: [a]}", "endpoints[0].labels", "a mapping of texts"),
        ("{address: h, namespace: ''}", "endpoints[0].namespace", "empty"),
        ("{url: h}", "endpoints[0].url", "no URL of an endpoint"),
        ("10.0.0.1:8000", "endpoints[0]", "no URL of an endpoint"),
        ("[h]", "endpoints[0]", "expected an endpoint"),
    ],
)
def test_a_slip_in_an_entry_is_told(entry: str, path: str, words: str) -> None:
    (problem,) = errors(f"endpoints: [{entry}]")
    assert problem.path == path
    assert words in problem.message


def test_a_bad_entry_hides_no_other() -> None:
    assert len(errors("endpoints: [{}, {address: h}, {address: ''}, http://h]")) == 2


def test_an_inventory_is_a_list() -> None:
    (problem,) = errors("endpoints: {a: http://h}")
    assert "a list of endpoints, found a mapping" in problem.message


def test_a_name_is_given_once_in_a_namespace_across_files() -> None:
    text = "endpoints: [{name: a, address: h%s, namespace: %s}]"
    result = load_texts({"a.yaml": SERVED + text % (1, "n"), "b.yaml": text % (2, "n"), "c.yaml": text % (3, "m")})
    (problem,) = [problem for problem in result.problems if problem.severity is Severity.ERROR]
    assert (problem.code, problem.file) == ("PS130", "b.yaml")
    assert "a.yaml:3" in problem.message


def test_a_name_from_a_variable_is_never_shown() -> None:
    (problem,) = errors("endpoints: [{name: '${N}', address: h}, {name: '${N}', address: i}]")
    assert "hunter2" not in problem.message
    (problem,) = errors(
        "endpoints: [{name: a, namespace: '${N}', address: h}, {name: a, namespace: '${N}', address: i}]"
    )
    assert "hunter2" not in problem.message
