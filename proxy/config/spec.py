"""What was asked: the one native form that every configuration is read into. All of it is frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from proxy.config.access_spec import Auth, Limit, Queueing
from proxy.config.match_spec import Match, ValueTest


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a part of the configuration stands. Lines and columns count from 1; `path` is the place in the document."""

    file: str
    line: int
    column: int
    path: str


NOWHERE = Origin("", 0, 0, "")

# --- policies --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits in seconds; None leaves the next wider scope's value, and at the widest scope sets no limit."""

    connect: float | None = None
    first_byte: float | None = None
    idle: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """Tries after the first one: how many, on which failures and statuses, after which first pause (seconds)."""

    attempts: int = 2
    failures: frozenset[str] = frozenset({"connect-failure", "reset"})
    statuses: frozenset[int] = frozenset({502, 503, 504})
    backoff: float = 0.025


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Requests per second, and how many may come at once."""

    requests_per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class TokenLimit:
    """LLM tokens in and out that a route admits in a unit of time (second, minute, hour, day, month); None is no limit.

    `redis` is the "host:port" of a limit that several hosts share.
    """

    input_tokens: int | None
    output_tokens: int | None
    unit: str = "second"
    redis: str | None = None


@dataclass(frozen=True, slots=True)
class Analysis:
    """How a canary is judged: its success in per cent, over each interval of so many seconds.

    With fewer requests than `min_requests` it is watched on. `ttft` and `tpot` bound the time to its first token and
    the time per further token: so many times the stable target's.
    """

    threshold: float
    interval: float
    min_requests: int = 20
    ttft: float | None = None
    tpot: float | None = None


@dataclass(frozen=True, slots=True)
class Canary:
    """The second target of a split is on trial against the first.

    `steps` are the shares in per cent that it goes through while it does well; without them its share stays as it is.
    """

    analysis: Analysis | None = None
    steps: tuple[int, ...] = ()


class StickyKind(Enum):
    """What names a caller for a sticky split."""

    HEADER = "header"
    QUERY = "query"
    COOKIE = "cookie"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Sticky:
    """What keeps a caller on one side of a split: a header (lower-case), a query parameter or a cookie of this name, or
    the user. A request without it takes its turn.
    """

    kind: StickyKind
    name: str = ""


@dataclass(frozen=True, slots=True)
class ServiceListener:
    """The port that a model server's own service listens on, and the secret ("namespace/name") with its certificate.

    What matches one of `paths` is served there (nothing given: all is).
    """

    port: int
    tls_secret: str | None = None
    paths: tuple[ValueTest, ...] = ()


@dataclass(frozen=True, slots=True)
class Credential:
    """What the proxy itself shows to an engine: an API key, as it is, in a file (its absolute path), or under `key` of
    a secret ("namespace/name"). The scheme is that of the Authorization field; "x-api-key" is a field of its own.
    """

    value: str | None = field(default=None, repr=False)
    file: str | None = None
    secret: str | None = None
    key: str = ""
    scheme: str = "Bearer"


@dataclass(frozen=True, slots=True)
class UpstreamTls:
    """How `https://` endpoints are checked, and what is shown to them. Paths are absolute."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None
    verify: bool = True


# --- servers and routes ----------------------------------------------------------------------------------------------


class Engine(Enum):
    """The software that answers at a server's endpoints."""

    VLLM = "vllm"
    SGLANG = "sglang"
    OPENAI = "openai"


