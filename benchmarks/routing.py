"""What routing and balancing cost, in nanoseconds a call: `python benchmarks/routing.py`."""

import gc
import random
import time
import timeit
from collections.abc import Callable, Mapping

from proxy.balancing.policy import Policy, make_policy
from proxy.config.match_spec import Contains, Exact, HeaderCondition, Match, PathCondition, Prefix, Regex, ValueTest
from proxy.config.spec import Balance, Config, ModelServer, Route, Rule, Target
from proxy.routing.compiler import compile_steps, compile_table
from proxy.routing.split import Split

ROUNDS = 7
CALLS = 50_000
SERVERS: Mapping[str, ModelServer] = {"a": ModelServer("a", ()), "b": ModelServer("b", (), model="org/b")}
GROUP = (Target("a", 90), Target("b", 10))


class Request:
    """A request whose facts are at hand, so that only routing is measured."""

    __slots__ = ("headers", "method", "model", "path")

    def __init__(self, model: str | None, headers: dict[str, str]) -> None:
        self.model = model
        self.method = "POST"
        self.path = "/v1/chat/completions"
        self.headers = headers

    def header(self, name: str) -> str | None:
        """A header of the dict."""
        return self.headers.get(name)

    def query(self, name: str) -> str | None:  # noqa: ARG002 - the protocol's
        """None: no query."""
        return None

    def field(self, keys: tuple[str, ...]) -> str | None:  # noqa: ARG002 - the protocol's
        """None: no body."""
        return None


class Endpoint:
    """A candidate of plain attributes."""

    __slots__ = ("address", "available", "in_flight", "weight")

    def __init__(self, address: str, weight: int = 1) -> None:
        self.address = address
        self.weight = weight
        self.in_flight = 0
        self.available = True


def nanoseconds(call: Callable[[], object], calls: int = CALLS) -> float:
    """The best of several rounds, less what an empty call costs."""
    best = min(timeit.repeat(call, number=calls, repeat=ROUNDS))
    empty = min(timeit.repeat(lambda: None, number=calls, repeat=ROUNDS))
    return (best - empty) / calls * 1e9


def row(name: str, value: float, unit: str = "ns") -> None:
    print(f"{name:<58}{value:>10.0f} {unit}")


def premium(test: ValueTest) -> Rule:
    return Rule("premium", (Target("b"),), (Match((HeaderCondition("user-type", test),)),))


def routes(count: int) -> Config:
    """Each route names a model and has a header rule before its default, as in the README."""
    rules = (premium(Exact("premium")), Rule("default", GROUP))
    return Config(SERVERS, tuple([Route(f"route-{n}", rules, (f"model-{n}",)) for n in range(count)]))


def lookups() -> None:
    for count in (10, 1_000, 10_000):
        table = compile_table(routes(count))
        request = Request(f"model-{count // 2}", {"user-type": "free"})
        row(f"lookup: second rule of one of {count} routes by model", nanoseconds(lambda: table.lookup(request)))  # noqa: B023
    plain = compile_table(Config(SERVERS, (Route("r", (Rule("default", GROUP),), ("m",)),)))
    request = Request("m", {})
    row("lookup: a lone rule without conditions", nanoseconds(lambda: plain.lookup(request)))
    globs = Config(SERVERS, tuple([Route(f"r{n}", (Rule("d", GROUP),), (f"family-{n}-*",)) for n in range(10)]))
    table = compile_table(globs)
    last = Request("family-9-7b", {})
    row("lookup: the last of 10 globs", nanoseconds(lambda: table.lookup(last)))
    condition_kinds()


def condition_kinds() -> None:
    tests: dict[str, ValueTest] = {"exact": Exact("x"), "contains": Contains("x"), "regex": Regex("^x[0-9]+$")}
    request = Request("m", {"user-type": "premium"})
    for name, test in tests.items():
        table = compile_table(Config(SERVERS, (Route("r", (premium(test),), ("m",)),)))
        row(f"lookup: a header's {name} test that fails", nanoseconds(lambda: table.lookup(request)))  # noqa: B023
    path = Rule("r", GROUP, (Match((PathCondition(Prefix("/v1/")), HeaderCondition("user-type", Exact("premium")))),))
    table = compile_table(Config(SERVERS, (Route("r", (path,)),)))
    row("lookup: path prefix and header, no model named", nanoseconds(lambda: table.lookup(request)))


def splits() -> None:
    for weights in ((1,), (70, 30), (5, 4, 3, 3, 2, 2, 1, 1), (999_999, 1), (999_983, 7, 5, 3, 2, 2, 1, 1)):
        split = Split(list(enumerate(weights)))
        kind = "replayed" if sum(weights) < 4_096 else "stepped"
        label = f"split pick: {len(weights)} targets, {kind if len(weights) > 1 else 'alone'}"
        row(label, nanoseconds(split.pick))


def policies() -> None:
    for balance in Balance:
        for count in (1, 4, 16, 64):
            policy = make_policy(balance, random.Random(1).random)
            row(f"{balance.value} pick: {count} endpoints", pick_cost(policy, [Endpoint(str(n)) for n in range(count)]))
    candidates = [Endpoint(str(n)) for n in range(4)]
    policy = make_policy(Balance.LEAST_REQUEST, random.Random(1).random)
    row("least-request pick: 4 endpoints, one tried", pick_cost(policy, candidates, {candidates[1]}))


def pick_cost(policy: Policy, candidates: list[Endpoint], tried: set[Endpoint] | None = None) -> float:
    used = tried or ()
    calls = CALLS if len(candidates) <= 16 else CALLS // 5
    return nanoseconds(lambda: policy.pick(candidates, used), calls)


def compilation(*, collector: bool) -> None:
    """What a reload costs in processor time; `collector` leaves Python's cyclic garbage collector on meanwhile."""
    config = routes(10_000)
    previous = compile_table(config)
    gc.collect()
    gc.freeze()
    if not collector:
        gc.disable()
    pauses = []
    steps = compile_steps(config, previous)
    started = begun = time.thread_time()
    table = None
    while table is None:
        try:
            next(steps)
        except StopIteration as finished:
            table = finished.value
        now = time.thread_time()
        pauses.append(now - begun)
        begun = now
    gc.enable()
    row(f"compile 10,000 routes, collector {'on' if collector else 'off'}, in all", (begun - started) * 1e3, "ms")
    row(f"  longest of {len(pauses)} steps", max(pauses) * 1e6, "µs")
    row("  last step", pauses[-1] * 1e6, "µs")
    begun = time.thread_time()
    del previous
    row("  the previous table let go", (time.thread_time() - begun) * 1e6, "µs")


if __name__ == "__main__":
    lookups()
    splits()
    policies()
    compilation(collector=True)
    compilation(collector=False)
