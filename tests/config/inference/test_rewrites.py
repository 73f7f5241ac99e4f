"""Rewrites and objectives are read as their schema has them, and each slip is told at its place."""

from pathlib import Path
from typing import Any

import pytest

from proxy.config.loader import load as load_files
from proxy.config.loader import load_texts
from proxy.config.spec import Objective, RewriteTarget
from proxy.errors import Severity
from tests.config.inference_resources import (
    errors,
    load,
    objective,
    only_problem,
    pool,
    problems,
    resource,
    rewrite,
    rule,
    server,
)

EXAMPLES = Path(__file__).parents[3] / "config" / "examples" / "inference-extension"
MOST = 1_000_000


def of_spec(spec: object) -> dict[str, Any]:
    return resource("llm-d.ai/v1alpha2", "InferenceModelRewrite", "r", spec)


def of_rule(one: object) -> dict[str, Any]:
    return of_spec({"poolRef": {"name": "p"}, "rules": [one]})


def test_the_examples_load_without_a_word() -> None:
    result = load_files([str(EXAMPLES)])
    assert result.problems == ()
    assert result.config is not None
    assert len(result.config.servers) == 2


@pytest.mark.parametrize(
    "version",
    [
        "inference.networking.x-k8s.io/v1alpha2",
        "llm-d.ai/v1alpha2",
        "inference.networking.k8s.io/v1alpha2",
        "inference.networking.k8s.io/v1alpha1",
        "llm-d.ai/v2",
    ],
)
def test_a_rewrite_is_read_under_every_group_that_it_has_had(version: str) -> None:
    document = {**rewrite("r", rule("a", to="b")), "apiVersion": version}
    (found,) = server(pool(), document).rewrites
    assert (found.models, found.targets, found.name) == (("a",), (RewriteTarget("b"),), "r")
    assert not problems(pool(), document)


def test_a_rewrite_knows_where_it_stands() -> None:
    text = """\
apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata: {name: r}
spec:
  poolRef: {name: p}
  rules:
    - targets: [{modelRewrite: a}]
    - matches: [{model: {value: b}}]
      targets: [{modelRewrite: c}]
"""
    found = load_texts({"a.yaml": text}).config
    assert found is not None
    places = [(one.origin.line, one.origin.path) for one in found.servers["pool/default/p"].rewrites]
    assert places == [(7, "spec.rules[0]"), (8, "spec.rules[1]")]


# --- matches ---


@pytest.mark.parametrize("matches", [{}, {"matches": None}, {"matches": []}])
def test_a_rule_without_matches_takes_every_model(matches: dict[str, object]) -> None:
    (found,) = server(of_rule({**matches, "targets": [{"modelRewrite": "a"}]})).rewrites
    assert found.models == ()


def test_any_of_several_matches_will_do_and_each_model_counts_once() -> None:
    (found,) = server(rewrite("r", rule("a", "b", "a"))).rewrites
    assert found.models == ("a", "b")


def test_a_model_is_compared_as_it_stands() -> None:
    (found,) = server(rewrite("r", rule(" Qwen/Qwen3 "))).rewrites
    assert found.models == (" Qwen/Qwen3 ",)


@pytest.mark.parametrize(
    ("match", "path", "words"),
    [
        ({}, "spec.rules[0].matches[0]", "'model' is missing"),
        ({"model": None}, "spec.rules[0].matches[0].model", "'model' has no value"),
        ({"model": "a"}, "spec.rules[0].matches[0].model", "a mapping with type and value, found 'a'"),
        ({"model": {}}, "spec.rules[0].matches[0].model", "'value' is missing"),
        ({"model": {"value": ""}}, "spec.rules[0].matches[0].model.value", "empty"),
        ({"model": {"value": 7}}, "spec.rules[0].matches[0].model.value", "put it in quotes"),
        ({"model": {"type": "Prefix", "value": "a"}}, "spec.rules[0].matches[0].model.type", "expected Exact"),
        ("a", "spec.rules[0].matches[0]", "a mapping with model, found 'a'"),
    ],
)
def test_a_slip_in_a_match_is_an_error(match: object, path: str, words: str) -> None:
    problem = only_problem(of_rule({"matches": [match], "targets": [{"modelRewrite": "a"}]}))
    assert (problem.severity, problem.path) == (Severity.ERROR, path)
    assert words in problem.message


def test_a_star_in_a_match_is_told_to_stand_for_itself() -> None:
    problem = only_problem(rewrite("r", rule("qwen-*"), rule()))
    assert (problem.severity, problem.path) == (Severity.WARNING, "spec.rules[0].matches[0].model.value")
    assert server(rewrite("r", rule("qwen-*"), rule())).rewrites[0].models == ("qwen-*",)


# --- targets ---


@pytest.mark.parametrize("targets", [{}, {"targets": None}, {"targets": []}])
def test_a_rule_without_targets_is_an_error_that_says_what_would_come_of_it(targets: dict[str, object]) -> None:
    problem = only_problem(of_rule(targets))
    assert (problem.severity, problem.code) == (Severity.ERROR, "PS112")
    assert "400" in problem.message


@pytest.mark.parametrize(
    ("target", "path", "words"),
    [
        ({}, "spec.rules[0].targets[0]", "'modelRewrite' is missing"),
        ({"modelRewrite": ""}, "spec.rules[0].targets[0].modelRewrite", "empty"),
        ({"modelRewrite": 1}, "spec.rules[0].targets[0].modelRewrite", "put it in quotes"),
        ({"modelRewrite": "a", "weight": 0}, "spec.rules[0].targets[0].weight", f"from 1 to {MOST}"),
        ({"modelRewrite": "a", "weight": MOST + 1}, "spec.rules[0].targets[0].weight", f"from 1 to {MOST}"),
        ({"modelRewrite": "a", "weight": "1"}, "spec.rules[0].targets[0].weight", f"from 1 to {MOST}"),
        ("a", "spec.rules[0].targets[0]", "a target: a mapping"),
    ],
)
def test_a_slip_in_a_target_is_an_error(target: object, path: str, words: str) -> None:
    problem = only_problem(of_rule({"targets": [target]}))
    assert (problem.severity, problem.path) == (Severity.ERROR, path)
    assert words in problem.message


