"""What a rule of Kthena's ModelRoute asks of a request, also where several tests of a value are given or none."""

import pytest

from proxy.config.match_spec import (
    BodyCondition,
    Condition,
    Exact,
    HeaderCondition,
    OrAbsent,
    PathCondition,
    Prefix,
    Regex,
    ValueTest,
)
from proxy.errors import Severity
from tests.config.model_resources import document, only_problem, problems, route


def written(match: str) -> str:
    rule = f"{{modelMatch: {match}, targetModels: [{{modelServerName: a}}]}}"
    return document("ModelRoute", f"{{modelName: m, rules: [{rule}]}}")


def conditions(match: str) -> tuple[Condition, ...]:
    matches = route(written(match)).rules[0].matches
    assert len(matches) < 2
    return matches[0].conditions if matches else ()


def test_headers_uri_and_model_must_all_hold() -> None:
    found = conditions(
        "{headers: {User-Type: {exact: premium}, x: {prefix: a}}, uri: {regex: 'chat$'}, body: {model: big}}"
    )
    assert found == (
        HeaderCondition("user-type", Exact("premium")),
        HeaderCondition("x", Prefix("a")),
        PathCondition(Regex("chat$")),
        BodyCondition(("model",), Exact("big")),
    )


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("{exact: a}", Exact("a")),
        ("{prefix: a}", Prefix("a")),
        ("{regex: '^a+$'}", Regex("^a+$")),
        ("{exact: null, prefix: a}", Prefix("a")),
    ],
)
def test_a_value_is_tested_exactly_by_its_beginning_or_by_a_pattern(test: str, expected: ValueTest) -> None:
    assert conditions(f"{{headers: {{x: {test}}}}}") == (HeaderCondition("x", expected),)


@pytest.mark.parametrize(
    ("test", "expected"), [("{exact: ''}", Exact("")), ("{regex: '^a*$'}", Regex("^a*$")), ("{regex: b?}", Regex("b?"))]
)
def test_a_header_that_is_not_there_is_an_empty_text(test: str, expected: ValueTest) -> None:
    assert conditions(f"{{headers: {{x: {test}}}}}") == (HeaderCondition("x", OrAbsent(expected)),)
    assert conditions(f"{{uri: {test}}}") == (PathCondition(expected),)


@pytest.mark.parametrize("test", ["{prefix: ''}", "{regex: ''}", "{regex: '.*'}", "{regex: ^}"])
def test_a_test_that_always_holds_is_no_condition(test: str) -> None:
    assert conditions(f"{{headers: {{x: {test}}}, uri: {test}}}") == ()


@pytest.mark.parametrize(
    ("test", "expected", "unused"),
    [
        ("{prefix: /b, exact: /a}", Exact("/a"), ["prefix"]),
        ("{regex: c, prefix: /b}", Prefix("/b"), ["regex"]),
        ("{regex: c, exact: /a, prefix: /b}", Exact("/a"), ["prefix", "regex"]),
    ],
)
def test_of_several_tests_the_first_in_kthena_s_order_is_used(
    test: str, expected: ValueTest, unused: list[str]
) -> None:
    text = written(f"{{uri: {test}}}")
    assert conditions(f"{{uri: {test}}}") == (PathCondition(expected),)
    found = problems(text)
    assert sorted(problem.path.rpartition(".")[2] for problem in found) == unused
    assert {(problem.code, problem.severity) for problem in found} == {("PS136", Severity.WARNING)}
    first = type(expected).__name__.lower()
    assert all(f"of several tests {first} comes first" in problem.message for problem in found)


@pytest.mark.parametrize("where", ["headers: {x: {}}", "uri: {}", "uri: {exact: }"])
def test_a_value_without_a_test_matches_everything_which_is_told(where: str) -> None:
    text = written(f"{{{where}}}")
    assert conditions(f"{{{where}}}") == ()
    problem = only_problem(text)
    assert (problem.code, problem.severity) == ("PS136", Severity.WARNING)
    assert "every value matches" in problem.message


def test_a_variable_that_is_not_set_is_told_once() -> None:
    assert [problem.code for problem in problems(written("{uri: {exact: '${UNSET}'}}"))] == ["PS109"]


@pytest.mark.parametrize("test", ["{exact: v1/chat}", "{prefix: v1}", "{exact: ''}"])
def test_a_path_that_cannot_be_is_told(test: str) -> None:
    problem = only_problem(written(f"{{uri: {test}}}"))
    assert (problem.code, problem.severity) == ("PS133", Severity.WARNING)
    assert problem.path == "spec.rules[0].modelMatch.uri"


@pytest.mark.parametrize(
    ("match", "code", "path", "words"),
    [
        ("{headers: [x]}", "PS110", "headers", "a mapping of names to tests"),
        ("{headers: {x: premium}}", "PS110", "headers.x", "a mapping with one of exact, prefix, regex"),
        ("{headers: {x y: {exact: a}}}", "PS120", "headers['x y']", "cannot be the name of a header"),
        ("{headers: {x: {exact: 5}}}", "PS110", "headers.x.exact", "put it in quotes"),
        ("{headers: {x: {prefix: [a]}}}", "PS110", "headers.x.prefix", "a text, found a list"),
        ("{headers: {x: {regex: 'a('}}}", "PS121", "headers.x.regex", "RE2"),
        ("{headers: {x: {regex: '(?=a)'}}}", "PS121", "headers.x.regex", "RE2"),
        ("{uri: /v1}", "PS110", "uri", "a mapping with one of exact, prefix, regex"),
        ("{uri: {regex: '['}}", "PS121", "uri.regex", "RE2"),
        ("{body: m}", "PS110", "body", "a mapping with model"),
        ("{body: {model: 5}}", "PS110", "body.model", "put it in quotes"),
    ],
)
def test_a_slip_in_a_match_is_told(match: str, code: str, path: str, words: str) -> None:
    problem = only_problem(written(match))
    assert (problem.code, problem.severity, problem.line) == (code, Severity.ERROR, 4)
    assert problem.path == f"spec.rules[0].modelMatch.{path}"
    assert words in problem.message


def test_a_test_that_kthena_does_not_know_is_told_to_match_everything() -> None:
    found = problems(written("{headers: {x: {suffix: a}}}"))
    assert {(problem.code, problem.severity) for problem in found} == {
        ("PS111", Severity.WARNING),
        ("PS136", Severity.WARNING),
    }
