"""Promises of the buckets that all workers take from at once."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.buckets import CLAIMS, TOLERANCE, Bucket
from proxy.access.kept_row import RETRY
from proxy.access.row_memory import GRACE, MARGIN, WINDOW
from proxy.access.shared_table import SharedTable
from tests.access.clocks import Clock

ROOT = Path(__file__).parents[2]


def tables(workers: int, clock: Clock, entries: int = 1024) -> list[SharedTable]:
    first = SharedTable.create(workers, entries, clock)
    return [first, *(SharedTable.attach(first.fileno(), worker, clock) for worker in range(1, workers))]


def buckets(workers: int, clock: Clock, capacity: float, per_second: float) -> list[Bucket]:
    return [Bucket(table, "a", capacity, per_second) for table in tables(workers, clock)]


def admitted(left: float) -> bool:
    return left >= 0.0


class Reference:
    """The bucket as a textbook has it: one process, one level."""

    def __init__(self, capacity: float, per_second: float, now: float) -> None:
        self.capacity, self.per_second, self.level, self.at = capacity, per_second, capacity, now

    def take(self, amount: float, now: float) -> bool:
        self.charge(0.0, now)
        if self.level < amount - TOLERANCE:
            return False
        self.level -= amount
        return True

    def charge(self, amount: float, now: float) -> None:
        self.level = min(self.capacity, self.level + (now - self.at) * self.per_second) - amount
        self.at = now


def test_a_bucket_is_full_at_first_and_no_fuller_later() -> None:
    clock = Clock()
    (bucket,) = buckets(1, clock, 3, 1)
    assert [admitted(bucket.take(1, clock.now)) for _ in range(4)] == [True, True, True, False]
    clock.now += 3600
    assert [admitted(bucket.take(1, clock.now)) for _ in range(4)] == [True, True, True, False]


def test_the_workers_take_from_the_same_bucket() -> None:
    clock = Clock()
    a, b = buckets(2, clock, 3, 1)
    assert [bucket.take(1, clock.now) for bucket in (a, b, a)] == [2, 1, 0]
    assert b.take(1, clock.now) == a.take(1, clock.now) == -1
    clock.now += 1
    assert admitted(b.take(1, clock.now))
    assert not admitted(a.take(1, clock.now))


def test_what_is_more_than_the_bucket_holds_never_fits() -> None:
    clock = Clock()
    (bucket,) = buckets(1, clock, 10, 1)
    left = bucket.take(11, clock.now)
    assert left == -1
    assert bucket.verdict(left + 11, -left).retry_after is None
    assert bucket.take(10, clock.now) == 0


def test_a_verdict_says_what_remains_and_when_it_resets() -> None:
    clock = Clock()
    (bucket,) = buckets(1, clock, 3, 10)
    assert bucket.verdict(bucket.take(1, clock.now), 0.0) == (True, 2, pytest.approx(0.1), 0.0)
    assert bucket.verdict(bucket.take(2, clock.now), 0.0) == (True, 0, pytest.approx(0.3), 0.0)
    left = bucket.take(2, clock.now)
    assert bucket.verdict(left + 2, -left) == (False, 0, pytest.approx(0.3), pytest.approx(0.2, abs=1e-6))


def test_a_charge_may_leave_a_debt_that_is_paid_back_first() -> None:
    clock = Clock()
    a, b = buckets(2, clock, 10, 1)
    a.charge(15, clock.now)
    assert b.free(clock.now) == -5
    clock.now += 5
    assert not admitted(b.take(1, clock.now))
    clock.now += 1
    assert admitted(b.take(1, clock.now))


def test_a_charge_to_a_bucket_that_was_long_full_is_not_forgotten() -> None:
    clock = Clock()
    a, b = buckets(2, clock, 10, 1)
    clock.now += 100
    a.charge(4, clock.now)
    assert b.free(clock.now) == 6


def test_what_is_given_back_can_be_taken_again_and_no_more_than_the_bucket_holds() -> None:
    clock = Clock()
    a, b = buckets(2, clock, 10, 1)
    a.take(10, clock.now)
    a.charge(-10, clock.now)
    assert b.take(10, clock.now) == 0
    b.charge(-30, clock.now)
    assert a.free(clock.now) == 10


@given(
    per_second=st.sampled_from([0.001, 0.5, 10.0, 1e5, 1e6]),
    capacity=st.integers(1, 1000),
    amount=st.floats(0.5, 1.0),
    start=st.floats(0, 1e8),
    pauses=st.lists(st.floats(0, 10), max_size=20),
)
def test_who_waits_as_told_is_admitted(
    per_second: float, capacity: int, amount: float, start: float, pauses: list[float]
) -> None:
    clock = Clock(start)
    pair = buckets(2, clock, capacity, per_second)
    wanted = capacity * amount
    for turn, pause in enumerate(pauses):
        clock.now += pause / per_second
        pair[turn % 2].take(wanted / 2, clock.now)
    left = pair[0].take(wanted, clock.now)
    if not admitted(left):
        wait = pair[0].verdict(left + wanted, -left).retry_after
        assert wait is not None
        clock.now += wait
        assert admitted(pair[1].take(wanted, clock.now))


# Powers of two and their sums: such arithmetic is exact in doubles, so that equal means equal.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["take", "take", "take", "charge"]),
        st.integers(0, 12),
        st.integers(0, 640) | st.sampled_from([0, 64, 640_000]),
    ),
    max_size=60,
)


@given(st.integers(1, 3), st.integers(1, 10), st.sampled_from([0.125, 1.0, 4.0, 1024.0]), STEPS)
def test_workers_in_turn_admit_what_one_process_admits(
    workers: int, capacity: int, per_second: float, steps: list[tuple[int, str, int, int]]
) -> None:
    clock = Clock()
    shared = buckets(workers, clock, capacity, per_second)
    reference = Reference(capacity, per_second, clock.now)
    for worker, action, amount, pause in steps:
        clock.now += pause / 64
        bucket = shared[worker % workers]
        if action == "charge":
            bucket.charge(amount - 4, clock.now)
            reference.charge(amount - 4, clock.now)
        else:
            assert admitted(bucket.take(amount, clock.now)) == reference.take(amount, clock.now)
        assert bucket.free(clock.now) == min(reference.level, capacity)


class Interleaved:
    """Workers whose takes cross: at the fence of one, between its claim and its look, the next of the steps happens.

    A crossing takes no time: it is some hundred nanoseconds.
    """

    def __init__(self, workers: int, capacity: float, per_second: float) -> None:
        self.clock = Clock()
        self.buckets = buckets(workers, self.clock, capacity, per_second)
        self.taken: list[tuple[float, float]] = []
        self.steps: list[tuple[int, float, float, bool]] = []
        self.busy: set[int] = set()
        for bucket in self.buckets:
            bucket._acquire = self.cross

    def cross(self, *_: object) -> bool:
        if self.steps and self.steps[-1][3] and self.steps[-1][0] not in self.busy:
            self.step()
        return True

    def step(self) -> None:
        worker, amount, pause, _ = self.steps.pop()
        if not self.busy:
            self.clock.now += pause
        now = self.clock.now
        self.busy.add(worker)
        if admitted(self.buckets[worker].take(amount, now)):
            self.taken.append((now, amount))
        self.busy.remove(worker)

    def run(self, steps: list[tuple[int, float, float, bool]]) -> None:
        for bucket in self.buckets:
            bucket._release = lambda: None
        self.steps = steps[::-1]
        while self.steps:
            self.step()


@given(
    st.integers(1, 20),
    st.sampled_from([0.1, 1.0, 7.0, 1000.0]),
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 10), st.just(0.0) | st.floats(0, 40), st.booleans()), max_size=60
    ),
)
def test_no_interleaving_admits_more_than_the_burst_and_the_rate_in_any_window(
    capacity: int, per_second: float, steps: list[tuple[int, float, float, bool]]
) -> None:
    world = Interleaved(4, capacity, per_second)
    world.run(steps)
    taken = sorted(world.taken)
    for first in range(len(taken)):
        total = 0.0
        for now, amount in taken[first:]:
            total += amount
            assert total <= capacity + per_second * (now - taken[first][0]) + 1e-3


def test_of_two_claims_that_cross_the_later_withdraws_and_the_earlier_stands() -> None:
    world = Interleaved(2, 10, 1)
    world.run([(0, 6, 0.0, False), (1, 6, 0.0, True)])
    assert world.taken == [(1000.0, 6)]
    assert world.buckets[0].free(1000.0) == 4


def test_claims_that_cross_and_fit_both_stand() -> None:
    world = Interleaved(2, 10, 1)
    world.run([(0, 5, 0.0, False), (1, 5, 0.0, True)])
    assert world.taken == [(1000.0, 5), (1000.0, 5)]


class Flickering(tuple[int, ...]):
    """The other worker's column, whose claim is there when `a` looks after its own, and withdrawn after that."""

    __slots__ = ()
    other: Bucket

    def __iter__(self) -> Iterator[int]:
        yield from super().__iter__()
        doubles, column = self.other._doubles, self.other._own
        doubles[column] = 0.0


