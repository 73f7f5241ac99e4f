"""An HTTPRoute leads to pools by hosts and matches, and says what of it has no effect here."""

import re
from typing import Any

import pytest

from proxy.config.match_spec import HeaderCondition, PathCondition, Prefix, Regex
from proxy.config.spec import Retries, Rule, Target, Timeouts
from proxy.errors import Severity
from tests.config.inference_resources import (
    backend,
    errors,
    http_route,
    load,
    only_problem,
    pool,
    problems,
    resource,
    routes,
)

NAME = "http/default/r"


def rules(*written: object, **spec: object) -> tuple[Rule, ...]:
    return routes(pool(), pool("q"), http_route(*written, **spec))[NAME].rules


def rule(**written: object) -> Rule:
    (found,) = rules({"backendRefs": [backend()], **written})
    return found


def test_a_route_leads_to_pools_by_weight() -> None:
    found = rule(backendRefs=[backend(weight=70), backend("q", weight=30), backend("p")])
    weights = [("pool/default/p", 70), ("pool/default/q", 30), ("pool/default/p", 1)]
    assert found.targets == tuple(Target(name, weight) for name, weight in weights)


def test_a_route_takes_every_model_and_knows_what_it_is() -> None:
    found = routes(pool(), http_route({"backendRefs": [backend()]}))[NAME]
    assert (found.kind, found.models, found.priority, found.origin.path) == ("HTTPRoute", (), 0, "metadata.name")
    assert found.rules[0].matches == ()


def test_a_pool_that_a_route_leads_to_gets_no_route_of_its_own() -> None:
    assert list(routes(pool(), http_route({"backendRefs": [backend()]}))) == [NAME]


def test_a_route_may_lead_to_another_namespace_and_to_a_model_server() -> None:
    found = rules(
        {
            "backendRefs": [
                backend(namespace="ml"),
                {"group": "networking.matrixinfer.ai", "kind": "ModelServer", "name": "s"},
            ]
        }
    )
    assert [target.server for target in found[0].targets] == ["pool/ml/p", "default/s"]


def test_a_pool_that_no_file_defines_answers_503() -> None:
    result = load(http_route({"backendRefs": [backend()]}))
    assert result.config is not None
    assert result.config.servers["pool/default/p"].missing
    (problem,) = result.problems
    assert (problem.severity, problem.path) == (Severity.WARNING, "spec.rules[0].backendRefs[0].name")


# --- hosts ---


def host_pattern(*hostnames: str) -> str:
    (match,) = rules({"backendRefs": [backend()]}, hostnames=hostnames)[0].matches
    (condition,) = match.conditions
    assert isinstance(condition, HeaderCondition)
    assert condition.name == "host"
    assert isinstance(condition.test, Regex)
    return condition.test.pattern


@pytest.mark.parametrize("host", ["example.com", "EXAMPLE.com:8400", "a.example.org", "a.b.example.org:80"])
def test_a_host_is_one_of_the_hostnames_whatever_its_port(host: str) -> None:
    assert re.search(host_pattern("example.com", "*.example.org"), host)


@pytest.mark.parametrize(
    "host", ["a.example.com", "example.org", "exampleXcom", "example.com.evil", "example.com:x", ""]
)
def test_another_host_is_none_of_them(host: str) -> None:
    assert not re.search(host_pattern("example.com", "*.example.org"), host)


def test_a_host_is_asked_for_beside_every_match() -> None:
    found = rules({"matches": [{"path": {"value": "/a"}}], "backendRefs": [backend()]}, hostnames=["h"])
    assert [len(match.conditions) for match in found[0].matches] == [2, 2]
    assert PathCondition(Prefix("/a/")) in found[0].matches[1].conditions


@pytest.mark.parametrize("host", ["", "a_b", "*", "a.*.b", "*.*.a", "a:80", "http://a", "-a", "a..b", "a" * 254, 5])
def test_what_is_no_hostname_is_an_error(host: object) -> None:
    assert errors(pool(), http_route({"backendRefs": [backend()]}, hostnames=[host])) == ["spec.hostnames[0]"]


# --- policies ---


def test_timeouts_are_of_the_whole_and_of_a_try() -> None:
    assert rule(timeouts={"request": "10s", "backendRequest": "500ms"}).timeouts == Timeouts(first_byte=0.5, total=10.0)
    assert rule(timeouts={"request": "0s"}).timeouts == Timeouts()
    assert rule().timeouts == Timeouts()


def test_a_try_is_no_longer_than_the_whole() -> None:
    timeouts = {"request": "1s", "backendRequest": "2s"}
    document = http_route({"backendRefs": [backend()], "timeouts": timeouts})
    assert errors(pool(), document) == ["spec.rules[0].timeouts.backendRequest"]


def test_a_rule_says_how_it_is_retried() -> None:
    found = rule(retry={"codes": [500, 503], "attempts": 3, "backoff": "100ms"})
    assert found.retries == Retries(attempts=3, statuses=frozenset({500, 503}), backoff=0.1)
    assert rule(retry={}).retries == Retries()
    assert rule().retries is None


@pytest.mark.parametrize(
    ("more", "path"),
    [
        ({"filters": [{"type": "RequestHeaderModifier"}]}, "filters"),
        ({"sessionPersistence": {"type": "Cookie"}}, "sessionPersistence"),
        ({"backendRefs": [backend(filters=[{"type": "URLRewrite"}])]}, "backendRefs[0].filters"),
    ],
)
def test_what_has_no_effect_here_is_a_warning(more: dict[str, Any], path: str) -> None:
    problem = only_problem(pool(), http_route({"backendRefs": [backend()], **more}))
    assert (problem.severity, problem.code) == (Severity.WARNING, "PS136")
    assert problem.path == f"spec.rules[0].{path}"


