"""Promises of the limits as a request meets them, on a clock that only the tests move."""

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from proxy.access.buckets import Verdict
from proxy.access.limits import Limits, PreparedLimits
from proxy.access.quota import ScopedLimit, Subject
from proxy.access.shared_store import Want
from proxy.access.shared_table import SharedTable
from proxy.config.access_spec import Counted, Fail, Limit, Redis, Share
from proxy.errors import RequestError
from tests.access.clocks import Clock

ALICE = Subject("k1", "alice", "qwen", "10.0.0.1")
BOB = Subject("k2", "bob", "qwen", "10.0.0.2")
REDIS = Redis("redis://here", timeout=0.5)


class Store:
    """What Redis would say, and what it was asked."""

    def __init__(self) -> None:
        self.away = False
        self.verdicts: list[Verdict] = []
        self.asked: list[tuple[list[Want], float]] = []
        self.charged: list[list[Want]] = []

    async def take(self, wants: Sequence[Want], timeout: float) -> Sequence[Verdict] | None:  # noqa: ASYNC109
        self.asked.append((list(wants), timeout))
        if self.away:
            return None
        return self.verdicts or [Verdict(True, want.capacity - want.cost, 1.0, 0.0) for want in wants]

    def charge(self, wants: Sequence[Want]) -> None:
        self.charged.append(list(wants))


class World:
    """A worker's limits, and those of a second worker."""

    def __init__(self, redis: Redis | None = None) -> None:
        self.clock = Clock()
        self.store = Store()
        table = SharedTable.create(2, 1024, self.clock)
        tables = (table, SharedTable.attach(table.fileno(), 1, self.clock))
        self.limits, self.other = (Limits(one, self.clock, lambda _: self.store, redis) for one in tables)

    def prepare(self, *limits: Limit, scope: str = "server/qwen-7b") -> PreparedLimits:
        return self.limits.prepare([ScopedLimit(limit, scope) for limit in limits])


def refused(world: World, prepared: PreparedLimits, tokens: int = 0, subject: Subject = ALICE) -> RequestError:
    with pytest.raises(RequestError) as caught:
        world.limits.admit(prepared, subject, tokens)
    return caught.value


def test_a_request_limit_admits_its_burst_and_then_refuses_with_the_time_to_wait() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.REQUESTS, 10, burst=3))
    tickets = [world.limits.admit(prepared, ALICE, 0) for _ in range(3)]
    assert tickets[-1].headers.splitlines()[1] == b"x-ratelimit-remaining-requests: 0"
    error = refused(world, prepared)
    assert (error.status, error.code, error.kind) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert error.message == "request rate limit exceeded for model server: qwen-7b"
    assert error.retry_after == pytest.approx(0.1, abs=1e-6)
    assert error.headers == tickets[-1].headers
    world.clock.now += error.retry_after or 0.0
    world.limits.admit(prepared, ALICE, 0)


def test_two_workers_keep_one_limit() -> None:
    world = World()
    limit = [ScopedLimit(Limit(Counted.REQUESTS, 10, burst=3), "route/chat")]
    ours, theirs = world.limits.prepare(limit), world.other.prepare(limit)
    world.limits.admit(ours, ALICE, 0)
    world.other.admit(theirs, ALICE, 0)
    world.other.admit(theirs, ALICE, 0)
    refused(world, ours)


def test_a_limit_outlives_a_reload_that_leaves_it_unchanged() -> None:
    world = World()
    world.limits.admit(world.prepare(Limit(Counted.REQUESTS, 1)), ALICE, 0)
    refused(world, world.prepare(Limit(Counted.REQUESTS, 1)))
    world.limits.admit(world.prepare(Limit(Counted.REQUESTS, 2)), ALICE, 0)


def test_a_limit_that_is_written_twice_counts_once() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.REQUESTS, 2), Limit(Counted.REQUESTS, 2))
    world.limits.admit(prepared, ALICE, 0)
    world.limits.admit(prepared, ALICE, 0)


def test_each_user_has_a_bucket_of_a_limit_that_is_split_by_user() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.REQUESTS, 1, by=(Share.USER,)))
    world.limits.admit(prepared, ALICE, 0)
    world.limits.admit(prepared, BOB, 0)
    refused(world, prepared)


def test_a_refused_request_takes_nothing_of_any_limit() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.REQUESTS, 1), Limit(Counted.INPUT_TOKENS, 10))
    error = refused(world, prepared, 11)
    assert error.headers == (
        b"x-ratelimit-limit-requests: 1\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1s\r\n"
        b"x-ratelimit-limit-tokens: 10\r\nx-ratelimit-remaining-tokens: 10\r\nx-ratelimit-reset-tokens: 0s\r\n"
    )
    world.limits.admit(prepared, ALICE, 10)


