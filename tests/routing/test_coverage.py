"""Coverage counts what lookups find: nothing twice, nothing not at all."""

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from proxy.config.spec import Config, Target
from proxy.routing.compiler import compile_table
from proxy.routing.coverage import Coverage, Example, RuleHits, measure_coverage
from proxy.routing.recording import Recorded, Recording
from proxy.routing.sample import SampleRequest, sample_of
from tests.config.configs import configs
from tests.routing.test_decision import REQUESTS
from tests.routing.test_log_lines import exchange, text_line
from tests.routing.written import PATIENT, table_of, written

BODIES = [{"model": "qwen"}, {"model": "lora"}, {"metadata": {"offline": True}}, {"model": "gpt-5"}]


def measured(*bodies: object) -> Coverage:
    return measure_coverage(table_of(), Recording([json.dumps(bodies).encode()]))


@PATIENT
@given(configs(), st.lists(REQUESTS, max_size=6))
def test_each_request_is_counted_once(config: Config, requests: list[SampleRequest]) -> None:
    table = compile_table(config)
    found = measure_coverage(table, [Recorded(request) for request in requests])
    assert found.total_requests == len(requests)
    assert sum(rule.hits for rule in found.rules) + found.unmatched_requests == len(requests)
    assert found.covered_rules + len(found.uncovered) == found.total_rules
    assert len(found.named()) == found.total_rules
    for request in requests:
        match = table.lookup(request)
        assert match is None or next(r for r in found.rules if (r.route, r.rule) == (match.route, match.rule)).hits


def test_rules_are_told_in_the_order_of_the_configuration() -> None:
    found = measured(*BODIES, BODIES[0])
    assert found.rules == (
        RuleHits("chat", "premium", 0),
        RuleHits("chat", "default", 3),
        RuleHits("batch", "offline", 1),
    )
    assert (found.total_rules, found.covered_rules, round(found.percentage, 1)) == (3, 2, 66.7)
    assert (found.total_requests, found.unmatched_requests) == (5, 1)
    assert found.examples == (Example(1, '{"model":"gpt-5"}'),)
    assert list(found.named()) == ["chat/premium", "chat/default", "batch/offline"]
    assert found.log is None


def test_a_rule_of_the_only_route_is_known_by_its_name_alone() -> None:
    config = written()
    table = compile_table(replace(config, routes=config.routes[:1]))
    assert list(measure_coverage(table, []).named()) == ["premium", "default"]


def test_no_requests_cover_nothing() -> None:
    assert measured().percentage == 0.0
    assert measure_coverage(compile_table(Config({}, ())), []).percentage == 0.0


def test_a_rule_that_is_turned_off_counts_as_one() -> None:
    config = written()
    chat, batch = config.routes
    off = replace(chat, rules=tuple(replace(rule, enabled=False) for rule in chat.rules))
    found = measure_coverage(compile_table(replace(config, routes=(off, batch))), [Recorded(sample_of(BODIES[0]))])
    assert [(rule.rule, rule.enabled, rule.hits) for rule in found.rules[:2]] == [
        ("premium", False, 0),
        ("default", False, 0),
    ]
    assert found.total_rules == 3


def test_a_routes_own_fallback_counts_as_a_rule() -> None:
    config = written()
    chat, batch = config.routes
    table = compile_table(replace(config, routes=(replace(chat, rules=(), fallback=(Target("large"),)), batch)))
    found = measure_coverage(table, [Recorded(sample_of(BODIES[0]))])
    assert found.rules[0] == RuleHits("chat", "fallback", 1)


def test_few_examples_are_kept() -> None:
    found = measured(*[{"model": f"x{number}"} for number in range(9)])
    assert found.unmatched_requests == 9
    assert [example.request for example in found.examples] == [f'{{"model":"x{number}"}}' for number in range(3)]


def test_an_access_log_is_routed_anew_and_compared_with_what_it_says() -> None:
    lines = [
        exchange(model="qwen", route="chat", rule="default"),
        exchange(model="qwen", route="chat", rule="premium"),
        exchange(model="gpt-5"),
        exchange(route="batch", rule="offline"),
        exchange(target="/health"),
    ]
    content = "".join(map(text_line, lines)) + "cut"
    found = measure_coverage(table_of(), Recording([content.encode()]))
    assert (found.total_requests, found.unmatched_requests) == (4, 2)
    assert found.rules[1].hits == 2
    assert found.log is not None
    assert (found.log.lines, found.log.differing, found.log.left_out, found.log.unreadable) == (5, 2, 1, 1)
    assert found.log.unjudged == ("chat/premium", "batch/offline")
