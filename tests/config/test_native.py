"""The native form is read into specs, and each slip is told at its place."""

from pathlib import Path

import pytest

from proxy.config.loader import LoadResult, load_texts
from proxy.config.policies import WIDEST_TIMEOUTS
from proxy.config.spec import (
    Absent,
    Balance,
    BodyCondition,
    Condition,
    Contains,
    EndpointSpec,
    Engine,
    Exact,
    HeaderCondition,
    MethodCondition,
    ModelServer,
    PathCondition,
    Prefix,
    Present,
    QueryCondition,
    RateLimit,
    Regex,
    Retries,
    Route,
    Suffix,
    Target,
    Timeouts,
)
from proxy.errors import Problem, Severity

SERVER = "servers: {a: {endpoints: [http://h:1]}}\n"
ROUTE = "routes: [{name: r, rules: [{targets: a}]}]\n"


def load(text: str, file: str = "a.yaml") -> LoadResult:
    return load_texts({file: text})


def server(fields: str) -> ModelServer:
    result = load(f"servers: {{a: {{{fields}}}}}\n" + ROUTE)
    assert result.config is not None, result.problems
    return result.config.servers["a"]


def route(fields: str) -> Route:
    result = load(SERVER + f"routes: [{{name: r, {fields}}}]")
    assert result.config is not None, result.problems
    return result.config.routes[0]


def conditions(match: str) -> tuple[Condition, ...]:
    (found,) = route(f"rules: [{{match: {{{match}}}, targets: a}}]").rules[0].matches
    return found.conditions


def only_problem(text: str) -> Problem:
    (problem,) = load(text).problems
    return problem


def server_problem(fields: str) -> Problem:
    return only_problem(f"servers: {{a: {{{fields}}}}}\n" + ROUTE)


def rule_problem(fields: str) -> Problem:
    return only_problem(SERVER + f"routes: [{{name: r, rules: [{{{fields}}}]}}]")


# --- servers ---


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


def test_a_certificate_without_its_key_is_told(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").touch()
    text = "servers: {a: {endpoints: [https://h], tls: {cert: cert.pem}}}\n" + ROUTE
    (problem,) = load(text, str(tmp_path / "a.yaml")).problems
    assert "'key' is missing" in problem.message


def test_a_server_without_an_endpoint_is_a_warning() -> None:
    problem = server_problem("endpoints: []")
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS135")


# --- matches ---


@pytest.mark.parametrize(
    ("value", "test"),
    [
        ("premium", Exact("premium")),
        ("1.10", Exact("1.10")),
        ("true", Exact("true")),
        ("{exact: a}", Exact("a")),
        ("{prefix: a}", Prefix("a")),
        ("{suffix: a}", Suffix("a")),
        ("{contains: a}", Contains("a")),
        ("{regex: '^a+$'}", Regex("^a+$")),
        ("{present: true}", Present()),
        ("{present: false}", Absent()),
        ("{absent: true}", Absent()),
        ("{absent: false}", Present()),
    ],
)
def test_a_header_or_a_parameter_is_tested(value: str, test: object) -> None:
    assert conditions(f"headers: {{X-Tier: {value}}}") == (HeaderCondition("x-tier", test),)  # type: ignore[arg-type]
    assert conditions(f"query: {{Tier: {value}}}") == (QueryCondition("Tier", test),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "text"),
    [("1", "1"), ("1.10", "1.1"), ("True", "true"), ("null", "null"), ("'null'", "null"), ("a", "a"), ("1e2", "100.0")],
)
def test_a_body_field_is_compared_as_json_spells_it(value: str, text: str) -> None:
    assert conditions(f"body: {{user.tier: {value}}}") == (BodyCondition(("user", "tier"), Exact(text)),)


@pytest.mark.parametrize(
    ("value", "test"),
    [("/v1/x", Exact("/v1/x")), ("/v1/*", Prefix("/v1/")), ("'*'", Prefix("")), ("{exact: /a*}", Exact("/a*"))],
)
def test_a_path_is_exact_or_a_prefix(value: str, test: object) -> None:
    assert conditions(f"path: {value}") == (PathCondition(test),)  # type: ignore[arg-type]


def test_methods_are_one_or_several_in_capitals() -> None:
    assert conditions("method: post") == (MethodCondition(frozenset({"POST"})),)
    assert conditions("method: [GET, head]") == (MethodCondition(frozenset({"GET", "HEAD"})),)


def test_matches_are_any_of_and_an_empty_one_is_everything() -> None:
    rules = route(
        "rules: [{matches: [{path: /a}, {path: /b}], targets: a}, {matches: [{path: /c}, {}], targets: a}]"
    ).rules
    assert [len(rule.matches) for rule in rules] == [2, 0]


