"""One request under way: what is needed to send it, kept together."""

from proxy.downstream.assembly import Request
from proxy.downstream.connection import DownstreamConnection
from proxy.errors import RequestError
from proxy.forwarding.exchange import Exchange
from proxy.forwarding.facts import Facts
from proxy.forwarding.heads import RequestLines
from proxy.forwarding.snapshot import Snapshot
from proxy.forwarding.splice import Piece, length, place_model, splice_model
from proxy.routing.rewriting import NAMING_PATHS, Rewriter
from proxy.routing.table import BoundTarget, RouteMatch
from proxy.upstream.endpoint import Endpoint

REWRITE_FIELDS = ("x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite")

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

    def model_for(self, target: BoundTarget) -> str | None:
        """The name that is sent upstream; None where the body goes as it came."""
        if target.rewriter is None:
            return None if self.facts.model is None else target.model
        return self._rewritten(target, target.rewriter)

    def body_for(self, model: str | None) -> list[Piece]:
        """The body with this model's name: the client's own bytes, but for that one value."""
        body, facts = self.request.body, self.facts
        if model is None or facts.model == model:
            return [body] if body else []
        if facts.model is None:
            return place_model(body, model)
        if facts.model_span is not None:
            start, end = facts.model_span
            view = memoryview(body)
            return [view[:start], model.encode(), view[end:]]
        return splice_model(body, model)

    def _rewritten(self, target: BoundTarget, rewriter: Rewriter) -> str | None:
        """A rewrite of the server's own wins over what the client's control header asks for, and that over the rest.

        A request without a name gets one where its endpoint needs it (a request without a body does not).
        """
        facts = self.facts
        needs_name = facts.json and facts.path.endswith(NAMING_PATHS)
        if not facts.model and not needs_name:
            return None
        split = rewriter.split_for(facts.model)
        if split is not None:
            return split.pick()
        asked = next((value for name in REWRITE_FIELDS if (value := facts.header(name))), None)
        found = asked or target.model or facts.model
        if not found:
            raise RequestError(400, "model not found in request body", code="model_not_found", param="model")
        return found

    def message_for(self, target: BoundTarget, endpoint: Endpoint, body: list[Piece]) -> list[Piece]:
        """The whole message, in one piece if it is small."""
        size = len(body[0]) if len(body) == 1 else length(body)
        head = self.lines.for_endpoint(endpoint.host, endpoint.prefix, size, target.headers)
        if size <= SMALL:
            return [b"".join((head, *body))]
        return [head, *body]
