"""Kthena's ModelRoute, as its CRD and its webhook have it: rules for a model or its LoRA adapters."""

import pytest

from proxy.config.spec import Target
from proxy.errors import Severity
from tests.config.model_resources import document, load, only_error, only_problem, problems, route

RULE = "{targetModels: [{modelServerName: a}]}"


def written(spec: str) -> str:
    return document("ModelRoute", f"{{{spec}}}")


def ruled(rules: str) -> str:
    return written(f"modelName: m, rules: [{rules}]")


def targets(items: str) -> str:
    return ruled(f"{{targetModels: [{items}]}}")


# --- which requests ---


def test_a_route_is_found_by_its_model_or_by_its_adapters() -> None:
    found = route(written(f"modelName: deepseek-r1:7b, loraAdapters: [lora-A, lora-B, lora-A], rules: [{RULE}]"))
    assert (found.models, found.adapters) == (("deepseek-r1:7b",), ("lora-A", "lora-B"))


def test_adapters_alone_are_enough() -> None:
    found = route(written(f"modelName: '', loraAdapters: [lora-A], rules: [{RULE}]"))
    assert (found.models, found.adapters) == ((), ("lora-A",))


@pytest.mark.parametrize(
    "names", ["", "modelName: '', ", "modelName: , ", "modelName: '', loraAdapters: [], ", "loraAdapters: , "]
)
def test_a_route_for_neither_a_model_nor_an_adapter_is_told(names: str) -> None:
    problem = only_problem(written(f"{names}rules: [{RULE}]"))
    assert (problem.code, problem.severity, problem.line, problem.path) == ("PS112", Severity.ERROR, 4, "spec")
    assert "ModelName and LoraAdapters cannot both be empty" in problem.message


@pytest.mark.parametrize(
    ("names", "code", "path", "words"),
    [
        ("modelName: 5", "PS110", "spec.modelName", "put it in quotes"),
        ("modelName: ' m'", "PS120", "spec.modelName", "a space"),
        ("modelName: 'qwen-*'", "PS120", "spec.modelName", "a modelName is compared exactly, so * cannot"),
        ("loraAdapters: a", "PS110", "spec.loraAdapters", "a list of LoRA adapters, found 'a'"),
        ("loraAdapters: [a, 5]", "PS110", "spec.loraAdapters[1]", "put it in quotes"),
        ("loraAdapters: [a, 'b*']", "PS120", "spec.loraAdapters[1]", "list each of them"),
        (
            "modelName: m, loraAdapters: ['']",
            "PS120",
            "spec.loraAdapters[0]",
            "lora adapter name cannot be an empty string",
        ),
        (
            "loraAdapters: [a, b, c, d, e, f, g, h, i, j, k]",
            "PS120",
            "spec.loraAdapters",
            "at most 10 LoRA adapters, found 11",
        ),
        ("parentRefs: a, modelName: m", "PS110", "spec.parentRefs", "a list of references to gateways"),
    ],
)
def test_a_slip_in_what_a_route_is_for_is_told(names: str, code: str, path: str, words: str) -> None:
    problem = only_problem(written(f"{names}, rules: [{RULE}]"))
    assert (problem.code, problem.severity, problem.line, problem.path) == (code, Severity.ERROR, 4, path)
    assert words in problem.message


def test_ten_adapters_are_allowed() -> None:
    assert len(route(written(f"loraAdapters: [a, b, c, d, e, f, g, h, i, j], rules: [{RULE}]")).adapters) == 10


def test_gateways_are_checked_and_said_to_be_left_aside() -> None:
    parent = "{group: g, kind: Gateway, name: gw, namespace: n, sectionName: s, port: 1}"
    problem = only_problem(written(f"modelName: m, parentRefs: [{parent}], rules: [{RULE}]"))
    assert (problem.code, problem.severity, problem.path) == ("PS136", Severity.HINT, "spec.parentRefs")
    assert "every listener" in problem.message


@pytest.mark.parametrize(
    ("parent", "path"),
    [
        ("{}", "spec.parentRefs[0]"),
        ("gw", "spec.parentRefs[0]"),
        ("{name: ''}", "spec.parentRefs[0].name"),
        ("{name: gw, port: 0}", "spec.parentRefs[0].port"),
        ("{name: gw, port: 65536}", "spec.parentRefs[0].port"),
        ("{name: gw, kind: 5}", "spec.parentRefs[0].kind"),
    ],
)
def test_a_slip_in_a_reference_to_a_gateway_is_told(parent: str, path: str) -> None:
    assert only_error(written(f"modelName: m, parentRefs: [{parent}], rules: [{RULE}]")).path == path


