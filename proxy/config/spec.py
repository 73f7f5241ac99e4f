"""What was asked: the one native form that every configuration is read into. All of it is frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a part of the configuration stands. Lines and columns count from 1; `path` is the place in the document."""

    file: str
    line: int
    column: int
    path: str


NOWHERE = Origin("", 0, 0, "")

# --- tests of one value ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exact:
    """The value is this text."""

    value: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """The value begins with this text."""

    value: str


@dataclass(frozen=True, slots=True)
class Suffix:
    """The value ends with this text."""

    value: str


@dataclass(frozen=True, slots=True)
class Contains:
    """The value holds this text."""

    value: str


@dataclass(frozen=True, slots=True)
class Regex:
    """An RE2 pattern is found somewhere in the value (anchor it with ^ and $)."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Present:
    """There is a value, whatever it is."""


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no value."""


ValueTest = Exact | Prefix | Suffix | Contains | Regex | Present | Absent

# --- conditions on a request -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeaderCondition:
    """On a header; `name` is lower-case. Several fields of a name are joined by ", "."""

    name: str
    test: ValueTest


@dataclass(frozen=True, slots=True)
class QueryCondition:
    """On a query parameter, percent-decoded; the first one where a name stands twice."""

    name: str
    test: ValueTest


@dataclass(frozen=True, slots=True)
class PathCondition:
    """On the request's path, percent-decoded, without the query."""

    test: ValueTest


@dataclass(frozen=True, slots=True)
class MethodCondition:
    """On the method: one of these, upper-case."""

    methods: frozenset[str]


@dataclass(frozen=True, slots=True)
class BodyCondition:
    """On a field of a JSON body, by its keys from the top. Other scalars than strings compare as JSON spells them."""

    keys: tuple[str, ...]
    test: ValueTest


Condition = HeaderCondition | QueryCondition | PathCondition | MethodCondition | BodyCondition


@dataclass(frozen=True, slots=True)
class Match:
    """All of its conditions hold."""

    conditions: tuple[Condition, ...]


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

    @property
    def address(self) -> str:
        """The key of an endpoint's state within its server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}"


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A named group of alike endpoints with one policy set."""

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
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Target:
    """A rule's weighted pointer to a model server, with an optional name to send as the model."""

    server: str
    weight: int = 1
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """Holds when any of its matches holds, or when it has none. Its timeouts and retries win over its servers'."""

    name: str
    targets: tuple[Target, ...]
    matches: tuple[Match, ...] = ()
    fallback: tuple[Target, ...] = ()
    timeouts: Timeouts = Timeouts()
    retries: Retries | None = None
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Route:
    """Ordered rules for requests that name one of `models` (exact, or globs with *) or `adapters`; if none, for all."""

    name: str
    rules: tuple[Rule, ...]
    models: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()
    priority: int = 0
    origin: Origin = NOWHERE


@dataclass(frozen=True, slots=True)
class Config:
    """All servers by name and all routes, in the files' order. `version` is a digest of what was read."""

    servers: Mapping[str, ModelServer]
    routes: tuple[Route, ...]
    version: str = ""


# --- settings: read at start, not hot-reloaded -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """A listener's certificate and key, and the CA that clients must come from, as absolute paths."""

    cert: str
    key: str
    client_ca: str | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """A bound address with its TLS."""

    host: str
    port: int
    tls: ListenerTls | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may take. Sizes in bytes, times in seconds."""

    max_body: int = 64 * 1024 * 1024
    max_header: int = 32 * 1024
    max_connections: int = 10_000
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    send_timeout: float = 300.0
    keepalive_timeout: float = 75.0


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`path` is a file or "-" for standard output, `level` debug, info, warning or error, `format` text or json."""

    level: str = "info"
    format: str = "text"
    access: bool = True
    path: str = "-"


@dataclass(frozen=True, slots=True)
class Settings:
    """How the proxy itself runs. `workers` 0 means one for each processor. Paths are absolute."""

    listeners: tuple[Listener, ...] = (Listener("127.0.0.1", 8400),)
    admin: Listener | None = Listener("127.0.0.1", 8401)
    workers: int = 1
    routes: tuple[str, ...] = ()
    secrets: str | None = None
    limits: Limits = field(default_factory=Limits)
    trusted_proxies: tuple[str, ...] = ()
    drain_timeout: float = 300.0
    drain_notice: float = 5.0
    log: LogSettings = field(default_factory=LogSettings)
