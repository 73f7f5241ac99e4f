"""What was asked of access: who may call, how much each may take, and how many at once. All of it is frozen."""

from dataclasses import dataclass, field
from enum import Enum

ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""The signature algorithms of tokens that are known: a public key checks them, and none of them is keyed by a secret
that whoever knows the public key could use (RFC 8725 section 2.1)."""


@dataclass(frozen=True, slots=True)
class JwtAuth:
    """Callers show a JSON Web Token of this issuer, for one of these audiences.

    `jwks` is the URL of its keys or the absolute path of a file with them; None finds the URL through the issuer's
    `/.well-known/openid-configuration`. `leeway` is in seconds. `user_claim` holds the caller's id and `tier_claim` its
    tier.
    """

    issuer: str | None = None
    audiences: tuple[str, ...] = ()
    jwks: str | None = None
    algorithms: tuple[str, ...] = ASYMMETRIC
    leeway: float = 30.0
    user_claim: str = "sub"
    tier_claim: str = "tier"


@dataclass(frozen=True, slots=True)
class Auth:
    """Callers must be known by one of these: a token, a key of a key file (its absolute path), a client certificate.

    Where it is not `required`, those who show nothing may pass, and are nobody. `forward` lets the caller's credential
    go on to the engine.
    """

    jwt: JwtAuth | None = None
    keys: str | None = None
    client_certificate: bool = False
    required: bool = True
    forward: bool = False


class Fail(Enum):
    """What a limit does whose Redis is away: let all pass, keep the limit on this host alone, or let nobody pass."""

    OPEN = "open"
    LOCAL = "local"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Redis:
    """Where limits that several hosts share are kept. `timeout` is in seconds, for the one round trip of a request."""

    url: str = field(repr=False)
    fail: Fail = Fail.LOCAL
    timeout: float = 0.25


class Counted(Enum):
    """What a limit counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"


UNITS = {"second": 1.0, "minute": 60.0, "hour": 3_600.0, "day": 86_400.0, "month": 30 * 86_400.0}
"""Seconds of a limit's unit of time. A month has 30 days, as in Kthena."""


class Share(Enum):
    """Whose requests share one bucket of a limit; without any of them all do."""

    KEY = "key"
    USER = "user"
    MODEL = "model"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Limit:
    """So much of something in a unit of time: a token bucket that holds `burst`, is full at first, and gains `amount`
    in each unit, evenly.

    `by` splits it: each key, user, model or address has a bucket of its own. `settled` corrects the estimate of a
    prompt's tokens once the engine has told their number.
    """

    counted: Counted
    amount: float
    unit: str = "second"
    burst: float | None = None
    by: tuple[Share, ...] = ()
    redis: Redis | None = None
    settled: bool = True

    @property
    def capacity(self) -> float:
        """What may be taken at once."""
        return self.amount if self.burst is None else self.burst

    @property
    def per_second(self) -> float:
        """What the bucket gains in a second."""
        return self.amount / UNITS[self.unit]


@dataclass(frozen=True, slots=True)
class Queueing:
    """How many requests a server and each of its endpoints may have in flight, over all workers (None: no bound), and
    how many may wait for a place (`max_pending`), for how many seconds (`timeout`)."""

    max_in_flight: int | None = None
    per_endpoint: int | None = None
    max_pending: int = 0
    timeout: float = 30.0
