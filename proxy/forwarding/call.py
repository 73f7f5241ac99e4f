"""One request under way: what is needed to send it, kept together."""

from proxy.downstream.assembly import Request
from proxy.downstream.connection import DownstreamConnection
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.facts import Facts
from proxy.forwarding.heads import RequestLines
from proxy.forwarding.snapshot import Snapshot
from proxy.forwarding.splice import Piece, length, splice_model
from proxy.routing.table import BoundTarget, RouteMatch
from proxy.upstream.endpoint import Endpoint

SMALL = 64 * 1024
"""Bytes up to which head and body are joined into one piece; larger bodies are not copied."""


class Call:
    """A matched request on its way: the client's connection, its facts, where it may go, and the record of it.

    Of the snapshot it keeps what it still needs: a stream that held all of it would free an old table of 10,000 routes
    at its own end, and hold the event loop for 20 ms.
    """

    __slots__ = ("downstream", "exchange", "extra", "facts", "limiters", "lines", "match", "request", "servers")

    def __init__(
        self,
        downstream: DownstreamConnection,
        request: Request,
        facts: Facts,
        match: RouteMatch,
        snapshot: Snapshot,
        exchange: Exchange,
        lines: RequestLines,
    ) -> None:
        self.downstream = downstream
        self.request = request
        self.facts = facts
        self.match = match
        self.servers = snapshot.servers
        self.limiters = snapshot.limiters
        self.exchange = exchange
        self.lines = lines
        self.extra = b""

    def body_for(self, target: BoundTarget) -> list[Piece]:
        """The body that this target gets: the client's own bytes, but for the model's name where it has its own."""
        body, facts = self.request.body, self.facts
        if target.model is None or facts.model is None or facts.model == target.model:
            return [body] if body else []
        if facts.model_span is not None:
            start, end = facts.model_span
            view = memoryview(body)
            return [view[:start], target.model.encode(), view[end:]]
        return splice_model(body, target.model)

    def message_for(self, endpoint: Endpoint, body: list[Piece]) -> list[Piece]:
        """The whole message, in one piece if it is small."""
        size = len(body[0]) if len(body) == 1 else length(body)
        head = self.lines.for_endpoint(endpoint.host, endpoint.prefix, size)
        if size <= SMALL:
            return [b"".join((head, *body))]
        return [head, *body]
