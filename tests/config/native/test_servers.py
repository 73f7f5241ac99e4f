"""Native servers are read into specs, and each slip is told at its place."""

from pathlib import Path

import pytest

from proxy.config.access_spec import Auth, Counted, Limit, Queueing
from proxy.config.spec import (
    Balance,
    Disaggregation,
    EndpointSpec,
    Engine,
    Objective,
    RateLimit,
    Retries,
    Rewrite,
    RewriteTarget,
    Selector,
    ServiceListener,
    Timeouts,
)
from proxy.config.values.policies import WIDEST_TIMEOUTS
from proxy.errors import Severity
from tests.config.native_documents import ROUTE, load, server, server_problem


def test_a_server_of_endpoints_alone_has_every_default() -> None:
    found = server("endpoints: http://h")
    assert found.endpoints == (EndpointSpec("http", "h", 80),)
    assert (found.engine, found.balance, found.model) == (Engine.OPENAI, Balance.LEAST_REQUEST, None)
    assert (found.timeouts, found.retries, found.retry_budget) == (WIDEST_TIMEOUTS, Retries(), 0.2)
    assert (found.origin.line, found.origin.path) == (1, "servers.a")


def test_a_server_says_everything_about_itself() -> None:
    found = server(
        "engine: vllm, model: Qwen/Qwen2.5-7B, balance: round-robin, retry_budget: 35%,"
        "endpoints: [{url: 'https://h/v1/', labels: {zone: b, rank: 1}, weight: 2}],"
        "timeout: {connect: 1s, total: 1h}, retries: {attempts: 1, on: [timeout, 429], backoff: 0},"
        "rate_limit: {requests_per_second: 2.5}"
    )
    assert (found.engine, found.model, found.balance) == (Engine.VLLM, "Qwen/Qwen2.5-7B", Balance.ROUND_ROBIN)
    assert found.endpoints == (EndpointSpec("https", "h", 443, "/v1", 2, (("zone", "b"), ("rank", "1"))),)
    assert found.timeouts == Timeouts(1.0, WIDEST_TIMEOUTS.first_byte, WIDEST_TIMEOUTS.idle, 3600.0)
    assert found.retries == Retries(1, frozenset({"timeout"}), frozenset({429}), 0.0)
    assert (found.retry_budget, found.rate_limit) == (0.35, RateLimit(2.5, 3))


@pytest.mark.parametrize(
    ("url", "spec"),
    [
        ("http://10.0.0.1:8000", EndpointSpec("http", "10.0.0.1", 8000)),
        ("https://engine.example", EndpointSpec("https", "engine.example", 443)),
        ("http://[::1]:9000/v1", EndpointSpec("http", "::1", 9000, "/v1")),
        ("HTTP://Engine:1/", EndpointSpec("http", "engine", 1)),
    ],
)
def test_a_url_is_an_endpoint(url: str, spec: EndpointSpec) -> None:
    assert server(f"endpoints: ['{url}']").endpoints == (spec,)


@pytest.mark.parametrize(
    "url",
    [
        "10.0.0.1:8000",
        "ftp://h",
        "http://",
        "http://u:p@h",
        "http://h:0",
        "http://h:",
        "http://h:70000",
        "http://h?x=1",
        "http://h/a b",
        "http://h//a",
        "http://[::1",
        "http://[zz]:1",
        "http://h é",
        "http://-h",
    ],
)
def test_what_is_no_url_of_an_endpoint_is_told(url: str) -> None:
    problem = server_problem(f"endpoints: ['{url}']")
    assert (problem.code, problem.path) == ("PS122", "servers.a.endpoints[0]")


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ("engine: vllm", "PS112", "'endpoints' is missing"),
        ("endpoints: ", "PS112", "'endpoints' has no value"),
        ("endpoints: [http://h], engine: vlm", "PS120", "vllm, sglang or openai, found 'vlm'"),
        ("endpoints: [http://h], timeout: [1]", "PS110", "expected a duration such as 60s, or a mapping"),
        ("endpoints: [http://h], timeout: {idle: [1]}", "PS110", "a duration such as 5s, 25ms or 1h30m, found a list"),
        ("endpoints: [http://h], timeout: 0s", "PS110", "above 0"),
        ("endpoints: [http://h], retries: true", "PS110", "a whole number from 0 to 100, found true"),
        ("endpoints: [http://h], retries: {on: 200}", "PS120", "a status from 400 to 599, found the number 200"),
        ("endpoints: [http://h], retry_budget: 2", "PS110", "a share such as 20% or 0.2"),
        ("endpoints: [http://h], rate_limit: {burst: 1}", "PS112", "'requests_per_second' is missing"),
        ("endpoints: [http://h], rate_limit: {requests_per_second: 0}", "PS110", "a number above 0"),
        ("endpoints: [http://h], model: [a]", "PS110", "a text, found a list"),
        ("endpoints: [http://h], model: ' a'", "PS120", "a space"),
        ('endpoints: [http://h], model: "a\\nb"', "PS120", "line break"),
        ("endpoints: [http://h, http://h/]", "PS130", "more than once"),
        ("endpoints: [{url: http://h, weight: 0}]", "PS110", "from 1 to 1000000"),
        ("endpoints: [https://h], tls: {ca: none.pem}", "PS123", "no file 'none.pem'"),
        ("select: ", "PS112", "'endpoints' is missing"),
    ],
)
def test_a_slip_in_a_server_is_told(fields: str, code: str, words: str) -> None:
    problem = server_problem(fields)
    assert problem.code == code
    assert words in problem.message