# --- rules ---


def test_rules_keep_their_order_and_each_has_a_name_of_its_own() -> None:
    match = "modelMatch: {uri: {prefix: /%s}}"
    named = [f"{{name: {name}, {match % name}, targetModels: [{{modelServerName: {name}}}]}}" for name in ("x", "y")]
    last = named[0].replace("/x", "/z")
    found = route(ruled(f"{named[0]}, {{name: '', targetModels: [{{modelServerName: b}}], {match % 'b'}}}, {last}"))
    assert [rule.name for rule in found.rules] == ["x", "rule-2", "x-2"]
    assert [rule.targets[0].server for rule in found.rules] == ["ns/x", "ns/b", "ns/x"]
    assert found.rules[0].origin.path == "spec.rules[0]"


def test_a_number_never_makes_two_names_alike() -> None:
    rules = [f"{{name: {name}, modelMatch: {{uri: {{exact: /{i}}}}}, {RULE[1:]}" for i, name in enumerate("aaa", 1)]
    rules.insert(1, rules[0].replace("name: a", "name: a-2").replace("/1", "/9"))
    assert [rule.name for rule in route(ruled(", ".join(rules))).rules] == ["a", "a-2", "a-3", "a-4"]


@pytest.mark.parametrize("match", ["", "modelMatch: {}, ", "modelMatch: , ", "modelMatch: {headers: {}, body: {}}, "])
def test_a_rule_that_asks_for_nothing_takes_everything(match: str) -> None:
    assert route(ruled(f"{{{match}targetModels: [{{modelServerName: a}}]}}")).rules[0].matches == ()


def test_a_route_without_rules_takes_nothing_which_is_a_hint() -> None:
    text = written("modelName: m, rules: []")
    assert route(text).rules == ()
    problem = only_problem(text)
    assert (problem.code, problem.severity, problem.path) == ("PS136", Severity.HINT, "spec.rules")


@pytest.mark.parametrize(
    ("rules", "code", "path", "words"),
    [
        ("", "PS112", "spec", "'rules' is missing"),
        ("rules: ", "PS112", "spec.rules", "'rules' has no value"),
        ("rules: {}", "PS110", "spec.rules", "a list of rules"),
        ("rules: [null]", "PS110", "spec.rules[0]", "expected a rule: a mapping with modelMatch and targetModels"),
        ("rules: [{}]", "PS112", "spec.rules[0]", "each rule must have at least one target model"),
        ("rules: [{targetModels: }]", "PS112", "spec.rules[0].targetModels", "at least one target model"),
        ("rules: [{targetModels: []}]", "PS112", "spec.rules[0].targetModels", "at least one target model"),
        ("rules: [{targetModels: {}}]", "PS110", "spec.rules[0].targetModels", "a list of targets"),
        (f"rules: [{{name: 5, {RULE[1:]}]", "PS110", "spec.rules[0].name", "put it in quotes"),
        (f"rules: [{{modelMatch: [], {RULE[1:]}]", "PS110", "spec.rules[0].modelMatch", "headers, uri and body"),
    ],
)
def test_a_slip_in_a_rule_is_told(rules: str, code: str, path: str, words: str) -> None:
    problem = only_problem(written(f"modelName: m, {rules}"))
    assert (problem.code, problem.severity, problem.line, problem.path) == (code, Severity.ERROR, 4, path)
    assert words in problem.message


def test_sixteen_rules_are_allowed_and_no_more() -> None:
    rules = [f"{{modelMatch: {{uri: {{exact: /{number}}}}}, {RULE[1:]}" for number in range(17)]
    assert len(route(ruled(", ".join(rules[:16]))).rules) == 16
    problem = only_problem(ruled(", ".join(rules)))
    assert (problem.code, problem.path) == ("PS120", "spec.rules")
    assert "at most 16 rules, found 17" in problem.message


# --- targets ---


def test_targets_share_by_weight_and_each_counts_as_100_where_none_is_given() -> None:
    found = route(targets("{modelServerName: a, weight: 70}, {modelServerName: b}, {modelServerName: c, weight: 0}"))
    assert found.rules[0].targets == (Target("ns/a", 70), Target("ns/b", 100), Target("ns/c", 0))


