"""The compact form of a JSON Web Token taken apart (RFC 7515 section 7.1), before anything in it can be trusted."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

import msgspec

from proxy.access.signing_keys import LONGEST_KEY_ID

# In bytes. Heads of requests are bounded too, but what is decoded, hashed and parsed has its own bound.
LONGEST_TOKEN = 16 * 1024
BASE64URL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

# RFC 7519 section 5.1 and RFC 9068 section 4, which also let the prefix of a media type be left out.
TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})


@dataclass(frozen=True, slots=True)
class TokenFault:
    """Why a token is refused. `description` is plain ASCII that may stand in quotes in `WWW-Authenticate`, and holds
    nothing of the token."""

    description: str
    error: str = "invalid_token"


@dataclass(frozen=True, slots=True)
class Parts:
    """A token whose form is right. Each part has been decoded once, so what is checked is what is used."""

    algorithm: str
    key_id: str | None
    signed: bytes
    payload: bytes
    signature: bytes


class Header(msgspec.Struct, frozen=True):
    """The members of a token's header that count.

    `jku`, `jwk`, `x5u` and `x5c` are not among them: a token does not choose the key that it is checked with.
    """

    alg: str
    kid: str | None = None
    typ: str | None = None
    cty: str | None = None
    b64: bool = True
    crit: object = msgspec.UNSET


class Issued(msgspec.Struct, frozen=True):
    """Who a token says has issued it."""

    iss: str


MALFORMED = TokenFault("The token is malformed")
ENCRYPTED = TokenFault("Encrypted tokens are not accepted")
NESTED = TokenFault("Nested tokens are not accepted")
CRITICAL = TokenFault("The token demands an extension that is not known")
WRONG_TYPE = TokenFault("The type of the token is not accepted")


def looks_like_token(credential: bytes) -> bool:
    """Whether a credential has the outer form of a token: base64url in three parts, the first a JSON object."""
    return (
        credential[:3] == b"eyJ" and len(credential) <= LONGEST_TOKEN and credential.translate(None, BASE64URL) == b".."
    )


def unverified_issuer(token: bytes) -> str | None:
    """Who a token says has issued it, to choose who checks that. Never trust it; None where it says nothing."""
    if not looks_like_token(token):
        return None
    try:
        return msgspec.json.decode(decode_part(token.split(b".")[1]), type=Issued).iss
    except (ValueError, RecursionError):
        return None


def read_parts(token: bytes) -> Parts | TokenFault:
    """Take a token apart. Its length must have been bounded."""
    dots = token.translate(None, BASE64URL)
    if dots != b"..":
        return ENCRYPTED if dots == b"...." else MALFORMED
    head, payload, signature = token.split(b".")
    try:
        header = msgspec.json.decode(decode_part(head), type=Header)
        decoded = decode_part(payload)
        signed_with = decode_part(signature)
    except (ValueError, RecursionError):
        return MALFORMED
    fault = header_fault(header)
    if fault is not None:
        return fault
    return Parts(header.alg, header.kid, token[: len(head) + 1 + len(payload)], decoded, signed_with)


def header_fault(header: Header) -> TokenFault | None:
    """What in a header forbids to go on."""
    if header.crit is not msgspec.UNSET or not header.b64:
        return CRITICAL
    if header.typ is not None and header.typ.lower() not in TYPES:
        return WRONG_TYPE
    if header.cty is not None:
        return NESTED
    if header.kid is not None and len(header.kid) > LONGEST_KEY_ID:
        return MALFORMED
    return None


def decode_part(part: bytes) -> bytes:
    """A part's bytes. Raises ValueError for an empty part, and for another spelling of what has one already."""
    decoded = urlsafe_b64decode(part + b"=" * (-len(part) % 4))
    if not decoded or urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise binascii.Error("not canonical")
    return decoded
