"""Which limits hold for a call, made ready once for a configuration."""

from collections.abc import Sequence
from typing import Any

import pytest

from proxy.access.buckets import Verdict
from proxy.access.identity import Identity
from proxy.access.limits import Limits, PreparedLimits
from proxy.access.quota import ScopedLimit, Subject
from proxy.access.shared_store import Want
from proxy.access.shared_table import SharedTable
from proxy.config.access_spec import Counted, Limit, Redis, Share
from proxy.config.spec import Config, ModelServer, RateLimit, Route, TokenLimit
from proxy.errors import ConfigError, Problem, RequestError, Severity
from proxy.forwarding.admission import Admission, joined, kthena_limits, route_limits, server_limits
from tests.access.clocks import Clock

SUBJECT = Subject("k", "u", "m", "a")
HERE, THERE = Redis("redis://here"), Redis("redis://there")


def a_month(amount: float, counted: Counted = Counted.REQUESTS, **more: Any) -> Limit:
    return Limit(counted, amount, "month", **more)


class Store:
    """A Redis that has enough of everything."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def take(self, wants: Sequence[Want], timeout: float) -> Sequence[Verdict] | None:  # noqa: ASYNC109
        del timeout
        self.asked.append(len(wants))
        return [Verdict(True, want.capacity - want.cost, 1.0, 0.0) for want in wants]

    def charge(self, wants: Sequence[Want]) -> None:
        """As it is told."""


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def admission(store: Store) -> Admission:
    clock = Clock()
    return Admission(Limits(SharedTable.create(1, 1024, clock), clock, lambda _: store))


def prepared(admission: Admission, *parts: ModelServer | Route) -> int:
    """Make the limits of a configuration ready; the pauses that were made."""
    servers = {part.name: part for part in parts if isinstance(part, ModelServer)}
    routes = tuple(part for part in parts if isinstance(part, Route))
    return sum(1 for _ in admission.prepare(Config(servers, routes)))


def passes(admission: Admission, limits: PreparedLimits | None, most: int = 20) -> int:
    """How many requests pass, of so many."""
    assert limits is not None
    for count in range(most):
        try:
            admission.admit(limits, SUBJECT, 1)
        except RequestError:
            return count
    return most


def known(name: str, *limits: Limit) -> Identity:
    return Identity(name, "key", "/keys", {}, limits=limits)


def test_what_has_no_limits_is_not_asked_for_any(admission: Admission) -> None:
    assert prepared(admission, ModelServer("s", ()), Route("r", ())) == 0
    assert not admission.active
    assert (admission.of_server, admission.of_route, admission.of_call(None, "r")) == ({}, {}, None)


def test_a_configuration_is_made_ready_with_a_pause_after_each_part_that_has_limits(admission: Admission) -> None:
    parts = [ModelServer(f"s{number}", (), limits=(a_month(1),)) for number in range(3)]
    routes = [Route(f"r{number}", (), limits=(a_month(1),)) for number in range(4)]
    assert prepared(admission, *parts, *routes, Route("free", ())) == 7
    assert admission.active
    assert (len(admission.of_server), len(admission.of_route)) == (3, 4)


def test_a_servers_rate_limit_is_one_of_its_limits() -> None:
    server = ModelServer("s", (), rate_limit=RateLimit(100.0, 200), limits=(a_month(5),))
    first, second = server_limits("s", server)
    assert (first.limit.capacity, first.limit.per_second, first.limit.counted) == (200, 100.0, Counted.REQUESTS)
    assert (second, first.scope) == (ScopedLimit(a_month(5), "server/s"), "server/s")


def test_kthenas_limit_holds_a_units_tokens_and_its_estimate_stays_one() -> None:
    assert list(kthena_limits(TokenLimit(30, 100, "minute", "redis.example:6379"))) == [
        Limit(Counted.INPUT_TOKENS, 30, "minute", redis=Redis("redis://redis.example:6379"), settled=False),
        Limit(Counted.OUTPUT_TOKENS, 100, "minute", redis=Redis("redis://redis.example:6379"), settled=False),
    ]
    assert [limit.counted for limit in kthena_limits(TokenLimit(None, 1))] == [Counted.OUTPUT_TOKENS]
    assert [limit.redis for limit in kthena_limits(TokenLimit(1, None))] == [None]


def test_a_route_has_kthenas_limit_beside_its_own() -> None:
    route = Route("r", (), token_limit=TokenLimit(30, None, "hour"), limits=(a_month(5),))
    assert [scoped.limit.counted for scoped in route_limits(route)] == [Counted.INPUT_TOKENS, Counted.REQUESTS]
    assert {scoped.scope for scoped in route_limits(route)} == {"route/r"}


def test_a_caller_without_limits_has_the_routes(admission: Admission) -> None:
    prepared(admission, Route("r", (), limits=(a_month(3),)))
    assert admission.of_call(known("k"), "r") is admission.of_route["r"]
    assert admission.of_call(None, "r") is admission.of_route["r"]


def test_a_callers_limits_hold_on_all_routes_together_and_a_routes_for_all_callers(admission: Admission) -> None:
    prepared(admission, Route("r", (), limits=(a_month(7),)))
    caller = known("k", a_month(4))
    assert passes(admission, admission.of_call(caller, "free"), 2) == 2
    assert passes(admission, admission.of_call(caller, "r")) == 2
    assert passes(admission, admission.of_call(known("other", a_month(100)), "r")) == 5


def test_a_key_that_is_read_again_goes_on_with_what_it_had_left(admission: Admission) -> None:
    assert passes(admission, admission.of_call(known("k", a_month(4)), "r"), 3) == 3
    assert passes(admission, admission.of_call(known("k", a_month(4)), "r")) == 1


def test_what_was_made_ready_for_a_caller_is_used_again(admission: Admission) -> None:
    caller = known("k", a_month(4))
    assert admission.of_call(caller, "r") is admission.of_call(caller, "r")
    assert admission.of_call(caller, "r") is not admission.of_call(known("k", a_month(4)), "r")


def test_no_more_callers_are_remembered_than_stated(admission: Admission, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.forwarding.admission.MOST_CALLERS", 2)
    callers = [known(f"k{number}", a_month(4)) for number in range(3)]
    before = admission.of_call(callers[0], "r")
    for caller in callers:
        admission.of_call(caller, "r")
    assert admission.of_call(callers[0], "r") is not before


async def test_a_redis_that_keeps_a_callers_limits_and_a_routes_is_asked_once(
    admission: Admission, store: Store
) -> None:
    prepared(admission, Route("r", (), limits=(a_month(1, redis=HERE), a_month(2, redis=HERE), a_month(5))))
    limits = admission.of_call(known("k", a_month(3, redis=HERE)), "r")
    assert limits is not None
    await admission.admit_shared(limits, SUBJECT, 0)
    assert store.asked == [3]


async def test_what_is_kept_on_this_host_is_taken_once_where_other_limits_are_shared(admission: Admission) -> None:
    prepared(admission, Route("r", (), limits=(a_month(3), a_month(99, redis=HERE))))
    limits = admission.of_route["r"]
    for _ in range(3):
        await admission.admit_shared(limits, SUBJECT, 0)
    with pytest.raises(RequestError):
        await admission.admit_shared(limits, SUBJECT, 0)


def test_limits_are_joined_by_where_they_are_kept(admission: Admission) -> None:
    prepared(
        admission,
        Route("a", (), limits=(a_month(1), a_month(2, redis=HERE))),
        Route("b", (), limits=(a_month(3, Counted.TOKENS), a_month(4, redis=HERE), a_month(5, redis=THERE))),
    )
    both = joined(admission.of_route["a"], admission.of_route["b"])
    assert [quota.capacity for quota in both.local] == [1, 3]
    assert {group.redis: [quota.capacity for quota in group.quotas] for group in both.shared} == {
        HERE: [2, 4],
        THERE: [5],
    }
    assert [quota.capacity for group in both.shared for quota in group.on_this_host.local] == [2, 4, 5]
    assert both.needs_usage
    assert not admission.of_route["a"].needs_usage


def test_a_store_that_cannot_be_used_is_told_when_the_configuration_is_made_ready(store: Store) -> None:
    def find(redis: Redis) -> Store:
        if redis == THERE:
            raise ConfigError((Problem(Severity.ERROR, "redis", "", 0, 0, "", "no such store"),))
        return store

    clock = Clock()
    admission = Admission(Limits(SharedTable.create(1, 1024, clock), clock, find))
    prepared(admission, Route("r", (), limits=(a_month(1, redis=HERE),)))
    with pytest.raises(ConfigError):
        prepared(admission, Route("r", (), limits=(a_month(1, redis=THERE),)))
    with pytest.raises(RequestError) as refused:
        admission.of_call(known("k", a_month(1, redis=THERE)), "r")
    assert (refused.value.status, refused.value.code) == (503, "limits_unavailable")


def test_a_split_limit_has_a_bucket_for_each_subject(admission: Admission) -> None:
    prepared(admission, Route("r", (), limits=(a_month(1, by=(Share.MODEL,)),)))
    limits = admission.of_route["r"]
    for model in ("m", "n"):
        admission.admit(limits, SUBJECT._replace(model=model), 0)
        with pytest.raises(RequestError):
            admission.admit(limits, SUBJECT._replace(model=model), 0)


def test_only_so_many_names_that_clients_make_up_stand_for_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.forwarding.admission.MOST_OTHERS", 2)
    admission = Admission(Limits(SharedTable.create(1, 1024)), ["qwen"])
    told = [admission.known_model(name) for name in ("a", "b", "c", "a", "qwen", "x" * 257, None)]
    assert told == ["a", "b", "", "a", "qwen", "", ""]
