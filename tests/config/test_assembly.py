"""What needs all files at once is checked across them."""

from proxy.config.loader import load_texts
from proxy.errors import Problem, Severity

SERVER = "servers: {a: {endpoints: [http://h:1]}}\n"


def problems(*texts: str) -> tuple[Problem, ...]:
    return load_texts({f"{number}.yaml": text for number, text in enumerate(texts)}).problems


def rules(*written: str) -> str:
    return f"{SERVER}routes: [{{name: r, rules: [{', '.join(written)}]}}]"


def test_a_target_finds_a_server_of_another_file() -> None:
    assert not problems("routes: [{name: r, rules: [{targets: a}]}]", SERVER)


def test_a_server_that_does_not_exist_is_told_with_the_nearest_one() -> None:
    text = "servers: {qwen-7b: {endpoints: [http://h]}}\nroutes: [{name: r, rules: [{targets: [{server: qwen-7}]}]}]"
    (missing,) = problems(text)
    assert (missing.code, missing.suggestion, missing.line) == ("PS131", "qwen-7b", 2)
    assert missing.path == "routes[0].rules[0].targets[0].server"


def test_a_server_that_no_route_leads_to_is_a_hint() -> None:
    (unused,) = problems(rules("{targets: a}"), "servers: {b: {endpoints: [http://h]}}")
    assert (unused.severity, unused.code, unused.path) == (Severity.HINT, "PS132", "servers.b")


def test_a_fallback_to_a_server_that_does_not_exist_is_told() -> None:
    assert [p.code for p in problems(rules("{targets: a, fallback: b}"))] == ["PS131"]


def test_a_broken_server_is_not_told_to_be_missing() -> None:
    text = "servers: {a: {endpoints: [nonsense]}}\nroutes: [{name: r, rules: [{targets: a}]}]"
    assert [p.code for p in problems(text)] == ["PS122"]


def test_servers_of_a_file_that_cannot_be_parsed_are_not_told_to_be_missing() -> None:
    assert [p.code for p in problems("routes: [{name: r, rules: [{targets: a}]}]", "servers: {a: [")] == ["PS101"]


def test_names_are_unique_across_files() -> None:
    route = "routes: [{name: r, models: [m%s], rules: [{targets: a}]}]"
    found = problems(SERVER + route % 1, SERVER + route % 2)
    assert [(p.code, p.file) for p in found] == [("PS130", "1.yaml"), ("PS130", "1.yaml")]
    assert all("0.yaml:" in p.message for p in found)


def test_a_rule_after_one_without_a_match_is_told_to_be_out_of_reach() -> None:
    (problem,) = problems(rules("{targets: a}", "{match: {path: /x}, targets: a}"))
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS133", "routes[0].rules[1]")


def test_a_rule_whose_matches_were_all_taken_is_told_to_be_out_of_reach() -> None:
    match = "{match: {path: /x}, targets: a}"
    assert [p.code for p in problems(rules(match, match, "{targets: a}"))] == ["PS133"]


def test_a_rule_that_could_not_be_read_puts_no_other_out_of_reach() -> None:
    assert [p.code for p in problems(rules("{match: {path: x}, targets: a}", "{targets: a}"))] == ["PS120"]


def test_a_route_is_told_when_one_before_it_takes_all_of_its_models() -> None:
    both = (
        "routes: [{name: one, models: [m, n], rules: [{targets: a}]}, {name: two, models: [n], rules: [{targets: a}]}]"
    )
    (problem,) = problems(SERVER + both)
    assert (problem.code, problem.path) == ("PS134", "routes[1]")


def test_a_route_of_higher_priority_comes_first() -> None:
    both = "routes: [{name: one, models: n, rules: [{targets: a}]},"
    both += "{name: two, models: n, priority: 1, rules: [{targets: a}]}]"
    (problem,) = problems(SERVER + both)
    assert (problem.code, problem.path) == ("PS134", "routes[0]")


def test_a_route_passes_on_what_none_of_its_rules_matches() -> None:
    both = "routes: [{name: one, models: n, rules: [{match: {path: /x}, targets: a}]},"
    assert not problems(SERVER + both + "{name: two, models: n, rules: [{targets: a}]}]")
