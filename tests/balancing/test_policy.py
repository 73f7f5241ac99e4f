"""What the policies promise of every endpoint's share."""

import random
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.balancing.policy import EXACT_SCAN, LeastRequest, Policy, RandomChoice, RoundRobin, make_policy
from proxy.config.spec import Balance


@dataclass(eq=False)
class FakeEndpoint:
    address: str
    weight: int = 1
    in_flight: int = 0
    available: bool = True


def endpoints(*weights: int) -> list[FakeEndpoint]:
    return [FakeEndpoint(f"http://10.0.0.{place}:8000", weight) for place, weight in enumerate(weights)]


def policy_of(balance: Balance, seed: int = 1) -> Policy:
    return make_policy(balance, random.Random(seed).random)


def served(
    policy: Policy, candidates: Sequence[FakeEndpoint], count: int, tried: Collection[FakeEndpoint] = ()
) -> Counter[FakeEndpoint]:
    picks = Counter(policy.pick(candidates, tried) for _ in range(count))
    assert None not in picks
    return Counter({endpoint: number for endpoint, number in picks.items() if endpoint is not None})


every_policy = pytest.mark.parametrize("balance", list(Balance))
few_or_many = pytest.mark.parametrize("count", [1, 2, 4, EXACT_SCAN, EXACT_SCAN + 1, 64])

ENDPOINT = st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans(), st.booleans())


@given(st.sampled_from(Balance), st.lists(ENDPOINT, max_size=24), st.integers(0, 9), st.integers(1, 5))
def test_a_retry_never_returns_to_a_tried_endpoint_while_another_is_available(
    balance: Balance, drawn: list[tuple[int, int, bool, bool]], seed: int, rounds: int
) -> None:
    candidates = [FakeEndpoint(str(n), weight, load, alive) for n, (weight, load, alive, _) in enumerate(drawn)]
    tried = [candidate for candidate, (*_, used) in zip(candidates, drawn, strict=True) if used]
    available = [candidate for candidate in candidates if candidate.available]
    fresh = [candidate for candidate in available if candidate not in tried]
    policy = policy_of(balance, seed)
    for _ in range(rounds):
        picked = policy.pick(candidates, tried)
        assert picked in (fresh or available) if available else picked is None


@every_policy
@few_or_many
def test_none_is_picked_where_none_is_available(balance: Balance, count: int) -> None:
    candidates = endpoints(*[1] * count)
    policy = policy_of(balance)
    assert policy.pick([], ()) is None
    policy.pick(candidates, ())
    for candidate in candidates:
        candidate.available = False
    assert policy.pick(candidates, ()) is None
    assert policy.pick(candidates, candidates) is None


@every_policy
@few_or_many
def test_a_tried_endpoint_is_tried_again_when_all_are_tried(balance: Balance, count: int) -> None:
    candidates = endpoints(*[1] * count)
    assert policy_of(balance).pick(candidates, set(candidates)) in candidates


@every_policy
@few_or_many
def test_no_endpoint_starves(balance: Balance, count: int) -> None:
    candidates = endpoints(*[1] * count)
    assert set(served(policy_of(balance), candidates, 20 * count)) == set(candidates)


