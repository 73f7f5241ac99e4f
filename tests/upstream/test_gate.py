"""Promises of a model server's gate."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.balancing.policy import LeastRequest, RoundRobin
from proxy.config.access_spec import Queueing
from proxy.config.spec import EndpointSpec, ModelServer, Objective
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.gate import LOOK_INTERVAL, Gate, NoPlaceError, Waiter, bounded
from proxy.upstream.gauge import LocalGauge, LocalGauges
from tests.upstream.paused import run, turns

A, B = (EndpointSpec("http", name, 8000) for name in "ab")
REASON = b"x-llm-d-request-dropped-reason: "


class Shared:
    """The gauges of several workers in one process, each by its number."""

    def __init__(self) -> None:
        self.parts: dict[str, Counter[int]] = {}

    def of(self, worker: int) -> Callable[[str], "SharedGauge"]:
        return lambda key: SharedGauge(self.parts.setdefault(key, Counter()), worker)

    def total(self, key: str) -> int:
        return sum(self.parts[key].values())


class SharedGauge:
    """One worker's view of such a gauge."""

    def __init__(self, parts: Counter[int], worker: int) -> None:
        self._parts = parts
        self._worker = worker

    @property
    def own(self) -> int:
        return self._parts[self._worker]

    def add(self, delta: int) -> None:
        self._parts[self._worker] += delta

    def total(self) -> int:
        return sum(self._parts.values())


def least_request() -> LeastRequest:
    return LeastRequest(lambda: 0.5)


def spec_of(*endpoints: EndpointSpec, **queueing: Any) -> ModelServer:
    return ModelServer("qwen", endpoints or (A,), queueing=Queueing(**queueing) if queueing else None)


def pools_of(spec: ModelServer) -> dict[Endpoint, Any]:
    return {Endpoint(spec.name, endpoint): object() for endpoint in spec.endpoints}


def gate_of(*endpoints: EndpointSpec, gauges: Any = None, **queueing: Any) -> Gate:
    """A gate with these bounds on the running loop."""
    spec = spec_of(*endpoints, **queueing)
    gauges = gauges or LocalGauges()
    return Gate(spec, pools_of(spec), least_request(), gauges=gauges, loop=asyncio.get_running_loop())


def waits(gate: Gate, caller: str = "c", priority: int = 0, **options: Any) -> "asyncio.Task[Endpoint | None]":
    return asyncio.create_task(gate.wait((), caller, priority, **options))


def leased(gate: Gate) -> Endpoint:
    endpoint = gate.take(())
    assert endpoint is not None
    return endpoint


def refusal(task: "asyncio.Task[Endpoint | None]") -> NoPlaceError:
    error = task.exception()
    assert isinstance(error, NoPlaceError)
    return error


def nothing_left(gate: Gate) -> None:
    """Whoever came has gone."""
    assert (gate.in_flight, gate.waiting) == (0, 0)
    assert gate._in_flight.total() == gate._waiting.total() == 0
    assert all(endpoint.in_flight == endpoint.gauge.total() == 0 for endpoint in gate.pools)


