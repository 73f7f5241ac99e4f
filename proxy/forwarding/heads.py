"""The heads that the proxy writes: a request as an endpoint gets it, an answer as the client gets it."""

from dataclasses import dataclass
from functools import lru_cache

from proxy.downstream.connection import DownstreamConnection
from proxy.wire.fields import HOP_BY_HOP, PROTECTED
from proxy.wire.request_gate import RequestHead
from proxy.wire.response_gate import Framing, ResponseFields, ResponseHead

# What clients of inference gateways say to those, and what those say to engines' sidecars: an engine must believe no
# client that names hosts there (llm-d's x-prefiller-host-port was a way to make it call anyone).
CONTROL_FIELDS = frozenset({
    b"x-llm-d-inference-objective",
    b"x-gateway-inference-objective",
    b"x-llm-d-inference-fairness-id",
    b"x-gateway-inference-fairness-id",
    b"x-llm-d-model-name-rewrite",
    b"x-gateway-model-name-rewrite",
    b"x-llm-d-slo-ttft-ms",
    b"x-slo-ttft-ms",
    b"x-llm-d-slo-tpot-ms",
    b"x-slo-tpot-ms",
    b"x-llm-d-request-dropped-reason",
    b"x-gateway-destination-endpoint",
    b"x-gateway-destination-endpoint-subset",
    b"x-gateway-destination-endpoint-scores",
    b"x-gateway-destination-endpoint-served",
    b"x-prefiller-host-port",
    b"x-encoder-hosts-ports",
    b"x-data-parallel-host-port",
    b"x-kv-cache-source-host-port",
})  # fmt: skip

# Written anew for each endpoint, or meant for the proxy alone.
_NOT_FORWARDED = (
    HOP_BY_HOP
    | {
        b"host",
        b"expect",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-real-ip",
        b"x-request-id",
        b"via",
    }
    | CONTROL_FIELDS
)
_WITHOUT_LENGTH = frozenset({*range(100, 200), 204})  # RFC 9110 8.6
MAX_REQUEST_ID = 128
"""Bytes of a request id that is taken over from a trusted proxy."""


CREDENTIAL_FIELDS = frozenset({b"authorization", b"x-api-key"})
"""The fields in which callers show who they are, and engines are shown who we are."""


@dataclass(frozen=True, slots=True, eq=False)
class Dressing:
    """What a server's requests wear: whole lines of a head, in the place of the client's fields of these names."""

    replaced: frozenset[bytes]
    lines: bytes


BARE = Dressing(frozenset(), b"")


class RequestLines:
    """The part of a request's head that is the same for every endpoint, and the id that the request goes by."""

    __slots__ = ("_common", "_head", "request_id")

    def __init__(self, head: RequestHead, client: DownstreamConnection, fallback_id: bytes) -> None:
        said = head.said
        forwarded = said.forwarded
        if forwarded is None or head.authority is not None:
            forwarded = _forwarded(head, client)
            if head.authority is None:
                said.forwarded = forwarded
        self._head = head
        self._common, told_id = forwarded
        self.request_id = told_id or fallback_id

    def for_endpoint(self, host: bytes, prefix: bytes, body_length: int, dressing: Dressing = BARE) -> bytes:
        """The whole head. A request that came without a body goes without a length.

        Host is the endpoint's; an absolute-form names its own, which RFC 9112 3.2.2 has a proxy pass on.
        """
        head = self._head
        host = host if head.authority is None else head.authority
        common = self._common if dressing is BARE else self._dressed(dressing)
        start = b"%b %b%b HTTP/1.1\r\nHost: %b\r\n%bX-Request-Id: %b\r\n" % (
            head.method, prefix, head.target, host, common, self.request_id,
        )  # fmt: skip
        if body_length or head.has_body:
            return b"%bContent-Length: %d\r\n\r\n" % (start, body_length)
        return start + b"\r\n"

    def _dressed(self, dressing: Dressing) -> bytes:
        """A client that repeats its fields, to the same server, is dressed once: 3 us (benchmarks/hot_path.py)."""
        known = self._head.said.dressed
        if known is not None and known[0] is dressing and self._head.authority is None:
            return known[1]
        kept = [
            line
            for line in self._common.splitlines(keepends=True)
            if line.partition(b":")[0].lower() not in dressing.replaced
        ]
        common = b"".join(kept) + dressing.lines
        if self._head.authority is None:
            self._head.said.dressed = (dressing, common)
        return common


