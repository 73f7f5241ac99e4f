"""What a request's head shows of its caller: at most one credential, in one of two fields."""

import re
from collections.abc import Sequence

from proxy.access.identity import Fault
from proxy.wire.fields import Field

LONGEST = 16 * 1024
"""Bytes of a credential."""

# RFC 6750 section 2.1 has token68, and x-api-key no rule at all. Keys that engines were given by hand hold more than
# token68 does; a comma or a quote would begin what some other reader takes for a second value.
_VALUE = re.compile(rb"[!#-+\--~]+")
_SCHEME = re.compile(rb"bearer(?: +|\Z)", re.IGNORECASE)
_BEARER = re.compile(rb"bearer(?![!#$%&'*+.^_`|~0-9A-Za-z-])", re.IGNORECASE)

SEVERAL = Fault("invalid_request", "More than one credential was sent")
MALFORMED = Fault("invalid_request", "The credential is malformed")
TOO_LONG = Fault("invalid_request", "The credential is longer than 16 KiB")


def presented(fields: Sequence[Field]) -> bytes | Fault | None:
    """The value of `Authorization: Bearer` or of `x-api-key`; None without either, a Fault for what is ambiguous.

    Other schemes than Bearer, and a field without a value, show nothing to us.
    """
    authorization = api_key = None
    for name, _, value in fields:
        if name == b"authorization":
            if authorization is not None:
                return SEVERAL
            authorization = value
        elif name == b"x-api-key":
            if api_key is not None:
                return SEVERAL
            api_key = value
    bearer = None if authorization is None else _bearer(authorization.strip(b" \t"))
    if api_key is None or isinstance(bearer, Fault):
        return bearer
    key = _checked(api_key.strip(b" \t"))
    if bearer is None or key is None or isinstance(key, Fault) or bearer == key:
        return bearer if key is None else key
    return SEVERAL


def _bearer(value: bytes) -> bytes | Fault | None:
    if value.startswith(b"Bearer ") and _VALUE.fullmatch(value, 7) and len(value) <= LONGEST:
        return value[7:]  # nearly all do, and this takes half the time
    scheme = _SCHEME.match(value)
    if scheme is not None:
        return _checked(value[scheme.end() :])
    # With a tab or a comma behind it, others may still read it as that scheme.
    return MALFORMED if _BEARER.match(value) else None


def _checked(value: bytes) -> bytes | Fault | None:
    if not value:
        return None
    if len(value) > LONGEST:
        return TOO_LONG
    return value if _VALUE.fullmatch(value) else MALFORMED