def on_paused_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test whose every second passes at once."""

    @wraps(test)
    def paused(**arguments: Any) -> None:
        run(cast("Any", test(**arguments)))

    return paused


# --- bounds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (spec_of(A, B), False),
        (spec_of(max_pending=5), False),
        (spec_of(max_in_flight=5), True),
        (spec_of(per_endpoint=5), True),
        (spec_of(A, replace(B, max_in_flight=1)), True),
    ],
)
def test_only_what_has_a_bound_needs_a_gate(spec: ModelServer, expected: bool) -> None:
    assert bounded(spec, spec.endpoints) is expected


@on_paused_loop
async def test_a_server_has_no_more_in_flight_than_its_bound() -> None:
    gate = gate_of(A, B, max_in_flight=3)
    endpoints = [leased(gate) for _ in range(3)]
    assert gate.take(()) is None
    gate.release(endpoints.pop())
    endpoints.append(leased(gate))
    assert gate.in_flight == 3
    for endpoint in endpoints:
        gate.release(endpoint)
    nothing_left(gate)


@on_paused_loop
async def test_an_endpoint_has_no_more_in_flight_than_its_own_bound_or_the_one_for_each() -> None:
    gate = gate_of(replace(A, max_in_flight=1), B, per_endpoint=2)
    taken = Counter(leased(gate).address for _ in range(3))
    assert taken == {"http://a:8000": 1, "http://b:8000": 2}
    assert gate.take(()) is None


@on_paused_loop
async def test_a_full_endpoint_is_no_candidate_even_where_the_policy_wants_it() -> None:
    spec = spec_of(replace(A, max_in_flight=1), B, max_in_flight=9)
    gate = Gate(spec, pools_of(spec), RoundRobin(), gauges=LocalGauges(), loop=asyncio.get_running_loop())
    assert [leased(gate).spec.host for _ in range(4)] == ["a", "b", "b", "b"]


@on_paused_loop
async def test_a_tried_endpoint_is_taken_where_all_others_are_full() -> None:
    gate = gate_of(replace(A, max_in_flight=1), B)
    first, second = gate.pools
    assert gate.take([second]) is first
    assert gate.take([second]) is second


@on_paused_loop
async def test_an_endpoint_that_does_not_serve_gets_none() -> None:
    gate = gate_of(A, B, max_in_flight=4)
    first, second = gate.pools
    first.available = False
    assert [leased(gate) for _ in range(2)] == [second, second]
    second.available = False
    assert gate.take(()) is None
    assert gate.in_flight == 2
    assert await gate.wait((), "c") is None


@on_paused_loop
async def test_the_bound_holds_over_all_workers() -> None:
    shared = Shared()
    gates = [gate_of(gauges=shared.of(worker), max_in_flight=3) for worker in range(2)]
    taken = [gates[number % 2].take(()) for number in range(5)]
    assert [endpoint is not None for endpoint in taken] == [True, True, True, False, False]
    assert shared.total("in_flight/qwen") == 3


@on_paused_loop
async def test_two_workers_that_claim_the_last_place_at_once_never_both_get_it() -> None:
    """The other's claim comes between ours and our look: both withdraw, or one stays."""
    shared = Shared()
    mine, others = (gate_of(gauges=shared.of(worker), max_in_flight=1, per_endpoint=1) for worker in range(2))
    for key in ("in_flight/qwen", "endpoint_in_flight/qwen http://a:8000"):
        shared.parts[key][1] += 1
        assert mine.take(()) is None
        shared.parts[key][1] -= 1
        assert mine.take(()) is not None
        assert others.take(()) is None
        mine.release(next(iter(mine.pools)))
    nothing_left(mine)


class TakenGauge(LocalGauge):
    """Another worker takes the place whenever this one claims it."""

    def add(self, delta: int) -> None:
        super().add(2 * delta)


@on_paused_loop
async def test_where_another_worker_is_faster_the_next_endpoint_is_claimed() -> None:
    gate = gate_of(A, B, EndpointSpec("http", "c", 8000), per_endpoint=1, max_pending=1)
    first, second, third = gate.pools
    first.gauge, second.gauge = TakenGauge(), TakenGauge()
    assert gate.take(()) is third
    assert gate.take(()) is None
    task = waits(gate)
    await asyncio.sleep(1.0)
    assert not task.done()
    task.cancel()
    await turns()
    assert first.gauge.total() == second.gauge.total() == gate.waiting == 0
    assert gate.in_flight == 1


# --- the queue -------------------------------------------------------------------------------------------------------


