"""What works but is probably not meant so is told: unused servers, rules and routes never reached, idle weights."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.checks import check_rules, takes_everything
from proxy.config.loader import load_texts
from proxy.config.match_spec import BodyCondition, Exact, Match
from proxy.config.problems import Problems
from proxy.config.spec import Origin, Route, Rule, Target
from proxy.errors import Problem, Severity
from tests.config.inference_resources import load, objective, only_problem, pool, problems, rewrite, rule

SERVER = "servers: {a: {endpoints: [http://h:1]}}\n"


def told(*texts: str) -> tuple[Problem, ...]:
    return load_texts({f"{number}.yaml": text for number, text in enumerate(texts)}).problems


def rules(*written: str) -> str:
    return f"{SERVER}routes: [{{name: r, rules: [{', '.join(written)}]}}]"


def routes(*written: str) -> str:
    return SERVER + "routes:\n" + "".join(f"- {{name: r{i}, {one}}}\n" for i, one in enumerate(written))


ALL = "rules: [{targets: a}]"
SOME = "rules: [{match: {path: /x}, targets: a}]"


# --- servers ---


def test_a_server_that_no_route_leads_to_is_a_hint() -> None:
    (unused,) = told(rules("{targets: a}"), "servers: {b: {endpoints: [http://h]}}")
    assert (unused.severity, unused.code, unused.path) == (Severity.HINT, "PS132", "servers.b")


@pytest.mark.parametrize(
    "route",
    [
        "{name: r, rules: [{targets: [{server: a, weight: 0}, b]}]}",
        "{name: r, rules: [{targets: b, fallback: a}]}",
        "{name: r, rules: [{targets: b}], fallback: a}",
        "{name: r, rules: [{targets: b, shadow: a}]}",
    ],
)
def test_a_server_is_used_wherever_a_route_leads_to_it(route: str) -> None:
    found = told(f"{SERVER}routes: [{route}]", "servers: {b: {endpoints: [http://h]}}")
    assert "PS132" not in [problem.code for problem in found]


def test_a_pool_is_used_by_its_rewrites_but_not_by_its_objectives() -> None:
    def unused(*documents: object) -> list[str]:
        return [problem.file for problem in load(*documents).problems if problem.code == "PS132"]

    assert unused(pool(), pool("q"), rewrite("r", rule("a")), rewrite("s", rule("b"), to="q")) == []
    assert unused(pool(), pool("q"), objective("o", 1), rewrite("s", rule("b"), to="q")) == ["0.json"]
    assert unused(pool(), pool("q"), rewrite("r"), rewrite("s", rule("b"), to="q")) == ["0.json"]


@pytest.mark.parametrize(
    "route",
    [
        "{name: r, rules: [{targets: a, fallback: pool/default/p}]}",
        "{name: r, rules: [{targets: a, shadow: pool/default/p}]}",
        "{name: r, models: [m], rules: [{targets: a}], fallback: pool/default/p}",
    ],
)
def test_a_pool_is_used_wherever_a_route_leads_to_it(route: str) -> None:
    texts = {"a.yaml": f"{SERVER}routes: [{route}]", "b.json": json.dumps(pool())}
    assert "PS132" not in [problem.code for problem in load_texts(texts).problems]


def test_nothing_is_told_of_use_while_there_are_errors() -> None:
    found = told(rules("{targets: [{server: a, wait: 1}]}"), "servers: {b: {endpoints: [http://h]}}")
    assert [problem.code for problem in found] == ["PS111"]


# --- listeners ---


def listening(*listeners: str) -> list[Problem]:
    servers = "".join(f"  s{i}: {{endpoints: [http://h], listener: {one}}}\n" for i, one in enumerate(listeners))
    targets = ", ".join(f"s{i}" for i, _ in enumerate(listeners))
    return [*told(f"servers:\n{servers}routes: [{{name: r, rules: [{{targets: [{targets}]}}]}}]")]


def test_a_port_speaks_tls_for_all_of_its_servers_or_for_none() -> None:
    (problem,) = listening("{port: 443, tls_secret: a/b}", "{port: 80}", "{port: 443}")
    assert (problem.severity, problem.code, problem.line, problem.path) == (Severity.ERROR, "PS139", 4, "servers.s2")
    assert problem.message.startswith("port 443 is also that of the server at 0.yaml:2: it has a TLS secret and this")


def test_servers_may_share_a_port_and_its_paths_with_certificates_of_their_own() -> None:
    assert listening("{port: 443, tls_secret: a/b, path: /a}", "{port: 443, tls_secret: a/c, path: /a}") == []
    assert listening("{port: 80, path: /a}", "{port: 80, path: /a}") == []


# --- rules ---


def test_a_rule_after_one_without_a_match_is_told_to_be_out_of_reach() -> None:
    (problem,) = told(rules("{targets: a}", "{match: {path: /x}, targets: a}"))
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS133", "routes[0].rules[1]")
    assert "0.yaml:2" in problem.message


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        (["{path: /x}"], "{path: /x}"),
        (["{path: /x}"], "{path: /x, method: GET}"),
        (["{headers: {a: '1', b: '2'}}"], "{headers: {b: '2', a: '1'}}"),
        (["{headers: {a: '1'}}"], "{headers: {b: '2', c: '3', a: '1'}, path: /x, method: GET}"),
        (["{body: {g: '1'}}"], "{body: {a: '1', b: '2', c: '3', d: '4', e: '5', f: '6', g: '1', h: '8'}}"),
    ],
)
def test_a_rule_is_told_when_an_earlier_one_asks_for_no_more(earlier: list[str], later: str) -> None:
    written = [f"{{match: {one}, targets: a}}" for one in [*earlier, later]]
    (problem,) = told(rules(*written, "{targets: a}"))
    assert (problem.code, problem.path) == ("PS133", f"routes[0].rules[{len(earlier)}]")
    assert "0.yaml:2" in problem.message


def test_a_rule_of_several_matches_is_told_when_all_of_them_are_taken() -> None:
    first, second = "{match: {path: /x}, targets: a}", "{match: {path: /y}, targets: a}"
    assert [p.code for p in told(rules(first, second, "{matches: [{path: /y}, {path: /x}], targets: a}"))] == ["PS133"]
    assert not told(rules(first, "{matches: [{path: /y}, {path: /x}], targets: a}"))


def test_a_rule_that_asks_for_less_is_reached() -> None:
    assert not told(rules("{match: {path: /x, method: GET}, targets: a}", "{match: {path: /x}, targets: a}"))


def test_a_rule_that_could_not_be_read_puts_no_other_out_of_reach() -> None:
    assert [p.code for p in told(rules("{match: {path: x}, targets: a}", "{targets: a}"))] == ["PS120"]


def test_a_rule_that_is_turned_off_takes_nothing_and_is_told_nothing() -> None:
    off = "{targets: a, enabled: false}"
    assert not told(rules(off, "{match: {path: /x}, targets: a}", "{targets: a}", off))


def one_rule(*matches: Match, line: int = 1) -> Rule:
    return Rule("x", (Target("a"),), matches, origin=Origin("f", line, 1, ""))


def test_a_match_that_asks_for_nothing_takes_everything() -> None:
    asks = Match((BodyCondition(("a",), Exact("b")),))
    assert takes_everything(one_rule())
    assert takes_everything(one_rule(asks, Match(())))
    assert not takes_everything(one_rule(asks))


CONDITIONS = st.sampled_from([BodyCondition((key,), Exact("1")) for key in "abcd"])
MATCHES = st.lists(CONDITIONS, max_size=3).map(lambda found: Match(tuple(found)))
RULES = st.lists(st.lists(MATCHES, max_size=3), max_size=6)


@given(RULES)
def test_the_rules_told_are_those_that_a_comparison_of_all_with_all_finds(written: list[list[Match]]) -> None:
    found = [one_rule(*matches, line=number) for number, matches in enumerate(written)]
    problems_ = Problems()
    check_rules(Route("r", tuple(found), kind="x"), problems_)
    expected = []
    for number, later in enumerate(found):
        before = [set(match.conditions) for earlier in found[:number] for match in earlier.matches or (Match(()),)]
        asked = [set(match.conditions) for match in later.matches or (Match(()),)]
        if all(any(earlier <= one for earlier in before) for one in asked):
            expected.append(number)
    assert [problem.line for problem in problems_.all()] == expected


def test_a_lone_target_with_a_weight_is_told_to_take_all() -> None:
    (problem,) = told(rules("{targets: [{server: a, weight: 30}]}"))
    assert (problem.severity, problem.code, problem.path) == (Severity.HINT, "PS136", "routes[0].rules[0]")
    assert not told(rules("{targets: [{server: a, weight: 100}]}"))
    assert not told(rules("{targets: [{server: a, weight: 30}, {server: a, model: m, weight: 0}]}"))


def test_a_kind_whose_reader_tells_of_weights_is_not_told_of_twice() -> None:
    found = Problems()
    check_rules(Route("r", (Rule("x", (Target("a", 30),)),), kind="ModelRoute"), found)
    assert not found.all()


# --- routes ---


def test_a_route_is_told_when_one_before_it_takes_all_of_its_models() -> None:
    (problem,) = told(routes(f"models: [m, n], {ALL}", f"models: [n], {SOME}"))
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS134", "routes[1]")
    assert "0.yaml:3" in problem.message


def test_a_route_is_told_when_some_of_its_models_are_taken() -> None:
    (problem,) = told(routes(f"models: [m, n], {ALL}", f"models: [n, o, p], adapters: [x], {ALL}"))
    assert (problem.severity, problem.code, problem.path) == (Severity.HINT, "PS134", "routes[1]")
    assert "1 of the 4" in problem.message


def test_a_route_of_higher_priority_comes_first() -> None:
    (problem,) = told(routes(f"models: n, {ALL}", f"models: n, priority: 1, {ALL}"))
    assert (problem.code, problem.path) == ("PS134", "routes[0]")


def test_a_route_passes_on_what_none_of_its_rules_matches() -> None:
    assert not told(routes(f"models: n, {SOME}", f"models: n, {ALL}"))


def test_of_two_routes_for_everything_the_second_is_told() -> None:
    (problem,) = told(routes(ALL, ALL))
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS134", "routes[1]")


def test_a_model_takes_the_adapter_of_its_name_wherever_it_stands() -> None:
    (problem,) = told(routes(f"adapters: [m], {ALL}", f"models: [m], {ALL}"))
    assert (problem.code, problem.path) == ("PS134", "routes[0]")


def test_a_route_that_is_turned_off_takes_nothing_and_is_told_nothing() -> None:
    off = "rules: [{targets: a, enabled: false}, {match: {path: /x}, targets: a}]"
    assert not told(routes(f"models: n, {off}", f"models: n, {ALL}"))
    off = "rules: [{targets: a, enabled: false}]"
    assert not told(routes(f"models: n, {off}", f"models: n, {ALL}", f"models: n, {off}"))


def test_two_pools_that_take_everything_are_told() -> None:
    (problem,) = problems(pool(), pool("q"), rewrite("r", rule()), rewrite("s", rule(), to="q"))
    assert (problem.code, problem.file, problem.path) == ("PS134", "1.json", "metadata.name")


# --- rewrites ---


def test_a_rewrite_that_an_older_one_leaves_nothing_is_told() -> None:
    documents = [
        rewrite("new", rule("a", "b"), created="2026-02-01T00:00:00Z"),
        rewrite("old", rule("a"), rule("b"), created="2026-01-01T00:00:00Z"),
    ]
    problem = only_problem(pool(), *documents)
    assert (problem.severity, problem.code, problem.file) == (Severity.WARNING, "PS133", "1.json")
    assert problem.path == "spec.rules[0]"
    assert "2.json:1" in problem.message


def test_a_rewrite_that_is_left_some_of_its_models_is_a_hint() -> None:
    problem = only_problem(pool(), rewrite("r", rule("a"), rule("b", "a")))
    assert (problem.severity, problem.path) == (Severity.HINT, "spec.rules[1]")
    assert "'a'" in problem.message


def test_of_two_rewrites_for_every_name_the_second_is_told() -> None:
    problem = only_problem(pool(), rewrite("r", rule(), rule("a"), rule()))
    assert (problem.severity, problem.path) == (Severity.WARNING, "spec.rules[2]")


def test_rewrites_of_different_pools_take_nothing_from_each_other() -> None:
    assert "PS133" not in [
        one.code for one in problems(pool(), pool("q"), rewrite("r", rule("a")), rewrite("s", rule("a"), to="q"))
    ]
