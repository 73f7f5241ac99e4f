"""What one call takes of limits, and the count of its tokens with which they are settled."""

import time
from collections.abc import Awaitable
from functools import lru_cache
from ipaddress import IPv6Network

from proxy.access.identity import Identity
from proxy.access.limits import PreparedLimits
from proxy.access.quota import Subject
from proxy.access.ticket import Ticket, tightest
from proxy.downstream.assembly import Request
from proxy.forwarding.admission import Admission
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.facts import Facts
from proxy.forwarding.meter import Meter, StreamMeter, meter_for
from proxy.forwarding.prompt import estimate
from proxy.routing.request_data import request_type

GENERATED = frozenset({"chat", "completion", "response"})
"""What is asked for where the answer is generated token by token."""

BYTES_OF_A_TOKEN = 4
"""In an answer that does not tell its tokens, as in the estimate of a prompt."""


class Toll:
    """Owns a call's tickets: its caller's and route's, and that of the server which is being asked.

    `counts` says that the answer's tokens are to be counted, or its times taken, and `hides` that the engine was asked
    for a chunk that tells them, which is not for the client.
    """

    __slots__ = (
        "_admission",
        "_estimate",
        "_exchange",
        "_facts",
        "_identity",
        "_meter",
        "_request",
        "_server_ticket",
        "_subject",
        "_ticket",
        "_told",
        "_tries",
        "counts",
        "hides",
    )

    def __init__(
        self,
        admission: Admission,
        request: Request,
        facts: Facts,
        exchange: Exchange,
        identity: Identity | None,
        *,
        address: str,
        counts: bool,
    ) -> None:
        self._admission = admission
        self._request = request
        self._facts = facts
        self._exchange = exchange
        self._identity = identity
        self._subject = subject_of(identity, admission.known_model(facts.model), address)
        self._estimate: int | None = None
        self._ticket: Ticket | None = None
        self._server_ticket: Ticket | None = None
        self._meter: Meter | None = None
        self._told = False
        self._tries = 0
        self.counts = counts
        self.hides = False

    @property
    def head_lines(self) -> bytes:
        """How the limits stand, as lines of the answer's head."""
        ticket, server = self._ticket, self._server_ticket
        if ticket is None or server is None:
            held = ticket or server
            return b"" if held is None else held.headers
        return tightest([*ticket.taken, *server.taken])

    def enter(self, route: str) -> Awaitable[None] | None:
        """Take what the caller's limits and the route's ask for: done when what this returns, if anything, is done.

        Raises RequestError, and has taken nothing then.
        """
        limits = self._admission.of_call(self._identity, route)
        if limits is None:
            return None
        self.counts = self.counts or limits.needs_usage
        if limits.shared:
            return self._enter_shared(limits)
        self._ticket = self._admission.admit(limits, self._subject, self._tokens(limits))
        return None

    def limits(self, server: str) -> bool:
        """Whether a server has limits, so that `enter_server` and `leave_server` are due."""
        return server in self._admission.of_server

    def enter_server(self, server: str) -> Awaitable[None] | None:
        """Take what this server's limits ask for, as `enter` does; given back or settled by `leave_server`."""
        limits = self._admission.of_server[server]
        self._tries = len(self._exchange.attempts)
        self.counts = self.counts or limits.needs_usage
        if limits.shared:
            return self._enter_shared_server(limits)
        self._server_ticket = self._admission.admit(limits, self._subject, self._tokens(limits))
        return None

    async def take(self, server: str) -> Ticket | None:
        """Take for a copy of the call what a server's limits ask for: None where it has none. Raises RequestError."""
        limits = self._admission.of_server.get(server)
        if limits is None:
            return None
        return await self._admission.admit_shared(limits, self._subject, self._tokens(limits))

    def leave_server(self, *, failed: bool) -> None:
        """The call is through with a server whose limits it has taken from; `failed` where that brought no answer."""
        self._note_usage()
        ticket, self._server_ticket = self._server_ticket, None
        if ticket is not None:
            self._settle(ticket, asked=len(self._exchange.attempts) > self._tries, failed=failed)

    def leave(self, *, failed: bool) -> None:
        """The call is over; `failed` where no engine brought an answer."""
        self._note_usage()
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._settle(ticket, asked=bool(self._exchange.attempts), failed=failed)

    def meter(self, content_type: bytes, *, coded: bool) -> Meter | None:
        """What counts this answer's tokens; None where nothing in it can be counted."""
        self._meter = meter_for(content_type, coded, time.perf_counter, hide=self.hides)
        return self._meter

    async def _enter_shared(self, limits: PreparedLimits) -> None:
        self._ticket = await self._admission.admit_shared(limits, self._subject, self._tokens(limits))

    async def _enter_shared_server(self, limits: PreparedLimits) -> None:
        self._server_ticket = await self._admission.admit_shared(limits, self._subject, self._tokens(limits))

    def _tokens(self, limits: PreparedLimits) -> int:
        """The estimate of the prompt's tokens, made once and only where tokens are limited."""
        if not limits.needs_usage:
            return 0
        if self._estimate is None:
            request = self._request
            self._estimate = estimate(request.body, self._facts.path, request.head.said.content_type)
        return self._estimate

    def _settle(self, ticket: Ticket, *, asked: bool, failed: bool) -> None:
        """An error of the engine's costs no tokens. The estimate stands where nothing tells better: the client left
        before the answer came, or the engine compressed it.
        """
        exchange = self._exchange
        if not asked:
            ticket.refund()
        elif failed or exchange.status >= 400:
            ticket.settle(0, 0)
        else:
            ticket.settle(exchange.input_tokens, self._output())

    def _output(self) -> int:
        """The tokens of the answer. One that was generated and tells nothing of them is charged by its size, or whoever
        finds a way to be answered so would have no limit.
        """
        exchange = self._exchange
        if self._told or request_type(self._facts.path) not in GENERATED:
            return exchange.output_tokens or 0
        return max(exchange.output_tokens or 0, -(-exchange.bytes_out // BYTES_OF_A_TOKEN))

    def _note_usage(self) -> None:
        """What the answer told, or what was seen of it before it broke off, goes into the record."""
        meter, self._meter = self._meter, None
        if meter is None:
            return
        exchange, usage = self._exchange, meter.usage()
        self._told = usage.told or isinstance(meter, StreamMeter)
        exchange.input_tokens = usage.input
        exchange.output_tokens = usage.output
        exchange.cached_tokens = usage.cached
        exchange.first_body, exchange.last_body = meter.first_body, meter.last_body


def subject_of(identity: Identity | None, model: str, address: str) -> Subject:
    """By what limits tell callers apart: where nobody is known, each address stands for a caller."""
    if ":" in address:
        address = network_of(address)
    if identity is None:
        return Subject(address, address, model, address)
    return Subject(identity.shares[0], identity.shares[1], model, address)


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """An IPv6 client's /64: whoever has one address has all of those (RFC 6177 section 2)."""
    try:
        return str(IPv6Network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address