@on_paused_loop
async def test_a_place_that_becomes_free_goes_to_who_waits_and_not_to_a_newcomer() -> None:
    gate = gate_of(max_in_flight=1, max_pending=5)
    endpoint = leased(gate)
    first, second = waits(gate), waits(gate)
    await turns()
    gate.release(endpoint)
    assert gate.take(()) is None
    await turns()
    assert first.result() is endpoint
    assert not second.done()
    assert (gate.in_flight, gate.waiting) == (1, 1)
    gate.release(endpoint)
    await second
    gate.release(endpoint)
    nothing_left(gate)


@on_paused_loop
async def test_a_higher_priority_overtakes_and_callers_take_turns() -> None:
    gate = gate_of(max_in_flight=1, max_pending=9)
    endpoint, served = leased(gate), []
    tasks = []
    for name, caller, priority in [("a1", "a", 0), ("a2", "a", 0), ("b1", "b", 0), ("high", "a", 7)]:
        task = waits(gate, caller, priority)
        task.add_done_callback(lambda _, name=name: served.append(name))
        tasks.append(task)
    await turns()
    for _ in range(4):
        gate.release(endpoint)
        await turns()
    assert served == ["high", "a1", "b1", "a2"]


@on_paused_loop
async def test_without_a_queue_a_full_server_refuses_at_once() -> None:
    gate = gate_of(max_in_flight=1)
    leased(gate)
    task = waits(gate)
    await turns()
    error = refusal(task)
    assert (error.status, error.kind, error.code) == (429, "rate_limit_error", "queue_full")
    assert error.headers == REASON + b"rejected-saturated\r\n"
    assert error.retry_after == 1.0


@on_paused_loop
async def test_a_full_queue_refuses_who_has_no_higher_priority() -> None:
    shared = Shared()
    mine, others = (gate_of(gauges=shared.of(worker), max_in_flight=1, max_pending=2) for worker in range(2))
    endpoint = leased(mine)
    waiting = [waits(mine, priority=3), waits(others, priority=3)]
    await turns()
    late = waits(mine, priority=3)
    await turns()
    assert refusal(late).code == "queue_full"
    assert shared.total("waiting/qwen") == 2
    for task in waiting:
        task.cancel()
    await turns()
    mine.release(endpoint)
    nothing_left(mine)


@on_paused_loop
async def test_a_higher_priority_displaces_the_newest_of_the_lowest() -> None:
    gate = gate_of(max_in_flight=1, max_pending=2)
    leased(gate)
    old, new = waits(gate), waits(gate)
    await turns()
    higher = waits(gate, priority=1)
    await turns()
    error = refusal(new)
    assert (error.status, error.headers) == (429, REASON + b"evicted-priority\r\n")
    assert gate.waiting == gate._waiting.total() == 2
    assert not old.done()
    assert not higher.done()
    for task in (old, higher):
        task.cancel()
    await turns()
    assert gate._waiting.total() == 0


@on_paused_loop
async def test_a_request_that_may_be_shed_is_served_while_there_is_room_and_never_waits() -> None:
    gate = gate_of(max_in_flight=1, max_pending=5)
    leased(gate)
    task = waits(gate, priority=-1)
    await turns()
    error = refusal(task)
    assert (error.status, error.code, error.headers) == (429, "shed", REASON + b"rejected-saturated\r\n")
    assert gate.waiting == 0


@on_paused_loop
async def test_nobody_waits_longer_than_the_queues_timeout_or_its_own_deadline() -> None:
    gate = gate_of(max_in_flight=1, max_pending=5, timeout=2.0)
    leased(gate)
    loop = asyncio.get_running_loop()
    began = loop.time()
    patient, hurried = waits(gate), waits(gate, deadline=began + 0.5)
    await asyncio.wait([hurried])
    assert loop.time() - began == pytest.approx(0.5, abs=2 * LOOK_INTERVAL)
    await asyncio.wait([patient])
    assert loop.time() - began == pytest.approx(2.0, abs=2 * LOOK_INTERVAL)
    error = refusal(patient)
    assert refusal(hurried).code == error.code == "queue_timeout"
    assert (error.status, error.kind, error.headers) == (503, "server_error", REASON + b"rejected-ttl-expired\r\n")
    assert gate.waiting == gate._waiting.total() == 0