def test_a_provider_is_a_target_too() -> None:
    found = route(targets("{externalModelProviderName: openai, modelServerName: ''}"))
    assert found.rules[0].targets == (Target("provider/ns/openai", 100),)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("modelServerName: a", "the ModelServer 'ns/a'"),
        ("externalModelProviderName: a", "the ExternalModelProvider 'ns/a'"),
    ],
)
def test_a_target_that_no_file_defines_is_a_warning(target: str, said: str) -> None:
    (problem,) = load(targets(f"{{{target}}}")).problems
    assert (problem.code, problem.severity) == ("PS131", Severity.WARNING)
    assert problem.path == f"spec.rules[0].targetModels[0].{target.partition(':')[0]}"
    assert f"no file defines {said}" in problem.message


@pytest.mark.parametrize(
    ("target", "code", "path", "words"),
    [
        ("{}", "PS112", "", "exactly one of modelServerName or externalModelProviderName must be set"),
        ("{modelServerName: ''}", "PS112", "", "exactly one of"),
        ("{modelServerName: a, externalModelProviderName: b}", "PS113", "", "exactly one of"),
        ("null", "PS110", "", "a target: a mapping with modelServerName and weight, found nothing"),
        ("a", "PS110", "", "a target: a mapping"),
        ("{modelServerName: 5}", "PS110", ".modelServerName", "put it in quotes"),
        ("{externalModelProviderName: [b]}", "PS110", ".externalModelProviderName", "a text, found a list"),
        ("{modelServerName: a, weight: -1}", "PS110", ".weight", "from 0 to 100, found the number -1"),
        ("{modelServerName: a, weight: 101}", "PS110", ".weight", "from 0 to 100, found the number 101"),
        ("{modelServerName: a, weight: '5'}", "PS110", ".weight", "a whole number"),
    ],
)
def test_a_slip_in_a_target_is_told(target: str, code: str, path: str, words: str) -> None:
    problem = only_problem(targets(target))
    expected = (code, Severity.ERROR, 4, f"spec.rules[0].targetModels[0]{path}")
    assert (problem.code, problem.severity, problem.line, problem.path) == expected
    assert words in problem.message


def test_a_variable_that_is_not_set_is_told_once() -> None:
    assert [problem.code for problem in problems(ruled("{targetModels: '${UNSET}'}"))] == ["PS109"]
    assert [problem.code for problem in problems(written(f"modelName: '${{UNSET}}', rules: [{RULE}]"))] == ["PS109"]


def test_weights_that_share_nothing_are_told() -> None:
    problem = only_problem(targets("{modelServerName: a, weight: 0}, {modelServerName: b, weight: 0}"))
    assert (problem.code, problem.severity, problem.path) == ("PS124", Severity.ERROR, "spec.rules[0].targetModels")
    assert "their sum must be greater than 0" in problem.message


def test_sixteen_targets_are_allowed_and_no_more() -> None:
    items = [f"{{modelServerName: a{number}}}" for number in range(17)]
    assert len(route(targets(", ".join(items[:16]))).rules[0].targets) == 16
    problem = only_problem(targets(", ".join(items)))
    assert (problem.code, problem.path) == ("PS120", "spec.rules[0].targetModels")
    assert "at most 16 targets, found 17" in problem.message


def test_a_route_with_adapters_leads_to_no_provider() -> None:
    rule = "{targetModels: [{externalModelProviderName: openai}]}"
    problem = only_problem(written(f"loraAdapters: [a], rules: [{rule}]"))
    assert (problem.code, problem.severity) == ("PS113", Severity.ERROR)
    assert problem.path == "spec.rules[0].targetModels[0].externalModelProviderName"
    assert "routes with loraAdapters must not use external providers" in problem.message


def test_all_slips_are_told_at_once() -> None:
    rules = "{}, {modelMatch: {uri: 5}, targetModels: [{}, {modelServerName: a, weight: 101}]}"
    assert len(problems(written(f"loraAdapters: [''], rules: [{rules}], rateLimit: {{unit: week}}"))) == 7


def test_a_route_with_a_wrong_adapter_leads_to_no_provider_either() -> None:
    rule = "{targetModels: [{externalModelProviderName: openai}]}"
    found = problems(written(f"loraAdapters: [''], rules: [{rule}]"))
    assert [problem.code for problem in found] == ["PS120", "PS113"]


def test_a_key_that_a_newer_version_may_know_is_a_warning() -> None:
    problem = only_problem(targets("{modelServerName: a, wieght: 5}"))
    assert (problem.code, problem.severity, problem.suggestion) == ("PS111", Severity.WARNING, "weight")
