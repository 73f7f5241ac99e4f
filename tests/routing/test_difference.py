"""Two configurations differ where their parts do, and nowhere else."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given

from proxy.config.access_spec import Auth, Counted, Limit, Queueing
from proxy.config.match_spec import Exact, HeaderCondition, Match
from proxy.config.spec import (
    Balance,
    Canary,
    Config,
    Credential,
    Disaggregation,
    EndpointSpec,
    Engine,
    InventoryEntry,
    ModelServer,
    Objective,
    Origin,
    RateLimit,
    Retries,
    Rewrite,
    RewriteTarget,
    Route,
    Rule,
    Selector,
    ServiceListener,
    Shadow,
    Sticky,
    StickyKind,
    Target,
    Timeouts,
    TokenLimit,
    UpstreamTls,
)
from proxy.routing.changes import Action, Change
from proxy.routing.difference import compare
from tests.config.configs import configs
from tests.routing.written import CHAT, PATIENT, SERVERS, written

ELSEWHERE = Origin("other.yaml", 9, 9, "routes[7]")


def told(old: Config, new: Config) -> list[str]:
    return [line_of(found) for found in compare(old, new).changes]


def line_of(found: Change) -> str:
    return f"{found.action} {found.subject}{': ' * bool(found.details)}{', '.join(found.details)}"


def after(old: str, new: str) -> list[str]:
    """What a replacement in the text changes."""
    text = SERVERS + "---" + CHAT
    assert old in text
    servers, _, routes = text.replace(old, new).partition("---")
    return told(written(), written(routes, servers))


@PATIENT
@given(configs())
def test_a_configuration_does_not_differ_from_itself(config: Config) -> None:
    assert not compare(config, config)


@PATIENT
@given(configs(), configs())
def test_what_is_new_one_way_is_gone_the_other_way(old: Config, new: Config) -> None:
    there, back = compare(old, new), compare(new, old)
    added = {found.subject for found in there.changes if found.action is Action.ADDED}
    removed = {found.subject for found in back.changes if found.action is Action.REMOVED}
    assert added == removed
    changed = {found.subject for found in there.changes if found.action is Action.CHANGED}
    assert changed == {found.subject for found in back.changes if found.action is Action.CHANGED}
    assert bool(there) == bool(back)


def test_places_in_files_versions_and_inventories_are_no_difference() -> None:
    config = written()
    moved = Config(
        {name: replace(server, origin=ELSEWHERE) for name, server in reversed(config.servers.items())},
        tuple(
            replace(route, rules=tuple(replace(rule, origin=ELSEWHERE) for rule in route.rules), origin=ELSEWHERE)
            for route in config.routes
        ),
        "other",
        (InventoryEntry("h"),),
    )
    assert not compare(config, moved)


SPLIT = "[{server: small, weight: 70}, {server: next, weight: 30}]"
DEFAULT, PREMIUM, OFFLINE = "route chat, rule default", "route chat, rule premium", "route batch, rule offline"


@pytest.mark.parametrize(
    ("old", "new", "subject", "details"),
    [
        (SPLIT, "[small, next]", DEFAULT, "small 70% → 50%, next 30% → 50%"),
        ("weight: 70}, {server: next, weight: 30", "weight: 7}, {server: next, weight: 3", DEFAULT,
         "small: weight 70 → 7, its share stays, next: weight 30 → 3, its share stays"),
        (SPLIT, "small", DEFAULT, "next removed (it had 30%), small 70% → 100%"),
        ("weight: 70}, ", "weight: 70}, {server: large, weight: 100}, ", DEFAULT,
         "small 70% → 35%, large added (50%), next 30% → 15%"),
        (SPLIT, "[{server: next, weight: 30}, {server: small, weight: 70}]", DEFAULT,
         "targets in another order: next, small"),
        ("model: qwen-72b", "model: qwen-32b", PREMIUM, "large: model qwen-72b → qwen-32b"),
        ("{user-type: premium}, path: /v1/*", "{user-type: gold}", PREMIUM,
         "when header user-type is 'premium' and path begins with '/v1/' → header user-type is 'gold'"),
        ("fallback: [large, empty]", "fallback: [empty, large]", DEFAULT, "fallback large, empty → empty, large"),
        ("retries: 5", "retries: 0", OFFLINE,
         "retries 5 on connect-failure, reset, 502, 503, 504, first pause up to 25ms → none"),
        ("total: 5m", "total: 6m", OFFLINE, "timeouts: total 5m → 6m"),
        ('"qwen-*"', "qwen-2", "route chat", "model qwen-* removed, model qwen-2 added"),
        ("adapters: [lora]", "priority: 1", "route chat", "adapter lora removed, priority 0 → 1"),
        ("http://h:1", "http://h:9", "server small", "endpoint http://h:1 removed, endpoint http://h:9 added"),
        ("zone: a", "zone: b", "server large", "endpoint http://h:3: labels zone=a → zone=b"),
        ("timeout: 20s", "timeout: 30s", "server small", "timeouts: first byte 20s → 30s, idle 20s → 30s"),
        ("engine: vllm", "engine: sglang", "server small", "engine vllm → sglang"),
    ],
)  # fmt: skip
def test_a_change_is_told_as_a_person_would(old: str, new: str, subject: str, details: str) -> None:
    assert after(old, new) == [f"changed {subject}: {details}"]


def test_parts_that_are_new_or_gone_are_told() -> None:
    config = written()
    chat = config.routes[0]
    servers = {name: server for name, server in config.servers.items() if name != "empty"}
    smaller = replace(config, servers=servers, routes=(replace(chat, rules=chat.rules[:1]),))
    assert told(config, smaller) == ["removed server empty", "removed route batch", "removed route chat, rule default"]
    assert told(smaller, config) == [
        "added server empty: openai, no endpoints",
        "added route chat, rule default: always → small 70%, next 30%",
        "added route batch: for requests of any model, 1 rule to small",
    ]
    assert told(Config({}, ()), replace(config, routes=(chat,)))[0] == "added server small: vllm, http://h:1"
    assert told(Config({}, ()), config)[4] == (
        "added route chat: for qwen, qwen-*, adapter lora, 2 rules to large, small, next, empty"
    )


def test_another_order_is_told() -> None:
    config = written()
    chat, batch = config.routes
    assert told(config, replace(config, routes=(batch, chat))) == ["moved route batch: now before all others"]
    swapped = replace(chat, rules=chat.rules[::-1])
    assert told(config, replace(config, routes=(swapped, batch))) == [
        "moved route chat, rule default: now before all others"
    ]
    back = compare(replace(config, routes=(swapped, batch)), config)
    assert (back.count(Action.MOVED), back.count(Action.ADDED)) == (1, 0)


def test_the_same_server_with_two_models_is_two_targets() -> None:
    targets = "[{server: small, weight: 70}, {server: next, weight: 30}]"
    twice = "[{server: small, model: a, weight: 1}, {server: small, model: b, weight: 1}]"
    servers, _, routes = (SERVERS + "---" + CHAT).replace(targets, twice).partition("---")
    old = written(routes, servers)
    new = written(routes.replace("model: a, weight: 1", "model: a, weight: 3"), servers)
    assert told(old, new) == ["changed route chat, rule default: small (model a) 50% → 75%, small (model b) 50% → 25%"]


def test_credentials_in_headers_are_not_shown() -> None:
    def with_headers(*headers: tuple[str, str]) -> Config:
        return Config({"s": ModelServer("s", (), headers=headers)}, ())

    old = with_headers(("Authorization", "Bearer old"), ("x-a", "1"))
    new = with_headers(("Authorization", "Bearer new"), ("x-a", "2"), ("x-api-key", "k"))
    hidden = "header Authorization: changed where it is not shown"
    assert told(old, new) == [f"changed server s: header x-a: 1 → 2, header x-api-key added (***), {hidden}"]
    secret = HeaderCondition("authorization", Exact("old"))
    rule = Rule("r", (Target("s"),), (Match((secret,)),))
    other = replace(rule, matches=(Match((replace(secret, test=Exact("new")),)),))
    one, two = (replace(old, routes=(Route("r", (found,)),)) for found in (rule, other))
    assert told(one, two) == ["changed route r, rule r: when: changed where it is not shown"]


def test_rewrites_are_told_by_the_names_that_they_take() -> None:
    def with_rewrites(*rewrites: Rewrite) -> Config:
        return Config({"s": ModelServer("s", (), rewrites=rewrites)}, ())

    exact = Rewrite((RewriteTarget("v1", 7), RewriteTarget("v2", 3)), ("a", "b"), "first")
    other = Rewrite((RewriteTarget("v3"),), (), "second")
    changed = replace(exact, targets=(RewriteTarget("v1", 1), RewriteTarget("v2", 1)))
    shares = "v1 70%, v2 30% → v1 50%, v2 50%"
    assert told(with_rewrites(exact), with_rewrites(changed, other)) == [
        f"changed server s: rewrite of a: {shares}, rewrite of b: {shares}, rewrite of any other model added (v3 100%)"
    ]
    assert told(with_rewrites(exact, other), with_rewrites(other, exact)) == [
        "changed server s: rewrites: in another order, or under other names"
    ]
    assert told(with_rewrites(exact), with_rewrites(replace(exact, origin=ELSEWHERE))) == []


OTHER: dict[type, dict[str, Any]] = {
    ModelServer: {
        "endpoints": (EndpointSpec("http", "h", 1),),
        "engine": Engine.VLLM,
        "model": "m",
        "balance": Balance.RANDOM,
        "timeouts": Timeouts(1.0),
        "retries": Retries(9),
        "retry_budget": 0.5,
        "rate_limit": RateLimit(1.0, 1),
        "tls": UpstreamTls(),
        "headers": (("a", "b"),),
        "restore_model": True,
        "rewrites": (Rewrite((RewriteTarget("a"),)),),
        "objectives": (Objective("o", 1),),
        "selector": Selector(),
        "disaggregation": Disaggregation("g", (("a", "b"),), (("c", "d"),)),
        "auth": Auth(),
        "limits": (Limit(Counted.REQUESTS, 1.0),),
        "queueing": Queueing(1),
        "listener": ServiceListener(1),
        "credential": Credential(value="c"),
        "missing": True,
    },
    Route: {
        "rules": (),
        "models": ("m",),
        "adapters": ("m",),
        "priority": 1,
        "fallback": (Target("s"),),
        "token_limit": TokenLimit(1, 1),
        "auth": Auth(),
        "limits": (Limit(Counted.REQUESTS, 1.0),),
        "description": "d",
        "kind": "k",
    },
    Rule: {
        "targets": (Target("s", 2),),
        "matches": (Match((HeaderCondition("a", Exact("b")),)),),
        "fallback": (Target("s"),),
        "timeouts": Timeouts(1.0),
        "retries": Retries(1),
        "shadow": Shadow(Target("s")),
        "canary": Canary(),
        "sticky": Sticky(StickyKind.USER),
        "enabled": False,
        "description": "d",
    },
    Target: {"server": "t", "weight": 2, "model": "m", "timeouts": Timeouts(1.0), "retries": Retries(1)},
    EndpointSpec: {
        "scheme": "https",
        "host": "g",
        "port": 2,
        "prefix": "/v1",
        "weight": 2,
        "labels": (("a", "b"),),
        "max_in_flight": 1,
    },
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, others in OTHER.items() for name in others])
def test_no_field_of_a_part_is_overlooked(kind: type, name: str) -> None:
    endpoint, target = EndpointSpec("http", "h", 1), Target("s")
    rule = Rule("r", (target,))
    parts: dict[type, Any] = {
        EndpointSpec: endpoint,
        Target: target,
        Rule: rule,
        Route: Route("route", (rule,)),
        ModelServer: ModelServer("s", ()),
    }
    changed = {**parts, kind: replace(parts[kind], **{name: OTHER[kind][name]})}
    assert compare(*(whole(found, kind) for found in (parts, changed)))


def whole(parts: dict[type, Any], kind: type) -> Config:
    """A configuration with this part in its place."""
    rule = replace(parts[Rule], targets=(parts[Target],)) if kind is Target else parts[Rule]
    route = parts[Route] if kind is Route else replace(parts[Route], rules=(rule,))
    endpoints = (parts[EndpointSpec],) if kind is EndpointSpec else parts[ModelServer].endpoints
    return Config({"s": replace(parts[ModelServer], endpoints=endpoints)}, (route,))


def test_every_field_of_the_spec_is_among_those() -> None:
    for kind, others in OTHER.items():
        named = {"name"} if kind in {ModelServer, Route, Rule} else set()
        assert {field.name for field in fields(kind)} - {"origin"} - named == set(others)