def weights(*given: int | None) -> list[int]:
    targets = [{"modelRewrite": f"m{i}", **({} if one is None else {"weight": one})} for i, one in enumerate(given)]
    (found,) = server(of_rule({"targets": targets})).rewrites
    return [target.weight for target in found.targets]


def test_targets_without_weights_get_equal_shares() -> None:
    assert weights(None, None, None) == [1, 1, 1]


def test_targets_share_by_their_weights() -> None:
    assert weights(70, 30) == [70, 30]
    assert weights(1, MOST) == [1, MOST]


def test_a_target_without_a_weight_beside_others_with_one_is_never_chosen_and_told() -> None:
    assert weights(None, 5, None) == [0, 5, 0]
    document = of_rule({"targets": [{"modelRewrite": "a", "weight": 1}, {"modelRewrite": "b"}]})
    problem = only_problem(document)
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS124", "spec.rules[0].targets[1]")


def test_a_lone_target_with_a_weight_is_told_to_take_all() -> None:
    lone = only_problem(of_rule({"targets": [{"modelRewrite": "a", "weight": 30}]}))
    assert (lone.severity, lone.path) == (Severity.HINT, "spec.rules[0].targets[0].weight")
    assert not problems(of_rule({"targets": [{"modelRewrite": "a", "weight": 100}]}))


# --- the whole ---


def test_a_resource_may_have_no_rules_yet() -> None:
    assert not problems(rewrite("r"))
    assert server(pool(), rewrite("r")).rewrites == ()


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({"rules": []}, "spec", "'poolRef' is missing"),
        ({"poolRef": {"name": "p"}}, "spec", "'rules' is missing"),
        ({"poolRef": {"name": "p"}, "rules": None}, "spec.rules", "'rules' has no value"),
        ({"poolRef": {"name": "p"}, "rules": {}}, "spec.rules", "a list of rules"),
        ({"poolRef": {"name": "p"}, "rules": ["a"]}, "spec.rules[0]", "a rule: a mapping"),
        ({"poolRef": {"name": "p"}, "rules": [{"targets": {}}]}, "spec.rules[0].targets", "a list of targets"),
        ({"poolRef": "p", "rules": []}, "spec.poolRef", "a mapping with name, found 'p'"),
    ],
)
def test_a_slip_in_a_rewrite_is_an_error(spec: object, path: str, words: str) -> None:
    problem = only_problem(of_spec(spec))
    assert (problem.severity, problem.path) == (Severity.ERROR, path)
    assert words in problem.message


def test_all_slips_are_told_at_once() -> None:
    rules = [{"matches": [{"model": None}], "targets": []}, {"targets": [{"weight": 0}]}]
    assert len(errors(of_spec({"poolRef": {"name": ""}, "rules": rules}))) == 5


def test_a_rule_with_a_slip_takes_nothing_from_the_rules_after_it() -> None:
    bad = {"matches": [{"model": None}], "targets": [{"modelRewrite": "a"}]}
    assert [problem.code for problem in problems(rewrite("r", bad, rule()))] == ["PS112"]


def test_what_a_newer_version_has_added_is_a_warning() -> None:
    one = {**rule("a"), "headers": []}
    problem = only_problem(of_spec({"poolRef": {"name": "p"}, "rules": [one]}))
    assert (problem.severity, problem.code, problem.path) == (Severity.WARNING, "PS111", "spec.rules[0].headers")


def test_a_name_is_given_once_in_a_namespace() -> None:
    problem = only_problem(rewrite("r", rule("a")), rewrite("r", rule("b")))
    assert (problem.severity, problem.code, problem.file) == (Severity.ERROR, "PS130", "1.json")
    assert not problems(rewrite("r", rule("a")), rewrite("r", rule("b"), namespace="other"))


def test_a_value_from_a_variable_is_never_shown() -> None:
    model = {"type": "${SECRET}", "value": "a*${SECRET}"}
    document = rewrite("${SECRET}", {"matches": [{"model": model}]}, to="${SECRET}")
    result = load(document, pool("${SECRET}"), document, SECRET="hunter2")
    assert len(result.problems) >= 4
    assert not any("hunter2" in problem.message for problem in result.problems)


# --- objectives ---


@pytest.mark.parametrize(("priority", "found"), [(10, 10), (-1, -1), (None, 0), (2**31 - 1, 2**31 - 1)])
def test_an_objective_is_a_priority_by_name(priority: int | None, found: int) -> None:
    assert server(pool(), objective("o", priority)).objectives == (Objective("o", found),)


@pytest.mark.parametrize("priority", [2**31, -(2**31) - 1, "high", 0.5])
def test_a_priority_is_a_whole_number_of_32_bits(priority: object) -> None:
    assert errors(pool(), objective("o", priority)) == ["spec.priority"]  # type: ignore[arg-type]


def test_an_objective_needs_a_pool() -> None:
    assert errors(resource("llm-d.ai/v1alpha2", "InferenceObjective", "o", {"priority": 1})) == ["spec"]


def test_a_pool_has_the_objectives_of_all_files() -> None:
    documents = [pool(), *(objective(f"o{i}", i) for i in range(3)), objective("o0", 7, namespace="other")]
    assert server(*documents).objectives == tuple(Objective(f"o{i}", i) for i in range(3))
