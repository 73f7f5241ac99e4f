"""Promises of what a worker counts of canaries."""

from collections.abc import Callable
from dataclasses import replace
from math import log

import msgspec
import pytest

from proxy.config.spec import Analysis, Canary, Config, EndpointSpec, ModelServer, Route, Rule, Target
from proxy.forwarding.exchange import Attempt, Exchange, FailedLink, Trial
from proxy.routing.canary import SideEvidence
from proxy.telemetry.evidence import Evidence
from proxy.telemetry.report import CanaryCounters

Make = Callable[..., Exchange]
RULE = Rule("default", (Target("stable", 90), Target("new", 10)), canary=Canary(Analysis(95.0, 60.0)))
SERVERS = {name: ModelServer(name, (EndpointSpec("http", name, 8000),)) for name in ("stable", "new")}
CONFIG = Config(SERVERS, (Route("chat", (RULE,)),), "v1")


def with_rule(rule: Rule) -> Config:
    return replace(CONFIG, routes=(Route("chat", (rule,)),))


@pytest.fixture
def evidence() -> Evidence:
    made = Evidence()
    made.retain(CONFIG, 50.0)
    return made


def tries(*outcomes: str) -> list[Attempt]:
    return [Attempt("new", "http://new:8000", outcome, 100.0 + place) for place, outcome in enumerate(outcomes)]


def seen(evidence: Evidence, side: int = 1) -> SideEvidence:
    return evidence.counters()[side].evidence


def counts(evidence: Evidence, side: int = 1) -> tuple[int, int]:
    return seen(evidence, side)[:2]


@pytest.mark.parametrize("outcome", ["ok", "400", "404", "429", "499"])
def test_an_answer_that_is_not_the_engines_fault_is_a_success(evidence: Evidence, exchange: Make, outcome: str) -> None:
    evidence.observe(exchange(attempts=tries(outcome), trial=Trial(1, 1)))
    assert counts(evidence) == (1, 0)


@pytest.mark.parametrize("outcome", ["500", "503", "529", "timeout", "reset", "connect-failure", "protocol-error"])
def test_what_an_engine_does_wrong_is_a_failure(evidence: Evidence, exchange: Make, outcome: str) -> None:
    evidence.observe(exchange(status=502, failure="upstream", attempts=tries(outcome), trial=Trial(1, 1)))
    assert counts(evidence) == (1, 1)


def test_an_attempt_whose_client_left_says_nothing(evidence: Evidence, exchange: Make) -> None:
    evidence.observe(exchange(status=499, failure="client_gone", attempts=tries("pending"), trial=Trial(1, 1)))
    evidence.observe(exchange(status=200, failure="client_gone", attempts=tries("ok"), trial=Trial(1, 1)))
    assert counts(evidence) == (0, 0)


def test_a_stream_that_was_cut_is_a_failure(evidence: Evidence, exchange: Make) -> None:
    evidence.observe(exchange(failure="cut", attempts=tries("ok"), trial=Trial(1, 1)))
    evidence.observe(exchange(failure="cut", attempts=tries("timeout"), trial=Trial(1, 1)))
    assert counts(evidence) == (2, 2)


def test_retries_hide_no_failure(evidence: Evidence, exchange: Make) -> None:
    evidence.observe(exchange(attempts=tries("reset", "503", "ok"), trial=Trial(1, 3)))
    assert counts(evidence) == (3, 2)


def test_attempts_at_a_fallback_count_for_no_side(evidence: Evidence, exchange: Make) -> None:
    evidence.observe(exchange(failure="cut", attempts=tries("503", "503", "ok"), trial=Trial(1, 2)))
    assert counts(evidence) == (2, 2)
    assert counts(evidence, side=0) == (0, 0)


def test_a_side_without_an_endpoint_fails_with_and_without_a_fallback(evidence: Evidence, exchange: Make) -> None:
    evidence.observe(exchange(status=503, failure="no_endpoint", attempts=[], trial=Trial(1, 0)))
    link = FailedLink("new", "no_endpoint")
    evidence.observe(exchange(chain=(link,), attempts=tries("ok"), trial=Trial(1, 0)))
    assert counts(evidence) == (2, 2)


@pytest.mark.parametrize("failure", ["rate_limit_exceeded", "client_gone", "queue_full"])
def test_a_request_that_was_let_to_no_side_says_nothing(evidence: Evidence, exchange: Make, failure: str) -> None:
    evidence.observe(exchange(status=429, failure=failure, attempts=[], trial=Trial(1, 0)))
    assert counts(evidence) == (0, 0)


