"""MatrixInfer's documented ModelServer: a workload's endpoints behind a path of their own."""

import pytest

from proxy.config.access_spec import Auth, JwtAuth
from proxy.config.match_spec import Exact, Match, PathCondition, Prefix
from proxy.config.spec import (
    Balance,
    ModelServer,
    RateLimit,
    Retries,
    Rule,
    Selector,
    ServiceListener,
    Target,
    Timeouts,
)
from proxy.config.values.policies import WIDEST_TIMEOUTS
from proxy.errors import Severity
from tests.config.model_resources import (
    MATRIXINFER,
    document,
    load,
    only_error,
    only_problem,
    problems,
    route,
    server,
)

PATHS = (Exact("/m"), Prefix("/m/"))
SECTIONS = {"modelInferRef": "{name: w}", "service": "{port: 8080}", "routing": "{path: /m}"}


def written(**sections: str) -> str:
    """A server with these sections in place of the ones that it needs; an empty one is left out."""
    spec = ", ".join(f"{key}: {section}" for key, section in {**SECTIONS, **sections}.items() if section)
    return document("ModelServer", f"{{{spec}}}", version=MATRIXINFER)


def path_matches(path: str) -> tuple[Match, ...]:
    return route(written(routing=f"{{path: {path}}}"), "server/ns/r").rules[0].matches


def test_a_server_has_its_workload_s_endpoints_and_every_default() -> None:
    found = server(written())
    assert found == ModelServer(
        "ns/r",
        (),
        balance=Balance.LEAST_REQUEST,
        timeouts=WIDEST_TIMEOUTS,
        selector=Selector("ns", workload="w", ports=(8080,)),
        listener=ServiceListener(8080, paths=PATHS),
        origin=found.origin,
    )


def test_a_server_says_everything_about_itself() -> None:
    found = server(
        written(
            modelInferRef="{name: w, namespace: other}",
            service="{type: NodePort, port: 443, targetPort: 8000, annotations: {a/b: 'true', port: 9090}}",
            routing="{path: /m, timeout: 30s, retries: 5}",
            rateLimit="{enabled: true, requestsPerSecond: 100, burstSize: 200}",
        )
    )
    assert found.selector == Selector("other", workload="w", ports=(8000,))
    assert found.listener == ServiceListener(443, paths=PATHS)
    assert found.timeouts == Timeouts(WIDEST_TIMEOUTS.connect, 30.0, 30.0, None)
    assert (found.retries, found.rate_limit) == (Retries(attempts=5), RateLimit(100.0, 200))


