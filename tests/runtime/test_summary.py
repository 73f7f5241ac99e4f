import msgspec

from proxy.config.spec import (
    Absent,
    BodyCondition,
    Condition,
    Config,
    EndpointSpec,
    Exact,
    HeaderCondition,
    Match,
    MethodCondition,
    ModelServer,
    PathCondition,
    Prefix,
    QueryCondition,
    Regex,
    Route,
    Rule,
    Target,
    UpstreamTls,
)
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


def test_a_condition_is_told_in_words() -> None:
    told = [
        describe(PathCondition(Prefix("/v1/"))),
        describe(PathCondition(Regex("^/v[12]"))),
        describe(MethodCondition(frozenset({"POST", "GET"}))),
        describe(HeaderCondition("user-type", Absent())),
        describe(BodyCondition(("metadata", "tier"), Exact("gold"))),
    ]
    assert told == [
        "path prefix /v1/",
        "path regex ^/v[12]",
        "method GET, POST",
        "header user-type absent",
        "body metadata.tier exact",
    ]
