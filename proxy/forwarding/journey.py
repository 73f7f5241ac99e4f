"""One call's tries at one target: what was tried, what may be tried next, and what the client is told in the end."""

import math
import time
from collections.abc import Callable

from proxy.errors import RequestError, UpstreamError, UpstreamFailure
from proxy.forwarding.call import Call
from proxy.forwarding.exchange import Attempt
from proxy.forwarding.filters import BodyFilter, Chain
from proxy.forwarding.restore import ModelRestorer, can_restore
from proxy.forwarding.splice import Piece
from proxy.routing.table import BoundTarget
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.gate import Gate
from proxy.upstream.retry import backoff, may_retry, parse_retry_after
from proxy.upstream.server import UpstreamServer
from proxy.wire.response_gate import Framing, ResponseHead

LONGEST_WAIT = 10.0
"""Seconds of an engine's Retry-After that a request waits for; a longer wish goes to the client with the answer."""


class Journey:
    """Owns a call's tries at one target: which endpoints it has seen, how many tries are left, and what comes next.

    `alters` says that the answer's body may come out longer or shorter than it came in.
    """

    __slots__ = (
        "_left",
        "_tries",
        "alters",
        "body",
        "call",
        "error",
        "last",
        "model",
        "pause",
        "repeatable",
        "server",
        "target",
        "tried",
    )

    def __init__(self, call: Call, target: BoundTarget, server: UpstreamServer, last: bool) -> None:
        self.call = call
        self.target = target
        self.server = server
        self.last = last
        self.model = call.model_for(target)
        self.body: list[Piece] = call.body_for(self.model)
        self.tried: list[Endpoint] = []
        self.repeatable = may_retry(call.facts.method, call.facts.path, sent=True)
        self.error: RequestError | None = None
        self.pause = 0.0
        self.alters = False
        self._left = target.retries.attempts
        self._tries = 0
        server.budget.deposit()

    def begin(self, endpoint: Endpoint) -> Attempt:
        """A try begins."""
        exchange = self.call.exchange
        exchange.server = self.target.server
        exchange.endpoint = endpoint.address
        exchange.sent_model = self.model
        self.tried.append(endpoint)
        self._tries += 1
        record = Attempt(self.target.server, endpoint.address)
        if self.call.match.judged:
            record.started = time.perf_counter()
        exchange.attempts.append(record)
        return record

    async def wait_for_place(self, gate: Gate, now: float) -> Endpoint | None:
        """A place at an endpoint, as soon as it is this call's turn; NoPlaceError where it gets none."""
        call, began = self.call, time.perf_counter()
        try:
            deadline = self.total_deadline(now)
            return await gate.wait(self.tried, call.flow, call.priority_at(gate), deadline, self.server.pools)
        finally:
            call.exchange.queued += time.perf_counter() - began

    def total_deadline(self, now: float) -> float:
        """When the whole request must have ended, on the loop's clock."""
        total = self.target.timeouts.total
        if total is None:
            return math.inf
        return now + total - (time.perf_counter() - self.call.exchange.started)

    def failed(self, error: UpstreamError, random: Callable[[], float]) -> None:
        """No answer came: another try if the rule allows it for this failure, else the error.

        What the engine may have begun, and must not be run twice, goes to no fallback either: RequestError.
        """
        if error.sent and not self.repeatable:
            raise as_request_error(error) from error
        # An endpoint that is down fails at once, so it is picked often: the budget would soon be spent on what costs
        # the engines nothing.
        free = not error.sent and self._elsewhere()
        if error.failure.value in self.target.retries.failures and self._grant(free=free):
            self.pause = self._backoff(random)
        else:
            self.error = as_request_error(error)

    def wants_retry(self, head: ResponseHead, random: Callable[[], float]) -> bool:
        """Whether an answer, whose status is one to retry on, is dropped and another one asked for."""
        if not self.repeatable:
            return False
        pause = self._pause_after(head, random)
        if pause is not None and self._grant():
            self.pause = pause
            return True
        if self.last:
            return False
        self.error = RequestError(head.status, "the engine answered with an error", kind="server_error")
        return True

    def filters(self, head: ResponseHead) -> BodyFilter | None:
        """What the answer passes through: what counts its tokens, and what puts the client's own name for the model
        back where another one was sent.
        """
        asked, sent = self.call.facts.model, self.model
        restores = self.target.restore_model and asked and sent and asked != sent
        toll = self.call.toll
        counts = toll is not None and toll.counts
        if not (restores or counts) or head.framing is Framing.NONE:
            return None
        self.alters = bool(restores) or (toll is not None and toll.hides)
        said = head.said
        meter = toll.meter(said.content_type, coded=said.coded) if toll is not None and counts else None
        if not (restores and asked and sent and can_restore(said.content_type, said.coded)):
            return meter
        restorer = ModelRestorer(sent, asked)
        return restorer if meter is None else Chain((meter, restorer))

    def _grant(self, *, free: bool = False) -> bool:
        """Whether there is a try left, and the server's budget has one for us; a `free` one needs no budget."""
        if self._left <= 0 or not (free or self.server.budget.withdraw()):
            return False
        self._left -= 1
        return True

    def _elsewhere(self) -> bool:
        """Whether there is an available endpoint that this request has not tried."""
        return any(endpoint.available and endpoint not in self.tried for endpoint in self.server.endpoints)

    def _backoff(self, random: Callable[[], float]) -> float:
        return backoff(self._tries, self.target.retries.backoff, random)

    def _pause_after(self, head: ResponseHead, random: Callable[[], float]) -> float | None:
        """The wait before the next try. Retry-After speaks for this endpoint: another one need not wait for it."""
        pause = self._backoff(random)
        if self._elsewhere():
            return pause
        for name, _, value in head.said.fields:
            if name == b"retry-after":
                wish = parse_retry_after(value, time.time())
                if wish is not None:
                    return None if wish > LONGEST_WAIT else max(wish, pause)
        return pause


def as_request_error(error: UpstreamError) -> RequestError:
    """What the client is told. Addresses of engines stay with us."""
    if error.failure is UpstreamFailure.TIMEOUT:
        return RequestError(504, error.message, kind="server_error", code="upstream_timeout")
    return RequestError(
        502, error.message, kind="server_error", code="upstream_" + error.failure.value.replace("-", "_")
    )