@every_policy
@few_or_many
def test_no_endpoint_starves_beside_an_unavailable_one(balance: Balance, count: int) -> None:
    candidates = endpoints(*[1] * (count + 1))
    candidates[count // 2].available = False
    assert len(served(policy_of(balance), candidates, 20 * count)) == count


@every_policy
@few_or_many
def test_an_endpoint_of_weight_zero_serves_only_where_nothing_else_can(balance: Balance, count: int) -> None:
    candidates = endpoints(*[0] * count, 1)
    policy = policy_of(balance)
    assert set(served(policy, candidates, 200)) == {candidates[-1]}
    candidates[-1].available = False
    assert set(served(policy, candidates, 20 * count)) == set(candidates[:-1])


@every_policy
def test_endpoints_may_come_and_go_between_picks(balance: Balance) -> None:
    policy = policy_of(balance)
    everyone = endpoints(*range(1, 41))
    for start in range(40):
        for width in (1, 3, 20):
            window = everyone[start : start + width]
            assert policy.pick(window, ()) in window


@every_policy
@pytest.mark.parametrize("count", [4, 40])
def test_a_changed_weight_is_respected(balance: Balance, count: int) -> None:
    candidates = endpoints(*[100] * count)
    policy = policy_of(balance)
    served(policy, candidates, 50)
    for candidate in candidates:
        candidate.weight = 1
    candidates[0].weight = 3
    shares = saturated(policy, candidates, 6000)
    assert shares[candidates[0]] / 6000 == pytest.approx(3 / (count + 2), rel=0.25)


def saturated(policy: Policy, candidates: Sequence[FakeEndpoint], count: int) -> Counter[FakeEndpoint]:
    """Serve with 10 requests in flight for each endpoint, every endpoint as fast as it is heavy."""
    flights: list[FakeEndpoint] = []
    shares: Counter[FakeEndpoint] = Counter()
    pace = random.Random(2)
    for _ in range(count):
        picked = policy.pick(candidates, ())
        assert picked is not None
        picked.in_flight += 1
        shares[picked] += 1
        flights.append(picked)
        if len(flights) > 10 * len(candidates):
            place = pace.randrange(len(flights))
            flights[place].in_flight -= 1
            flights[place] = flights[-1]
            flights.pop()
    return shares


class TestRoundRobin:
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=20))
    def test_each_turn_gives_exact_shares(self, weights: list[int]) -> None:
        candidates = endpoints(*weights)
        policy = RoundRobin()
        for _ in range(2):
            assert served(policy, candidates, sum(weights)) == Counter(dict(zip(candidates, weights, strict=True)))

    def test_picks_are_evenly_interleaved(self) -> None:
        candidates = endpoints(5, 1, 1)
        policy = RoundRobin()
        order = [policy.pick(candidates, ()) for _ in range(7)]
        assert order == [candidates[place] for place in (0, 0, 1, 0, 2, 0, 0)]

    def test_the_share_of_one_that_is_gone_falls_evenly_to_the_others(self) -> None:
        candidates = endpoints(1, 1, 1, 1)
        candidates[1].available = False
        assert set(served(RoundRobin(), candidates, 300).values()) == {100}

    def test_what_it_keeps_does_not_grow_with_endpoints_that_left(self) -> None:
        policy = RoundRobin()
        for place in range(1000):
            policy.pick([FakeEndpoint(f"a{place}"), FakeEndpoint(f"b{place}")], ())
        assert len(policy._credit) <= 6


class TestRandomChoice:
    @pytest.mark.parametrize("repeated", [1, 16])
    def test_shares_follow_the_weights(self, repeated: int) -> None:
        candidates = endpoints(*[1, 2, 5] * repeated)
        shares = served(RandomChoice(random.Random(3).random), candidates, 16_000)
        for weight in (1, 2, 5):
            group = sum(number for endpoint, number in shares.items() if endpoint.weight == weight)
            assert group / 16_000 == pytest.approx(weight / 8, abs=0.02)

    def test_the_far_edge_of_randomness_is_the_last_one(self) -> None:
        candidates = endpoints(1, 1, 3)
        assert RandomChoice(lambda: 1.0).pick(candidates, ()) is candidates[-1]


class TestLeastRequest:
    @given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 20)), min_size=1, max_size=EXACT_SCAN))
    def test_the_least_loaded_for_its_weight_is_picked(self, drawn: list[tuple[int, int]]) -> None:
        candidates = [FakeEndpoint(str(n), weight, load) for n, (weight, load) in enumerate(drawn)]
        picked = LeastRequest(random.Random(1).random).pick(candidates, ())
        assert picked is not None
        assert (picked.in_flight + 1) / picked.weight == min((c.in_flight + 1) / c.weight for c in candidates)

    def test_ties_are_broken_in_turn(self) -> None:
        candidates = endpoints(1, 1, 1, 1)
        policy = LeastRequest(random.Random(1).random)
        assert [policy.pick(candidates, ()) for _ in range(8)] == candidates * 2

    def test_ties_fall_evenly_to_those_beside_an_unavailable_one(self) -> None:
        candidates = endpoints(1, 1, 1, 1)
        candidates[1].available = False
        assert set(served(LeastRequest(random.Random(1).random), candidates, 300).values()) == {100}

    @pytest.mark.parametrize("count", [4, EXACT_SCAN, 64])
    def test_load_follows_the_weights(self, count: int) -> None:
        candidates = endpoints(*[1, 3] * (count // 2))
        shares = saturated(LeastRequest(random.Random(5).random), candidates, 12_000)
        heavy = sum(number for endpoint, number in shares.items() if endpoint.weight == 3)
        assert heavy / 12_000 == pytest.approx(0.75, abs=0.05)

    def test_the_busiest_of_many_is_avoided(self) -> None:
        candidates = endpoints(*[1] * 64)
        candidates[7].in_flight = 100
        shares = served(LeastRequest(random.Random(5).random), candidates, 6400)
        assert shares[candidates[7]] < 10


class Color(Enum):
    RED = "red"


def test_a_balance_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'red'"):
        make_policy(Color.RED, random.Random(1).random)


def test_every_balance_has_its_policy() -> None:
    kinds = {balance: type(policy_of(balance)) for balance in Balance}
    assert kinds == {
        Balance.ROUND_ROBIN: RoundRobin,
        Balance.RANDOM: RandomChoice,
        Balance.LEAST_REQUEST: LeastRequest,
    }
