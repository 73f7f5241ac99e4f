"""Who calls: what is known of them, by whom, and what was wrong with what they showed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from proxy.access.model_names import ModelTest, compile_models
from proxy.config.access_spec import JwtAuth, Limit
from proxy.errors import RequestError

CERTIFICATE = "certificate"
"""The source of all identities that a client certificate shows; a key file's is an absolute path, so none is this."""

Source = str | JwtAuth


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """Somebody known.

    `source` is the part of an Auth that vouches: a key file's path, a JwtAuth, or CERTIFICATE; `also` are further ones
    that vouch for the same request. `data` is what conditions see under `user`. `models` are names and globs (none: all
    of them). `expires` is in seconds since 1970. `user` is whose part of a limit by user it takes: the id if not given.
    `permits` tests a model's name, and is None where all models may be used. `owner` tells keys of one name apart, and
    `shares` name whose buckets of limits are theirs, by key and by user: one issuer's callers are not another's.
    """

    id: str
    method: Literal["key", "jwt", "certificate"]
    source: Source
    data: Mapping[str, object] = field(compare=False)
    models: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    priority: int = 0
    expires: float = math.inf
    user: str = ""
    also: tuple[Source, ...] = ()
    owner: str = ""
    permits: ModelTest | None = field(init=False, compare=False)
    shares: tuple[str, str] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "permits", compile_models(self.models))
        if not self.user:
            object.__setattr__(self, "user", self.id)
        issuer = self.method if not isinstance(self.source, JwtAuth) else self.source.issuer or self.source.jwks
        object.__setattr__(self, "shares", (f"{self.owner or issuer} {self.id}", f"{issuer} {self.user}"))

    def __repr__(self) -> str:
        return f"<Identity {self.id!r} by {self.method}>"

    def vouched_by(self, source: Source) -> bool:
        """Whether this source knows them."""
        # Of one configuration they are mostly the same object, and comparing two JwtAuths takes 0.4 us.
        return self.source is source or self.source == source or source in self.also


class Fault(NamedTuple):
    """Why what was shown is worth nothing. `error` is a word of RFC 6750 section 3.1, and `description` plain ASCII
    without quotes that holds nothing of what was shown.

    `ours` says that it was meant for us, not for an engine behind us. `unavailable` is the answer where nobody could
    tell, because the keys of tokens cannot be had.
    """

    error: str
    description: str
    ours: bool = True
    unavailable: RequestError | None = None


class Caller(NamedTuple):
    """Who a request is from: an identity, or what was wrong; `credential` says that something was shown."""

    identity: Identity | None = None
    fault: Fault | None = None
    credential: bool = False


NOBODY = Caller()
"""Who shows nothing."""


def united(identities: list[Identity]) -> Identity | None:
    """The first of those that are known from one request, for whom the others' sources vouch as well.

    A model must be one that each of them may use: a key that stands in two files has the models of both.
    """
    if len(identities) < 2:
        return identities[0] if identities else None
    first, *others = identities
    expires = min(identity.expires for identity in identities)
    limits = tuple(dict.fromkeys(limit for identity in identities for limit in identity.limits))
    if limits == first.limits:
        limits = first.limits
    found = replace(first, limits=limits, also=tuple(identity.source for identity in others), expires=expires)
    tests = [identity.permits for identity in identities if identity.permits is not None]
    if tests:
        object.__setattr__(found, "permits", lambda model: all(test(model) for test in tests))
    return found
