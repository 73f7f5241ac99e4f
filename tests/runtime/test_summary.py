import msgspec

from proxy.config.match_spec import (
    Absent,
    BodyCondition,
    Condition,
    Exact,
    FieldCondition,
    HeaderCondition,
    Match,
    MethodCondition,
    OrAbsent,
    PathCondition,
    Prefix,
    QueryCondition,
    Regex,
)
from proxy.config.spec import (
    Config,
    EndpointSpec,
    ModelServer,
    Rewrite,
    RewriteTarget,
    Route,
    Rule,
    Shadow,
    Target,
    UpstreamTls,
)
from proxy.operators import Operator
from proxy.runtime.summary import describe, summarize_routes, summarize_servers

SECRET = "s3cret"


def test_no_value_that_a_variable_may_have_filled_in_is_shown() -> None:
    conditions: tuple[Condition, ...] = (
        HeaderCondition("authorization", Exact(f"Bearer {SECRET}")),
        QueryCondition("key", Prefix(SECRET)),
        BodyCondition(("user", "token"), Regex(SECRET)),
    )
    tls = UpstreamTls(cert="/certs/engine.pem", key="/certs/engine.key")
    server = ModelServer("engine", (EndpointSpec("http", "10.0.0.1", 8000),), tls=tls)
    route = Route("chat", (Rule("only", (Target("engine"),), (Match(conditions),)),))
    config = Config({"engine": server}, (route,), "v1")
    text = msgspec.json.encode((summarize_servers(config), summarize_routes(config))).decode()
    assert SECRET not in text
    assert "/certs" not in text
    assert "header authorization exact" in text


def test_a_route_tells_what_it_was_and_all_that_it_leads_to() -> None:
    rule = Rule("r", (Target("a", 9), Target("b", 1)), (), (Target("c"),), shadow=Shadow(Target("d")), enabled=False)
    route = Route("default/chat", (rule,), fallback=(Target("e", model="m"),), kind="ModelRoute")
    (told,) = msgspec.to_builtins(summarize_routes(Config({}, (route,))))
    assert (told["kind"], told["fallback"]) == ("ModelRoute", ({"server": "e", "model": "m"},))
    (rule_told,) = told["rules"]
    assert rule_told["targets"] == ({"server": "a", "weight": 9}, {"server": "b", "weight": 1})
    assert (rule_told["fallback"], rule_told["shadow"]) == (({"server": "c"},), {"server": "d"})
    assert rule_told["enabled"] is False


def test_a_server_tells_its_rewrites() -> None:
    rewrite = Rewrite((RewriteTarget("v1", 9), RewriteTarget("v2", 1)), ("m",))
    server = ModelServer("pool", (), rewrites=(rewrite,))
    (told,) = msgspec.to_builtins(summarize_servers(Config({"pool": server}, ())))
    assert told["rewrites"] == ({"models": ("m",), "targets": {"v1": 9, "v2": 1}},)


def test_a_condition_is_told_in_words() -> None:
    told = [
        describe(PathCondition(Prefix("/v1/"))),
        describe(PathCondition(Regex("^/v[12]"))),
        describe(MethodCondition(frozenset({"POST", "GET"}))),
        describe(HeaderCondition("user-type", Absent())),
        describe(BodyCondition(("metadata", "tier"), Exact("gold"))),
        describe(HeaderCondition("user-type", OrAbsent(Exact("")))),
        describe(FieldCondition("user.tier", Operator.IN, '["gold"]')),
    ]
    assert told == [
        "path prefix /v1/",
        "path regex ^/v[12]",
        "method GET, POST",
        "header user-type absent",
        "body metadata.tier exact",
        "header user-type absent or exact",
        "field user.tier in",
    ]