@pytest.mark.parametrize(
    ("match", "code", "words"),
    [
        ("headers: {x: {exact: a, prefix: b}}", "PS113", "found exact and prefix"),
        ("headers: {x: {}}", "PS113", "found none"),
        ("headers: {x: }", "PS110", "found nothing"),
        ("headers: {x: [a]}", "PS110", "found a list"),
        ("headers: {x y: a}", "PS120", "'x y' cannot be the name of a header"),
        ("headers: {x: {regexp: a}}", "PS111", "unknown key 'regexp'"),
        ("headers: {x: {regex: 'a('}}", "PS121", "RE2"),
        ("headers: {x: {regex: '(?=a)'}}", "PS121", "RE2"),
        ("headers: {x: {present: maybe}}", "PS110", "true or false"),
        ("headers: [x]", "PS110", "a mapping of names to values"),
        ("path: v1", "PS120", "begins with /"),
        ("body: {a..b: 1}", "PS120", "dots between"),
        ("method: 5", "PS110", "a method such as POST"),
        ("header: {x: a}", "PS111", "unknown key 'header'"),
    ],
)
def test_a_slip_in_a_match_is_told(match: str, code: str, words: str) -> None:
    problem = rule_problem(f"match: {{{match}}}, targets: a")
    assert problem.code == code
    assert words in problem.message


def test_match_and_matches_exclude_each_other() -> None:
    assert rule_problem("match: {path: /a}, matches: [{path: /b}], targets: a").code == "PS113"


# --- rules and targets ---


def test_a_rule_says_everything_about_itself() -> None:
    (rule,) = route(
        "rules: [{name: x, targets: [{server: a, weight: 90}, {server: a, weight: 0, model: m}],"
        "fallback: [a, {server: a, model: n}], timeout: 60s, retries: 3}]"
    ).rules
    assert rule.targets == (Target("a", 90), Target("a", 0, "m"))
    assert rule.fallback == (Target("a"), Target("a", 1, "n"))
    assert rule.timeouts == Timeouts(first_byte=60.0, idle=60.0)
    assert rule.retries == Retries(attempts=3)


def test_a_rule_without_policies_leaves_them_to_its_server() -> None:
    (rule,) = route("rules: [{targets: a}]").rules
    assert (rule.name, rule.timeouts, rule.retries) == ("rule-1", Timeouts(), None)


def test_a_route_names_models_and_adapters() -> None:
    found = route("models: qwen, adapters: [sql, sql], priority: 5, rules: [{targets: a}]")
    assert (found.models, found.adapters, found.priority) == (("qwen",), ("sql",), 5)


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ("match: {path: /a}", "PS112", "'targets' is missing"),
        ("targets: []", "PS110", "at least one target, found an empty list"),
        ("targets: [{server: a, weight: 0}]", "PS124", "all weights are 0"),
        ("targets: [{server: a, weight: 1000001}]", "PS110", "from 0 to 1000000"),
        ("targets: [{model: m}]", "PS112", "'server' is missing"),
        ("targets: a, fallback: [{server: a, weight: 1}]", "PS111", "unknown key 'weight'"),
        ("targets: a, fallbacks: a", "PS111", "unknown key 'fallbacks'"),
        ("targets: a, name: ''", "PS120", "empty"),
    ],
)
def test_a_slip_in_a_rule_is_told(fields: str, code: str, words: str) -> None:
    problem = rule_problem(fields)
    assert problem.code == code
    assert words in problem.message


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("routes: {a: 1}", "PS110", "expected a list of routes, found a mapping"),
        ("routes: [a]", "PS110", "expected a route"),
        ("routes: [{rules: [{targets: a}]}]", "PS112", "'name' is missing"),
        ("routes: [{name: r}]", "PS112", "'rules' is missing"),
        ("routes: [{name: r, rules: []}]", "PS110", "at least one rule"),
        ("routes: [{name: r, models: [1], rules: [{targets: a}]}]", "PS110", "put it in quotes"),
        ("routes: [{name: r, adapters: ['a*'], rules: [{targets: a}]}]", "PS120", "named in full"),
        (
            "routes: [{name: r, rules: [{targets: a, name: x, match: {path: /}}, {targets: a, name: x}]}]",
            "PS130",
            "'x'",
        ),
        (f"{ROUTE}route: []", "PS111", "unknown key 'route'"),
    ],
)
def test_a_slip_in_a_route_is_told(text: str, code: str, words: str) -> None:
    problems = [p for p in load(SERVER + text).problems if p.severity is Severity.ERROR]
    assert [problem.code for problem in problems] == [code]
    assert words in problems[0].message