def flickering(clock: Clock, claims: Iterable[float]) -> tuple[Bucket, Bucket]:
    """Two workers' bucket of ten, where the other claims one of these each time between a claim and its look."""
    a, b = buckets(2, clock, 10, 1)
    left = iter(claims)

    def claim(*_: object) -> bool:
        b._doubles[b._own] = next(left, 0.0)
        return True

    columns = type("Columns", (Flickering,), {"other": b})
    a._acquire, a._release, a._others = claim, lambda: None, columns(a._others)
    return a, b


def test_a_claim_is_tried_again_when_the_one_that_it_collided_with_was_withdrawn() -> None:
    clock = Clock()
    a, b = flickering(clock, [6.0, 6.0])
    assert a.take(6, clock.now) == 4
    assert b.free(clock.now) == 4


def test_a_claim_that_collides_each_time_is_refused_and_takes_nothing() -> None:
    clock = Clock()
    a, b = flickering(clock, [6.0] * len(CLAIMS))
    assert a.take(6, clock.now) == -2
    assert b.free(clock.now) == 10


def test_a_bucket_that_is_full_again_is_taken_over_and_one_in_debt_is_not() -> None:
    clock = Clock()
    first, second = tables(2, clock, entries=WINDOW)
    debtor, full = Bucket(first, "debtor", 10, 0.01), Bucket(first, "full", 10, 0.01)
    debtor.charge(30, clock.now)
    full.take(1, clock.now)
    clock.now += 1000
    crowd = [Bucket(second, f"key {number}", 10, 1) for number in range(WINDOW)]
    assert sum(bucket.shared for bucket in crowd) == WINDOW - 1
    assert [bucket.free(clock.now) for bucket in crowd] == [10] * WINDOW
    assert debtor.free(clock.now) == pytest.approx(-10)
    assert full.free(clock.now) == 10
    assert not full.shared


