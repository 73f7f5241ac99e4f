"""Kthena's ModelServer, as its CRD and its webhook have it: endpoints found by labels, and how they are asked."""

import pytest

from proxy.config.spec import Disaggregation, Engine, ModelServer, Retries, Selector
from proxy.config.values.policies import WIDEST_TIMEOUTS
from proxy.errors import Severity
from tests.config.model_resources import document, load, only_error, only_problem, problems, server

SECTIONS = {
    "inferenceEngine": "vLLM",
    "workloadSelector": "{matchLabels: {app: a}}",
    "workloadPort": "{port: 8080}",
}
GROUP = "{groupKey: example.com/group, prefillLabels: {role: p}, decodeLabels: {role: d}}"
SEPARATED = f"{{matchLabels: {{app: a}}, pdGroup: {GROUP}}}"


def written(**sections: str) -> str:
    """A server with these sections in place of the ones that it needs; an empty one is left out."""
    spec = ", ".join(f"{key}: {section}" for key, section in {**SECTIONS, **sections}.items() if section)
    return document("ModelServer", f"{{{spec}}}")


def test_a_server_has_the_endpoints_with_its_labels_and_every_default() -> None:
    found = server(written())
    assert found == ModelServer(
        "ns/r",
        (),
        engine=Engine.VLLM,
        timeouts=WIDEST_TIMEOUTS,
        selector=Selector("ns", (("app", "a"),), ports=(8080,)),
        origin=found.origin,
    )


def test_a_server_says_everything_about_itself() -> None:
    found = server(
        written(
            model="deepseek-ai/DeepSeek-R1",
            inferenceEngine="SGLang",
            workloadSelector="{matchLabels: {app: a, example.com/tier: '1', empty: ''}}",
            workloadPort="{port: 30001, protocol: https}",
            trafficPolicy="{timeout: 10s, retry: {attempts: 3, retryInterval: 150ms}}",
        )
    )
    assert (found.engine, found.model) == (Engine.SGLANG, "deepseek-ai/DeepSeek-R1")
    labels = (("app", "a"), ("example.com/tier", "1"), ("empty", ""))
    assert found.selector == Selector("ns", labels, ports=(30001,), scheme="https")
    assert (found.timeouts.first_byte, found.timeouts.idle) == (10.0, WIDEST_TIMEOUTS.idle)
    assert found.retries == Retries(3, backoff=0.15)


def test_its_endpoints_come_from_the_inventory() -> None:
    inventory = (
        "endpoints:\n"
        "- {address: 10.0.0.1, namespace: ns, labels: {app: a, zone: b}}\n"
        "- {address: 10.0.0.2, namespace: ns, labels: {app: b}}\n"
        "- {address: 10.0.0.3, labels: {app: a}}\n"
    )
    config = load(inventory, written()).config
    assert config is not None
    assert [endpoint.address for endpoint in config.servers["ns/r"].endpoints] == ["http://10.0.0.1:8080"]


@pytest.mark.parametrize("model", ["", "null", "''"])
def test_a_server_without_a_model_sends_the_client_s(model: str) -> None:
    assert server(written(model=model)).model is None


@pytest.mark.parametrize(
    ("written_as", "engine"), [("vLLM", Engine.VLLM), ("SGLang", Engine.SGLANG), ("sgLang", Engine.SGLANG)]
)
def test_an_engine_is_known_by_its_name(written_as: str, engine: Engine) -> None:
    assert server(written(inferenceEngine=written_as)).engine is engine


@pytest.mark.parametrize(("word", "near"), [("vllm", "vLLM"), ("VLLM", "vLLM"), ("sglang", "SGLang"), ("TGI", None)])
def test_another_engine_is_told_with_the_nearest_one(word: str, near: str | None) -> None:
    problem = only_problem(written(inferenceEngine=word))
    assert (problem.code, problem.severity, problem.path) == ("PS120", Severity.ERROR, "spec.inferenceEngine")
    assert problem.suggestion == near
    assert problem.message == f"expected vLLM or SGLang, found {word!r}"


@pytest.mark.parametrize(("engine", "port"), [("vLLM", 8000), ("SGLang", 30000)])
def test_a_server_without_a_port_has_its_engine_s_which_is_a_hint(engine: str, port: int) -> None:
    text = written(inferenceEngine=engine, workloadPort="")
    assert server(text).selector == Selector("ns", (("app", "a"),), ports=(port,))
    problem = only_problem(text)
    assert (problem.code, problem.severity, problem.path) == ("PS112", Severity.HINT, "spec")
    assert f"port {port} is taken" in problem.message


# --- traffic ---


