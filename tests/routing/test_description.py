"""A description tells all parts of a configuration, with what is in force."""

from dataclasses import replace

from hypothesis import given

from proxy.config.access_spec import Auth, Counted, JwtAuth, Limit, Queueing, Redis
from proxy.config.spec import (
    Analysis,
    Canary,
    Config,
    Credential,
    Retries,
    Rewrite,
    RewriteTarget,
    Selector,
    ServiceListener,
    Shadow,
    Sticky,
    StickyKind,
    Target,
    Timeouts,
    TokenLimit,
)
from proxy.routing.compiler import compile_table
from proxy.routing.description import describe, rewrite_words
from tests.config.configs import configs
from tests.routing.written import PATIENT, written


@PATIENT
@given(configs())
def test_every_part_is_told(config: Config) -> None:
    found = describe(config)
    assert [route.name for route in found.routes] == [route.name for route in config.routes]
    assert [server.name for server in found.servers] == list(config.servers)
    assert found.total_rules == sum(len(route.rules) for route in config.routes)
    assert found.enabled_rules <= found.total_rules


@PATIENT
@given(configs())
def test_the_policies_that_are_told_are_those_that_are_bound(config: Config) -> None:
    table = compile_table(config)
    for route in describe(config).routes:
        for rule in route.rules:
            split = table.groups.get((route.name, rule.name))
            only_adapters = route.adapters and not route.models
            if split is None or only_adapters or (route.fallback and rule.name == "fallback"):
                continue
            told = [(target.server, target.model, target.timeouts, target.retries) for target in rule.targets]
            assert told == [(item.server, item.model, item.timeouts, item.retries) for item in split.items]


def test_a_rule_is_told_in_words() -> None:
    premium, default = describe(written()).routes[0].rules
    assert premium.matches == (("header user-type is 'premium'", "path begins with '/v1/'"),)
    assert (premium.strategy, premium.targets[0].model, premium.targets[0].retries) == (
        "single",
        "qwen-72b",
        Retries(0),
    )
    assert (default.matches, default.strategy) == ((), "split+fallback")
    assert [(target.server, target.share, target.weight) for target in default.targets] == [
        ("small", 0.7, 70),
        ("next", 0.3, 30),
    ]
    assert [(target.server, target.share) for target in default.fallback] == [("large", None), ("empty", None)]
    assert default.targets[0].timeouts == Timeouts(5.0, 20.0, 20.0)


def test_an_adapter_keeps_its_name_whatever_its_server_calls_the_model() -> None:
    config = written()
    chat = replace(config.routes[0], models=())
    rules = describe(replace(config, routes=(chat,))).routes[0].rules
    assert [target.model for target in (*rules[0].targets, *rules[1].targets)] == ["qwen-72b", None, None]


def test_what_a_route_has_beside_its_rules_is_told() -> None:
    config = written()
    chat, batch = config.routes
    trial = Canary(Analysis(99.0, 60.0), (5, 100))
    sticky = Sticky(StickyKind.HEADER, "x-a")
    rule = replace(chat.rules[0], shadow=Shadow(Target("next"), 7, 50.0), canary=trial, sticky=sticky)
    auth, limits = Auth(client_certificate=True), (Limit(Counted.REQUESTS, 9.0),)
    fallback, tokens = (Target("large"),), TokenLimit(5, None)
    route = replace(chat, rules=(rule,), fallback=fallback, token_limit=tokens, auth=auth, limits=limits)
    found = describe(replace(config, routes=(route, batch))).routes[0]
    assert found.token_limit == "5 tokens in per second"
    assert [target.server for target in found.fallback] == ["large"]
    assert found.rules[0].shadow is not None
    assert (found.rules[0].shadow.server, found.rules[0].shadow.model) == ("next", "qwen-next")
    assert found.rules[0].shadow_copies == "50% of requests, at most 7 at once"
    assert found.rules[0].canary is not None
    assert found.rules[0].canary.endswith("in each 1m; its steps are 5%, 100%")
    assert found.rules[0].sticky == "each value of the header x-a"
    assert (found.auth, found.limits) == ("a client certificate", ("9 requests per second",))


def test_a_server_is_told_without_its_credentials() -> None:
    config = written()
    server = replace(
        config.servers["small"],
        headers=(("Authorization", "Bearer secret"), ("x-a", "b")),
        selector=Selector(labels=(("app", "a"),), ports=(8000,)),
        rewrites=(Rewrite((RewriteTarget("v1", 3), RewriteTarget("v2")), ("a", "b")), Rewrite((RewriteTarget("v3"),))),
        auth=Auth(JwtAuth("https://issuer")),
        limits=(Limit(Counted.TOKENS, 1e6, "day", redis=Redis("redis://u:secret@h:1/2?password=secret")),),
        queueing=Queueing(5, None, 7, 2.0),
        credential=Credential(value="secret"),
        listener=ServiceListener(443, "default/cert"),
    )
    found = describe(replace(config, servers={**config.servers, "small": server})).servers[0]
    assert found.headers == {"Authorization": "***", "x-a": "b"}
    assert found.selector == "labels app=a in the namespace default, on port 8000"
    assert list(map(rewrite_words, found.rewrites)) == ["a, b → v1 75%, v2 25%", "every other model → v3"]
    assert found.auth == "a JSON Web Token of https://issuer"
    assert found.limits == ("1,000,000 tokens per day, shared by redis://h:1/2",)
    assert found.queueing == "at most 5 in flight, 7 requests may wait up to 2s"
    assert found.listener == "port 443 with TLS from default/cert"
    assert found.credential == "an API key"
    assert "secret" not in repr(replace(found, origin=config.routes[0].origin)).replace("default/cert", "")