@on_paused_loop
async def test_retry_after_tells_when_those_who_wait_will_have_been_served() -> None:
    gate = gate_of(max_in_flight=1, max_pending=9)
    for _ in range(50):
        endpoint = leased(gate)
        await asyncio.sleep(2.0)
        gate.release(endpoint)
    leased(gate)
    tasks = [waits(gate) for _ in range(10)]
    await turns()
    assert refusal(tasks.pop()).retry_after == pytest.approx(20.0, rel=0.15)
    for task in tasks:
        task.cancel()


@on_paused_loop
async def test_an_endpoint_that_comes_back_is_given_to_who_waits() -> None:
    gate = gate_of(A, B, per_endpoint=1, max_pending=5)
    first, second = leased(gate), leased(gate)
    task = waits(gate)
    await turns()
    first.available = second.available = False
    gate.release(first)
    await asyncio.sleep(1.0)
    assert not task.done()
    first.available = True
    assert await asyncio.wait_for(task, 2 * LOOK_INTERVAL) is first


@on_paused_loop
async def test_nothing_runs_while_nobody_waits() -> None:
    gate = gate_of(max_in_flight=1, max_pending=5)
    endpoint = leased(gate)
    assert gate._timer is None
    task = waits(gate)
    await asyncio.sleep(1.0)
    assert gate._timer is not None
    gate.release(endpoint)
    await task
    await asyncio.sleep(2 * LOOK_INTERVAL)
    assert gate._timer is None


# --- clients that leave ----------------------------------------------------------------------------------------------


@on_paused_loop
async def test_a_client_that_leaves_frees_its_place_in_the_queue_at_once() -> None:
    gate = gate_of(max_in_flight=1, max_pending=1)
    endpoint = leased(gate)
    task = waits(gate)
    await turns()
    task.cancel()
    await turns()
    assert gate.waiting == gate._waiting.total() == 0
    second = waits(gate)
    await turns()
    gate.release(endpoint)
    assert await second is endpoint


@pytest.mark.parametrize("steps", ["release cancel", "cancel release", "release turn cancel", "cancel turn release"])
@pytest.mark.parametrize("others", [0, 1])
@on_paused_loop
async def test_no_lease_is_lost_between_hand_over_and_leaving(steps: str, others: int) -> None:
    gate = gate_of(max_in_flight=1, max_pending=5)
    endpoint = leased(gate)

    async def request() -> None:
        got = await gate.wait((), "c")
        assert got is not None
        try:
            await asyncio.sleep(1.0)
        finally:
            gate.release(got)

    task, rest = asyncio.create_task(request()), [asyncio.create_task(request()) for _ in range(others)]
    await turns()
    for step in steps.split():
        match step:
            case "release":
                gate.release(endpoint)
            case "cancel":
                task.cancel()
            case _:
                await turns(1)
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.gather(*rest)
    nothing_left(gate)


@pytest.mark.parametrize("ended", [True, False])
@on_paused_loop
async def test_who_leaves_while_being_refused_leaves_nothing(ended: bool) -> None:
    gate = gate_of(max_in_flight=1, max_pending=1)
    endpoint = leased(gate)
    task = waits(gate)
    await turns()
    if not ended:
        task.cancel()
    higher = waits(gate, priority=1)
    gate._line_up(Waiter((), None, asyncio.get_running_loop().create_future()), "d", 2, math.inf)
    if ended:
        task.cancel()
    await turns()
    assert task.cancelled()
    assert gate.waiting == gate._waiting.total() == 1
    higher.cancel()
    await turns()
    gate.release(endpoint)
    assert gate._waiting.total() == 0
    assert gate.in_flight == 1


@on_paused_loop
async def test_a_coroutine_that_is_thrown_away_leaves_nothing() -> None:
    gate = gate_of(max_in_flight=1, max_pending=1)
    endpoint = leased(gate)
    waiting = gate.wait((), "c")
    waiting.send(None)
    waiting.close()
    gate.release(endpoint)
    nothing_left(gate)


