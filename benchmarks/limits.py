"""What the limits add to each request, in nanoseconds, by the number of workers that share them.

Run `python benchmarks/limits.py`. Each figure is the best of many short rounds, the loop's own cost taken off; subjects
are cycled through, so that no memo is warmer than in traffic. The workers are views of the same memory in one process:
what a second processor adds by having written a column just before is a cache miss each.
"""

import sys
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from proxy.access.buckets import Bucket
from proxy.access.limits import Limits, PreparedLimits
from proxy.access.quota import ScopedLimit, Subject
from proxy.access.shared_table import SharedTable
from proxy.config.access_spec import Counted, Limit, Share
from proxy.errors import RequestError

ROUNDS = 400
CALLS = 400

REQUESTS = Limit(Counted.REQUESTS, 1e7)
TOKENS = Limit(Counted.TOKENS, 1e11, "minute")
OUTPUT = Limit(Counted.OUTPUT_TOKENS, 1e11, "minute")
OF_EACH_USER = Limit(Counted.REQUESTS, 1e7, by=(Share.USER,))
ONE_AN_HOUR = Limit(Counted.REQUESTS, 1, "hour")


def measure(call: Callable[[Subject], object], subjects: list[Subject]) -> float:
    """Nanoseconds of one call."""
    inputs = list(islice(cycle(subjects), CALLS))
    return min(one_round(call, inputs) for _ in range(ROUNDS)) - min(one_round(None, inputs) for _ in range(ROUNDS))


def one_round(call: Callable[[Subject], object] | None, inputs: list[Subject]) -> float:
    """Nanoseconds of one turn of the loop."""
    begun = time.perf_counter_ns()
    if call is None:
        for _ in inputs:
            pass
    else:
        for item in inputs:
            call(item)
    return (time.perf_counter_ns() - begun) / len(inputs)


def settled(limits: Limits, prepared: PreparedLimits) -> Callable[[Subject], object]:
    """A request's whole life: admitted, told of in the head, settled."""

    def call(subject: Subject) -> None:
        ticket = limits.admit(prepared, subject, 100)
        ticket.headers  # noqa: B018 - what it costs to make them
        ticket.settle(90, 40)

    return call


def refused(limits: Limits, prepared: PreparedLimits) -> Callable[[Subject], object]:
    """A request that is answered with 429."""

    def call(subject: Subject) -> None:
        try:
            limits.admit(prepared, subject, 100)
        except RequestError:
            return

    return call


def parts(workers: int) -> list[tuple[str, Callable[[Subject], object]]]:
    """What is measured with a table for this many workers."""
    table = SharedTable.create(workers)
    limits = Limits(table)
    bucket = Bucket(table, "a bucket", 1e7, 1e7)
    gauge = table.gauge("a gauge")
    clock = time.monotonic

    def prepared(*kinds: Limit) -> PreparedLimits:
        return limits.prepare([ScopedLimit(limit, "server/qwen-7b") for limit in kinds])

    one, split, two = prepared(REQUESTS), prepared(OF_EACH_USER), prepared(REQUESTS, TOKENS)
    three, none_left = prepared(REQUESTS, TOKENS, OUTPUT), prepared(ONE_AN_HOUR)
    return [
        ("bucket: take", lambda _: bucket.take(1.0, clock())),
        ("bucket: charge", lambda _: bucket.charge(1.0, clock())),
        ("gauge: add", lambda _: gauge.add(1)),
        ("gauge: total", lambda _: gauge.total()),
        ("admit: a request limit", lambda item: limits.admit(one, item, 100)),
        ("admit: a request limit for each user", lambda item: limits.admit(split, item, 100)),
        ("admit: requests and tokens", lambda item: limits.admit(two, item, 100)),
        ("admit: requests, tokens and output", lambda item: limits.admit(three, item, 100)),
        ("refuse: a request limit", refused(limits, none_left)),
        ("admit, headers, settle: a request limit", settled(limits, one)),
        ("admit, headers, settle: requests and tokens", settled(limits, two)),
    ]


def main() -> None:
    """Print a line for each part, with a column for each number of workers."""
    subjects = [Subject("", f"user-{number}", "qwen", f"10.1.0.{number}") for number in range(200)]
    counts = (1, 2, 4, 8)
    columns = [{name: measure(call, subjects) for name, call in parts(count)} for count in counts]
    print(f"{'workers':45}" + "".join(f"{count:8}" for count in counts))
    for name in columns[0]:
        print(f"{name:45}" + "".join(f"{column[name]:8.0f}" for column in columns) + " ns")


if __name__ == "__main__":
    main()
