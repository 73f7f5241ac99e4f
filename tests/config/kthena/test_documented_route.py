"""MatrixInfer's documented ModelRoute: routes in order, those with the same match as one weighted group."""

import pytest

from proxy.config.match_spec import Condition, Exact, HeaderCondition, Match, PathCondition, Prefix, QueryCondition
from proxy.config.spec import Retries, Target, Timeouts
from proxy.errors import Severity
from tests.config.model_resources import MATRIXINFER, document, load, only_error, only_problem, problems, route


def written(spec: str) -> str:
    return document("ModelRoute", spec, version=MATRIXINFER)


def entry(server: str, match: str = "{path: /x}", more: str = "") -> str:
    return f"{{match: {match}, destination: {{modelServerRef: {{name: {server}}}}}{more and ', ' + more}}}"


def routes(*entries: str, more: str = "") -> str:
    return written(f"{{routes: [{', '.join(entries)}]{more and ', ' + more}}}")


def conditions(match: str) -> tuple[Condition, ...]:
    (found,) = route(routes(entry("a", match))).rules[0].matches
    return found.conditions


# --- matches ---


def test_headers_parameters_and_path_must_all_hold() -> None:
    found = conditions("{headers: {User-Type: premium}, queryParams: {Model: fast}, path: /v1/x}")
    assert found == (
        HeaderCondition("user-type", Exact("premium")),
        QueryCondition("Model", Exact("fast")),
        PathCondition(Exact("/v1/x")),
    )


@pytest.mark.parametrize(
    ("value", "text"), [("v1", "v1"), ("1.10", "1.10"), ("true", "true"), ("''", ""), ("a*", "a*")]
)
def test_a_header_or_a_parameter_has_exactly_this_text(value: str, text: str) -> None:
    assert conditions(f"{{headers: {{x: {value}}}}}") == (HeaderCondition("x", Exact(text)),)
    assert conditions(f"{{queryParams: {{x: {value}}}}}") == (QueryCondition("x", Exact(text)),)


@pytest.mark.parametrize(
    ("path", "test"), [("/v1/x", Exact("/v1/x")), ("/v1/models/production/*", Prefix("/v1/models/production/"))]
)
def test_a_path_is_exact_or_a_prefix(path: str, test: Exact | Prefix) -> None:
    assert conditions(f"{{path: {path}}}") == (PathCondition(test),)


@pytest.mark.parametrize("match", ["{}", "{path: '*'}", "{headers: {}}"])
def test_a_match_that_asks_for_nothing_takes_everything(match: str) -> None:
    assert route(routes(entry("a", match))).rules[0].matches == ()


@pytest.mark.parametrize(
    ("match", "code", "words"),
    [
        ("{headers: {x y: a}}", "PS120", "'x y' cannot be the name of a header"),
        ("{headers: {x: {exact: a}}}", "PS110", "expected a text, found a mapping"),
        ("{headers: [x]}", "PS110", "a mapping of texts"),
        ("{queryParams: {x: [a]}}", "PS110", "expected a text, found a list"),
        ("{path: v1}", "PS120", "begins with /"),
        ("{path: {prefix: /v1}}", "PS110", "a path, exact or with * at its end"),
        ("[]", "PS110", "a mapping with headers, queryParams and path"),
    ],
)
def test_a_slip_in_a_match_is_told(match: str, code: str, words: str) -> None:
    problem = only_problem(routes(entry("a", match)))
    assert (problem.code, problem.severity, problem.line) == (code, Severity.ERROR, 4)
    assert problem.path.startswith("spec.routes[0].match")
    assert words in problem.message


# --- routes ---


def test_a_route_has_its_own_timeout_and_retries() -> None:
    (rule,) = route(routes(entry("a", more="timeout: 60s, retries: 3"))).rules
    assert rule.targets == (Target("ns/a", 100, None, Timeouts(first_byte=60.0, idle=60.0), Retries(attempts=3)),)
    assert (rule.name, rule.timeouts, rule.retries) == ("rule-1", Timeouts(), None)
    assert rule.origin.path == "spec.routes[0]"


def test_a_timeout_of_0_is_none() -> None:
    assert route(routes(entry("a", more="timeout: 0s"))).rules[0].targets == (Target("ns/a", 100),)


def test_a_server_of_another_namespace_is_named_with_it() -> None:
    text = "{match: {}, destination: {modelServerRef: {name: a, namespace: other}}}"
    assert route(routes(text)).rules[0].targets[0].server == "other/a"


def test_a_server_that_no_file_defines_is_a_warning() -> None:
    (problem,) = load(routes(entry("a"))).problems
    assert (problem.code, problem.severity) == ("PS131", Severity.WARNING)
    assert problem.path == "spec.routes[0].destination.modelServerRef.name"
    assert "no file defines the ModelServer 'ns/a'" in problem.message


def test_a_server_named_by_a_variable_is_never_shown() -> None:
    (problem,) = load(routes(entry("'${SECRET}'")), SECRET="hunter2").problems
    assert "hunter2" not in problem.message


def test_the_fallback_is_taken_when_no_route_matches() -> None:
    found = route(routes(entry("a"), more="fallback: {modelServerRef: {name: b, namespace: other}}"))
    assert found.fallback == (Target("other/b"),)


def test_a_fallback_alone_is_a_route() -> None:
    found = route(written("{fallback: {modelServerRef: {name: b}}}"))
    assert (found.rules, found.fallback) == ((), (Target("ns/b"),))


