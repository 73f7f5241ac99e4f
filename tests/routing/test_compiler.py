"""What the compiler promises: settled policies, cursors that survive, and pauses."""

from collections import Counter
from dataclasses import replace

import pytest

from proxy.config.match_spec import HeaderCondition, Match, Present
from proxy.config.spec import Config, ModelServer, Origin, Retries, Route, Rule, Target, Timeouts
from proxy.errors import ConfigError
from proxy.routing.compiler import compile_steps, compile_table
from proxy.routing.table import BoundTarget, RoutingTable
from tests.routing.fake_request import FakeRequest

SERVERS = {
    "big": ModelServer(
        "big", (), model="org/big", timeouts=Timeouts(connect=1.0, idle=2.0), retries=Retries(attempts=7)
    ),
    "small": ModelServer("small", ()),
}
SPLIT = (Target("big", 7), Target("small", 3))


def config(*rules: Rule, models: tuple[str, ...] = ("m",), adapters: tuple[str, ...] = ()) -> Config:
    return Config(SERVERS, (Route("route", rules, models, adapters),))


def targets(table: RoutingTable, model: str = "m") -> tuple[BoundTarget, ...]:
    match = table.lookup(FakeRequest(model))
    assert match is not None
    return match.split.items + match.fallback


def picked(table: RoutingTable, count: int, model: str = "m") -> list[str]:
    match = table.lookup(FakeRequest(model))
    assert match is not None
    return [match.split.pick().server for _ in range(count)]


def test_a_targets_model_wins_over_its_servers() -> None:
    rule = Rule("r", (Target("big"), Target("big", model="own"), Target("small")), fallback=(Target("big"),))
    assert [target.model for target in targets(compile_table(config(rule)))] == ["org/big", "own", None, "org/big"]


def test_an_adapters_name_is_not_hidden_by_the_servers_model() -> None:
    rule = Rule("r", (Target("big"), Target("big", model="own")))
    table = compile_table(config(rule, adapters=("lora",)))
    assert [target.model for target in targets(table, "lora")] == [None, "own"]
    assert [target.model for target in targets(table, "m")] == ["org/big", "own"]


def test_a_groups_shares_hold_across_its_models_and_its_adapters() -> None:
    table = compile_table(config(Rule("r", SPLIT), adapters=("lora",)))
    served = [picked(table, 1, name)[0] for name in ["m", "lora"] * 5]
    assert served == picked(compile_table(config(Rule("r", SPLIT))), 10)


def test_a_rules_timeouts_win_field_by_field() -> None:
    rule = Rule("r", SPLIT, timeouts=Timeouts(idle=9.0, total=60.0))
    big, small = targets(compile_table(config(rule)))
    assert big.timeouts == Timeouts(connect=1.0, idle=9.0, total=60.0)
    assert small.timeouts == Timeouts(idle=9.0, total=60.0)


def test_a_server_keeps_its_timeouts_and_retries_under_a_rule_that_sets_none() -> None:
    (big, small) = targets(compile_table(config(Rule("r", SPLIT))))
    assert (big.timeouts, big.retries) == (SERVERS["big"].timeouts, SERVERS["big"].retries)
    assert (small.timeouts, small.retries) == (Timeouts(), Retries())


def test_a_rules_retries_win_even_when_they_are_none() -> None:
    rule = Rule("r", SPLIT, retries=Retries(attempts=0))
    assert [target.retries.attempts for target in targets(compile_table(config(rule)))] == [0, 0]


def test_a_cursor_survives_a_reload_that_leaves_its_group_unchanged() -> None:
    before = config(Rule("r", SPLIT))
    after = config(Rule("new", (Target("small"),), (Match((HeaderCondition("x", Present()),)),)), Rule("r", SPLIT))
    old = compile_table(before)
    served = picked(old, 4)
    served += picked(compile_table(after, old), 6)
    assert served == picked(compile_table(before), 10)


def test_a_cursor_survives_a_change_of_timeouts() -> None:
    old = compile_table(config(Rule("r", SPLIT)))
    served = picked(old, 4)
    new = compile_table(config(Rule("r", SPLIT, timeouts=Timeouts(total=1.0))), old)
    assert [target.timeouts.total for target in targets(new)] == [1.0, 1.0]
    assert Counter(served + picked(new, 6)) == {"big": 7, "small": 3}


def test_a_changed_group_starts_afresh() -> None:
    old = compile_table(config(Rule("r", SPLIT)))
    picked(old, 4)
    changed = config(Rule("r", (Target("big", 6), Target("small", 3))))
    assert picked(compile_table(changed, old), 9) == picked(compile_table(changed), 9)


def test_rules_of_one_name_do_not_share_a_cursor_after_a_reload() -> None:
    twins = config(Rule("r", SPLIT, (Match((HeaderCondition("x", Present()),)),)), Rule("r", SPLIT))
    new = compile_table(twins, compile_table(twins))
    first, second = new.lookup(FakeRequest("m", headers={"x": ""})), new.lookup(FakeRequest("m"))
    assert first is not None
    assert second is not None
    assert first.split.cursor is not second.split.cursor


@pytest.mark.parametrize(
    ("targets", "code"),
    [((Target("absent"),), "unknown-server"), ((), "bad-weights"), ((Target("big", 0),), "bad-weights")],
)
def test_what_leads_nowhere_is_a_problem_at_its_place(targets: tuple[Target, ...], code: str) -> None:
    rule = Rule("r", targets, origin=Origin("routes.yaml", 3, 5, "rules[0]"))
    with pytest.raises(ConfigError, match=f"^routes.yaml:3:5: error {code} at rules"):
        compile_table(config(rule))


def many(count: int) -> Config:
    rule = Rule("r", SPLIT)
    return Config(SERVERS, tuple(Route(f"route-{n}", (rule,), (f"m-{n}",), priority=n % 3) for n in range(count)))


def test_it_pauses_at_least_every_64_routes() -> None:
    assert sum(1 for _ in compile_steps(many(1000))) >= 1000 // 64


def test_it_pauses_within_a_route_of_many_rules_or_many_names() -> None:
    rules = tuple(Rule(f"r{n}", SPLIT, (Match((HeaderCondition("x", Present()),)),)) for n in range(500))
    assert sum(1 for _ in compile_steps(config(*rules))) >= 500 // 64
    names = tuple(f"m-{n}" for n in range(5000))
    assert sum(1 for _ in compile_steps(config(Rule("r", SPLIT), models=names))) >= 7


def test_nothing_is_found_in_an_empty_configuration() -> None:
    table = compile_table(Config({}, ()))
    assert table.lookup(FakeRequest("m")) is None
    assert (table.models, table.body_fields, table.routes) == ((), frozenset(), ())


def test_a_table_shows_the_routes_that_it_was_made_from() -> None:
    asked = many(3)
    assert compile_table(asked).routes is asked.routes
    assert compile_table(replace(asked, routes=asked.routes[:1])).models == ("m-0",)