# --- reloads ---------------------------------------------------------------------------------------------------------


def follow(gate: Gate, *endpoints: EndpointSpec, **queueing: Any) -> dict[Endpoint, Any]:
    """A reload to these bounds, and to these endpoints where any are given."""
    spec = spec_of(*(endpoints or [endpoint.spec for endpoint in gate.pools]), **queueing)
    known = {endpoint.address: endpoint for endpoint in gate.pools}
    pools = {known.get(one.address) or Endpoint("qwen", one): object() for one in spec.endpoints}
    gate.follow(spec, cast("Any", pools), least_request())
    return pools


@on_paused_loop
async def test_a_raised_bound_lets_waiters_in_at_once() -> None:
    gate = gate_of(max_in_flight=1, max_pending=5)
    leased(gate)
    tasks = [waits(gate) for _ in range(3)]
    await turns()
    follow(gate, max_in_flight=3, max_pending=5)
    await turns()
    assert [task.done() for task in tasks] == [True, True, False]
    follow(gate)
    await turns()
    assert tasks[2].done()


@on_paused_loop
async def test_a_lowered_bound_drains_down_and_sends_nobody_away() -> None:
    gate = gate_of(max_in_flight=3, max_pending=5)
    endpoint, *_ = [leased(gate) for _ in range(3)]
    tasks = [waits(gate) for _ in range(2)]
    await turns()
    follow(gate, max_in_flight=1, max_pending=1)
    gate.release(endpoint)
    gate.release(endpoint)
    await turns()
    assert (gate.in_flight, [task.done() for task in tasks]) == (1, [False, False])
    gate.release(endpoint)
    await turns()
    assert (gate.in_flight, [task.done() for task in tasks]) == (1, [True, False])
    tasks[1].cancel()


@on_paused_loop
async def test_who_waits_is_given_an_endpoint_of_the_configuration_in_force() -> None:
    gate = gate_of(A, per_endpoint=1, max_pending=5)
    old = leased(gate)
    task = waits(gate)
    await turns()
    pools = follow(gate, B, per_endpoint=1, max_pending=5)
    assert await task in pools
    gate.release(old)
    assert old.in_flight == old.gauge.total() == 0
    assert gate.in_flight == 1


@on_paused_loop
async def test_an_endpoint_that_a_reload_takes_away_in_the_moment_of_hand_over_is_not_used() -> None:
    gate = gate_of(A, per_endpoint=1, max_pending=5)
    old = leased(gate)
    task = waits(gate)
    await turns()
    gate.release(old)
    pools = follow(gate, B, per_endpoint=1, max_pending=5)
    assert await task in pools
    assert old.in_flight == old.gauge.total() == 0
    assert gate.in_flight == 1


@on_paused_loop
async def test_who_waits_for_a_server_that_goes_is_told_at_once() -> None:
    gate = gate_of(max_in_flight=1, max_pending=5)
    endpoint = leased(gate)
    task = waits(gate)
    await turns()
    gate.close()
    late = waits(gate)
    await turns()
    assert [refusal(each).status for each in (task, late)] == [503, 503]
    gate.release(endpoint)
    nothing_left(gate)
    assert gate._timer is None


@on_paused_loop
async def test_a_request_has_the_priority_of_the_objective_that_it_names() -> None:
    spec = replace(spec_of(max_in_flight=1), objectives=(Objective("batch", -1), Objective("chat", 5)))
    gate = Gate(spec, pools_of(spec), least_request(), gauges=LocalGauges(), loop=asyncio.get_running_loop())
    assert [gate.priority(name) for name in ("batch", "chat", "unknown", None)] == [-1, 5, 0, 0]