@pytest.mark.parametrize(
    ("item", "code", "path", "words"),
    [
        ("{destination: {modelServerRef: {name: a}}}", "PS112", "spec.routes[0]", "'match' is missing"),
        ("{match: {}}", "PS112", "spec.routes[0]", "'destination' is missing"),
        ("{match: {}, destination: {}}", "PS112", "spec.routes[0].destination", "'modelServerRef' is missing"),
        ("{match: {}, destination: a}", "PS110", "spec.routes[0].destination", "a mapping with modelServerRef"),
        ("{match: {}, destination: {modelServerRef: a}}", "PS110", "spec.routes[0].destination.modelServerRef", "name"),
        (
            "{match: {}, destination: {modelServerRef: {namespace: a}}}",
            "PS112",
            "spec.routes[0].destination.modelServerRef",
            "'name' is missing",
        ),
        (entry("a", more="weight: -1"), "PS110", "spec.routes[0].weight", "from 0 to 100, found the number -1"),
        (entry("a", more="weight: 101"), "PS110", "spec.routes[0].weight", "from 0 to 100, found the number 101"),
        (entry("a", more="weight: 1.5"), "PS110", "spec.routes[0].weight", "a whole number"),
        (entry("a", more="timeout: soon"), "PS110", "spec.routes[0].timeout", "a duration such as 5s"),
        (entry("a", more="retries: -1"), "PS110", "spec.routes[0].retries", "from 0 to 100"),
        (entry("a", more="retries: 101"), "PS110", "spec.routes[0].retries", "from 0 to 100"),
        ("a", "PS110", "spec.routes[0]", "a route: a mapping with match and destination"),
    ],
)
def test_a_slip_in_a_route_is_told(item: str, code: str, path: str, words: str) -> None:
    problem = only_problem(routes(item))
    assert (problem.code, problem.severity, problem.line, problem.path) == (code, Severity.ERROR, 4, path)
    assert words in problem.message


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ("{routes: a}", "PS110", "a list of routes"),
        ("{routes: }", "PS112", "'routes' has no value"),
        ("{routes: [], fallback: a}", "PS110", "a mapping with modelServerRef"),
        ("{canary: {}}", "PS112", "'routes' is missing"),
    ],
)
def test_a_slip_in_the_spec_is_told(spec: str, code: str, words: str) -> None:
    problem = only_problem(written(spec))
    assert (problem.code, problem.severity) == (code, Severity.ERROR)
    assert words in problem.message


def test_a_key_that_a_newer_version_may_know_is_a_warning() -> None:
    problem = only_problem(routes(entry("a", more="weigth: 5")))
    assert (problem.code, problem.severity, problem.suggestion) == ("PS111", Severity.WARNING, "weight")


def test_all_slips_are_told_at_once() -> None:
    text = routes(entry("a", "{path: x}"), entry("b", more="weight: 101, timeout: x"), entry("c", "{headers: a}"))
    assert len(problems(text)) == 4


# --- groups ---


def test_routes_with_the_same_match_share_it_by_weight_at_the_place_of_the_first() -> None:
    found = route(
        routes(
            entry("a", "{path: /x, headers: {k: v}}", "weight: 90, timeout: 1s"),
            entry("b", "{path: /y}"),
            entry("c", "{headers: {K: v}, path: /x}", "weight: 10, retries: 1"),
        )
    )
    assert [rule.name for rule in found.rules] == ["rule-1", "rule-2"]
    assert found.rules[0].targets == (
        Target("ns/a", 90, timeouts=Timeouts(first_byte=1.0, idle=1.0)),
        Target("ns/c", 10, retries=Retries(attempts=1)),
    )
    same = Match((HeaderCondition("k", Exact("v")), PathCondition(Exact("/x"))))
    assert found.rules[0].matches == (same,)
    assert [target.server for target in found.rules[1].targets] == ["ns/b"]


def test_a_weight_that_shares_with_nobody_is_a_hint() -> None:
    problem = only_problem(routes(entry("a", more="weight: 80")))
    assert (problem.code, problem.severity, problem.path) == ("PS136", Severity.HINT, "spec.routes[0].weight")
    assert "no other route has the same match" in problem.message


@pytest.mark.parametrize("more", ["", "weight: 100"])
def test_a_route_that_takes_all_as_it_says_is_no_hint(more: str) -> None:
    assert not problems(routes(entry("a", more=more)))


def test_a_group_without_weights_is_shared_equally() -> None:
    text = routes(entry("a"), entry("b"))
    assert [target.weight for target in route(text).rules[0].targets] == [100, 100]
    assert not problems(text)


def test_a_route_without_a_weight_counts_as_100_beside_weighted_ones() -> None:
    text = routes(entry("a", more="weight: 50"), entry("b"))
    assert [target.weight for target in route(text).rules[0].targets] == [50, 100]
    problem = only_problem(text)
    assert (problem.code, problem.severity, problem.path) == ("PS124", Severity.HINT, "spec.routes[1]")
    assert "counts as 100" in problem.message


@pytest.mark.parametrize(
    "entries", [[entry("a", more="weight: 0")], [entry("a", more="weight: 0"), entry("b", more="weight: 0")]]
)
def test_a_group_in_which_nobody_has_a_weight_above_0_is_told(entries: list[str]) -> None:
    problem = only_error(routes(*entries))
    assert (problem.code, problem.path) == ("PS124", "spec.routes[0].weight")
    assert "all weights are 0" in problem.message


def test_a_weight_of_0_in_a_group_takes_nothing() -> None:
    found = route(routes(entry("a", more="weight: 0"), entry("b", more="weight: 1")))
    assert [target.weight for target in found.rules[0].targets] == [0, 1]


def test_nothing_is_said_of_groups_where_a_match_is_not_known() -> None:
    problem = only_problem(routes(entry("a", more="weight: 80"), entry("b", "{path: x}", "weight: 20")))
    assert problem.path == "spec.routes[1].match.path"
