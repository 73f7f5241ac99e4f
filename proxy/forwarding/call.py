"""One request under way: what is needed to send it, kept together."""

from proxy.access.identity import NOBODY, Caller
from proxy.downstream.assembly import Request
from proxy.downstream.connection import DownstreamConnection
from proxy.errors import RequestError
from proxy.forwarding.exchange import Exchange, FailedLink
from proxy.forwarding.facts import Facts
from proxy.forwarding.heads import BARE, Dressing, RequestLines, dressing
from proxy.forwarding.include_usage import with_usage
from proxy.forwarding.snapshot import Snapshot
from proxy.forwarding.splice import Body, Piece, length, place_model, splice_model
from proxy.forwarding.toll import Toll
from proxy.routing.rewriting import NAMING_PATHS, Rewriter
from proxy.routing.table import BoundTarget, RouteMatch
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.gate import Gate
from proxy.upstream.server import UpstreamServer

# Of the Gateway API inference extension; the first of each is llm-d's spelling.
REWRITE_FIELDS = ("x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite")
OBJECTIVE_FIELDS = ("x-llm-d-inference-objective", "x-gateway-inference-objective")
FAIRNESS_FIELDS = ("x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")

SMALL = 64 * 1024
"""Bytes up to which head and body are joined into one piece; larger bodies are not copied."""


class Call:
    """A matched request on its way: the client's connection, its facts, where it may go, and the record of it.

    Of the snapshot it keeps what it still needs: a stream that held all of it would free an old table of 10,000 routes
    at its own end, and hold the event loop for 20 ms. `toll` is there where limits or a canary count something of it,
    and `strips` says that its caller's credential was meant for us.
    """

    __slots__ = (
        "body",
        "caller",
        "downstream",
        "exchange",
        "facts",
        "lines",
        "match",
        "request",
        "servers",
        "strips",
        "toll",
    )

    def __init__(
        self,
        downstream: DownstreamConnection,
        request: Request,
        facts: Facts,
        match: RouteMatch,
        snapshot: Snapshot,
        exchange: Exchange,
        lines: RequestLines,
        caller: Caller = NOBODY,
    ) -> None:
        self.downstream = downstream
        self.request = request
        self.facts = facts
        self.match = match
        self.servers = snapshot.servers
        self.exchange = exchange
        self.lines = lines
        self.caller = caller
        self.toll: Toll | None = None
        self.strips = False
        self.body: Body = request.body

    @property
    def flow(self) -> str:
        """Whose turn the call takes where it waits: its caller's, as a credential, a header or the address tells it."""
        identity = self.caller.identity
        if identity is not None:
            return identity.id
        return self._said(FAIRNESS_FIELDS) or self.downstream.client

    def priority_at(self, gate: Gate) -> int:
        """By the objective that the request names, else by its caller's key."""
        objective = self._said(OBJECTIVE_FIELDS)
        if objective is not None:
            return gate.priority(objective)
        return 0 if self.caller.identity is None else self.caller.identity.priority

    def link_failed(self, server: str, reason: str) -> None:
        """A target had no answer, and the next one is asked."""
        self.exchange.chain = (*self.exchange.chain, FailedLink(server, reason))

    def model_for(self, target: BoundTarget) -> str | None:
        """The name that is sent upstream; None where the body goes as it came."""
        if target.rewriter is None:
            return None if self.facts.model is None else target.model
        return self._rewritten(target, target.rewriter)

    def body_for(self, model: str | None) -> list[Piece]:
        """The body with this model's name: the client's own bytes, but for that one value."""
        body, facts = self.body, self.facts
        if model is None or facts.model == model:
            return [body] if body else []
        if facts.model is None:
            return place_model(body, model)
        if facts.model_span is not None:
            start, end = facts.model_span
            view = memoryview(body)
            return [view[:start], model.encode(), view[end:]]
        return splice_model(body, model)

    def ask_for_usage(self, toll: Toll) -> None:
        """Let a stream end with its usage; the chunk that tells it is kept from a client that did not ask."""
        if toll.hides or not self.facts.asks_for_stream:
            return
        pieces = with_usage(self.body, self.facts.path)
        if pieces is not None:
            self.body = b"".join(pieces)
            toll.hides = True

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
        asked = self._said(REWRITE_FIELDS)
        found = asked or target.model or facts.model
        if not found:
            raise RequestError(400, "model not found in request body", code="model_not_found", param="model")
        return found

    def _said(self, names: tuple[str, ...]) -> str | None:
        """What one of several headers of one meaning says."""
        return next((value for name in names if (value := self.facts.header(name))), None)

    def dressing(self, target: BoundTarget, server: UpstreamServer) -> Dressing:
        """What is set on requests there. A credential that told us who calls is not for the engine, unless asked.

        In a compressed answer no tokens could be counted.
        """
        strip = self.strips and not target.forwards
        plain = self.toll is not None and self.toll.counts
        if not target.headers and server.credential is None and not strip and not plain:
            return BARE
        return dressing(target.headers, server.credential, strip=strip, plain=plain)

    def message_for(
        self, target: BoundTarget, server: UpstreamServer, endpoint: Endpoint, body: list[Piece]
    ) -> list[Piece]:
        """The whole message, in one piece if it is small."""
        size = len(body[0]) if len(body) == 1 else length(body)
        head = self.lines.for_endpoint(endpoint.host, endpoint.prefix, size, self.dressing(target, server))
        if size <= SMALL:
            return [b"".join((head, *body))]
        return [head, *body]
