"""What each strategy chooses."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.mixtrain.errors import TargetSelectionError
from proxy.mixtrain.models import RoutingTarget
from proxy.mixtrain.strategies import (
    FallbackStrategy,
    ShadowStrategy,
    SingleStrategy,
    SplitStrategy,
    TargetSelector,
)
from tests.mixtrain.parts import target


def weighted(*weights: float) -> list[RoutingTarget]:
    return [target(f"m{index}", weight=weight) for index, weight in enumerate(weights)]


def split(targets: list[RoutingTarget], drawn: float) -> int:
    (chosen,) = SplitStrategy.select(targets, {}, lambda: drawn)
    return next(index for index, target in enumerate(targets) if target is chosen)


def test_single_takes_the_first_target_whatever_the_weights() -> None:
    targets = weighted(0.0, 1.0)
    assert SingleStrategy.select(targets)[0] is targets[0]


@pytest.mark.parametrize(
    ("weights", "drawn", "chosen"),
    [
        ((0.8, 0.2), 0.0, 0),
        ((0.8, 0.2), 0.5, 0),
        ((0.8, 0.2), 0.8, 0),
        ((0.8, 0.2), 0.800001, 1),
        ((0.8, 0.2), 0.999999, 1),
        ((0.0, 1.0), 0.0, 0),
        ((0.0, 1.0), 1e-9, 1),
        ((0.0, 0.0), 0.7, 0),
        ((1.0,), 0.999999, 0),
        ((0.5, 0.501), 0.4995, 0),
        ((0.25, 0.25), 0.49, 0),
        ((0.25, 0.25), 0.51, 1),
    ],
)
def test_a_split_takes_the_first_target_whose_share_reaches_the_draw(
    weights: tuple[float, ...], drawn: float, chosen: int
) -> None:
    assert split(weighted(*weights), drawn) == chosen


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 1, exclude_max=True))
def test_a_split_always_takes_exactly_one_of_its_targets(weights: list[float], drawn: float) -> None:
    targets = weighted(*weights)
    assert 0 <= split(targets, drawn) < len(targets)


def test_a_draw_beyond_all_shares_takes_the_last_target() -> None:
    assert split(weighted(0.5, 0.5), 1.5) == 1


def test_a_split_keeps_its_shares() -> None:
    targets = weighted(0.7, 0.3)
    draw = random.Random(5).random
    taken = Counter(SplitStrategy.select(targets, {}, draw)[0].model_name for _ in range(10_000))
    assert taken["m0"] / 10_000 == pytest.approx(0.7, abs=0.02)


def test_without_a_draw_numbers_come_from_pythons_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = weighted(0.5, 0.5)
    for drawn, chosen in ((0.1, targets[0]), (0.9, targets[1])):
        monkeypatch.setattr(random, "random", lambda drawn=drawn: drawn)
        assert SplitStrategy.select(targets)[0] is chosen
        assert TargetSelector.select_targets("split", targets)[0] is chosen


def test_a_shadow_is_the_second_of_two_copies() -> None:
    targets = [target("a", weight=0.0, headers={"k": "1"}), target("b")]
    primary, shadow = ShadowStrategy.select(targets)
    assert primary == targets[0]
    assert shadow == targets[1].model_copy(update={"is_shadow": True})
    assert primary.headers is not None
    primary.headers["k"] = "2"
    primary.label = shadow.label = "altered"
    assert (targets[0].headers, targets[0].label, targets[1].label) == ({"k": "1"}, None, None)
    assert not targets[1].is_shadow


def test_a_primary_that_calls_itself_a_shadow_stays_so() -> None:
    chosen = ShadowStrategy.select([target("a", is_shadow=True), target("b")])
    assert [target.is_shadow for target in chosen] == [True, True]


def test_a_fallback_takes_all_in_their_order_as_a_list_of_its_own() -> None:
    targets = weighted(0.0, 1.0, 0.5)
    chosen = FallbackStrategy.select(targets)
    assert [id(target) for target in chosen] == [id(target) for target in targets]
    chosen.clear()
    assert len(targets) == 3


@pytest.mark.parametrize(("strategy", "count"), [("single", 1), ("split", 1), ("shadow", 2), ("fallback", 2)])
def test_a_strategy_is_chosen_by_name(strategy: str, count: int) -> None:
    assert len(TargetSelector.select_targets(strategy, weighted(0.5, 0.5), {})) == count


def test_nothing_can_be_chosen_from_no_targets() -> None:
    with pytest.raises(TargetSelectionError, match=r"^No targets available for selection$"):
        TargetSelector.select_targets("single", [], {})


@pytest.mark.parametrize(
    ("strategy", "count", "cause"),
    [("shadow", 3, "Shadow strategy requires exactly 2 targets"), ("best", 1, "there is no such strategy")],
)
def test_a_strategy_that_cannot_choose_says_why(strategy: str, count: int, cause: str) -> None:
    words = f"^Target selection failed for strategy '{strategy}': {cause}"
    with pytest.raises(TargetSelectionError, match=words):
        TargetSelector.select_targets(strategy, weighted(*[1.0] * count), {})