@pytest.mark.parametrize("kind", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_the_type_of_its_service_changes_nothing(kind: str) -> None:
    text = written(service=f"{{type: {kind}, port: 8080}}")
    assert server(text) == server(written())
    assert not problems(text)


def test_its_endpoints_come_from_the_inventory() -> None:
    pod = "endpoints: [{address: 10.0.0.1, workload: w, namespace: ns}, {url: 'http://10.0.0.2:1', workload: w}]\n"
    config = load(pod, written(service="{port: 80, targetPort: 8000}")).config
    assert config is not None
    assert [endpoint.address for endpoint in config.servers["ns/r"].endpoints] == ["http://10.0.0.1:8000"]


# --- its path ---


def test_its_path_is_a_route_of_its_own() -> None:
    found = route(written(), "server/ns/r")
    assert (found.kind, found.models, found.fallback) == ("ModelServer", (), ())
    matches = (Match((PathCondition(Exact("/m")),)), Match((PathCondition(Prefix("/m/")),)))
    assert found.rules == (Rule("path", (Target("ns/r"),), matches, origin=found.origin),)


@pytest.mark.parametrize(
    ("path", "tests"),
    [
        ("/v1/models/llama-7b", [Exact("/v1/models/llama-7b"), Prefix("/v1/models/llama-7b/")]),
        ("/v1/models/llama-7b/", [Exact("/v1/models/llama-7b"), Prefix("/v1/models/llama-7b/")]),
        ("/v1/models/llama*", [Prefix("/v1/models/llama")]),
        ("/v1/*", [Prefix("/v1/")]),
        ("/", []),
        ("//", []),
        ("/*", []),
    ],
)
def test_a_path_is_itself_and_all_below_it(path: str, tests: list[Exact | Prefix]) -> None:
    assert path_matches(path) == tuple(Match((PathCondition(test),)) for test in tests)


# --- what it must have ---


@pytest.mark.parametrize(
    ("section", "text", "code", "path", "words"),
    [
        ("modelInferRef", "", "PS112", "", "'modelInferRef' is missing"),
        ("modelInferRef", "w", "PS110", ".modelInferRef", "a mapping with name and namespace"),
        ("modelInferRef", "{}", "PS112", ".modelInferRef", "'name' is missing"),
        ("modelInferRef", "{name: w, namespace: 5}", "PS110", ".modelInferRef.namespace", "put it in quotes"),
        ("service", "", "PS112", "", "'service' is missing"),
        ("service", "80", "PS110", ".service", "a mapping with port and targetPort"),
        ("service", "{}", "PS112", ".service", "'port' is missing"),
        ("service", "{port: 0}", "PS110", ".service.port", "from 1 to 65535, found the number 0"),
        ("service", "{port: 65536}", "PS110", ".service.port", "from 1 to 65535"),
        ("service", "{port: 1, targetPort: 0}", "PS110", ".service.targetPort", "from 1 to 65535"),
        ("service", "{port: 1, targetPort: 65536}", "PS110", ".service.targetPort", "from 1 to 65535"),
        ("service", "{port: 1, type: Cluster}", "PS120", ".service.type", "ClusterIP, NodePort or LoadBalancer"),
        ("service", "{port: 1, annotations: [a]}", "PS110", ".service.annotations", "a mapping of texts"),
        ("routing", "", "PS112", "", "'routing' is missing"),
        ("routing", "/m", "PS110", ".routing", "a mapping with path, timeout and retries"),
        ("routing", "{}", "PS112", ".routing", "'path' is missing"),
        ("routing", "{path: m}", "PS120", ".routing.path", "begins with /"),
        ("routing", "{path: ''}", "PS120", ".routing.path", "empty"),
        ("routing", "{path: [m]}", "PS110", ".routing.path", "a text, found a list"),
        ("routing", "{path: /m, timeout: soon}", "PS110", ".routing.timeout", "a duration such as 5s"),
        ("routing", "{path: /m, retries: -1}", "PS110", ".routing.retries", "from 0 to 100"),
        ("routing", "{path: /m, retries: 101}", "PS110", ".routing.retries", "from 0 to 100"),
    ],
)
def test_a_slip_in_a_section_is_told(section: str, text: str, code: str, path: str, words: str) -> None:
    problem = only_problem(written(**{section: text}))
    assert (problem.code, problem.severity, problem.line, problem.path) == (code, Severity.ERROR, 4, f"spec{path}")
    assert words in problem.message


def test_all_slips_are_told_at_once() -> None:
    text = written(modelInferRef="{}", service="{port: 0}", routing="{path: m}", rateLimit="{enabled: 1}", tls="[]")
    assert len(problems(text)) == 5


def test_a_key_that_a_newer_version_may_know_is_a_warning() -> None:
    problem = only_problem(written(service="{port: 1, targetport: 5}"))
    assert (problem.code, problem.severity, problem.suggestion) == ("PS111", Severity.WARNING, "targetPort")


# --- sections that are switched on ---


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("rateLimit", "{enabled: false, requestsPerSecond: 1}"),
        ("authentication", "{enabled: false, type: basic}"),
        ("tls", "{enabled: false}"),
        ("tls", "{enabled: false, secretName: ''}"),
        ("rateLimit", "{}"),
    ],
)
def test_a_section_that_is_switched_off_is_not_there(section: str, text: str) -> None:
    found = server(written(**{section: text}))
    assert (found.rate_limit, found.auth, found.listener) == (None, None, ServiceListener(8080, paths=PATHS))
    assert not problems(written(**{section: text}))


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("rateLimit", "{requestsPerSecond: 1}"),
        ("authentication", "{type: jwt, config: {issuer: 'https://a'}}"),
        ("tls", "{secretName: a}"),
    ],
)
def test_a_section_that_does_not_say_whether_it_is_enabled_is_off_which_is_told(section: str, text: str) -> None:
    found = server(written(**{section: text}))
    assert (found.rate_limit, found.auth, found.listener) == (None, None, ServiceListener(8080, paths=PATHS))
    problem = only_problem(written(**{section: text}))
    assert (problem.code, problem.severity, problem.path) == ("PS136", Severity.WARNING, f"spec.{section}")
    assert "does not say enabled: true" in problem.message


def test_a_burst_is_the_rate_where_it_is_not_given() -> None:
    assert server(written(rateLimit="{enabled: true, requestsPerSecond: 7}")).rate_limit == RateLimit(7.0, 7)


