"""What a worker sees of canaries and of the targets that they are judged against: counters that only grow."""

from collections.abc import Iterator
from math import log

from proxy.config.spec import Config, ModelServer, Rule
from proxy.forwarding.exchange import Attempt, Exchange
from proxy.routing.canary import SideEvidence, Timed
from proxy.telemetry.report import CanaryCounters

SHORTEST = 1e-6
"""Seconds: what is shorter was not measured, and has no logarithm that says anything."""

NO_ENDPOINT = "no_endpoint"
"""The code of a side all of whose endpoints are gone, unhealthy or ejected."""

Key = tuple[str, str]


class Evidence:
    """One worker's trials by rule and side. Its state is one record for each judged rule in force.

    Each attempt at a side is a trial, so that no retry hides a failure. It failed where the engine answered 5xx, was
    out of reach or too slow, broke the connection or the protocol, or left off in mid-answer; an answer of 4xx is the
    client's fault, and 429 a limit that does its work. An attempt whose client left first says nothing. A side that
    had no endpoint to try failed, too: one that is down for good would otherwise run out of evidence.
    """

    def __init__(self) -> None:
        self._rules: dict[Key, RuleEvidence] = {}

    def observe(self, exchange: Exchange) -> None:
        """Count a finished request that has a trial. On the hot path of judged rules alone: it makes no object."""
        trial = exchange.trial
        record = self._rules.get((exchange.route, exchange.rule))
        if trial is None or record is None or exchange.started < record.since:
            return
        counts = record.sides[trial.side]
        attempts = exchange.attempts
        last = len(attempts) - 1
        if not trial.attempts and first_reason(exchange) == NO_ENDPOINT:
            counts.trials += 1
            counts.failures += 1
        for place in range(min(trial.attempts, len(attempts))):
            attempt = attempts[place]
            outcome = attempt.outcome
            if place == last and exchange.failure:
                outcome = ended(outcome, exchange.failure)
            if outcome == "pending":
                continue
            counts.trials += 1
            if outcome == "ok":
                if place == last and exchange.status < 400:
                    observe_times(counts, exchange, attempt)
            elif is_failure(outcome):
                counts.failures += 1

    def retain(self, config: Config, now: float) -> None:
        """Keep to the judged rules of a configuration. `now` is `time.perf_counter()` seconds.

        A rule that leads elsewhere than before begins at 0, and requests under way are not counted: they went to what
        is no longer asked for. New weights change nothing.
        """
        known = self._rules
        self._rules = {
            key: record
            if (record := known.get(key)) is not None and record.leads == leads
            else RuleEvidence(leads, now)
            for key, leads in judged_rules(config)
        }

    def counters(self) -> list[CanaryCounters]:
        """A copy of all counters."""
        return [
            CanaryCounters(route, rule, side, counts.evidence())
            for (route, rule), record in self._rules.items()
            for side, counts in enumerate(record.sides)
        ]


class Counts:
    """One side of one rule. The times are sums of natural logarithms of seconds, and of their squares."""

    __slots__ = (
        "failures",
        "tpot_number",
        "tpot_squares",
        "tpot_total",
        "trials",
        "ttft_number",
        "ttft_squares",
        "ttft_total",
    )

    def __init__(self) -> None:
        self.trials = self.failures = self.ttft_number = self.tpot_number = 0
        self.ttft_total = self.ttft_squares = self.tpot_total = self.tpot_squares = 0.0

    def evidence(self) -> SideEvidence:
        """What was counted so far."""
        return SideEvidence(
            self.trials,
            self.failures,
            Timed(self.ttft_number, self.ttft_total, self.ttft_squares),
            Timed(self.tpot_number, self.tpot_total, self.tpot_squares),
        )


Leads = tuple[object, ...]


class RuleEvidence:
    """Both sides of one rule, where it leads, and since when (`time.perf_counter()` seconds)."""

    __slots__ = ("leads", "sides", "since")

    def __init__(self, leads: Leads, since: float) -> None:
        self.leads = leads
        self.since = since
        self.sides = (Counts(), Counts())


def observe_times(counts: Counts, exchange: Exchange, attempt: Attempt) -> None:
    """Count how long the first byte of an answer's body took, and each further token, where these are known."""
    first, last, tokens = exchange.first_body, exchange.last_body, exchange.output_tokens
    if first is None or not attempt.started or first - attempt.started < SHORTEST:
        return
    time = log(first - attempt.started)
    counts.ttft_number += 1
    counts.ttft_total += time
    counts.ttft_squares += time * time
    if last is None or tokens is None or tokens < 2 or last - first < SHORTEST:
        return
    time = log((last - first) / (tokens - 1))
    counts.tpot_number += 1
    counts.tpot_total += time
    counts.tpot_squares += time * time


def first_reason(exchange: Exchange) -> str:
    """Why the first target had no answer; empty where it had one."""
    return exchange.chain[0].reason if exchange.chain else exchange.failure


def ended(outcome: str, failure: str) -> str:
    """How the last attempt came out of an exchange that went wrong: what began well may have been cut or left."""
    if failure == "cut":
        return "reset" if outcome == "ok" else outcome
    if failure == "client_gone" and outcome == "ok":
        return "pending"
    return outcome


def is_failure(outcome: str) -> bool:
    """Whether an outcome that is neither "ok" nor "pending" speaks against the side: all but statuses below 500."""
    return not outcome.isdecimal() or outcome >= "500"


def judged_rules(config: Config) -> Iterator[tuple[Key, Leads]]:
    """The rules with a judged canary, and where each leads: its targets without weights, and their servers."""
    for route in config.routes:
        for rule in route.rules:
            if rule.canary is not None and rule.canary.analysis is not None and len(rule.targets) == 2:
                yield (route.name, rule.name), leads_of(config, rule)


def leads_of(config: Config, rule: Rule) -> Leads:
    """Where a rule leads, in what can be compared."""
    targets = [(target.server, target.model, target.timeouts, target.retries) for target in rule.targets]
    return (*targets, *(server_terms(config.servers.get(target.server)) for target in rule.targets))


def server_terms(server: ModelServer | None) -> Leads:
    """What of a server decides how it answers."""
    if server is None:
        return ()
    return (
        server.endpoints,
        server.engine,
        server.model,
        server.timeouts,
        server.tls,
        server.headers,
        server.credential,
    )
