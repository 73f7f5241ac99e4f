"""Promises of the gauges that all workers share."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.buckets import Bucket
from proxy.access.row_memory import GRACE, MARGIN, WINDOW
from proxy.access.shared_table import SharedTable
from tests.access.clocks import Clock


def pair(clock: Clock, entries: int = 65_536) -> tuple[SharedTable, SharedTable]:
    first = SharedTable.create(2, entries, clock)
    return first, SharedTable.attach(first.fileno(), 1, clock)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5), st.floats(0, 100)), max_size=50))
def test_a_gauge_is_the_sum_of_what_the_workers_added(steps: list[tuple[int, int, float]]) -> None:
    clock = Clock()
    first = SharedTable.create(4, 64, clock)
    tables = [first, *(SharedTable.attach(first.fileno(), worker, clock) for worker in (1, 2, 3))]
    gauges = [table.gauge("waiting") for table in tables]
    own = [0, 0, 0, 0]
    for worker, delta, pause in steps:
        clock.now += pause
        gauges[worker].add(delta)
        own[worker] += delta
        assert [gauge.own for gauge in gauges] == own
        assert {gauge.total() for gauge in gauges} == {sum(own)}


def test_a_key_has_one_gauge_for_as_long_as_somebody_holds_it() -> None:
    table = SharedTable.create(1)
    gauge = table.gauge("a")
    assert table.gauge("a") is gauge
    gauge.add(2)
    gauge.add(-2)
    del gauge
    gc.collect()
    assert table.gauge("a").own == 0


def test_a_gauge_in_use_is_kept_however_long_nobody_touches_it() -> None:
    clock = Clock()
    table, other = pair(clock, entries=WINDOW)
    gauge = table.gauge("in flight")
    gauge.add(1)
    clock.now += 1e6
    crowd = [other.gauge(f"key {number}") for number in range(WINDOW)]
    assert sum(one.shared for one in crowd) == WINDOW - 1
    assert gauge.total() == other.gauge("in flight").total() == 1
    assert gauge.shared


def test_a_gauge_in_use_needs_no_lock_after_a_long_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    table, other = pair(clock)
    gauge = table.gauge("in flight")
    gauge.add(1)
    other.gauge("in flight").add(1)
    clock.now += 1e6
    monkeypatch.setattr(table, "_lock", lambda: False)
    assert gauge.total() == 2


def test_a_gauge_at_zero_is_taken_over_and_begins_anew_elsewhere() -> None:
    clock = Clock()
    table, other = pair(clock, entries=WINDOW)
    gauge = table.gauge("in flight")
    gauge.add(1)
    gauge.add(-1)
    clock.now += MARGIN + GRACE + 1
    crowd = [other.gauge(f"key {number}") for number in range(WINDOW)]
    for one in crowd:
        one.add(1)
    assert all(one.shared for one in crowd)
    gauge.add(1)
    assert not gauge.shared
    assert gauge.total() == 1
    assert [one.total() for one in crowd] == [1] * WINDOW


def test_a_gauge_that_takes_over_the_row_of_a_bucket_begins_at_zero() -> None:
    clock = Clock()
    table, other = pair(clock, entries=WINDOW)
    for number in range(WINDOW):
        Bucket(other, f"key {number}", 10, 1).charge(7, clock.now)
    clock.now += MARGIN + GRACE + 8
    gauge = table.gauge("in flight")
    assert gauge.shared
    assert gauge.total() == 0


def test_a_gauge_in_own_memory_becomes_shared_when_there_is_room() -> None:
    clock = Clock()
    table, other = pair(clock, entries=WINDOW)
    crowd = [other.gauge(f"key {number}") for number in range(WINDOW)]
    gauge = table.gauge("late")
    gauge.add(3)
    clock.now += 1
    assert gauge.total() == 3
    assert not gauge.shared
    del crowd
    clock.now += MARGIN + GRACE
    assert gauge.total() == 3
    assert gauge.shared
    assert other.gauge("late").total() == 3
    assert table.overflowed == 1


def test_a_worker_that_begins_takes_back_what_its_dead_forerunner_left() -> None:
    clock = Clock()
    table, dead = pair(clock)
    gauge = table.gauge("in flight")
    gauge.add(2)
    dead.gauge("in flight").add(5)
    SharedTable.attach(table.fileno(), 1, clock).begin_worker()
    assert gauge.total() == 2


def test_a_table_and_a_gauge_tell_what_they_hold() -> None:
    table, other = pair(Clock())
    gauge = table.gauge("a")
    gauge.add(1)
    other.gauge("a").add(2)
    assert repr(gauge) == "<Gauge 3, 1 of them this worker's>"
    assert repr(other) == "<SharedTable 65536 entries, worker 1 of 2, 0 overflowed>"


def test_a_view_that_is_closed_leaves_the_others_theirs() -> None:
    table, other = pair(Clock())
    other.close()
    gauge = table.gauge("a")
    gauge.add(1)
    assert gauge.total() == 1
