"""A call's journey among engines that do as a script says, without a network."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

from proxy.access.identity import NOBODY, Caller
from proxy.access.limits import Limits
from proxy.access.shared_table import SharedTable
from proxy.balancing.policy import RoundRobin
from proxy.config.spec import Config, EndpointSpec, ModelServer, Retries, Timeouts
from proxy.errors import UpstreamError, UpstreamFailure
from proxy.forwarding.admission import Admission
from proxy.forwarding.call import Call
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.facts import Facts
from proxy.forwarding.forwarder import Forwarder
from proxy.forwarding.heads import RequestLines
from proxy.forwarding.peek import Peek
from proxy.forwarding.shadow import Copy
from proxy.forwarding.snapshot import Snapshot
from proxy.forwarding.toll import Toll
from proxy.routing.split import Split
from proxy.routing.table import BoundShadow, BoundTarget, RouteMatch
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.retry import RetryBudget
from proxy.upstream.server import UpstreamServer
from proxy.wire.clock import Sweeper
from tests.downstream.visits import Visit, post
from tests.transports import FakeTransport, StillLoop
from tests.upstream.talks import answer, chunked

ALWAYS = Retries(attempts=2, failures=frozenset({"connect-failure", "reset"}), backoff=0.0)
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SAYS = {
    "ok": [answer(b"fine")],
    "stream": [chunked(b"one", end=b""), b"3\r\ntwo\r\n0\r\n\r\n"],
    "cut": [chunked(b"one", end=b""), None],
    "cut-events": [EVENTS + b'd\r\ndata: {"a":1}\r\n', None],
    "reset": [None],
    "junk": [b"junk\r\n\r\n"],
    "hang": [],
    "hint-reset": [b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", None],
}


def says(outcome: str) -> list[bytes | None]:
    """What an engine sends, read by read; None ends the connection."""
    if outcome.isdigit():
        return [answer(b"busy", status=outcome.encode() + b" Busy")]
    return cast("list[bytes | None]", SAYS[outcome])


class ScriptedTransport(FakeTransport):
    """Answers what is written to it, a little later."""

    script: Sequence[bytes | None] = ()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        asyncio.get_running_loop().call_soon(self._say, list(self.script))

    def _say(self, script: list[bytes | None]) -> None:
        self.settle()
        if self.closing or not script:
            return
        said = script.pop(0)
        if said is None:
            self.lose(None)
            return
        self.receive(said)
        asyncio.get_running_loop().call_soon(self._say, script)


class ScriptedPool:
    """A pool whose every connection meets its endpoint's next outcome: "refuse", a word of `SAYS`, or a status."""

    def __init__(self, sweeper: Sweeper, outcomes: Sequence[str]) -> None:
        self._sweeper = sweeper
        self.outcomes = list(outcomes)
        self.idle: list[UpstreamConnection] = []
        self.transports: list[ScriptedTransport] = []
        self.opened = 0

    def take(self) -> UpstreamConnection | None:
        return self.idle.pop() if self.idle else None

    async def open(self, _limit: float | None) -> UpstreamConnection:
        outcome = self.outcomes.pop(0) if self.outcomes else "ok"
        await asyncio.sleep(0)
        self.opened += 1
        if outcome == "refuse":
            raise UpstreamError(UpstreamFailure.CONNECT, "refused", sent=False)
        return self.connect(outcome)

    def connect(self, outcome: str) -> UpstreamConnection:
        connection = UpstreamConnection(asyncio.get_running_loop(), self._sweeper)
        transport = ScriptedTransport(connection)
        transport.script = says(outcome)
        transport.connect()
        self.transports.append(transport)
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        if connection.reusable:
            connection.rest(self._sweeper.now)
        else:
            connection.close()

    @property
    def asked(self) -> int:
        """How many requests engines have seen."""
        return sum(bool(transport.written) for transport in self.transports)


class World:
    """Model servers, each with the outcomes of its endpoints; calls go to the first, the others are fallbacks.

    With `shadowed` copies at most under way, the last one is no fallback but gets a copy of each call. `changes` are
    made to the first target.
    """

    def __init__(
        self,
        *servers: Sequence[Sequence[str]],
        retries: Retries = ALWAYS,
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - it is frozen
        models: Sequence[str | None] = (),
        budget: RetryBudget | None = None,
        shadowed: int = 0,
        **changes: Any,
    ) -> None:
        self.sweeper = Sweeper(cast("Any", StillLoop()))
        self.pools: list[list[ScriptedPool]] = []
        self.endpoints: list[Endpoint] = []
        self.servers: dict[str, UpstreamServer] = {}
        targets = []
        for number, outcomes in enumerate(servers):
            name = f"s{number}"
            specs = tuple(EndpointSpec("http", f"e{index}", 8000) for index in range(len(outcomes)))
            endpoints = [Endpoint(name, spec) for spec in specs]
            pools = [ScriptedPool(self.sweeper, list(script)) for script in outcomes]
            self.pools.append(pools)
            self.endpoints += endpoints
            living = cast("Any", dict(zip(endpoints, pools, strict=True)))
            spec = ModelServer(name, specs)
            self.servers[name] = UpstreamServer(spec, living, RoundRobin(), budget or RetryBudget(0.2, 100))
            targets.append(BoundTarget(name, models[number] if models else None, timeouts, retries))
        shadow = BoundShadow(targets.pop(), shadowed, max_body=1024) if shadowed else None
        first = replace(targets[0], **changes)
        self.match = RouteMatch("route", "rule", Split([(first, 1)]), tuple(targets[1:]), shadow)
        self.copies: list[Copy] = []
        self.caller: Caller = NOBODY
        clock = lambda: self.sweeper.now  # noqa: E731 - one for both
        self.admission = Admission(Limits(SharedTable.create(1, clock=clock), clock))
        self.forwarder = Forwarder(
            asyncio.get_running_loop(),
            self.sweeper,
            random=lambda: 0.0,
            draining=lambda: False,
            observe_copy=self.copies.append,
        )

    def limit(self, *servers: ModelServer) -> None:
        """Let these model servers' limits hold."""
        for _ in self.admission.prepare(Config({server.name: server for server in servers}, ())):
            pass

    def call(self, data: bytes = b"", visit: Visit | None = None) -> Call:
        """A request that has come and been matched."""
        visit = visit or Visit()
        visit.sends(data or post(b'{"model": "m"}', target=b"/v1/chat/completions"))
        request = visit.requests[-1]
        nothing = cast("Any", None)
        snapshot = Snapshot(nothing, nothing, self.servers, self.admission, Peek(), b"")
        exchange = Exchange("id", "192.0.2.7", "POST", "/", 0.0)
        lines = RequestLines(request.head, visit.connection, b"id")
        facts = Facts(request, Peek())
        call = Call(visit.connection, request, facts, self.match, snapshot, exchange, lines, self.caller)
        if self.admission.active:
            known, address = self.caller.identity, "192.0.2.7"
            call.toll = Toll(self.admission, request, facts, exchange, known, address=address, counts=False)
        return call

    @property
    def asked(self) -> list[list[int]]:
        """How many requests each endpoint has seen."""
        return [[pool.asked for pool in pools] for pools in self.pools]
