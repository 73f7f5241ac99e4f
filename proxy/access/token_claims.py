"""What a token says once its signature is known to be right, and whether that is enough."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import msgspec

from proxy.access.token_parts import TokenFault
from proxy.config.access_spec import JwtAuth

# In characters: ids and tiers stand in logs, metrics and conditions.
LONGEST_ID = 256

# In seconds: how far an issuer's clock may run ahead in `iat`, above the leeway, as in Kthena.
IAT_AHEAD = 60.0

# A time that no float, log or division can choke on: the year 33658.
LATEST = 10**12

NO_OBJECT = TokenFault("The claims of the token are not a JSON object")
NO_EXPIRY = TokenFault("The token has no expiry time")
EXPIRED = TokenFault("The token has expired")
NOT_YET = TokenFault("The token is not valid yet")
FROM_THE_FUTURE = TokenFault("The token was issued in the future")
NO_TIME = TokenFault("A time in the token is not a number")
ISSUER = TokenFault("The issuer of the token is not accepted")
AUDIENCE = TokenFault("The audience of the token is not accepted")
NO_USER = TokenFault("The token does not say whose it is")
TIER = TokenFault("The tier in the token cannot be read")


@dataclass(frozen=True, slots=True)
class Claims:
    """Who calls, by a token that holds. `expires` is in seconds since 1970, leeway not included."""

    id: str
    tier: str | None
    expires: float
    claims: Mapping[str, object]


class ClaimRules:
    """What the claims of a token must be."""

    def __init__(self, auth: JwtAuth) -> None:
        self._auth = auth
        self._audiences = frozenset(auth.audiences)

    def check(self, payload: bytes, now: float) -> Claims | TokenFault:
        """Read and judge the claims. `now` is in seconds since 1970. Of a name that stands twice the last counts."""
        try:
            claims = msgspec.json.decode(payload, type=dict[str, object])
        except (ValueError, RecursionError):
            return NO_OBJECT
        fault = self._time_fault(claims, now) or self._origin_fault(claims)
        return fault or self._caller(claims)

    def _time_fault(self, claims: Mapping[str, object], now: float) -> TokenFault | None:
        if "exp" not in claims:
            return NO_EXPIRY
        leeway = self._auth.leeway
        expires = read_time(claims["exp"])
        begins = read_time(claims.get("nbf", 0))
        issued = read_time(claims.get("iat", 0))
        if expires is None or begins is None or issued is None:
            return NO_TIME
        if expires + leeway <= now:
            return EXPIRED
        if begins - leeway > now:
            return NOT_YET
        return FROM_THE_FUTURE if issued - leeway - IAT_AHEAD > now else None

    def _origin_fault(self, claims: Mapping[str, object]) -> TokenFault | None:
        if self._auth.issuer is not None and claims.get("iss") != self._auth.issuer:
            return ISSUER
        if self._audiences and not self._audiences.intersection(read_audiences(claims.get("aud"))):
            return AUDIENCE
        return None

    def _caller(self, claims: dict[str, object]) -> Claims | TokenFault:
        user = read_name(claims.get(self._auth.user_claim))
        if user is None:
            return NO_USER
        tier = claims.get(self._auth.tier_claim)
        name = read_name(tier)
        if tier is not None and name is None:
            # It may choose a limit: to read it as none could give more than the issuer meant.
            return TIER
        return Claims(user, name, read_time(claims["exp"]) or 0.0, MappingProxyType(claims))


def read_time(value: object) -> float | None:
    """Seconds since 1970; None for what is no number, or none that a clock could show."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LATEST <= value <= LATEST:
        return None
    return float(value)


def read_audiences(value: object) -> list[str]:
    """The audiences of a token, one or a list; none where anything but text is among them."""
    listed = value if isinstance(value, list) else [value]
    texts = [one for one in listed if isinstance(one, str)]
    return texts if len(texts) == len(listed) else []


def read_name(value: object) -> str | None:
    """What can name somebody: text of some but not too many characters, all of them visible; None for anything else."""
    if isinstance(value, str) and 0 < len(value) <= LONGEST_ID and value.isprintable():
        return value
    return None