def test_a_refusal_leaves_an_earlier_ticket_what_it_had() -> None:
    world = World()
    route = world.prepare(Limit(Counted.REQUESTS, 1), scope="route/chat")
    server = world.prepare(Limit(Counted.REQUESTS, 5), Limit(Counted.INPUT_TOKENS, 10))
    ticket = world.limits.admit(route, ALICE, 11)
    with pytest.raises(RequestError):
        world.limits.admit(server, ALICE, 11, ticket)
    refused(world, route)
    ticket.refund()
    world.limits.admit(route, ALICE, 11)


def test_a_prompt_that_is_larger_than_the_limit_never_fits() -> None:
    world = World()
    error = refused(world, world.prepare(Limit(Counted.INPUT_TOKENS, 100, "month")), 101)
    assert error.retry_after is None
    assert "input token rate limit exceeded" in error.message
    assert "more than the limit of 100" in error.message


def test_input_is_taken_as_estimated_and_corrected_when_it_is_known() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.INPUT_TOKENS, 100, "minute"))
    ticket = world.limits.admit(prepared, ALICE, 100)
    assert ticket.needs_usage
    refused(world, prepared, 1)
    ticket.settle(40, 1000)
    world.limits.admit(prepared, ALICE, 60)
    refused(world, prepared, 1)


def test_output_needs_one_token_left_and_is_charged_at_the_end_also_beyond_the_limit() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.OUTPUT_TOKENS, 60, "minute"))
    for _ in range(2):
        world.limits.admit(prepared, ALICE, 1000).settle(None, 30 + 15)
    error = refused(world, prepared)
    assert error.message == "output token rate limit exceeded for model server: qwen-7b"
    assert error.retry_after == pytest.approx(31, abs=1e-5)
    assert b"x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 1m30s" in error.headers
    world.clock.now += error.retry_after or 0.0
    world.limits.admit(prepared, ALICE, 1000)


def test_a_limit_of_tokens_counts_input_and_output() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.TOKENS, 100, "minute"))
    world.limits.admit(prepared, ALICE, 50).settle(60, 30)
    assert world.limits.admit(prepared, ALICE, 0).headers.splitlines()[1] == b"x-ratelimit-remaining-tokens: 10"


def test_a_month_has_thirty_days() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.INPUT_TOKENS, 3000, "month"))
    world.limits.admit(prepared, ALICE, 3000)
    world.clock.now += 86_400
    world.limits.admit(prepared, ALICE, 100)
    refused(world, prepared, 1)


def test_no_limits_cost_nothing_and_say_nothing() -> None:
    world = World()
    prepared = world.prepare()
    assert not prepared
    ticket = world.limits.admit(prepared, ALICE, 100)
    assert ticket.headers == b""
    assert not ticket.needs_usage


def test_limits_of_one_redis_are_asked_in_one_call() -> None:
    world = World()
    prepared = world.prepare(
        Limit(Counted.REQUESTS, 10, redis=REDIS), Limit(Counted.OUTPUT_TOKENS, 60, "minute", redis=REDIS)
    )
    ticket = asyncio.run(world.limits.admit_shared(prepared, ALICE, 7))
    ((wants, timeout),) = world.store.asked
    assert timeout == 0.5
    assert [want[1:] for want in wants] == [(1.0, 10, 10, 0.0), (0.0, 60, 1, 1.0)]
    assert ticket.needs_usage
    assert b"x-ratelimit-remaining-requests: 9\r\n" in ticket.headers


def test_the_default_redis_keeps_the_limits_that_name_no_other() -> None:
    world = World(REDIS)
    assert not world.prepare(Limit(Counted.REQUESTS, 10)).local
    assert world.prepare(Limit(Counted.REQUESTS, 10)).shared[0].redis == REDIS


def test_local_limits_are_asked_before_those_that_hosts_share() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.REQUESTS, 1), Limit(Counted.TOKENS, 100, redis=REDIS))
    asyncio.run(world.limits.admit_shared(prepared, ALICE, 7))
    with pytest.raises(RequestError, match="request rate limit"):
        asyncio.run(world.limits.admit_shared(prepared, ALICE, 7))
    assert len(world.store.asked) == 1


def test_what_a_store_refuses_is_refused_and_what_was_taken_here_is_given_back() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.REQUESTS, 1), Limit(Counted.INPUT_TOKENS, 100, redis=REDIS))
    world.store.verdicts = [Verdict(False, 5.0, 95.0, 2.0)]
    with pytest.raises(RequestError, match="input token rate limit exceeded") as caught:
        asyncio.run(world.limits.admit_shared(prepared, ALICE, 7))
    assert caught.value.retry_after == 2.0
    assert b"x-ratelimit-remaining-tokens: 5\r\n" in caught.value.headers
    assert not world.store.charged
    world.limits.admit(prepared, ALICE, 7)