def test_what_a_route_is_attached_to_does_not_matter() -> None:
    assert not problems(pool(), http_route({"backendRefs": [backend()]}, parentRefs=[{"name": "gateway"}]))


# --- backends ---


@pytest.mark.parametrize(
    ("reference", "path", "words"),
    [
        ({"name": "web", "port": 80}, "", "a Service is not served here"),
        ({"kind": "Service", "name": "web"}, ".kind", "the kind 'Service' is not served here"),
        ({"kind": "InferencePool", "name": "p"}, ".kind", "an InferencePool without its group"),
        ({"group": "x", "kind": "InferencePool", "name": "p"}, ".group", "of the group 'x'"),
        ({"group": "x", "kind": "ModelServer", "name": "p"}, ".group", "of the group 'x'"),
    ],
)
def test_a_backend_of_another_kind_is_left_out_with_a_warning(reference: object, path: str, words: str) -> None:
    problem = only_problem(pool(), http_route({"backendRefs": [reference, backend()]}))
    assert (problem.severity, problem.path) == (Severity.WARNING, f"spec.rules[0].backendRefs[0]{path}")
    assert words in problem.message
    (found,) = rules({"backendRefs": [reference, backend()]})
    assert found.targets == (Target("pool/default/p"),)


@pytest.mark.parametrize("refs", [None, [], [{"name": "web"}], [backend(weight=0)]])
def test_a_rule_that_leads_nowhere_is_left_out_with_a_warning(refs: object) -> None:
    found = rules({"name": "web", "backendRefs": refs}, {"name": "llm", "backendRefs": [backend()]})
    assert [one.name for one in found] == ["llm"]
    told = problems(pool(), http_route({"backendRefs": refs}, {"backendRefs": [backend()]}))
    assert {problem.severity for problem in told} == {Severity.WARNING}
    assert "left out" in told[0].message + told[-1].message


@pytest.mark.parametrize("written", [{}, {"rules": None}, {"rules": []}, {"rules": [{}]}])
def test_a_route_that_leads_nowhere_is_told(written: dict[str, Any]) -> None:
    document = resource("gateway.networking.k8s.io/v1", "HTTPRoute", "r", {**written, "hostnames": []})
    told = problems(pool(), document)
    assert ("PS136", "metadata.name") in [(problem.code, problem.path) for problem in told]
    assert NAME not in routes(pool(), document)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ({"rules": {}}, "spec.rules"),
        ({"rules": ["a"]}, "spec.rules[0]"),
        ({"rules": [{"backendRefs": {}}]}, "spec.rules[0].backendRefs"),
        ({"rules": [{"backendRefs": ["p"]}]}, "spec.rules[0].backendRefs[0]"),
        ({"rules": [{"backendRefs": [backend(name=None)]}]}, "spec.rules[0].backendRefs[0].name"),
        ({"rules": [{"backendRefs": [backend(weight=-1)]}]}, "spec.rules[0].backendRefs[0].weight"),
        ({"rules": [{"backendRefs": [backend(weight=1_000_001)]}]}, "spec.rules[0].backendRefs[0].weight"),
        ({"rules": [{"backendRefs": [backend()], "matches": {}}]}, "spec.rules[0].matches"),
        ({"rules": [{"backendRefs": [backend()], "timeouts": "1s"}]}, "spec.rules[0].timeouts"),
        ({"rules": [{"backendRefs": [backend()], "retry": 3}]}, "spec.rules[0].retry"),
        ({"rules": [{"backendRefs": [backend()], "timeouts": {"request": "soon"}}]}, "spec.rules[0].timeouts.request"),
        ({"rules": [{"backendRefs": [backend()], "retry": {"codes": [200]}}]}, "spec.rules[0].retry.codes[0]"),
    ],
)
def test_a_slip_in_a_route_is_an_error(written: dict[str, Any], path: str) -> None:
    assert errors(pool(), resource("gateway.networking.k8s.io/v1", "HTTPRoute", "r", written)) == [path]


def test_rules_of_a_route_have_names_of_their_own() -> None:
    document = http_route(
        *({"name": "a", "matches": [{"path": {"value": path}}], "backendRefs": [backend()]} for path in ("/a", "/b"))
    )
    assert only_problem(pool(), document).code == "PS130"


def test_a_route_is_given_once_in_a_namespace() -> None:
    both = [http_route({"backendRefs": [backend()]}) for _ in range(2)]
    assert "PS130" in [problem.code for problem in problems(pool(), *both)]


def test_a_rule_that_could_not_be_read_puts_no_other_out_of_reach() -> None:
    bad = {"matches": [{"method": "post"}], "backendRefs": [backend()]}
    found = problems(pool(), http_route(bad, {"backendRefs": [backend()]}))
    assert [problem.path for problem in found] == ["spec.rules[0].matches[0].method"]


def test_a_lone_backend_with_a_weight_is_told_to_take_all() -> None:
    problem = only_problem(pool(), http_route({"backendRefs": [backend(weight=30)]}))
    assert (problem.severity, problem.code) == (Severity.HINT, "PS136")


def test_a_rule_that_an_earlier_one_leaves_nothing_is_told() -> None:
    problem = only_problem(pool(), http_route({"backendRefs": [backend()]}, {"backendRefs": [backend()]}))
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS133", "spec.rules[1]")
