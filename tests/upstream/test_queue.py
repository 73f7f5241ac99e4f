"""Promises of the queue: who is next."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.upstream.queue import Entry, FairQueue


def filled(*arrivals: str | tuple[str, int]) -> FairQueue[int]:
    """A queue into which these callers have come, each with a priority (0) and its number as the item."""
    queue: FairQueue[int] = FairQueue()
    for number, arrival in enumerate(arrivals):
        caller, priority = (arrival, 0) if isinstance(arrival, str) else arrival
        queue.push(number, caller, priority, math.inf)
    return queue


def order(queue: FairQueue[int]) -> list[int]:
    """The items in the order in which they are served."""
    served = []
    while (entry := queue.pop()) is not None:
        served.append(entry.item)
    return served


def test_a_callers_own_come_out_as_they_came() -> None:
    assert order(filled("a", "a", "a")) == [0, 1, 2]


def test_callers_take_turns() -> None:
    assert order(filled("a", "a", "a", "b", "b", "c")) == [0, 3, 5, 1, 4, 2]


def test_a_thousand_of_one_caller_delay_anothers_first_by_one_turn() -> None:
    queue = filled(*["crowd"] * 1000)
    queue.pop()
    queue.push(-1, "single", 0, math.inf)
    assert order(queue)[:2] == [1, -1]


def test_higher_priorities_come_first() -> None:
    assert order(filled("a", ("b", 5), ("c", -1), ("d", 5), ("a", 9))) == [4, 1, 3, 0, 2]


def test_who_is_next_is_seen_before_it_is_taken() -> None:
    queue = filled("a", ("b", 1))
    first = queue.peek()
    assert first is not None
    assert first is queue.pop()
    assert first.item == 1
    assert len(queue) == 1


def test_an_empty_queue_has_nobody() -> None:
    queue = filled()
    assert (queue.peek(), queue.pop(), len(queue), queue.displace(5)) == (None, None, 0, None)


def test_who_leaves_changes_nobody_elses_turn() -> None:
    queue = filled("a", "b", "b", "c")
    first = queue.peek()
    assert first is not None
    assert queue.remove(first)
    assert not queue.remove(first)
    assert order(queue) == [1, 3, 2]


def test_room_is_made_by_the_newest_of_the_caller_with_most_in_the_lowest_priority() -> None:
    queue = filled(("a", 1), ("b", 0), ("c", 0), ("c", 0), ("d", 2))
    assert [entry.item for entry in iter(lambda: queue.displace(2), None)] == [3, 2, 1, 0]
    assert order(queue) == [4]


@pytest.mark.parametrize("priority", [-1, 0])
def test_nobody_makes_room_for_a_priority_that_is_not_higher(priority: int) -> None:
    queue = filled("a")
    assert queue.displace(priority) is None
    assert len(queue) == 1


def test_who_has_waited_until_its_time_is_taken_out() -> None:
    queue: FairQueue[int] = FairQueue()
    for number, expires in enumerate((3.0, 1.0, 2.0, math.inf)):
        queue.push(number, "a", 0, expires)
    queue.pop()
    assert [entry.item for entry in queue.expired(2.0)] == [1, 2]
    assert queue.expired(1e9) == []
    assert order(queue) == [3]


def test_all_can_be_sent_away_at_once() -> None:
    queue = filled("a", "b", ("a", 1))
    assert sorted(entry.item for entry in queue.clear()) == [0, 1, 2]
    assert len(queue) == 0
    assert queue.peek() is None


def test_those_who_left_do_not_pile_up() -> None:
    queue = filled("a")
    for number in range(10_000):
        queue.push(number, "b", 1, 1e9)
        queue.pop()
    assert len(queue._deadlines) < 100


def test_a_repr_tells_an_operator_the_truth() -> None:
    queue = filled("a")
    assert repr(queue) == "<FairQueue, 1 wait>"
    assert repr(queue.peek()) == "<Entry of 'a', priority 0>"


ARRIVAL = st.tuples(st.just("push"), st.sampled_from("abc"), st.integers(0, 2), st.integers(1, 20))
STEPS = st.lists(
    ARRIVAL
    | st.tuples(st.sampled_from(["pop", "remove", "displace", "expire"]), st.just(""), st.integers(0, 9), st.just(0)),
    max_size=60,
)


class Model:
    """What the queue promises, said slowly: lists, and a ring of callers for each priority."""

    def __init__(self) -> None:
        self.waiting: list[Entry[int]] = []
        self.rings: dict[int, list[str]] = {}

    def push(self, entry: Entry[int]) -> None:
        self.waiting.append(entry)
        ring = self.rings.setdefault(entry.priority, [])
        if entry.caller not in ring:
            ring.append(entry.caller)

    def band(self, priority: int) -> list[Entry[int]]:
        return [entry for entry in self.waiting if entry.priority == priority]

    def pop(self) -> Entry[int] | None:
        if not self.waiting:
            return None
        priority = max(entry.priority for entry in self.waiting)
        caller = self.rings[priority][0]
        entry = next(entry for entry in self.band(priority) if entry.caller == caller)
        self.rings[priority].append(self.rings[priority].pop(0))
        self.remove(entry)
        return entry

    def remove(self, entry: Entry[int]) -> None:
        self.waiting.remove(entry)
        if all(other.caller != entry.caller for other in self.band(entry.priority)):
            self.rings[entry.priority].remove(entry.caller)

    def displace(self, priority: int) -> Entry[int] | None:
        lowest = min((entry.priority for entry in self.waiting), default=priority)
        if lowest >= priority:
            return None
        band = self.band(lowest)
        counts = {caller: sum(entry.caller == caller for entry in band) for caller in reversed(self.rings[lowest])}
        most = max(counts, key=lambda caller: counts[caller])
        entry = [entry for entry in band if entry.caller == most][-1]
        self.remove(entry)
        return entry

    def expired(self, now: int) -> set[Entry[int]]:
        over = {entry for entry in self.waiting if entry.expires <= now}
        for entry in over:
            self.remove(entry)
        return over


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_it_serves_as_its_promises_say_whatever_happens(steps: list[tuple[str, str, int, int]]) -> None:
    queue: FairQueue[int] = FairQueue()
    model = Model()
    for number, (action, caller, value, expires) in enumerate(steps):
        match action:
            case "push":
                model.push(queue.push(number, caller, value, expires))
            case "pop":
                assert queue.pop() is model.pop()
            case "displace":
                assert queue.displace(value) is model.displace(value)
            case "expire":
                assert set(queue.expired(value)) == model.expired(value)
            case _ if model.waiting:
                entry = model.waiting[value % len(model.waiting)]
                model.remove(entry)
                assert queue.remove(entry)
        assert len(queue) == len(model.waiting)
    while model.waiting:
        assert queue.pop() is model.pop()
    assert queue.pop() is None


@settings(deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40))
def test_between_two_turns_of_a_caller_no_other_has_two(callers: list[str]) -> None:
    served = [callers[number] for number in order(filled(*callers))]
    for caller in set(callers):
        turns = [place for place, name in enumerate(served) if name == caller]
        for first, second in pairwise(turns):
            between = served[first + 1 : second]
            assert len(between) == len(set(between))