def test_a_bucket_that_takes_over_a_row_is_full_whatever_the_row_said_before() -> None:
    clock = Clock()
    first, second = tables(2, clock, entries=WINDOW)
    before = [Bucket(first, f"key {number}", 10, 1000) for number in range(WINDOW)]
    for bucket in before:
        bucket.charge(7, clock.now)
    clock.now += MARGIN + GRACE + 1
    after = [Bucket(second, f"later {number}", 10, 1) for number in range(WINDOW)]
    assert all(bucket.shared for bucket in after)
    assert [bucket.take(10, clock.now) for bucket in after] == [0] * WINDOW


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 400)), max_size=40))
def test_a_row_is_not_idle_before_its_bucket_is_full(steps: list[tuple[int, float]]) -> None:
    clock = Clock()
    pair = buckets(2, clock, 100, 0.1)
    for turn, (amount, pause) in enumerate(steps):
        clock.now += pause
        bucket = pair[turn % 2]
        bucket.take(amount, clock.now)
        filling = (100 - bucket.free(clock.now)) / 0.1
        assert bucket._doubles[bucket._place.base + 1] >= clock.now + filling - 1e-6


def test_a_bucket_without_room_keeps_the_limit_for_its_own_process_and_brings_its_debt_along() -> None:
    clock = Clock()
    first, second = tables(2, clock, entries=WINDOW)
    crowd = [Bucket(second, f"key {number}", 10, 1) for number in range(WINDOW)]
    late = Bucket(first, "late", 1000, 1)
    assert not late.shared
    assert first.overflowed == 1
    late.take(600, clock.now)
    assert not admitted(late.take(600, clock.now))
    clock.now += RETRY
    assert not admitted(late.take(600, clock.now))
    assert not late.shared
    assert crowd[0].shared
    clock.now += MARGIN + GRACE + 1
    elsewhere = Bucket(second, "late", 1000, 1)
    assert elsewhere.shared
    elsewhere.take(300, clock.now)
    assert late.free(clock.now) == pytest.approx(1000 - 600 - 300 + MARGIN + GRACE + 1 + RETRY)
    assert late.shared
    assert first.overflowed == 1


