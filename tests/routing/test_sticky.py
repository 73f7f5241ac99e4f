"""Promises of a split that keeps each caller on one side."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.spec import Sticky, StickyKind
from proxy.routing.sticky import StickyChoice, cookie, user_of
from tests.routing.fake_request import FakeRequest

USER = Sticky(StickyKind.HEADER, "x-user")
WEIGHTS = st.lists(st.integers(0, 100), min_size=1, max_size=5).filter(any)


def place(choice: StickyChoice, user: str) -> int | None:
    return choice.place(FakeRequest(headers={"x-user": user}))


@given(WEIGHTS, st.text(min_size=1))
def test_a_caller_stays_where_it_was_whoever_is_asked(weights: list[int], user: str) -> None:
    one, other = (StickyChoice(USER, "chat/all", weights) for _ in range(2))
    found = place(one, user)
    assert found == place(one, user) == place(other, user)
    assert found is not None
    assert weights[found] > 0


def test_a_callers_place_outlives_the_process() -> None:
    choice = StickyChoice(USER, "chat/all", [50, 50])
    assert [place(choice, user) for user in ("ada", "bob", "eve", "grace", "alan", "\ud800")] == [1, 1, 1, 0, 0, 0]


def test_callers_share_the_targets_as_their_weights_say() -> None:
    choice = StickyChoice(USER, "chat/all", [90, 0, 10])
    told = Counter(place(choice, f"user-{number}") for number in range(10_000))
    assert told.keys() == {0, 2}
    assert abs(told[2] - 1_000) < 150  # five standard deviations


@given(st.integers(0, 100), st.integers(0, 100), st.text(min_size=1))
def test_a_canary_that_grows_keeps_its_callers(small: int, more: int, user: str) -> None:
    large = min(small + more, 100)
    before, after = (StickyChoice(USER, "chat/all", [100 - share, share]) for share in (small, large))
    if place(before, user) == 1:
        assert place(after, user) == 1


def test_callers_of_one_rule_are_not_those_of_another() -> None:
    rules = [StickyChoice(USER, name, [50, 50]) for name in ("chat/one", "chat/two")]
    users = [f"user-{number}" for number in range(100)]
    one, two = ([place(rule, user) for user in users] for rule in rules)
    assert 25 < sum(first != second for first, second in zip(one, two, strict=True)) < 75


@pytest.mark.parametrize(
    ("sticky", "request_"),
    [
        (USER, FakeRequest(headers={"x-user": "ada"})),
        (Sticky(StickyKind.QUERY, "u"), FakeRequest(parameters={"u": "ada"})),
        (Sticky(StickyKind.COOKIE, "u"), FakeRequest(headers={"cookie": "a=b; u=ada; c=d"})),
        (Sticky(StickyKind.USER), FakeRequest(fields={"user": "ada"})),
        (Sticky(StickyKind.USER), FakeRequest(fields={"user": {"id": "ada", "tier": "gold"}})),
    ],
)
def test_each_kind_finds_the_caller_where_it_says(sticky: Sticky, request_: FakeRequest) -> None:
    choice = StickyChoice(sticky, "chat/all", [50, 50])
    assert choice.place(request_) == place(StickyChoice(USER, "chat/all", [50, 50]), "ada")


@pytest.mark.parametrize("kind", StickyKind)
def test_who_says_nothing_takes_a_turn(kind: StickyKind) -> None:
    choice = StickyChoice(Sticky(kind, "u"), "chat/all", [50, 50])
    empty = FakeRequest(headers={"u": "", "cookie": "u="}, parameters={"u": ""}, fields={"user": ""})
    assert choice.place(FakeRequest()) is None
    assert choice.place(empty) is None


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (None, None),
        ("", None),
        ("u", ""),
        ("u=ada", "ada"),
        ("u=ada; u=bob", "ada"),
        ("uu=bob;u=ada", "ada"),
        ('u="ada"', "ada"),
        ("u=a=b", "a=b"),
        ("U=ada", None),
        ("a=b, u=ada", "ada"),
    ],
)
def test_a_cookie_is_read_as_it_was_sent(header: str | None, value: str | None) -> None:
    assert cookie(header, "u") == value


@pytest.mark.parametrize("user", [None, 7, ["ada"], {}, {"id": 7}, {"name": "ada"}])
def test_a_user_that_is_no_text_is_nobody(user: object) -> None:
    assert user_of(FakeRequest(fields={"user": user})) is None
