"""What a route, a rule and a server say is told in lines."""

from dataclasses import replace

from proxy.cli.explain_text import overview, route_lines, rule_lines, server_lines
from proxy.config.access_spec import Auth, Counted, JwtAuth, Limit, Queueing, Share
from proxy.config.spec import (
    Analysis,
    Canary,
    Config,
    Credential,
    Disaggregation,
    ModelServer,
    Objective,
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
from proxy.routing.description import describe

SERVER = ModelServer("s", (), retries=Retries(0), timeouts=Timeouts(1.0))
RULE = Rule(
    "r",
    (Target("s", 95), Target("s", 5, "new")),
    description="For all",
    shadow=Shadow(Target("s", model="m"), 3, 10.0),
    canary=Canary(Analysis(99.0, 60.0), (5, 100)),
    sticky=Sticky(StickyKind.USER),
)
ROUTE = Route(
    "chat",
    (RULE,),
    ("m",),
    ("lora",),
    5,
    (Target("s"),),
    TokenLimit(1, 2),
    Auth(JwtAuth("https://i")),
    (Limit(Counted.REQUESTS, 5.0, by=(Share.USER,)),),
    "A route",
    "ModelRoute",
)


def test_a_route_is_told() -> None:
    found = describe(Config({"s": SERVER}, (ROUTE,)))
    assert route_lines(found.routes[0]) == [
        "A route",
        "kind: ModelRoute",
        "models: m",
        "adapters, sent under their own names: lora",
        "priority: 5",
        "token limit: 1 tokens in and 2 tokens out per second",
        "callers show a JSON Web Token of https://i",
        "limit: 5 requests per second for each user",
        "fallback, after all rules of all routes: s",
    ]
    assert ("Name", "chat") in overview(found, ["a.yaml"])


def test_a_rule_is_told() -> None:
    found = describe(Config({"s": SERVER}, (ROUTE,)))
    assert rule_lines(found.routes[0].rules[0]) == [
        "For all",
        "always",
        "→ s 95%, s 5% (model new)",
        "shadow: s (model m), 10% of requests, at most 3 at once",
        (
            "canary s (model new): at least 99% of its requests, 20 or more, must succeed in each 1m; "
            "its steps are 5%, 100%"
        ),
        "keeps each user on one side",
        "timeouts: connect 1s; retries: none",
    ]


def test_a_server_is_told() -> None:
    server = replace(
        SERVER,
        model="m",
        missing=True,
        selector=Selector(labels=(("app", "a"),)),
        rewrites=(Rewrite((RewriteTarget("v1"),), ("a",)),),
        restore_model=True,
        headers=(("x-a", "b"), ("api-key", "k")),
        rate_limit=RateLimit(5.0, 10),
        objectives=(Objective("urgent", 9),),
        disaggregation=Disaggregation("g", (("role", "p"),), (("role", "d"),)),
        tls=UpstreamTls(ca="/ca.pem"),
        credential=Credential(secret="default/key", key="token"),
        auth=Auth(client_certificate=True),
        limits=(Limit(Counted.TOKENS, 9.0),),
        queueing=Queueing(5),
        listener=ServiceListener(443),
    )
    assert server_lines(describe(Config({"s": server}, ())).servers[0]) == [
        "no file defines it: its requests get 503",
        "engine: openai",
        "model: m",
        "endpoints, least-request: none, its requests get 503",
        "looks for: labels app=a in the namespace default",
        "rewrites: a → v1",
        "answers bear the client's own model name",
        "sets the header x-a: b",
        "sets the header api-key: ***",
        "timeouts: connect 1s",
        "retries: none; budget: 20%",
        "rate limit: 5 requests per second, 10 at once",
        "priority of urgent: 9",
        "prefill and decode apart: group key g, prefill labels role=p, decode labels role=d",
        "TLS: ca /ca.pem, verify yes",
        "engines are shown the key token of the secret default/key",
        "callers show a client certificate",
        "limit: 9 tokens per second",
        "at once: at most 5 in flight, none may wait",
        "listens on port 443",
    ]
