"""What a split promises of its shares."""

from collections import Counter
from fractions import Fraction
from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.split import MAX_WEIGHT, REPLAYED_TURN, Split

WEIGHTS = st.lists(st.integers(0, 12), min_size=1, max_size=8).filter(any)


def split_of(*weights: int) -> Split[int]:
    return Split(list(enumerate(weights)))


def picks(split: Split[int], count: int) -> list[int]:
    return [split.pick() for _ in range(count)]


def turn_of(weights: list[int]) -> int:
    return sum(weights) // gcd(*weights)


@given(WEIGHTS, st.integers(1, 1000))
def test_each_full_turn_gives_exact_shares(weights: list[int], factor: int) -> None:
    split = split_of(*(weight * factor for weight in weights))
    divisor = gcd(*weights)
    shares = {place: weight // divisor for place, weight in enumerate(weights) if weight}
    for _ in range(3):
        assert Counter(picks(split, turn_of(weights))) == shares


@given(WEIGHTS, st.integers(0, 200))
def test_a_turn_may_be_counted_from_any_pick(weights: list[int], skipped: int) -> None:
    split = split_of(*weights)
    picks(split, skipped)
    turn = turn_of(weights)
    assert Counter(picks(split, turn)) == Counter(picks(split, turn))


@given(WEIGHTS)
def test_no_item_is_ever_a_whole_request_ahead_of_its_share(weights: list[int]) -> None:
    split = split_of(*weights)
    seen: Counter[int] = Counter()
    for count in range(1, 2 * turn_of(weights) + 1):
        seen[split.pick()] += 1
        for place, weight in enumerate(weights):
            assert seen[place] - Fraction(weight * count, sum(weights)) < 1


@given(st.integers(1, 300), st.integers(1, 300))
def test_two_items_never_stray_a_whole_request_from_their_shares(one: int, other: int) -> None:
    split = split_of(one, other)
    seen = 0
    for count in range(1, 400):
        seen += split.pick() == 0
        assert abs(seen - Fraction(one * count, one + other)) < 1


def test_picks_interleave_as_nginx_does() -> None:
    assert picks(split_of(5, 1, 1), 14) == [0, 0, 1, 0, 2, 0, 0] * 2


def test_a_turn_too_long_to_be_kept_is_exact_too() -> None:
    weights = [REPLAYED_TURN, 3, 0, 2]
    split = split_of(*weights)
    for _ in range(2):
        assert Counter(picks(split, sum(weights))) == {0: REPLAYED_TURN, 1: 3, 3: 2}


def test_the_smallest_share_of_a_million_is_served() -> None:
    split = split_of(MAX_WEIGHT, 1)
    assert Counter(picks(split, MAX_WEIGHT + 1)) == {0: MAX_WEIGHT, 1: 1}


def test_an_item_of_weight_zero_gets_nothing() -> None:
    assert set(picks(split_of(0, 3, 0, 4), 70)) == {1, 3}


def test_a_lone_item_gets_everything() -> None:
    assert picks(Split([(9, 70)]), 3) == [9, 9, 9]


def test_many_items_each_get_their_turn() -> None:
    assert sorted(picks(split_of(*[7] * 1000), 1000)) == list(range(1000))


@given(WEIGHTS, st.integers(0, 60), st.integers(0, 60))
def test_an_unchanged_group_goes_on_where_it_stood(weights: list[int], before: int, after: int) -> None:
    uninterrupted = split_of(*weights)
    old, new = split_of(*weights), split_of(*weights)
    first = picks(old, before)
    new.adopt(old)
    assert first + picks(new, after) == picks(uninterrupted, before + after)


@given(st.lists(st.booleans(), min_size=10, max_size=10))
def test_a_turn_is_not_torn_while_the_old_table_still_serves(from_new: list[bool]) -> None:
    old, new = split_of(7, 3), split_of(7, 3)
    picks(old, 4)
    new.adopt(old)
    assert Counter((new if chosen else old).pick() for chosen in from_new) == {0: 7, 1: 3}


@pytest.mark.parametrize("changed", [[(0, 7), (1, 4)], [(0, 7), (2, 3)], [(1, 3), (0, 7)], [(0, 7), (1, 3), (2, 1)]])
def test_a_changed_group_starts_afresh(changed: list[tuple[int, int]]) -> None:
    old, new = split_of(7, 3), Split(changed)
    picks(old, 3)
    new.adopt(old)
    assert picks(new, 20) == picks(Split(changed), 20)


def test_a_key_says_which_groups_are_the_same() -> None:
    old, new, stranger = (
        Split([("a", 2), ("b", 1)], "x"),
        Split([("c", 2), ("d", 1)], "x"),
        Split([("c", 2), ("d", 1)], "y"),
    )
    old.pick()
    new.adopt(old)
    stranger.adopt(old)
    assert [new.pick(), new.pick()] == ["d", "c"]
    assert [stranger.pick(), stranger.pick()] == ["c", "d"]


@pytest.mark.parametrize("weights", [[], [0], [0, 0], [-1, 2], [MAX_WEIGHT + 1]])
def test_weights_that_share_nothing_are_refused(weights: list[int]) -> None:
    with pytest.raises(ValueError, match="weight"):
        split_of(*weights)


def test_its_repr_tells_the_shares() -> None:
    assert repr(Split([("stable", 90), ("next", 10)])) == "<Split 90/10 of stable, next>"
