"""What telemetry, the rate limit and the retry budget add to each request, in nanoseconds.

Run `python benchmarks/telemetry.py`. Each figure is the best of seven rounds, the loop's own cost taken off; distinct
exchanges are cycled through, so that memos are no warmer than in traffic (the strings' own hashes are).
"""

import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from proxy.forwarding.exchange import Attempt, Exchange
from proxy.telemetry.access_log import JsonLines, TextLines
from proxy.telemetry.line_writer import LineWriter
from proxy.telemetry.metrics import Metrics
from proxy.telemetry.safe_text import FieldMemo, escape_field
from proxy.upstream.retry import RetryBudget

ROUNDS = 7
CALLS = 50_000


def exchange(number: int) -> Exchange:
    """A request of a busy proxy: four routes, two statuses, fifty clients, an identity of its own."""
    generator = random.Random(number)
    started = 1000.0 + number
    server = f"qwen-{number % 4}"
    endpoint = f"http://10.0.0.{number % 4 + 1}:8000"
    return Exchange(
        request_id=uuid.UUID(int=generator.getrandbits(128)).hex,
        client=f"10.1.0.{number % 50}",
        method="POST",
        target="/v1/chat/completions?key=" + str(number),
        started=started,
        model=f"Qwen/Qwen2.5-{number % 4}B-Instruct",
        route=f"chat-{number % 4}",
        rule="default",
        server=server,
        endpoint=endpoint,
        status=200 if number % 10 else 429,
        bytes_in=850,
        bytes_out=600 + number % 99,
        first_byte=started + generator.random(),
        finished=started + 1 + generator.random(),
        attempts=[Attempt(server, endpoint, "ok")],
    )


def measure(call: Callable[[Exchange], object], exchanges: Iterable[Exchange]) -> float:
    """Nanoseconds of one call."""
    inputs = list(islice(cycle(exchanges), CALLS))
    return min(one_round(call, inputs) for _ in range(ROUNDS)) - min(one_round(None, inputs) for _ in range(ROUNDS))


def one_round(call: Callable[[Exchange], object] | None, inputs: list[Exchange]) -> float:
    """Nanoseconds of one turn of the loop."""
    begun = time.perf_counter_ns()
    if call is None:
        for _ in inputs:
            pass
    else:
        for item in inputs:
            call(item)
    return (time.perf_counter_ns() - begun) / len(inputs)


def written(writer: LineWriter, line: bytes) -> Callable[[Exchange], object]:
    """A call that appends a line and now and then flushes, as a worker does."""
    count = iter(range(10**9))

    def call(_: Exchange) -> None:
        writer.append(line)
        if next(count) % 1000 == 0:
            writer.flush()

    return call


def main() -> None:
    """Print a line for each part."""
    exchanges = [exchange(number) for number in range(2000)]
    text = TextLines(time.time)
    budget = RetryBudget()
    memo = FieldMemo()
    parts: list[tuple[str, Callable[[Exchange], object]]] = [
        ("metrics: observe", Metrics().observe),
        ("access log: text line", text.line),
        ("access log: JSON line", JsonLines(time.time).line),
        ("access log: append and its share of flush", written(LineWriter(os.devnull), text.line(exchanges[0]))),
        ("retry budget: deposit", lambda _: budget.deposit()),
        ("why: a field by the memo", lambda item: memo[item.client]),
        ("why: a field escaped anew", lambda item: escape_field(item.client, 256)),
    ]
    for name, call in parts:
        print(f"{name:45} {measure(call, exchanges):7.0f} ns")


if __name__ == "__main__":
    main()
