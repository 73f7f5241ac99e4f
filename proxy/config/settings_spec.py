"""What was asked of the proxy itself: settings, read once at start. All of it is frozen."""

from dataclasses import dataclass, field

from proxy.config.access_spec import Auth, Redis


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
    """How the proxy itself runs. `workers` 0 means one for each processor. Paths are absolute.

    `auth` is asked of every request, `redis` keeps the limits that name no other. `state` is the folder for what must
    outlive a restart. `fallback_header` tells clients why earlier targets failed.
    """

    listeners: tuple[Listener, ...] = (Listener("127.0.0.1", 8400),)
    admin: Listener | None = Listener("127.0.0.1", 8401)
    workers: int = 1
    routes: tuple[str, ...] = ()
    secrets: str | None = None
    state: str | None = None
    auth: Auth | None = None
    redis: Redis | None = None
    fallback_header: bool = True
    limits: Limits = field(default_factory=Limits)
    trusted_proxies: tuple[str, ...] = ()
    drain_timeout: float = 300.0
    drain_notice: float = 5.0
    log: LogSettings = field(default_factory=LogSettings)
