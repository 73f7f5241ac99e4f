"""What a place at a model server costs, in nanoseconds of processor time: `python benchmarks/queueing.py`."""

import asyncio
import random
import time
import timeit
from collections.abc import Callable
from typing import Any

from proxy.access.shared_table import SharedTable
from proxy.balancing.policy import make_policy
from proxy.config.access_spec import Queueing
from proxy.config.spec import EndpointSpec, ModelServer
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.gate import Gate
from proxy.upstream.gauge import Gauge, LocalGauges
from proxy.upstream.queue import FairQueue
from proxy.upstream.retry import RetryBudget
from proxy.upstream.server import UpstreamServer

ROUNDS = 7
CALLS = 50_000
ENDPOINTS = 4
WAITING = 1_000


def row(name: str, nanoseconds: float) -> None:
    print(f"{name:<66}{nanoseconds:>8.0f} ns")


def cost(call: Callable[[], object], calls: int = CALLS) -> float:
    """The best of several rounds, less what an empty call costs."""
    best = min(timeit.repeat(call, number=calls, repeat=ROUNDS, timer=time.thread_time))
    empty = min(timeit.repeat(lambda: None, number=calls, repeat=ROUNDS, timer=time.thread_time))
    return (best - empty) / calls * 1e9


def server_with(queueing: Queueing | None, gauges: Callable[[str], Gauge], loop: Any) -> UpstreamServer:
    """A model server of some endpoints, whose gate is there if it has bounds."""
    specs = tuple(EndpointSpec("http", f"10.0.0.{number}", 8000) for number in range(ENDPOINTS))
    spec = ModelServer("qwen", specs, queueing=queueing)
    pools: Any = {Endpoint(spec.name, endpoint): None for endpoint in specs}
    policy = make_policy(spec.balance, random.Random(1).random)
    gate = None if queueing is None else Gate(spec, pools, policy, gauges=gauges, loop=loop)
    return UpstreamServer(spec, pools, policy, RetryBudget(0.2), gate)


def request(server: UpstreamServer) -> Callable[[], None]:
    """What the forwarder does around an attempt where there is a free place."""

    def lease() -> None:
        endpoint = server.take(())
        if endpoint is None:
            return
        try:
            pass
        finally:
            server.give_back(endpoint)

    return lease


def places(loop: asyncio.AbstractEventLoop) -> None:
    free = server_with(None, LocalGauges(), loop)
    row(f"no bound: take and give back, {ENDPOINTS} endpoints", cost(request(free)))
    kinds = {
        "a server's bound": Queueing(max_in_flight=64),
        "a bound for each endpoint": Queueing(per_endpoint=16),
        "both, and a queue": Queueing(64, 16, 100),
    }
    for name, queueing in kinds.items():
        for workers, gauges in (("one worker", LocalGauges()), ("4 workers", shared_gauges(4))):
            server = server_with(queueing, gauges, loop)
            row(f"{name}: take and give back, {ENDPOINTS} endpoints, {workers}", cost(request(server)))


def shared_gauges(workers: int) -> Callable[[str], Gauge]:
    """The gauges of the first of several workers, in shared memory."""
    return SharedTable.create(workers).gauge


def queue() -> None:
    waiting: FairQueue[None] = FairQueue()
    for number in range(WAITING):
        waiting.push(None, f"caller-{number % 50}", number % 3, 1e9)

    def turn() -> None:
        waiting.pop()
        waiting.push(None, "caller-7", 2, 1e9)

    row(f"queue: one is served and one comes, {WAITING} of 50 callers wait", cost(turn))


async def hand_over(gate: Gate, count: int) -> float:
    """Processor seconds for each of so many requests that wait and are served in turn, with their tasks."""
    endpoint = gate.take(())
    if endpoint is None:
        raise RuntimeError("the gate has no place")

    async def request() -> None:
        got = await gate.wait((), "caller")
        if got is not None:
            gate.release(got)

    tasks = [asyncio.ensure_future(request()) for _ in range(count)]
    await asyncio.sleep(0)
    began = time.thread_time()
    gate.release(endpoint)
    await asyncio.gather(*tasks)
    return (time.thread_time() - began) / count


async def main() -> None:
    loop = asyncio.get_running_loop()
    places(loop)
    queue()
    gate = server_with(Queueing(1, None, WAITING), LocalGauges(), loop).gate
    if gate is not None:
        best = min([await hand_over(gate, WAITING) for _ in range(ROUNDS)])
        row("a place handed to the next that waits, its task resumed", best * 1e9)


if __name__ == "__main__":
    asyncio.run(main())