def _forwarded(head: RequestHead, client: DownstreamConnection) -> tuple[bytes, bytes]:
    """The client's fields as they go on, with ours behind them; and the id that a trusted proxy gave the request."""
    dropped = head.said.dropped - PROTECTED
    lines: list[bytes] = []
    told: dict[bytes, bytes] = {}
    for name, spelled, value in head.said.fields:
        if name in _NOT_FORWARDED:
            told[name] = told[name] + b", " + value if name in told else value
        elif name not in dropped:
            lines.append(spelled + b": " + value + b"\r\n")
    if not client.trusted:
        told = {b"via": told[b"via"]} if b"via" in told else {}
    return b"".join(lines) + _origin(told, head, client), told.get(b"x-request-id", b"")[:MAX_REQUEST_ID]


def _origin(told: dict[bytes, bytes], head: RequestHead, client: DownstreamConnection) -> bytes:
    """Who asked, by which scheme, for which host. What a trusted proxy told before us stands before what we see."""
    address = client.client.encode()
    before = told.get(b"x-forwarded-for")
    scheme = told.get(b"x-forwarded-proto", b"https" if client.secure else b"http")
    host = told.get(b"x-forwarded-host", head.host)
    via = told.get(b"via")
    ours = b"1.0 penstock" if head.said.http10 else b"1.1 penstock"
    return b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\n%bVia: %b\r\n" % (
        before + b", " + address if before else address,
        scheme,
        b"X-Forwarded-Host: %b\r\n" % host if host else b"",
        via + b", " + ours if via else ours,
    )


@lru_cache(maxsize=4096)
def dressing(
    own: tuple[tuple[str, str], ...], credential: tuple[str, str] | None, *, strip: bool, plain: bool
) -> Dressing:
    """A server's own fields, the credential that it is shown, whether the caller's credential stays with us, and
    whether the answer must come uncompressed.
    """
    fields = [(name.encode("latin-1"), value.encode()) for name, value in own]
    if plain and not any(name.lower() == b"accept-encoding" for name, _ in fields):
        fields.append((b"Accept-Encoding", b"identity"))
    replaced = {name.lower() for name, _ in fields}
    if strip or credential is not None:
        replaced |= CREDENTIAL_FIELDS
        fields = [field for field in fields if field[0].lower() not in CREDENTIAL_FIELDS or credential is None]
    if credential is not None:
        fields.append((credential[0].encode("latin-1"), credential[1].encode()))
    return Dressing(frozenset(replaced), b"".join(b"%b: %b\r\n" % field for field in fields))


def response_framing(upstream: ResponseHead, http10: bool) -> Framing:
    """How the client is told where the body ends: as the engine did, where the client's version can."""
    if upstream.framing is Framing.LENGTH or upstream.framing is Framing.NONE:
        return upstream.framing
    return Framing.CLOSE if http10 else Framing.CHUNKED


def response_lines(
    upstream: ResponseHead,
    framing: Framing,
    *,
    http10: bool,
    keep_alive: bool,
    request_id: bytes = b"",
    extra: bytes = b"",
) -> bytes:
    """The head of an answer as the client gets it. The request's id is told unless the engine tells one of its own."""
    said = upstream.said
    if said.returned is None:
        said.returned = _returned(said)
    fields, tells_id = said.returned
    if extra:
        fields = _without_limits(fields)
    head = b"HTTP/1.1 %d %b\r\n%b%b" % (upstream.status, upstream.reason, fields, extra)
    if request_id and not tells_id:
        head += b"X-Request-Id: %b\r\n" % request_id
    if framing is Framing.CHUNKED:
        head += b"Transfer-Encoding: chunked\r\n"
    elif upstream.length is not None and upstream.status not in _WITHOUT_LENGTH and framing is not Framing.CLOSE:
        head += b"Content-Length: %d\r\n" % upstream.length
    if not keep_alive:
        head += b"Connection: close\r\n"
    elif http10:
        head += b"Connection: keep-alive\r\n"
    return head + b"\r\n"


def _returned(said: ResponseFields) -> tuple[bytes, bool]:
    """The engine's fields as the client gets them, and whether an id of the request is among them."""
    dropped = said.dropped - PROTECTED
    lines = []
    tells_id = False
    for name, spelled, value in said.fields:
        if name not in HOP_BY_HOP and name not in dropped and name != b"x-penstock-fallback":
            lines.append(b"%b: %b\r\n" % (spelled, value))
            tells_id = tells_id or name == b"x-request-id"
    return b"".join(lines), tells_id


@lru_cache(maxsize=256)
def _without_limits(fields: bytes) -> bytes:
    """An engine's fields, without what it says of limits: ours are told in their place."""
    lines = fields.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.lower().startswith(b"x-ratelimit-"))


def interim_lines(upstream: ResponseHead) -> bytes:
    """An interim answer (103 Early Hints), passed on."""
    return response_lines(upstream, Framing.NONE, http10=False, keep_alive=True)
