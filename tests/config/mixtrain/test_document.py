"""A Mixtrain file becomes one route, its targets servers; what Mixtrain says against a file is told at its place."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.loader import LoadResult, load_texts
from proxy.config.match_spec import FieldCondition, Match
from proxy.config.spec import EndpointSpec, Route, Timeouts
from proxy.errors import Severity
from proxy.operators import Operator

TARGET: dict[str, Any] = {"provider": "modal", "model_name": "m", "endpoint": "https://a.modal.run"}
RULE: dict[str, Any] = {"name": "all", "targets": [TARGET]}
CONFIG: dict[str, Any] = {"name": "c", "rules": [RULE]}


def load(document: object, file: str = "routing.json") -> LoadResult:
    return load_texts({file: json.dumps(document, indent=1)})


def route_of(document: object, file: str = "routing.json") -> Route:
    result = load(document, file)
    assert result.config is not None, result.problems
    (route,) = result.config.routes
    return route


def rule_with(strategy: str, *targets: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**CONFIG, "rules": [{**RULE, "strategy": strategy, "targets": [{**TARGET, **t} for t in targets], **more}]}


def problems(document: object) -> list[tuple[str, str, str]]:
    found = load(document).problems
    return [(p.code, p.path, p.message) for p in found if p.severity is Severity.ERROR]


# --- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (CONFIG, "c"),
        ({"metadata": {"version": 3}, "config": CONFIG}, "c"),
        ([RULE], "Imported Configuration (routing)"),
        ({"id": "1", "config_data": {"rules": [RULE]}}, "Backend Configuration (routing)"),
        ({"id": "1", "name": "mine", "config_data": {"rules": [RULE]}}, "mine"),
        ({**CONFIG, "status": "active", "version": 2}, "c"),
    ],
)
def test_each_shape_of_a_file_is_one_route(document: object, name: str) -> None:
    route = route_of(document)
    assert (route.name, route.kind, route.models, [rule.name for rule in route.rules]) == (
        name,
        "Mixtrain",
        (),
        ["all"],
    )


def test_a_configuration_may_be_yaml_too() -> None:
    result = load_texts({"a.yaml": json.dumps(CONFIG)})
    assert result.config is not None
    assert result.config.routes[0].kind == "Mixtrain"


def test_a_name_alone_is_a_configuration_without_rules() -> None:
    assert problems({"name": "c"}) == [("PS112", "", "the key 'rules' is missing")]


# --- rules ------------------------------------------------------------------------------------------------------------


def test_the_highest_priority_comes_first_and_equals_stay_as_they_stand() -> None:
    rules = [{**RULE, "name": name, "priority": priority} for name, priority in zip("abcd", [0, 5, 5, 9], strict=True)]
    assert [rule.name for rule in route_of({**CONFIG, "rules": rules}).rules] == ["d", "b", "c", "a"]


def test_a_disabled_rule_is_kept_as_disabled() -> None:
    (rule,) = route_of({**CONFIG, "rules": [{**RULE, "is_enabled": "off"}]}).rules
    assert rule.enabled is False


def test_conditions_hold_together_and_keep_their_values_as_they_are() -> None:
    conditions = [
        {"field": "user.tier", "operator": "in", "value": ["a", 1, 1.0, True, None]},
        {"field": "user", "operator": "exists"},
    ]
    (rule,) = route_of({**CONFIG, "rules": [{**RULE, "conditions": conditions}]}).rules
    first = FieldCondition("user.tier", Operator.IN, '["a", 1, 1.0, true, null]')
    assert rule.matches == (Match((first, FieldCondition("user", Operator.EXISTS, "null"))),)


# --- strategies -------------------------------------------------------------------------------------------------------


def test_single_leads_to_the_first_target_and_says_that_others_are_not_used() -> None:
    document = rule_with("single", {}, {"endpoint": "https://b"})
    (rule,) = route_of(document).rules
    assert [target.server for target in rule.targets] == ["mixtrain/c/all/1"]
    assert [(p.code, p.severity) for p in load(document).problems] == [("PS136", Severity.HINT)]


def test_a_split_shares_by_weight() -> None:
    (rule,) = route_of(rule_with("split", {"weight": 0.8}, {"weight": 0.2})).rules
    assert [target.weight for target in rule.targets] == [800_000, 200_000]


def test_a_shadow_copies_to_the_second_target() -> None:
    (rule,) = route_of(rule_with("shadow", {}, {"model_name": "next"})).rules
    assert [target.server for target in rule.targets] == ["mixtrain/c/all/1"]
    assert rule.shadow is not None
    assert (rule.shadow.target.server, rule.shadow.max_in_flight) == ("mixtrain/c/all/2", 32)


def test_a_fallback_asks_the_targets_in_order() -> None:
    (rule,) = route_of(rule_with("fallback", {}, {}, {})).rules
    servers = [target.server for target in rule.targets + rule.fallback]
    assert servers == ["mixtrain/c/all/1", "mixtrain/c/all/2", "mixtrain/c/all/3"]


# --- targets ----------------------------------------------------------------------------------------------------------


def test_a_target_is_a_server_with_all_that_it_says() -> None:
    target = {
        "endpoint": "https://fal.run/backup/",
        "model_name": "flux",
        "timeout_ms": 1500,
        "retry_count": 2,
        "headers": {"X-Key": "k", "authorization": "Key abc"},
    }
    result = load(rule_with("single", target))
    assert result.config is not None
    server = result.config.servers["mixtrain/c/all/1"]
    assert server.endpoints == (EndpointSpec("https", "fal.run", 443, "/backup"),)
    assert (server.model, server.headers) == ("flux", (("X-Key", "k"), ("authorization", "Key abc")))
    assert server.timeouts == Timeouts(5.0, 1.5, 1.5, None)
    assert (server.retries.attempts, server.retries.backoff) == (2, 0.0)
    assert server.retries.failures == {"connect-failure", "reset", "timeout", "protocol-error"}
    assert server.retries.statuses == set(range(500, 600))


def test_a_target_without_limits_has_the_defaults_and_no_retries() -> None:
    result = load(CONFIG)
    assert result.config is not None
    server = result.config.servers["mixtrain/c/all/1"]
    assert (server.timeouts.first_byte, server.retries.attempts, server.headers) == (600.0, 0, ())


# --- slips ------------------------------------------------------------------------------------------------------------


def with_rule(**fields: Any) -> dict[str, Any]:
    return {**CONFIG, "rules": [{**RULE, **fields}]}


def with_target(**fields: Any) -> dict[str, Any]:
    return with_rule(targets=[{**TARGET, **fields}])


@pytest.mark.parametrize(
    ("document", "code", "path", "message"),
    [
        ({**CONFIG, "name": " "}, "PS120", "name", "Configuration name is required and cannot be empty"),
        ({**CONFIG, "rules": []}, "PS120", "rules", "At least one routing rule must be specified"),
        (with_rule(name=""), "PS120", "rules[0].name", "Rule name is required and cannot be empty"),
        (with_rule(priority=-1), "PS120", "rules[0].priority", "Rule priority cannot be negative"),
        (with_rule(priority=1.5), "PS120", "rules[0].priority", "Input should be a valid integer, got a number with"),
        (with_rule(strategy="Split"), "PS120", "rules[0].strategy", "Input should be 'single', 'split', 'shadow' or"),
        (with_rule(targets=[]), "PS120", "rules[0].targets", "At least one target must be specified"),
        (rule_with("split", {}, {}), "PS120", "rules[0].targets", "Split strategy requires target weights to sum to"),
        (rule_with("shadow", {}), "PS120", "rules[0].targets", "Shadow strategy requires exactly 2 targets"),
        (with_rule(conditions=None), "PS110", "rules[0].conditions", "Input should be a valid list"),
        (with_rule(conditions=[{}]), "PS112", "rules[0].conditions[0]", "the key 'field' is missing"),
        (with_target(weight=2), "PS120", "rules[0].targets[0].weight", "Input should be less than or equal to 1"),
        (
            with_target(timeout_ms=99),
            "PS120",
            "rules[0].targets[0].timeout_ms",
            "Input should be greater than or equal",
        ),
        (with_target(endpoint="ftp://x"), "PS120", "rules[0].targets[0].endpoint", "Endpoint must be a valid HTTP"),
        (with_target(endpoint="http://"), "PS122", "rules[0].targets[0].endpoint", "'http://' is no URL of an"),
        (
            with_target(headers={"a b": "c"}),
            "PS120",
            "rules[0].targets[0].headers.a b",
            "cannot be the name of a header",
        ),
        (with_target(headers={"Host": "c"}), "PS120", "rules[0].targets[0].headers.Host", "the proxy's own to set"),
        ({**CONFIG, "rules": [RULE, RULE]}, "PS120", "rules[1].name", "Duplicate rule name 'all' found"),
    ],
)
def test_a_slip_is_told_at_its_place_in_mixtrains_words(
    document: dict[str, Any], code: str, path: str, message: str
) -> None:
    found = problems(document)
    assert (code, path) in [(told[0], told[1].replace('["a b"]', ".a b").replace("['a b']", ".a b")) for told in found]
    assert any(message in told[2] for told in found)


@pytest.mark.parametrize(
    ("condition", "code", "message"),
    [
        ({"field": "a..b", "operator": "exists"}, "PS120", "Invalid field path 'a..b' (contains '..')"),
        ({"field": "a", "operator": "in", "value": "x"}, "PS120", "Operator 'in' requires a list value"),
        ({"field": "a", "operator": "equals"}, "PS120", "Operator 'equals' requires a value"),
        ({"field": "a", "operator": "like", "value": 1}, "PS120", "Input should be 'equals'"),
        ({"field": "a", "operator": "regex", "value": "("}, "PS120", "Invalid regex pattern '('"),
        ({"field": "a", "operator": "regex", "value": "(?=x)"}, "PS121", "'(?=x)' is no pattern that RE2 accepts"),
    ],
)
def test_a_condition_that_cannot_be_is_told(condition: dict[str, Any], code: str, message: str) -> None:
    ((found, path, told),) = problems(with_rule(conditions=[condition]))
    assert (found, path.startswith("rules[0].conditions[0]")) == (code, True)
    assert message in told


def test_all_slips_are_told_at_once_each_once() -> None:
    rule = {"name": "", "priority": -2, "targets": [{**TARGET, "endpoint": "nonsense"}, {**TARGET, "provider": ""}]}
    assert len(problems({"name": "", "rules": [rule]})) == 5


def test_no_message_shows_a_value_that_came_from_a_variable() -> None:
    document = with_rule(conditions=[{"field": "${SECRET}", "operator": "exists"}])
    result = load_texts({"a.json": json.dumps(document)}, {"SECRET": "s3cret..x"})
    assert result.problems
    assert not any("s3cret" in str(problem) for problem in result.problems)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
WORDS = st.sampled_from(["name", "rules", "targets", "conditions", "strategy", "operator", "field", "value", "weight"])


@st.composite
def spoiled(draw: st.DrawFn) -> object:
    """A good configuration with something else put in one of its places."""
    document = json.loads(json.dumps(with_rule(conditions=[{"field": "a", "operator": "equals", "value": 1}])))
    places = [(document, key) for key in document]
    rule = document["rules"][0]
    places += [(rule, key) for key in rule] + [(rule["targets"][0], key) for key in rule["targets"][0]]
    places += [(rule["conditions"][0], key) for key in rule["conditions"][0]]
    holder, key = draw(st.sampled_from(places))
    holder[draw(st.just(key) | WORDS)] = draw(JSON)
    return document


@given(spoiled())
def test_whatever_stands_in_a_file_only_problems_come_of_it(document: object) -> None:
    result = load(document)
    assert (result.config is None) == any(problem.severity is Severity.ERROR for problem in result.problems)


def warned(document: object) -> list[tuple[str, str, str | None]]:
    return [(p.code, p.path, p.suggestion) for p in load(document).problems if p.severity is Severity.WARNING]


def test_a_misspelled_key_is_told_wherever_it_stands() -> None:
    target = {**TARGET, "retry_cont": 1}
    condition = {"field": "f", "operator": "exists", "valu": 1}
    rules = [{"name": "a", "condition": [], "targets": [target]}, {**RULE, "conditions": [condition]}]
    assert set(warned({**CONFIG, "descripton": "", "rules": rules})) == {
        ("PS111", "rules[0].condition", "conditions"),
        ("PS111", "rules[0].targets[0].retry_cont", "retry_count"),
        ("PS111", "rules[1].conditions[0].valu", "value"),
        ("PS111", "descripton", "description"),
        ("PS133", "rules[1]", None),
    }


def test_what_the_platform_keeps_beside_is_no_stranger() -> None:
    assert warned({**CONFIG, "id": "1", "version": 2, "status": "active", "created_at": "x"}) == []


def test_an_endpoint_with_the_version_that_paths_have_anyway_is_told() -> None:
    (told,) = warned(with_target(endpoint="https://api.example.com/v1"))
    assert told[:2] == ("PS122", "rules[0].targets[0].endpoint")


def test_a_short_value_from_a_variable_garbles_no_message() -> None:
    document = with_rule(priority=-1, description="${E}", conditions=[{"field": "${E}..e", "operator": "exists"}])
    found = load_texts({"a.json": json.dumps(document)}, {"E": "e"}).problems
    assert {problem.message for problem in found if problem.severity is Severity.ERROR} == {
        "Rule priority cannot be negative",
        "Invalid field path '…')",
    }