@on_paused_loop
async def test_a_repr_tells_an_operator_the_truth() -> None:
    gate = gate_of(max_in_flight=1, max_pending=1)
    leased(gate)
    task = waits(gate)
    await turns()
    assert repr(gate) == "<Gate of qwen, 1 in flight, 1 waiting>"
    task.cancel()


# --- several workers -------------------------------------------------------------------------------------------------


class Workers:
    """Several workers over the same gauges, their requests, and a watch on the bound and on idle places.

    One of two endpoints is down, so that each kind of bound is the same number of places.
    """

    def __init__(self, count: int, bound: int, kind: str = "max_in_flight") -> None:
        self.shared = Shared()
        self.bound = bound
        queueing: dict[str, Any] = {kind: bound, "max_pending": 10**6, "timeout": 1e6}
        self.gates = [gate_of(A, B, gauges=self.shared.of(number), **queueing) for number in range(count)]
        for gate in self.gates:
            list(gate.pools)[1].available = False
        self.served: list[int] = [0] * count
        self.delays: list[list[float]] = [[] for _ in range(count)]
        self.idle_since: float | None = None
        self.longest_idle = 0.0
        self.idle = self.waited = 0.0

    async def request(self, worker: int, seconds: float) -> None:
        gate, loop = self.gates[worker], asyncio.get_running_loop()
        began = loop.time()
        endpoint = gate.take(()) or await gate.wait((), f"caller-{began}")
        assert endpoint is not None
        assert self.shared.total("in_flight/qwen") <= self.bound
        self.delays[worker].append(loop.time() - began)
        try:
            await asyncio.sleep(seconds)
        finally:
            gate.release(endpoint)
        self.served[worker] += 1

    async def watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            free = self.bound - self.shared.total("in_flight/qwen")
            assert free >= 0
            idle = free > 0 and self.shared.total("waiting/qwen") > 0
            self.waited += 0.001
            self.idle += 0.001 * free * idle
            if not idle:
                self.idle_since = None
            elif self.idle_since is None:
                self.idle_since = loop.time()
            else:
                self.longest_idle = max(self.longest_idle, loop.time() - self.idle_since)
            await asyncio.sleep(0.001)


async def rush(workers: Workers, loads: list[int], seconds: float) -> None:
    """So many requests come to each worker, a little apart from the others, and all are served."""
    watch = asyncio.create_task(workers.watch())
    tasks = []
    for worker, load in enumerate(loads):
        await asyncio.sleep(0.0013)
        tasks += [
            asyncio.create_task(workers.request(worker, seconds * (1 + number % 5 / 10))) for number in range(load)
        ]
    await asyncio.gather(*tasks)
    assert not watch.done()
    watch.cancel()
    assert all(gate.waiting == gate.in_flight == 0 for gate in workers.gates)


@pytest.mark.parametrize("loads", [[30, 30], [100, 3], [30, 0], [30, 12, 5, 1]])
@pytest.mark.parametrize("bound", [1, 3, 8])
@on_paused_loop
async def test_all_workers_waiters_are_served_within_the_bound_and_no_place_idles(loads: list[int], bound: int) -> None:
    workers = Workers(len(loads), bound)
    await rush(workers, loads, 0.2)
    assert workers.served == loads
    assert workers.longest_idle <= 0.0155
    assert workers.idle <= 0.015 * workers.waited * bound


@pytest.mark.parametrize("kind", ["max_in_flight", "per_endpoint"])
@on_paused_loop
async def test_a_few_waiters_of_one_worker_do_not_wait_for_all_of_anothers(kind: str) -> None:
    workers = Workers(2, 3, kind)
    await rush(workers, [150, 3], 0.2)
    assert max(workers.delays[1]) < 2.0
    assert max(workers.delays[0]) > 10.0


