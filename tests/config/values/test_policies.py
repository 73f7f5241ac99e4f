"""Policies that servers, rules and targets share are read alike, and each slip is told at its place."""

import pytest

from proxy.config.spec import Retries
from tests.config.native_documents import route, rule_problem, server


@pytest.mark.parametrize(
    ("written", "statuses"),
    [
        ("5xx", range(500, 600)),
        ("[4xx, 503]", {*range(400, 500), 503}),
        ("[5xx, 500]", range(500, 600)),
        ("[429, 503]", {429, 503}),
        ("[]", ()),
    ],
)
def test_retries_follow_statuses_or_whole_classes_of_them(written: str, statuses: set[int]) -> None:
    expected = Retries(failures=frozenset(), statuses=frozenset(statuses))
    assert server(f"endpoints: http://h, retries: {{on: {written}}}").retries == expected
    assert route(f"rules: [{{targets: a, retries: {{on: {written}}}}}]").rules[0].retries == expected


def test_failures_and_statuses_stand_in_one_list() -> None:
    found = server("endpoints: http://h, retries: {on: [timeout, 5xx]}").retries
    assert (found.failures, len(found.statuses)) == (frozenset({"timeout"}), 100)


@pytest.mark.parametrize(("written", "near"), [("3xx", "5xx"), ("timeouts", "timeout"), ("200", None), ("600", None)])
def test_a_cause_that_is_none_is_told_with_those_that_there_are(written: str, near: str | None) -> None:
    problem = rule_problem(f"targets: a, retries: {{on: [{written}]}}")
    assert problem.code == "PS120"
    assert "4xx, 5xx or a status from 400 to 599" in problem.message
    assert problem.suggestion in {near, "4xx"} if near else problem.suggestion is None