def test_an_unknown_key_is_told_with_the_nearest_known_one() -> None:
    problem = server_problem("endpoints: [http://h], rateLimit: {requests_per_second: 1}")
    assert (problem.code, problem.suggestion, problem.column) == ("PS111", "rate_limit", 38)


def test_tls_files_are_found_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    text = "servers: {a: {endpoints: [https://h], tls: {ca: ca.pem, server_name: x, verify: false}}}\n" + ROUTE
    result = load(text, str(tmp_path / "a.yaml"))
    assert result.config is not None
    tls = result.config.servers["a"].tls
    assert tls is not None
    assert (tls.ca, tls.server_name, tls.verify) == (str(tmp_path / "ca.pem"), "x", False)


def test_a_file_may_lie_deep(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*["d" * 100] * 4)
    folder.mkdir(parents=True)
    (folder / "ca.pem").touch()
    text = f"servers: {{a: {{endpoints: [https://h], tls: {{ca: {folder}/ca.pem}}}}}}\n" + ROUTE
    assert load(text).problems == ()


def test_a_certificate_without_its_key_is_told(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    text = "servers: {a: {endpoints: [https://h], tls: {cert: cert.pem}}}\n" + ROUTE
    (problem,) = load(text, str(tmp_path / "a.yaml")).problems
    assert "'key' is missing" in problem.message


def test_a_server_without_an_endpoint_is_a_warning() -> None:
    problem = server_problem("endpoints: []")
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS135")


# --- beside endpoints and policies ---


def test_a_server_says_what_its_requests_carry() -> None:
    found = server("endpoints: http://h, headers: {Authorization: Bearer x, x-team: 7}, restore_model: true")
    assert found.headers == (("Authorization", "Bearer x"), ("x-team", "7"))
    assert found.restore_model


def test_a_server_rewrites_names_in_order() -> None:
    first = "{name: one, models: [a, 'b*'], targets: [{model: x, weight: 9}, y]}"
    found = server(f"endpoints: http://h, rewrites: [{first}, {{targets: z}}]")
    assert [(rewrite.name, rewrite.models, rewrite.targets) for rewrite in found.rewrites] == [
        ("one", ("a", "b*"), (RewriteTarget("x", 9), RewriteTarget("y"))),
        ("", (), (RewriteTarget("z"),)),
    ]
    assert isinstance(found.rewrites[0], Rewrite)
    assert found.rewrites[1].origin.path == "servers.a.rewrites[1]"


def test_a_server_knows_objectives_by_name() -> None:
    found = server("endpoints: http://h, objectives: {interactive: 10, batch: -1}")
    assert found.objectives == (Objective("interactive", 10), Objective("batch", -1))


def test_a_server_that_selects_its_endpoints_need_not_list_any() -> None:
    found = server("select: {namespace: prod, labels: {app: x}, ports: [1, 2], scheme: https}")
    assert found.selector == Selector("prod", (("app", "x"),), None, (1, 2), "https")
    assert found.endpoints == ()
    assert server("select: {workload: w, ports: 8000}").selector == Selector(workload="w", ports=(8000,))


def test_a_server_may_list_endpoints_before_those_that_it_selects() -> None:
    text = "servers: {a: {endpoints: [http://h:1], select: {labels: {}}}}\n" + ROUTE
    config = load(text + "endpoints: [http://h:2, http://h:1]").config
    assert config is not None
    assert [endpoint.port for endpoint in config.servers["a"].endpoints] == [1, 2]


def test_pairs_for_prefill_and_decode_are_kept_and_said_not_to_be_enforced() -> None:
    fields = "disaggregation: {group: g, prefill: {labels: {r: p}}, decode: {labels: {r: d}}, connector: nixl}"
    found = server(f"endpoints: http://h, {fields}")
    assert found.disaggregation == Disaggregation("g", (("r", "p"),), (("r", "d"),), "nixl")
    problem = server_problem(f"endpoints: [http://h], {fields}")
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS138", "servers.a.disaggregation")
    assert "whole requests go to the decode endpoints" in problem.message


def test_a_server_asks_who_calls_and_says_how_much_each_may_take() -> None:
    fields = "auth: {client_certificate: true, required: false}, limits: [{tokens: 1000, per: day}]"
    found = server(f"endpoints: http://h, {fields}, listener: {{port: 443, tls_secret: ns/cert}}")
    assert found.auth == Auth(client_certificate=True, required=False)
    assert found.limits == (Limit(Counted.TOKENS, 1000.0, "day"),)
    assert found.listener == ServiceListener(443, "ns/cert")
    assert load(f"servers: {{a: {{endpoints: [http://h], {fields}}}}}\n{ROUTE}").problems == ()


def test_an_endpoint_has_a_bound_of_its_own() -> None:
    found = server("endpoints: [{url: http://h, max_in_flight: 8}, http://g], max_pending: 5")
    assert [endpoint.max_in_flight for endpoint in found.endpoints] == [8, None]
    assert found.queueing == Queueing(max_pending=5)


def test_a_server_may_bear_the_name_of_what_it_was() -> None:
    name = "mixtrain/" + "n" * 700
    text = f"servers: {{{name}: {{endpoints: [http://h]}}}}\nroutes: [{{name: r, rules: [{{targets: {name}}}]}}]"
    assert load(text).problems == ()
