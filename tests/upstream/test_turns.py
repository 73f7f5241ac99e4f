"""Promises of the turns that workers take."""

import pytest

from proxy.upstream.turns import PATIENCE, Demand, Turns


def demand(own: int, waiting: int, others: int, others_waiting: int, places: float = 8) -> Demand:
    return Demand(own, waiting, own + others, waiting + others_waiting, places)


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        (demand(3, 1, 3, 1), 4.0),
        (demand(0, 1, 7, 8), 0.5),
        (demand(0, 1, 7, 8, places=2), 0.5),
        (demand(1, 5, 1, 5, places=2), 1.5),
    ],
)
def test_a_workers_part_of_the_places_is_its_part_of_the_demand(asked: Demand, part: float) -> None:
    assert asked.part == part


def test_a_place_is_ours_while_nobody_waits_elsewhere() -> None:
    turns = Turns()
    assert all(turns.ours(demand(own, 5, 0, 0)) for own in range(8))


def test_a_place_is_ours_up_to_our_part_and_never_above_it() -> None:
    turns = Turns()
    assert all(turns.ours(demand(3, 1, 4, 0, places=8)) for _ in range(5))
    assert all(turns.ours(demand(3, 5, 3, 5)) for _ in range(5))
    assert not any(turns.ours(demand(4, 4, 3, 5)) for _ in range(5))


def test_the_place_that_is_nobodys_whole_is_given_every_second_time() -> None:
    turns, given = Turns(), []
    for _ in range(6):
        given.append(turns.ours(demand(0, 1, 0, 1, places=1)))
        turns.look(free=False)
    assert given == [True, False] * 3


def test_a_place_that_was_left_is_overdue_after_some_looks_at_which_it_was_free() -> None:
    turns = Turns()
    assert not turns.ours(demand(4, 4, 3, 5))
    assert [turns.look(free=True) for _ in range(PATIENCE + 1)] == [False, True, False]
    assert not turns.ours(demand(4, 4, 3, 5))
    assert [turns.look(free=free) for free in (True, False, True)] == [False, False, False]
