"""Requests that go elsewhere are counted by where they went and where they go."""

import json

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.spec import Config
from proxy.routing.compiler import compile_table
from proxy.routing.recording import Recorded, Recording
from proxy.routing.rerouting import Move, Rerouting, reroute
from proxy.routing.sample import SampleRequest
from tests.config.configs import configs
from tests.routing.test_decision import REQUESTS
from tests.routing.test_log_lines import exchange, text_line
from tests.routing.written import CHAT, PATIENT, table_of

PREMIUM = {"body": {"model": "qwen"}, "headers": {"user-type": "premium"}}


def rerouted(routes: str, *requests: object) -> Rerouting:
    return reroute(table_of(), table_of(routes), Recording([json.dumps(requests).encode()]))


@PATIENT
@given(configs(), st.lists(REQUESTS, max_size=5))
def test_nothing_moves_where_nothing_changes(config: Config, requests: list[SampleRequest]) -> None:
    recorded = [Recorded(request) for request in requests]
    assert reroute(compile_table(config), compile_table(config), recorded) == Rerouting(len(requests), ())


@PATIENT
@given(configs(), configs(), st.lists(REQUESTS, max_size=5))
def test_what_moves_there_moves_back(old: Config, new: Config, requests: list[SampleRequest]) -> None:
    tables = compile_table(old), compile_table(new)
    recorded = [Recorded(request) for request in requests]
    there, back = reroute(*tables, recorded), reroute(*tables[::-1], recorded)
    assert there.moved == back.moved <= there.total == len(requests)
    ways = {(move.old, move.new): move.requests for move in there.moves}
    assert ways == {(move.new, move.old): move.requests for move in back.moves}


def test_moves_are_grouped_with_an_example() -> None:
    found = rerouted(CHAT.replace("user-type: premium", "user-type: gold"), {"model": "qwen"}, PREMIUM, PREMIUM)
    example = '{"model":"qwen"}'
    assert found.moves == (Move("chat/premium", "chat/default", 2, 1, f"user-type: premium {example}"),)
    assert (found.total, found.moved) == (3, 2)


def test_what_no_rule_takes_any_more_is_told_and_what_one_takes_now() -> None:
    routes = CHAT.replace('models: [qwen, "qwen-*"]', "models: [gpt-5]")
    found = rerouted(routes, {"model": "qwen"}, {"model": "gpt-5"}, {"model": "none"})
    assert [(move.old, move.new, move.requests) for move in found.moves] == [
        ("chat/default", None, 1),
        (None, "chat/default", 1),
    ]


def test_a_rule_whose_targets_differ_is_told() -> None:
    for old, new in (
        ("weight: 70", "weight: 71"),
        ("[large, empty]", "[large]"),
        ("{server: next, weight: 30}", "{server: next, weight: 30, model: m}"),
    ):
        found = rerouted(CHAT.replace(old, new), {"model": "qwen"}, {"model": "lora"})
        assert [(move.old, move.new) for move in found.moves] == [("chat/default", "chat/default")]
    assert rerouted(CHAT.replace("retries: 5", "retries: 6"), {"metadata": {"offline": True}}).moves == ()


def test_an_access_log_is_compared_with_what_it_says() -> None:
    lines = [exchange(model="qwen", route="chat", rule="premium"), exchange(target="/health")]
    content = "".join(map(text_line, lines)).encode()
    found = reroute(table_of(), table_of(), Recording([content]))
    assert found == Rerouting(1, (), logged=2, differing=1, left_out=1, unreadable=0)