def test_a_bucket_tells_what_is_free() -> None:
    (bucket,) = buckets(1, Clock(), 10, 5)
    bucket.take(4, 1000.0)
    assert repr(bucket) == "<Bucket 5/s, 6.0 of 10 free>"


HAMMER = """
import json, sys, time
from proxy.access.buckets import Bucket
from proxy.access.shared_table import SharedTable
table = SharedTable.attach(int(sys.argv[1]), int(sys.argv[2]))
bucket = Bucket(table, "a", 100, 100)
print("ready", flush=True)
begin, end = json.loads(sys.stdin.readline())
clock, taken = time.monotonic, 0
while clock() < begin:
    pass
while (now := clock()) < end:
    if bucket.take(1.0, now) >= 0.0:
        taken += 1
print(taken, bucket.shared, flush=True)
"""


IN_STEP = """
import os, sys, time
from proxy.access.buckets import Bucket
from proxy.access.shared_table import SharedTable
table = SharedTable.attach(int(sys.argv[1]), int(sys.argv[2]))
gauge = table.gauge("step")
buckets = [Bucket(table, str(number), 1, 1e-9) for number in range(int(sys.argv[3]))]
gauge.add(1)
got = []
for turn, bucket in enumerate(buckets, 1):
    while gauge.total() < 2 * turn:
        os.sched_yield()
    got.append(2 if not bucket.shared else int(bucket.take(1.0, time.monotonic()) >= 0.0))
    gauge.add(1)
print(*got)
"""


def started(script: str, table: SharedTable, *arguments: int) -> list[subprocess.Popen[str]]:
    """A process for each worker of the table."""
    return [
        subprocess.Popen(
            [sys.executable, "-c", script, str(table.fileno()), str(worker), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(table.fileno(),),
            cwd=ROOT,
            text=True,
        )
        for worker in range(table.workers)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_processes_that_hammer_one_bucket_get_the_limit_together(workers: int) -> None:
    table = SharedTable.create(workers)
    children = started(HAMMER, table)
    assert [read_line(child) for child in children] == ["ready"] * workers
    begin = time.monotonic() + 0.05
    length = 1.5
    for child in children:
        assert child.stdin is not None
        child.stdin.write(json.dumps([begin, begin + length]) + "\n")
        child.stdin.flush()
    results = [child.communicate()[0].split() for child in children]
    assert [shared for _, shared in results] == ["True"] * workers
    assert sum(int(taken) for taken, _ in results) == pytest.approx(100 + 100 * length, rel=0.01)


@pytest.mark.slow
def test_of_two_processes_that_want_the_last_permit_at_once_one_gets_it() -> None:
    meetings = 2000
    children = started(IN_STEP, SharedTable.create(2), meetings)
    first, second = ([int(word) for word in child.communicate()[0].split()] for child in children)
    outcomes = [a + b for a, b in zip(first, second, strict=True) if 2 not in {a, b}]
    assert len(outcomes) > 0.9 * meetings
    assert outcomes.count(2) == 0
    assert outcomes.count(0) < 0.01 * meetings


def read_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()