class Balance(Enum):
    """How an endpoint is chosen inside a server."""

    ROUND_ROBIN = "round-robin"
    RANDOM = "random"
    LEAST_REQUEST = "least-request"


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One address of a model server. `prefix` is put before each request's path ("" or "/v1", no trailing slash)."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    weight: int = 1
    labels: tuple[tuple[str, str], ...] = ()
    max_in_flight: int | None = None

    @property
    def address(self) -> str:
        """The key of an endpoint's state within its server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


@dataclass(frozen=True, slots=True)
class InventoryEntry:
    """An endpoint that stands for itself until selectors find it; what it leaves open is theirs to say.

    `active_ports` are those of a selector's ports that it serves; None is all of them.
    """

    host: str
    port: int | None = None
    scheme: str | None = None
    prefix: str = ""
    weight: int = 1
    namespace: str = "default"
    labels: tuple[tuple[str, str], ...] = ()
    workload: str | None = None
    active_ports: tuple[int, ...] | None = None
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Selector:
    """Finds entries of the inventory: of one namespace, with all of these labels, or of the workload of this name.

    Each entry without a port of its own is one endpoint for each of `ports`.
    """

    namespace: str = "default"
    labels: tuple[tuple[str, str], ...] = ()
    workload: str | None = None
    ports: tuple[int, ...] = ()
    scheme: str = "http"


@dataclass(frozen=True, slots=True)
class Disaggregation:
    """Prefill and decode on endpoints of their own, found by labels; pairs share the value of the label `group_key`."""

    group_key: str
    prefill_labels: tuple[tuple[str, str], ...]
    decode_labels: tuple[tuple[str, str], ...]
    connector: str | None = None


@dataclass(frozen=True, slots=True)
class RewriteTarget:
    """A model's name to send in place of the client's, and its share."""

    model: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Rewrite:
    """For requests that name one of `models` (if none: for all that no other rewrite names): what to send instead."""

    targets: tuple[RewriteTarget, ...]
    models: tuple[str, ...] = ()
    name: str = ""
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Objective:
    """The priority of requests that ask for it by name; below 0 they may be shed."""

    name: str
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A named group of alike endpoints with one policy set.

    `headers` are set on each request that goes there. `rewrites` are asked before anything else, in order, exact names
    first. `restore_model` writes the client's own model name into answers where another one was sent. `missing` says
    that routes lead to it, but no file defines it.
    """

    name: str
    endpoints: tuple[EndpointSpec, ...]
    engine: Engine = Engine.OPENAI
    model: str | None = None
    balance: Balance = Balance.LEAST_REQUEST
    timeouts: Timeouts = Timeouts()
    retries: Retries = Retries()
    retry_budget: float = 0.2
    rate_limit: RateLimit | None = None
    tls: UpstreamTls | None = None
    headers: tuple[tuple[str, str], ...] = ()
    restore_model: bool = False
    rewrites: tuple[Rewrite, ...] = ()
    objectives: tuple[Objective, ...] = ()
    selector: Selector | None = None
    disaggregation: Disaggregation | None = None
    auth: Auth | None = None
    limits: tuple[Limit, ...] = ()
    queueing: Queueing | None = None
    listener: ServiceListener | None = None
    credential: Credential | None = None
    missing: bool = False
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Target:
    """A rule's weighted pointer to a model server, with an optional name to send as the model.

    Its timeouts and retries win over its rule's.
    """

    server: str
    weight: int = 1
    model: str | None = None
    timeouts: Timeouts = Timeouts()
    retries: Retries | None = None


@dataclass(frozen=True, slots=True)
class Shadow:
    """A target that gets a copy of `percent` of all requests, whose answers are dropped.

    More than `max_in_flight` at once get none, nor does a body of more than `max_body` bytes.
    """

    target: Target
    max_in_flight: int = 32
    percent: float = 100.0
    max_body: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Rule:
    """Holds when any of its matches holds, or when it has none. Its timeouts and retries win over its servers'."""

    name: str
    targets: tuple[Target, ...]
    matches: tuple[Match, ...] = ()
    fallback: tuple[Target, ...] = ()
    timeouts: Timeouts = Timeouts()
    retries: Retries | None = None
    shadow: Shadow | None = None
    canary: Canary | None = None
    sticky: Sticky | None = None
    enabled: bool = True
    description: str = ""
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Route:
    """Ordered rules for requests that name one of `models` (exact, or globs with *) or `adapters`; if none, for all.

    `fallback` takes, in order, what no rule of any route took. `kind` says which kind of document the route was.
    """

    name: str
    rules: tuple[Rule, ...]
    models: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    priority: int = 0
    fallback: tuple[Target, ...] = ()
    token_limit: TokenLimit | None = None
    auth: Auth | None = None
    limits: tuple[Limit, ...] = ()
    description: str = ""
    kind: str = "route"
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Config:
    """All servers by name, and all routes in the order in which they are asked. `version` is a digest of what was read.

    The servers' endpoints are complete; `inventory` says what their selectors chose from.
    """

    servers: Mapping[str, ModelServer]
    routes: tuple[Route, ...]
    version: str = ""
    inventory: tuple[InventoryEntry, ...] = ()