def test_a_store_is_told_once_what_a_request_still_owes() -> None:
    world = World()
    prepared = world.prepare(
        Limit(Counted.REQUESTS, 10, redis=REDIS),
        Limit(Counted.INPUT_TOKENS, 1000, redis=REDIS),
        Limit(Counted.OUTPUT_TOKENS, 1000, redis=REDIS),
    )
    ticket = asyncio.run(world.limits.admit_shared(prepared, ALICE, 7))
    ticket.settle(5, 20)
    ticket.settle(5, 20)
    assert [[(want.cost, want.at_least) for want in wants] for wants in world.store.charged] == [[(-2, 0), (20, 0)]]


def test_a_refund_gives_back_what_a_store_took() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.REQUESTS, 10, redis=REDIS))
    asyncio.run(world.limits.admit_shared(prepared, ALICE, 7)).refund()
    assert [want.cost for want in world.store.charged[0]] == [-1]


def test_without_redis_an_open_limit_lets_all_pass() -> None:
    world = World()
    world.store.away = True
    prepared = world.prepare(Limit(Counted.REQUESTS, 1, redis=Redis("redis://gone", Fail.OPEN)))
    for _ in range(3):
        assert asyncio.run(world.limits.admit_shared(prepared, ALICE, 7)).headers == b""


def test_without_redis_a_local_limit_is_kept_on_this_host() -> None:
    world = World()
    world.store.away = True
    prepared = world.prepare(Limit(Counted.REQUESTS, 1, redis=Redis("redis://gone", Fail.LOCAL)))
    asyncio.run(world.limits.admit_shared(prepared, ALICE, 7))
    with pytest.raises(RequestError, match="request rate limit exceeded"):
        asyncio.run(world.limits.admit_shared(prepared, ALICE, 7))


def test_without_redis_a_closed_limit_lets_nobody_pass_and_gives_back_the_rest() -> None:
    world = World()
    world.store.away = True
    prepared = world.prepare(
        Limit(Counted.REQUESTS, 1), Limit(Counted.REQUESTS, 5, redis=Redis("redis://gone", Fail.CLOSED))
    )
    with pytest.raises(RequestError) as caught:
        asyncio.run(world.limits.admit_shared(prepared, ALICE, 7))
    assert (caught.value.status, caught.value.code) == (503, "limits_unavailable")
    world.limits.admit(prepared, ALICE, 7)


def test_a_second_redis_that_refuses_gives_back_what_the_first_took() -> None:
    world = World()
    prepared = world.prepare(
        Limit(Counted.REQUESTS, 1, redis=REDIS),
        Limit(Counted.REQUESTS, 5, redis=Redis("redis://gone", Fail.CLOSED)),
    )

    class Second(Store):
        away = True

        async def take(self, wants: Sequence[Want], timeout: float) -> Sequence[Verdict] | None:  # noqa: ASYNC109
            return None

    first, second = Store(), Second()
    world.limits._stores = lambda redis: first if redis == REDIS else second
    with pytest.raises(RequestError):
        asyncio.run(world.limits.admit_shared(prepared, ALICE, 7))
    assert [want.cost for want in first.charged[0]] == [-1]


async def test_a_request_that_is_cancelled_while_it_asks_gives_back_what_it_took_here() -> None:
    world = World()
    prepared = world.prepare(Limit(Counted.REQUESTS, 1), Limit(Counted.REQUESTS, 5, redis=REDIS))
    asked = asyncio.Event()

    class Slow(Store):
        async def take(self, wants: Sequence[Want], timeout: float) -> Sequence[Verdict] | None:  # noqa: ASYNC109
            asked.set()
            await asyncio.Event().wait()
            return None

    world.limits._stores = lambda _: Slow()
    task = asyncio.create_task(world.limits.admit_shared(prepared, ALICE, 7))
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    world.limits.admit(prepared, ALICE, 7)


def test_the_first_request_of_a_caller_finds_a_full_bucket_however_long_it_took_to_make() -> None:
    ticking = itertools.count(1000.0, 0.25)
    clock = lambda: next(ticking)  # noqa: E731 - time goes by at every look
    limits = Limits(SharedTable.create(2, clock=clock), clock)
    one_each = Limit(Counted.REQUESTS, 1, "minute", by=(Share.USER,))
    prepared = limits.prepare([ScopedLimit(one_each, "route/chat")])
    for user in "abc":
        limits.admit(prepared, Subject(user, user, "m", "192.0.2.7"), 0)
        with pytest.raises(RequestError):
            limits.admit(prepared, Subject(user, user, "m", "192.0.2.7"), 0)