@pytest.mark.parametrize(
    ("timeout", "seconds"), [("1m30s", 90.0), ("1.5h", 5400.0), ("100ms", 0.1), ("0s", WIDEST_TIMEOUTS.first_byte)]
)
def test_a_timeout_limits_the_wait_for_the_first_byte(timeout: str, seconds: float) -> None:
    found = server(written(trafficPolicy=f"{{timeout: {timeout}}}")).timeouts
    assert (found.first_byte, found.idle, found.total) == (seconds, WIDEST_TIMEOUTS.idle, None)


@pytest.mark.parametrize(
    ("retry", "expected"),
    [
        ("{attempts: 0}", Retries(0, backoff=0.1)),
        ("{attempts: 100, retryInterval: 0s}", Retries(100, backoff=0.0)),
        ("{retryInterval: 1s}", Retries(backoff=1.0)),
    ],
)
def test_retries_wait_a_tenth_of_a_second_where_nothing_else_is_said(retry: str, expected: Retries) -> None:
    assert server(written(trafficPolicy=f"{{retry: {retry}}}")).retries == expected


def test_sticky_sessions_are_checked_and_said_not_to_be_enforced() -> None:
    sources = "[{type: Header, name: x}, {type: Query, name: q}, {type: Cookie, name: c}, {type: JWTClaim, name: sub}]"
    problem = only_problem(
        written(trafficPolicy=f"{{sessionSticky: {{sessionAffinitySeconds: 1, sources: {sources}}}}}")
    )
    assert (problem.code, problem.severity) == ("PS138", Severity.WARNING)
    assert problem.path == "spec.trafficPolicy.sessionSticky"


# --- prefill and decode ---


@pytest.mark.parametrize(
    ("engine", "connector", "expected"),
    [
        ("vLLM", "", None),
        ("SGLang", "", "sglang"),
        ("SGLang", "{}", "http"),
        ("SGLang", "{type: mooncake}", "mooncake"),
        ("vLLM", "{type: http}", "http"),
        ("vLLM", "{type: lmcache}", "lmcache"),
        ("vLLM", "{type: nixl}", "nixl"),
        ("vLLM", "null", None),
    ],
)
def test_prefill_and_decode_are_kept_and_said_not_to_be_enforced(
    engine: str, connector: str, expected: str | None
) -> None:
    text = written(inferenceEngine=engine, workloadSelector=SEPARATED, kvConnector=connector)
    found = server(text)
    assert found.disaggregation == Disaggregation(
        "example.com/group", (("role", "p"),), (("role", "d"),), connector=expected
    )
    assert found.selector == Selector("ns", (("app", "a"),), ports=(8080,))
    problem = only_problem(text)
    assert (problem.code, problem.severity) == ("PS138", Severity.WARNING)
    assert problem.path == "spec.workloadSelector.pdGroup"


def test_a_connector_without_groups_is_a_hint() -> None:
    text = written(kvConnector="{type: nixl}")
    assert server(text).disaggregation is None
    problem = only_problem(text)
    assert (problem.code, problem.severity, problem.path) == ("PS136", Severity.HINT, "spec.kvConnector")


# --- slips ---


@pytest.mark.parametrize(
    ("section", "text", "code", "path", "words"),
    [
        ("inferenceEngine", "", "PS112", "", "'inferenceEngine' is missing"),
        ("model", "5", "PS110", ".model", "put it in quotes"),
        ("model", "m" * 257, "PS120", ".model", "longer than 256"),
        ("workloadSelector", "", "PS112", "", "'workloadSelector' is missing"),
        ("workloadSelector", "a", "PS110", ".workloadSelector", "a mapping with matchLabels"),
        ("workloadSelector", "{}", "PS112", ".workloadSelector", "'matchLabels' is missing"),
        ("workloadSelector", "{matchLabels: {}}", "PS110", ".workloadSelector.matchLabels", "at least one label"),
        ("workloadSelector", "{matchLabels: [a]}", "PS110", ".workloadSelector.matchLabels", "a mapping of texts"),
        ("workloadSelector", "{matchLabels: {a b: c}}", "PS120", ".workloadSelector.matchLabels['a b']", "no label's"),
        ("workloadSelector", "{matchLabels: {a: b c}}", "PS120", ".workloadSelector.matchLabels.a", "'b c' is no"),
        ("workloadPort", "8000", "PS110", ".workloadPort", "a mapping with port and protocol"),
        ("workloadPort", "{protocol: http}", "PS112", ".workloadPort", "'port' is missing"),
        ("workloadPort", "{port: 0}", "PS110", ".workloadPort.port", "from 1 to 65535"),
        ("workloadPort", "{port: 65536}", "PS110", ".workloadPort.port", "from 1 to 65535"),
        ("workloadPort", "{port: 1, protocol: grpc}", "PS120", ".workloadPort.protocol", "http or https"),
        ("trafficPolicy", "10s", "PS110", ".trafficPolicy", "a mapping with timeout and retry"),
        ("trafficPolicy", "{timeout: -1s}", "PS110", ".trafficPolicy.timeout", "a duration such as 5s"),
        ("trafficPolicy", "{retry: 3}", "PS110", ".trafficPolicy.retry", "a mapping with attempts"),
        ("trafficPolicy", "{retry: {attempts: -1}}", "PS110", ".trafficPolicy.retry.attempts", "from 0 to 100"),
        ("trafficPolicy", "{retry: {attempts: 101}}", "PS110", ".trafficPolicy.retry.attempts", "from 0 to 100"),
        ("trafficPolicy", "{retry: {retryInterval: x}}", "PS110", ".trafficPolicy.retry.retryInterval", "a duration"),
        ("kvConnector", "nixl", "PS110", ".kvConnector", "a mapping with type"),
        ("kvConnector", "{type: nccl}", "PS120", ".kvConnector.type", "http, lmcache, nixl or mooncake"),
    ],
)
def test_a_slip_in_a_server_is_told(section: str, text: str, code: str, path: str, words: str) -> None:
    problem = only_error(written(**{section: text}))
    assert (problem.code, problem.line, problem.path) == (code, 4, f"spec{path}")
    assert words in problem.message


