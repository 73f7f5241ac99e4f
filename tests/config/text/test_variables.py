"""Variables are expanded in values, and their values are never told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.loader import load_texts
from proxy.config.text.variables import expand


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${HOST}", "engine"),
        ("http://${HOST}:${PORT:-8000}", "http://engine:8000"),
        ("${NONE:-}", ""),
        ("${EMPTY:-full}", "full"),
        ("${EMPTY}", ""),
        ("$${HOST}", "${HOST}"),
        ("$HOST", "$HOST"),
        ("$$", "$$"),
    ],
)
def test_a_text_is_expanded(text: str, expanded: str) -> None:
    expansion = expand(text, {"HOST": "engine", "EMPTY": ""})
    assert (expansion.text, expansion.faults) == (expanded, ())


def test_an_unset_variable_without_a_default_is_a_fault_that_names_it() -> None:
    (fault,) = expand("${NONE}", {}).faults
    assert "NONE is not set" in fault


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A:-${B}}", "${A:+x}"])
def test_a_broken_reference_is_a_fault(text: str) -> None:
    assert expand(text, {"A": "a", "B": "b"}).faults


@given(st.text())
def test_a_value_is_not_expanded_again(value: str) -> None:
    assert expand("<${A}>", {"A": value}).text == f"<{value}>"


PLACES_FOR_A_SECRET = [
    "servers: {a: {endpoints: ['http://u:${S}@h']}}",
    "servers: {a: {endpoints: ['${S}'], engine: '${S}', balance: '${S}', retries: '${S}', timeout: '${S}'}}",
    "servers: {a: {endpoints: [http://h], tls: {ca: '${S}'}, retry_budget: '${S}', retries: {on: ['${S}']}}}",
    "servers: {a: {endpoints: [http://h], rate_limit: {requests_per_second: '${S}', burst: '${S}'}, model: ['${S}']}}",
    "servers: '${S}'",
    "routes: ['${S}']",
    "routes: [{name: '${S}', rules: [{targets: '${S}'}]}, {name: '${S}', rules: [{targets: '${S}'}]}]",
    "routes: [{name: a, rules: [{name: '${S}', targets: b}, {name: '${S}', targets: b}]}]",
    "routes: [{name: a, adapters: ['*${S}'], priority: '${S}', rules: [{match: '${S}', targets: b}]}]",
    "routes: [{name: a, rules: [{targets: b, fallback: '${S}'}, {targets: [{weight: '${S}'}]}]}]",
    "routes: [{name: a, rules: [{match: {path: '${S}', method: '${S} x'}, targets: b}]}]",
    "routes: [{name: a, rules: [{match: {headers: {x: {regex: '${S}('}}}, targets: b}]}]",
    "routes: [{name: a, rules: [{match: {headers: '${S}', body: {x: {present: '${S}'}}}, targets: b}]}]",
    "{kind: '${S}', apiVersion: v1}",
    "'${S}'",
]


@pytest.mark.parametrize("document", PLACES_FOR_A_SECRET)
@pytest.mark.parametrize("file", ["a.yaml", "b.yaml"])
def test_a_secret_from_a_variable_is_in_no_problem(document: str, file: str) -> None:
    secret = "hunter2hunter2"
    result = load_texts({file: document}, {"S": secret})
    assert result.problems
    assert not [problem for problem in result.problems if secret in f"{problem}{problem.suggestion}"]


def test_an_unset_variable_is_told_once_and_nothing_more_of_its_value() -> None:
    text = "servers: {a: {endpoints: ['${NONE}'], timeout: '${NONE}', model: '${NONE}'}}\n"
    text += "routes: [{name: r, rules: [{targets: a}]}]"
    assert [problem.code for problem in load_texts({"a.yaml": text}).problems] == ["PS109"] * 3


@pytest.mark.parametrize("retries", ["retries: ${N:-3}", "retries: '${N:-3}'", 'retries: {attempts: "${N:-3}"}'])
def test_a_variable_may_stand_for_a_number(retries: str) -> None:
    text = f"servers:\n  a:\n    endpoints: [http://h]\n    {retries}\n"
    result = load_texts({"a.yaml": text + "routes: [{name: r, rules: [{targets: a}]}]"})
    assert result.config is not None
    assert result.config.servers["a"].retries.attempts == 3


def test_a_variable_of_digits_may_stand_for_a_text() -> None:
    text = "servers: {a: {endpoints: [http://h], model: '${M}'}}\nroutes: [{name: r, rules: [{targets: a}]}]"
    result = load_texts({"a.yaml": text}, {"M": "123"})
    assert result.config is not None
    assert result.config.servers["a"].model == "123"


def test_a_bare_variable_inside_braces_is_told_to_need_quotes() -> None:
    (problem,) = load_texts({"a.yaml": "servers: {a: {model: ${M}, engine: vllm}}"}).problems
    assert "must be in quotes" in problem.message