def test_both_sides_are_kept_apart(evidence: Evidence, exchange: Make) -> None:
    evidence.observe(exchange(attempts=tries("ok"), trial=Trial(0, 1)))
    evidence.observe(exchange(attempts=tries("500"), trial=Trial(1, 1)))
    assert (counts(evidence, 0), counts(evidence, 1)) == ((1, 0), (1, 1))


def test_an_exchange_without_a_trial_or_of_another_rule_counts_nothing(evidence: Evidence, exchange: Make) -> None:
    evidence.observe(exchange())
    evidence.observe(exchange(rule="other", trial=Trial(1, 1)))
    evidence.observe(exchange(attempts=[], trial=Trial(1, 1)))
    assert counts(evidence) == (0, 0)


def test_times_are_counted_from_the_attempt_that_answered(evidence: Evidence, exchange: Make) -> None:
    done = exchange(
        attempts=tries("503", "ok"), trial=Trial(1, 2), first_body=101.5, last_body=111.5, output_tokens=101
    )
    evidence.observe(done)
    found = seen(evidence)
    assert found.ttft == pytest.approx((1, log(0.5), log(0.5) ** 2))
    assert found.tpot == pytest.approx((1, log(0.1), log(0.1) ** 2))


@pytest.mark.parametrize(
    "fields",
    [
        {"first_body": None},
        {"first_body": 100.0},
        {"first_body": 99.0},
        {"status": 404},
        {"failure": "cut"},
        {"failure": "client_gone"},
        {"attempts": [Attempt("new", "", "500", 100.0)]},
        {"attempts": [Attempt("new", "", "ok")]},
        {"attempts": [Attempt("new", "", "ok", 100.0), Attempt("spare", "", "ok", 100.0)]},
    ],
)
def test_what_is_no_whole_answer_with_known_times_has_no_time(
    evidence: Evidence, exchange: Make, fields: dict[str, object]
) -> None:
    whole = {"attempts": tries("ok"), "trial": Trial(1, 1), "first_body": 100.5, "last_body": 101.0, "output_tokens": 9}
    evidence.observe(exchange(**(whole | fields)))
    assert seen(evidence).ttft.number == 0
    assert seen(evidence).tpot.number == 0


@pytest.mark.parametrize(
    "fields", [{"output_tokens": None}, {"output_tokens": 1}, {"last_body": None}, {"last_body": 100.5}]
)
def test_an_answer_of_one_token_or_in_one_piece_has_no_time_per_token(
    evidence: Evidence, exchange: Make, fields: dict[str, object]
) -> None:
    whole = {"attempts": tries("ok"), "trial": Trial(1, 1), "first_body": 100.5, "last_body": 101.0, "output_tokens": 9}
    evidence.observe(exchange(**(whole | fields)))
    assert (seen(evidence).ttft.number, seen(evidence).tpot.number) == (1, 0)


def test_new_weights_and_moved_lines_change_no_counter(evidence: Evidence, exchange: Make) -> None:
    evidence.observe(exchange(attempts=tries("ok"), trial=Trial(1, 1)))
    evidence.retain(with_rule(replace(RULE, targets=(Target("stable", 100), Target("new", 0)), name="default")), 200.0)
    evidence.observe(exchange(attempts=tries("500"), trial=Trial(1, 1)))
    assert counts(evidence) == (2, 1)


def test_a_rule_that_leads_elsewhere_begins_anew_without_what_was_under_way(evidence: Evidence, exchange: Make) -> None:
    evidence.observe(exchange(attempts=tries("500"), trial=Trial(1, 1)))
    moved = {**SERVERS, "new": ModelServer("new", (EndpointSpec("http", "better", 8000),))}
    evidence.retain(replace(CONFIG, servers=moved), 200.0)
    evidence.observe(exchange(started=199.0, attempts=tries("500"), trial=Trial(1, 1)))
    assert counts(evidence) == (0, 0)
    evidence.observe(exchange(started=201.0, attempts=tries("ok"), trial=Trial(1, 1)))
    assert counts(evidence) == (1, 0)


def test_a_rule_that_is_gone_or_judged_no_more_is_forgotten(evidence: Evidence) -> None:
    evidence.retain(with_rule(replace(RULE, canary=Canary())), 200.0)
    assert evidence.counters() == []
    evidence.retain(Config({}, ()), 300.0)
    assert evidence.counters() == []


def test_counters_cross_to_the_supervisor_and_are_a_copy(evidence: Evidence, exchange: Make) -> None:
    told = evidence.counters()
    evidence.observe(exchange(attempts=tries("ok"), trial=Trial(1, 1), first_body=101.0))
    assert told[1].evidence.trials == 0
    later = evidence.counters()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(later), type=list[CanaryCounters]) == later
