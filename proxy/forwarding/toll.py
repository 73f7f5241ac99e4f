"""What one call takes of limits, and the count of its tokens with which they are settled."""

import time

from proxy.access.identity import Identity
from proxy.access.limits import PreparedLimits
from proxy.access.quota import Subject
from proxy.access.ticket import Ticket, tightest
from proxy.downstream.assembly import Request
from proxy.errors import RequestError
from proxy.forwarding.admission import Admission
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.facts import Facts
from proxy.forwarding.meter import Meter, meter_for
from proxy.forwarding.prompt import estimate


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
        "_failed",
        "_identity",
        "_meter",
        "_request",
        "_server_ticket",
        "_subject",
        "_ticket",
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
        self._subject = subject_of(identity, facts.model or "", address)
        self._estimate: int | None = None
        self._ticket: Ticket | None = None
        self._server_ticket: Ticket | None = None
        self._meter: Meter | None = None
        self._failed = False
        self.counts = counts
        self.hides = False

    @property
    def head_lines(self) -> bytes:
        """How the limits stand, as lines of the answer's head."""
        held = [ticket for ticket in (self._ticket, self._server_ticket) if ticket is not None]
        if len(held) == 1:
            return held[0].headers
        return tightest([taking for ticket in held for taking in ticket.taken])

    async def enter(self, route: str) -> None:
        """Take what the caller's limits and the route's ask for. Raises RequestError, and has taken nothing then."""
        prepared = [self._admission.of_route.get(route)]
        if self._identity is not None and self._identity.limits:
            prepared.insert(0, self._admission.of_caller(self._identity))
        try:
            for limits in prepared:
                if limits is not None:
                    self._ticket = await self._take(limits, self._ticket)
        except RequestError:
            self.leave(asked=False)
            raise

    async def take(self, server: str) -> Ticket | None:
        """Take what a server's limits ask for: None where it has none. Raises RequestError."""
        limits = self._admission.of_server.get(server)
        return None if limits is None else await self._take(limits, None)

    async def enter_server(self, server: str) -> None:
        """Take what this server's limits ask for; given back or settled by `leave_server`. Raises RequestError."""
        self._server_ticket = await self.take(server)

    def leave_server(self, *, asked: bool, failed: bool) -> None:
        """The call is through with a server: `asked` says that an engine was, `failed` that it brought no answer."""
        self._note_usage()
        self._failed = failed
        ticket, self._server_ticket = self._server_ticket, None
        if ticket is not None:
            self._settle(ticket, asked=asked)

    def leave(self, *, asked: bool) -> None:
        """The call is over."""
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            self._settle(ticket, asked=asked)

    def meter(self, content_type: bytes, *, coded: bool) -> Meter | None:
        """What counts this answer's tokens; None where nothing in it can be counted."""
        self._meter = meter_for(content_type, coded, time.perf_counter, hide=self.hides)
        return self._meter

    async def _take(self, limits: PreparedLimits, earlier: Ticket | None) -> Ticket:
        if self._estimate is None:
            self._estimate = self._estimated() if limits.needs_usage else None
        ticket = await self._admission.admit(limits, self._subject, self._estimate or 0, earlier)
        self.counts = self.counts or ticket.needs_usage
        return ticket

    def _estimated(self) -> int:
        request = self._request
        return estimate(request.body, self._facts.path, request.head.said.content_type)

    def _settle(self, ticket: Ticket, *, asked: bool) -> None:
        """An error of the engine's costs no tokens. The estimate stands where nothing tells better: the client left
        before the answer came, or the engine compressed it.
        """
        exchange = self._exchange
        if not asked:
            ticket.refund()
        elif self._failed or exchange.status >= 400:
            ticket.settle(0, 0)
        else:
            ticket.settle(exchange.input_tokens, exchange.output_tokens or 0)

    def _note_usage(self) -> None:
        """What the answer told, or what was seen of it before it broke off, goes into the record."""
        meter, self._meter = self._meter, None
        if meter is None:
            return
        exchange, usage = self._exchange, meter.usage()
        exchange.input_tokens = usage.input
        exchange.output_tokens = usage.output
        exchange.cached_tokens = usage.cached
        exchange.first_body, exchange.last_body = meter.first_body, meter.last_body


def subject_of(identity: Identity | None, model: str, address: str) -> Subject:
    """By what limits tell callers apart: where nobody is known, each address stands for a caller."""
    if identity is None:
        return Subject(address, address, model, address)
    return Subject(identity.id, identity.user, model, address)