@on_paused_loop
async def test_a_worker_that_had_all_places_soon_has_its_part_of_them() -> None:
    workers = Workers(2, 8)
    tasks = []
    for _ in range(8):
        tasks.append(asyncio.create_task(workers.request(0, 0.2)))
        await asyncio.sleep(0.024)
    tasks += [asyncio.create_task(workers.request(0, 0.2)) for _ in range(20)]
    tasks += [asyncio.create_task(workers.request(1, 0.2)) for _ in range(200)]
    await asyncio.sleep(0.19)
    assert [gate.in_flight for gate in workers.gates] == [1, 7]
    await asyncio.gather(*tasks)


@on_paused_loop
async def test_a_place_that_has_just_become_free_is_not_overdue_for_one_that_was_left_before() -> None:
    shared = Shared()
    gate = gate_of(gauges=shared.of(0), max_in_flight=2, max_pending=999)
    leased(gate)
    others, waiting = shared.parts["in_flight/qwen"], shared.parts["waiting/qwen"]
    others[1], waiting[1] = 1, 100
    task = waits(gate)
    await turns()
    others[1] = 0
    await asyncio.sleep(1.2 * LOOK_INTERVAL)
    others[1] = 1
    await asyncio.sleep(LOOK_INTERVAL)
    others[1] = 0
    await asyncio.sleep(LOOK_INTERVAL)
    assert not task.done()
    await asyncio.sleep(2 * LOOK_INTERVAL)
    assert task.done()


@on_paused_loop
async def test_newcomers_of_a_worker_do_not_keep_anothers_waiter_out() -> None:
    workers = Workers(2, 2)
    watch = asyncio.create_task(workers.watch())

    async def stream() -> None:
        """A new request whenever one has ended: worker 0 never has a waiter for long."""
        for _ in range(200):
            await workers.request(0, 0.05)

    streams = [asyncio.create_task(stream()) for _ in range(2)]
    await asyncio.sleep(0.01)
    await workers.request(1, 0.05)
    assert workers.delays[1][0] < 0.5
    await asyncio.gather(*streams)
    assert not watch.done()
    watch.cancel()


@pytest.mark.parametrize("held", [0, 1])
@on_paused_loop
async def test_a_place_that_no_other_worker_takes_is_taken_after_two_looks(held: int) -> None:
    """Also by a worker that has more than its part."""
    shared = Shared()
    gate = gate_of(gauges=shared.of(0), max_in_flight=2, max_pending=999)
    for _ in range(held):
        leased(gate)
    shared.parts["waiting/qwen"][7] = 100  # of a worker that has died
    loop = asyncio.get_running_loop()
    for _ in range(4):
        began = loop.time()
        endpoint = await gate.wait((), "c")
        assert endpoint is not None
        assert loop.time() - began <= 2 * LOOK_INTERVAL + 1e-6
        gate.release(endpoint)


# --- any sequence ----------------------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(st.just("come"), st.integers(0, 3), st.integers(-1, 2))
    | st.tuples(st.sampled_from(["end", "leave", "turn", "pass", "bound", "fail"]), st.integers(0, 9), st.just(0)),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(EVENTS, st.integers(1, 3), st.integers(0, 4))
def test_whatever_happens_bounds_hold_and_nobody_is_lost(
    events: list[tuple[str, int, int]], bound: int, max_pending: int
) -> None:
    run(anything(events, bound, max_pending))


async def anything(events: list[tuple[str, int, int]], bound: int, max_pending: int) -> None:
    scene = Scene(bound, max_pending)
    for event, value, priority in events:
        await scene.happens(event, value, priority)
        scene.look()
    await scene.ends()


