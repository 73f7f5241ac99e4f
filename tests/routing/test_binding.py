"""What is settled ahead for a target."""

from dataclasses import replace

import pytest

from proxy.config.spec import (
    Config,
    Credential,
    JwtAuth,
    ModelServer,
    Retries,
    Rewrite,
    RewriteTarget,
    Route,
    Rule,
    ServiceListener,
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
    assert (found.headers, found.restore_model, found.refusal) == ((("A", "b"),), False, None)


def test_an_answer_in_which_a_name_is_restored_is_asked_for_uncompressed() -> None:
    server = ModelServer("s", (), headers=(("A", "b"),), restore_model=True)
    assert bound(Target("s"), server).headers == (("A", "b"), ("Accept-Encoding", "identity"))
    own = (("accept-encoding", "br"),)
    assert bound(Target("s"), replace(server, headers=own)).headers == own


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"auth": JwtAuth("https://i")}, "jwt"),
        ({"listener": ServiceListener(443, "ns/cert")}, "TLS"),
        ({"credential": Credential("ns/s", "key")}, "credential"),
    ],
)
def test_a_server_that_asks_for_what_is_not_enforced_is_refused(change: dict[str, object], word: str) -> None:
    found = bound(Target("s"), ModelServer("s", (), **change))  # type: ignore[arg-type]
    assert found.refusal is not None
    assert word in found.refusal
    assert "'s'" in found.refusal


def test_a_port_of_its_own_alone_refuses_nothing() -> None:
    assert bound(Target("s"), ModelServer("s", (), listener=ServiceListener(8080))).refusal is None


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
