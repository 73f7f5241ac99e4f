"""Promises of the looks that make sure a row is still its key's."""

from proxy.access.buckets import Bucket
from proxy.access.kept_row import RETRY, REVIEW
from proxy.access.row_memory import GRACE, MARGIN, WINDOW
from proxy.access.shared_table import SharedTable
from tests.access.clocks import Clock


def test_a_row_in_use_is_never_taken_over() -> None:
    clock = Clock()
    first = SharedTable.create(2, WINDOW, clock)
    second = SharedTable.attach(first.fileno(), 1, clock)
    used = Bucket(first, "used", 1e6, 1e6)
    crowd = [Bucket(second, f"key {number}", 1, 1) for number in range(WINDOW - 1)]
    base = used._place.base
    for turn in range(200):
        clock.now += REVIEW - 0.1
        used.take(1, clock.now)
        crowd.append(Bucket(second, f"late {turn}", 1, 1))
        assert used._place.base == base
        assert used._place.words[base] == used._word


def test_nobody_uses_a_row_for_longer_than_it_is_kept_without_a_look() -> None:
    assert REVIEW + GRACE < MARGIN
    assert RETRY < MARGIN


def test_a_key_that_comes_back_after_its_row_was_taken_over_gets_another() -> None:
    clock = Clock()
    first = SharedTable.create(2, WINDOW, clock)
    second = SharedTable.attach(first.fileno(), 1, clock)
    bucket = Bucket(first, "a", 2, 1)
    bucket.take(2, clock.now)
    clock.now += MARGIN + GRACE + 10
    crowd = [Bucket(second, f"key {number}", 1, 1) for number in range(WINDOW)]
    assert [one.take(1, clock.now) for one in crowd] == [0] * WINDOW
    clock.now += MARGIN + GRACE + 10
    assert bucket.take(2, clock.now) == 0
    assert bucket.shared
    assert Bucket(second, "a", 2, 1).take(1, clock.now) == -1