@pytest.mark.parametrize(
    ("config", "auth"),
    [
        ("{issuer: 'https://i', audience: a}", JwtAuth("https://i", ("a",))),
        ("{jwksUri: 'https://i/keys', audience: [a, b]}", JwtAuth(None, ("a", "b"), "https://i/keys")),
        ("{issuer: i, jwksUri: 'https://i/keys'}", JwtAuth("i", (), "https://i/keys")),
    ],
)
def test_callers_show_tokens(config: str, auth: JwtAuth) -> None:
    text = written(authentication=f"{{enabled: true, type: jwt, config: {config}}}")
    assert server(text).auth == Auth(auth)
    assert not problems(text)


def test_keys_that_come_over_plain_http_are_a_warning() -> None:
    problem = only_problem(written(authentication="{enabled: true, type: jwt, config: {jwksUri: 'http://i/keys'}}"))
    assert (problem.code, problem.severity) == ("PS122", Severity.WARNING)


def test_the_service_speaks_tls_with_the_certificate_of_a_secret() -> None:
    text = written(tls="{enabled: true, secretName: cert}", service="{port: 443}")
    assert server(text).listener == ServiceListener(443, "ns/cert", PATHS)
    assert not problems(text)


@pytest.mark.parametrize(
    ("section", "text", "code", "path", "words"),
    [
        ("rateLimit", "5", "PS110", "", "a mapping with enabled, requestsPerSecond and burstSize"),
        ("rateLimit", "{enabled: true}", "PS112", "", "'requestsPerSecond' is missing"),
        ("rateLimit", "{enabled: true, requestsPerSecond: 0}", "PS110", ".requestsPerSecond", "from 1 to 10000000"),
        ("rateLimit", "{enabled: true, requestsPerSecond: 10000001}", "PS110", ".requestsPerSecond", "from 1"),
        ("rateLimit", "{enabled: true, requestsPerSecond: 1, burstSize: 0}", "PS110", ".burstSize", "from 1"),
        ("rateLimit", "{enabled: false, requestsPerSecond: many}", "PS110", ".requestsPerSecond", "a whole number"),
        ("rateLimit", "{enabled: 'yes', requestsPerSecond: 1}", "PS110", ".enabled", "true or false"),
        ("authentication", "jwt", "PS110", "", "a mapping with enabled, type and config"),
        ("authentication", "{enabled: true, config: {issuer: 'https://a'}}", "PS112", "", "'type' is missing"),
        ("authentication", "{enabled: true, type: jwt}", "PS112", "", "'config' is missing"),
        (
            "authentication",
            "{enabled: true, type: basic, config: {issuer: 'https://a'}}",
            "PS120",
            ".type",
            "expected jwt, found 'basic'",
        ),
        (
            "authentication",
            "{enabled: true, type: jwt, config: {audience: a}}",
            "PS112",
            ".config",
            "expected issuer, jwksUri or both",
        ),
        ("authentication", "{enabled: true, type: jwt, config: a}", "PS110", ".config", "a mapping with issuer"),
        (
            "authentication",
            "{enabled: true, type: jwt, config: {issuer: ''}}",
            "PS120",
            ".config.issuer",
            "empty",
        ),
        (
            "authentication",
            "{enabled: true, type: jwt, config: {issuer: 'https://a', audience: [5]}}",
            "PS110",
            ".config.audience[0]",
            "a text",
        ),
        (
            "authentication",
            "{enabled: true, type: jwt, config: {jwksUri: 'ftp://a'}}",
            "PS122",
            ".config.jwksUri",
            "begins with https:// or http://",
        ),
        ("tls", "cert", "PS110", "", "a mapping with enabled and secretName"),
        ("tls", "{enabled: true}", "PS112", "", "'secretName' is missing"),
        ("tls", "{enabled: true, secretName: ''}", "PS120", ".secretName", "empty"),
        ("tls", "{enabled: true, secretName: a/b}", "PS120", ".secretName", "'a/b' in the namespace 'ns' is no secret"),
    ],
)
def test_a_slip_in_a_switched_section_is_told(section: str, text: str, code: str, path: str, words: str) -> None:
    problem = only_error(written(**{section: text}))
    assert (problem.code, problem.line, problem.path) == (code, 4, f"spec.{section}{path}")
    assert words in problem.message


def test_a_type_that_is_nearly_right_is_suggested() -> None:
    text = written(authentication="{enabled: true, type: JWT, config: {issuer: 'https://a'}}")
    assert only_error(text).suggestion == "jwt"


def test_a_namespace_that_leads_out_of_the_secrets_directory_is_told() -> None:
    text = written(tls="{enabled: true, secretName: cert}").replace("namespace: ns", "namespace: ..")
    assert "in the namespace '..' is no secret" in only_error(text).message
