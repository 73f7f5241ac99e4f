"""What is settled ahead for a target."""

from dataclasses import replace

from proxy.config.access_spec import Auth
from proxy.config.spec import (
    Analysis,
    Canary,
    Config,
    ModelServer,
    Retries,
    Rewrite,
    RewriteTarget,
    Route,
    Rule,
    Shadow,
    Target,
    Timeouts,
)
from proxy.routing.compiler import compile_table
from proxy.routing.table import BoundTarget, RouteMatch, RoutingTable
from tests.routing.fake_request import FakeRequest

POOL = ModelServer("pool", (), rewrites=(Rewrite((RewriteTarget("v1", 9), RewriteTarget("v2", 1)), ("m",)),))


def table_of(rule: Rule, *servers: ModelServer, previous: RoutingTable | None = None) -> RoutingTable:
    known = {server.name: server for server in servers}
    return compile_table(Config(known, (Route("route", (rule,)),)), previous)


def match_of(table: RoutingTable) -> RouteMatch:
    match = table.lookup(FakeRequest())
    assert match is not None
    return match


def bound(target: Target, server: ModelServer, **rule: object) -> BoundTarget:
    return match_of(table_of(replace(Rule("r", (target,)), **rule), server)).split.items[0]  # type: ignore[arg-type]


def test_a_targets_limits_win_over_its_rules_and_those_over_its_servers() -> None:
    server = ModelServer("s", (), timeouts=Timeouts(1, 1, 1, 1), retries=Retries(1))
    found = bound(Target("s", timeouts=Timeouts(idle=3)), server, timeouts=Timeouts(first_byte=2, idle=2))
    assert found.timeouts == Timeouts(1, 2, 3, 1)
    assert bound(Target("s"), server, retries=Retries(2)).retries == Retries(2)
    assert bound(Target("s", retries=Retries(3)), server, retries=Retries(2)).retries == Retries(3)
    assert bound(Target("s"), server).retries == Retries(1)


def test_what_a_server_sets_goes_with_its_targets() -> None:
    found = bound(Target("s"), ModelServer("s", (), headers=(("A", "b"),)))
    assert (found.headers, found.restore_model) == ((("A", "b"),), False)


def test_an_answer_in_which_a_name_is_restored_is_asked_for_uncompressed() -> None:
    server = ModelServer("s", (), headers=(("A", "b"),), restore_model=True)
    assert bound(Target("s"), server).headers == (("A", "b"), ("Accept-Encoding", "identity"))
    own = (("accept-encoding", "br"),)
    assert bound(Target("s"), replace(server, headers=own)).headers == own


def test_what_callers_must_show_goes_with_a_target_the_routes_before_the_servers() -> None:
    own, others = Auth(client_certificate=True), Auth(keys="/keys", forward=True)
    server = ModelServer("s", (), auth=others)
    route = Route("route", (Rule("r", (Target("s"),)),), auth=own)
    found = match_of(compile_table(Config({"s": server}, (route,)))).split.items[0]
    assert (found.auths, found.forwards) == ((own, others), True)
    assert bound(Target("s"), ModelServer("s", ())).auths == ()


def test_a_split_whose_second_target_is_on_trial_is_judged() -> None:
    rule = Rule("r", (Target("s", 9), Target("s", 1, "new")), canary=Canary(Analysis(99.0, 60.0)))
    assert match_of(table_of(rule, ModelServer("s", ()))).judged
    assert not match_of(table_of(replace(rule, canary=Canary()), ModelServer("s", ()))).judged
    assert not match_of(table_of(replace(rule, canary=None), ModelServer("s", ()))).judged


def test_a_shadow_gets_its_share_and_no_long_bodies() -> None:
    rule = Rule("r", (Target("s"),), shadow=Shadow(Target("s"), 5, 25.0, 1000))
    shadow = match_of(table_of(rule, ModelServer("s", ()))).shadow
    assert shadow is not None
    assert shadow.share is not None
    assert (shadow.max_body, sum(shadow.share.pick() for _ in range(400))) == (1000, 100)
    whole = match_of(table_of(replace(rule, shadow=Shadow(Target("s"))), ModelServer("s", ()))).shadow
    assert whole is not None
    assert whole.share is None


def test_a_shadow_is_bound_like_a_target() -> None:
    rule = Rule("r", (Target("s"),), shadow=Shadow(Target("t", model="next"), 5))
    shadow = match_of(table_of(rule, ModelServer("s", ()), ModelServer("t", ()))).shadow
    assert shadow is not None
    assert (shadow.target.server, shadow.target.model, shadow.max_in_flight) == ("t", "next", 5)


def test_all_that_leads_to_a_server_shares_its_rewrites() -> None:
    rule = Rule("r", (Target("pool"), Target("pool", model="x")), fallback=(Target("pool"),))
    match = match_of(table_of(rule, POOL))
    rewriters = {id(target.rewriter) for target in match.split.items + match.fallback}
    assert len(rewriters) == 1


def sent(table: RoutingTable, count: int) -> list[str]:
    rewriter = match_of(table).split.items[0].rewriter
    assert rewriter is not None
    split = rewriter.split_for("m")
    assert split is not None
    return [split.pick() for _ in range(count)]


def test_a_rewrite_that_stays_keeps_its_place_in_the_turn_over_a_reload() -> None:
    rule = Rule("r", (Target("pool"),))
    first = table_of(rule, POOL)
    names = sent(first, 5)
    names += sent(table_of(rule, replace(POOL, restore_model=True), previous=first), 5)
    assert (names.count("v1"), names.count("v2")) == (9, 1)