class Scene:
    """Two workers; requests come, end, leave and run out of time, endpoints fail and return, the bound changes."""

    def __init__(self, bound: int, max_pending: int) -> None:
        self.shared = Shared()
        self.queueing: dict[str, Any] = {"per_endpoint": 2, "max_pending": max_pending, "timeout": 0.1}
        self.gates = [
            gate_of(A, B, gauges=self.shared.of(worker), max_in_flight=bound, **self.queueing) for worker in range(2)
        ]
        self.highest = bound
        self.ended: list[asyncio.Event] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def request(self, gate: Gate, caller: int, priority: int, end: asyncio.Event) -> None:
        with suppress(NoPlaceError):
            endpoint = gate.take(()) or await gate.wait((), str(caller), priority)
            if endpoint is None:
                return
            try:
                await end.wait()
            finally:
                gate.release(endpoint)

    async def happens(self, event: str, value: int, priority: int) -> None:
        match event:
            case "come":
                self.ended.append(asyncio.Event())
                gate = self.gates[len(self.tasks) % 2]
                self.tasks.append(asyncio.create_task(self.request(gate, value, priority, self.ended[-1])))
            case "end" if self.ended:
                self.ended[value % len(self.ended)].set()
            case "leave" if self.tasks:
                self.tasks[value % len(self.tasks)].cancel()
            case "turn":
                await turns(1)
            case "pass":
                await asyncio.sleep(value / 100)
            case "bound":
                self.highest = max(self.highest, value % 4)
                for gate in self.gates:
                    follow(gate, max_in_flight=value % 4, **self.queueing)
            case "fail":
                endpoint = list(self.gates[value % 2].pools)[value % 3 % 2]
                endpoint.available = not endpoint.available

    def look(self) -> None:
        waiting = self.shared.total("waiting/qwen")
        assert self.shared.total("in_flight/qwen") <= self.highest
        assert waiting == sum(gate.waiting for gate in self.gates)
        assert waiting <= self.queueing["max_pending"]
        for gate in self.gates:
            assert all(0 <= endpoint.in_flight <= endpoint.gauge.total() <= 2 for endpoint in gate.pools)

    async def ends(self) -> None:
        for end in self.ended:
            end.set()
        await asyncio.sleep(0.2)
        assert all(task.done() for task in self.tasks)
        assert not [task for task in self.tasks if not task.cancelled() and task.exception()]
        for gate in self.gates:
            nothing_left(gate)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2)), min_size=1, max_size=20))
def test_who_waits_is_served_by_priority_and_each_callers_own_in_order(arrivals: list[tuple[str, int]]) -> None:
    served = run(served_order(arrivals))
    assert sorted(served) == list(range(len(arrivals)))
    assert [arrivals[number][1] for number in served] == sorted((priority for _, priority in arrivals), reverse=True)
    for key in set(arrivals):
        own = [number for number in served if arrivals[number] == key]
        assert own == sorted(own)


async def served_order(arrivals: list[tuple[str, int]]) -> list[int]:
    gate = gate_of(max_in_flight=1, max_pending=99)
    endpoint = leased(gate)
    served: list[int] = []

    async def request(number: int, caller: str, priority: int) -> None:
        got = await gate.wait((), caller, priority)
        assert got is not None
        served.append(number)
        gate.release(got)

    tasks = [asyncio.create_task(request(number, *arrival)) for number, arrival in enumerate(arrivals)]
    await turns(1)
    gate.release(endpoint)
    await asyncio.gather(*tasks)
    nothing_left(gate)
    return served


@on_paused_loop
async def test_who_waits_over_a_reload_gets_no_endpoint_that_it_does_not_know() -> None:
    gate = gate_of(A, max_in_flight=1, max_pending=5)
    before, held = gate.pools, leased(gate)
    knows, knows_none = waits(gate, pools=before), waits(gate, pools={})
    newcomer = waits(gate)
    await turns()
    after = ModelServer("qwen", (A, B), queueing=Queueing(max_in_flight=1, max_pending=5))
    (known,) = before
    gate.follow(after, {known: cast("Any", object()), Endpoint("qwen", B): cast("Any", object())}, least_request())
    await turns()
    gate.release(held)
    await turns()
    assert (await knows) is known
    assert (await knows_none) is None
    gate.release(known)
    gate.follow(
        ModelServer("qwen", (B,), queueing=after.queueing),
        {Endpoint("qwen", B): cast("Any", object())},
        least_request(),
    )
    assert gate.take((), before) is None
    newcomer.cancel()
    await turns()