@pytest.mark.parametrize(
    ("group", "code", "path", "words"),
    [
        ("a", "PS110", "", "a mapping with groupKey, prefillLabels, decodeLabels"),
        (GROUP.replace("groupKey: example.com/group, ", ""), "PS112", "", "'groupKey' is missing"),
        (GROUP.replace("example.com/group", "''"), "PS120", ".groupKey", "'' is no label's name"),
        (GROUP.replace("example.com/group", "/a"), "PS120", ".groupKey", "'/a' is no label's name"),
        (GROUP.replace("prefillLabels: {role: p}, ", ""), "PS112", "", "'prefillLabels' is missing"),
        (GROUP.replace("{role: p}", "{}"), "PS110", ".prefillLabels", "at least one label, found an empty mapping"),
        (GROUP.replace(", decodeLabels: {role: d}", ""), "PS112", "", "'decodeLabels' is missing"),
        (GROUP.replace("{role: d}", "{}"), "PS110", ".decodeLabels", "at least one label"),
        (GROUP.replace("{role: d}", "{role: -d}"), "PS120", ".decodeLabels.role", "'-d' is no label's value"),
    ],
)
def test_a_slip_in_a_group_is_told(group: str, code: str, path: str, words: str) -> None:
    problem = only_problem(written(workloadSelector=f"{{matchLabels: {{app: a}}, pdGroup: {group}}}"))
    assert (problem.code, problem.line) == (code, 4)
    assert problem.path == f"spec.workloadSelector.pdGroup{path}"
    assert words in problem.message


@pytest.mark.parametrize(
    ("sticky", "code", "path", "words"),
    [
        ("a", "PS110", "", "a mapping with sources"),
        ("{}", "PS112", "", "'sources' is missing"),
        ("{sources: []}", "PS110", ".sources", "at least one source, found an empty list"),
        ("{sources: a}", "PS110", ".sources", "at least one source"),
        ("{sources: [a]}", "PS110", ".sources[0]", "a source: a mapping with type and name"),
        ("{sources: [{type: Header}]}", "PS112", ".sources[0]", "'name' is missing"),
        ("{sources: [{name: a}]}", "PS112", ".sources[0]", "'type' is missing"),
        ("{sources: [{type: Body, name: a}]}", "PS120", ".sources[0].type", "Header, Query, Cookie or JWTClaim"),
        (f"{{sources: [{', '.join(['{type: Query, name: a}'] * 17)}]}}", "PS120", ".sources", "at most 16 sources"),
        (
            "{sessionAffinitySeconds: 0, sources: [{type: Query, name: a}]}",
            "PS110",
            ".sessionAffinitySeconds",
            "from 1 to",
        ),
    ],
)
def test_a_slip_in_sticky_sessions_is_told(sticky: str, code: str, path: str, words: str) -> None:
    problem = only_error(written(trafficPolicy=f"{{sessionSticky: {sticky}}}"))
    assert (problem.code, problem.line) == (code, 4)
    assert problem.path == f"spec.trafficPolicy.sessionSticky{path}"
    assert words in problem.message


def test_all_slips_are_told_at_once() -> None:
    text = written(
        inferenceEngine="tgi",
        workloadSelector="{matchLabels: {}, pdGroup: {}}",
        workloadPort="{port: 0, protocol: x}",
        trafficPolicy="{timeout: x}",
    )
    assert len(problems(text)) == 8


def test_a_label_from_a_variable_is_never_shown() -> None:
    text = written(workloadSelector="{matchLabels: {app: '${SECRET}'}}")
    assert "hunter" not in only_problem(text, SECRET="hunter 2").message
