"""The public keys that an issuer signs its tokens with, read from a JSON Web Key Set (RFC 7517)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from proxy.errors import PenstockError

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey

MOST_KEYS = 100
LONGEST_KEY_ID = 256

# In bits. Below: NIST SP 800-131A, and RFC 7518 section 3.3 demands as much. Above: what one forged token may cost.
SHORTEST_RSA = 2048
LONGEST_RSA = 8192
LONGEST_EXPONENT = 32

# RFC 7518 section 3.1 and RFC 8037 section 3.1: which signatures a key of a type (and curve) can make.
RSA_ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVE_ALGORITHMS = {
    "P-256": frozenset({"ES256"}),
    "P-384": frozenset({"ES384"}),
    "P-521": frozenset({"ES512"}),
    "Ed25519": frozenset({"EdDSA"}),
    "Ed448": frozenset({"EdDSA"}),
}


class KeysError(PenstockError):
    """Keys that could not be had or cannot be used, and why: in our words, never in the issuer's."""


class WebKey(msgspec.Struct, frozen=True):
    """The members of a JSON Web Key that matter here; a value of a wrong type makes the key unreadable."""

    kty: str
    kid: str | None = None
    use: str | None = None
    alg: str | None = None
    key_ops: list[str] | None = None
    crv: str = ""
    n: str = ""
    e: str = ""
    x: str = ""
    y: str = ""
    d: object = None


class WebKeySet(msgspec.Struct, frozen=True):
    """A set whose keys are read one by one, so that one unknown kind does not spoil the others."""

    keys: list[msgspec.Raw]


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A public key, its id, and the algorithms whose signatures it may check. `mark` is equal where all of it is."""

    key_id: str | None
    algorithms: frozenset[str]
    public: PublicKey
    mark: bytes

    def __repr__(self) -> str:
        return f"<SigningKey {self.key_id!r} for {', '.join(sorted(self.algorithms))}>"


@dataclass(frozen=True, slots=True)
class ReadKeys:
    """The usable keys of a set, and why each other one is not."""

    usable: tuple[SigningKey, ...]
    refused: tuple[str, ...] = ()


def read_keys(content: bytes) -> ReadKeys:
    """The keys of a JSON Web Key Set. Raises KeysError where there is no set, or none of its keys can be used."""
    try:
        found = msgspec.json.decode(content, type=WebKeySet).keys
    except (ValueError, RecursionError) as error:
        raise KeysError("it is not a JSON object with a list of keys") from error
    if len(found) > MOST_KEYS:
        raise KeysError(f"it has more than {MOST_KEYS} keys")
    usable: dict[bytes, SigningKey] = {}
    refused = []
    for raw in found:
        try:
            key = read_key(bytes(raw))
        except KeysError as problem:
            refused.append(str(problem))
        else:
            usable[key.mark] = key
    if not usable:
        raise KeysError(
            f"none of its {len(found)} keys can be used" + "".join(f"; {why}" for why in sorted(set(refused)))
        )
    return ReadKeys(tuple(usable.values()), tuple(refused))


def read_key(content: bytes) -> SigningKey:
    """A key that may check signatures. Raises KeysError."""
    try:
        key = msgspec.json.decode(content, type=WebKey)
    except (ValueError, RecursionError) as error:
        raise KeysError("a key cannot be read") from error
    refuse_unfit(key)
    algorithms, public = read_public_key(key)
    if key.alg is not None:
        algorithms &= {key.alg}
    if not algorithms:
        raise KeysError("a key is for an algorithm that does not fit it, or signs nothing")
    mark = hashlib.sha256(
        msgspec.json.encode([key.kid, sorted(algorithms), key.kty, key.crv, key.n, key.e, key.x, key.y])
    )
    return SigningKey(key.kid, algorithms, public, mark.digest())


def refuse_unfit(key: WebKey) -> None:
    """Refuse what must not check a signature, whatever its numbers are. Raises KeysError."""
    if key.kty == "oct":
        # Who can check with it can also sign with it, and what a key set holds is public.
        raise KeysError("a key is symmetric")
    if key.d is not None:
        raise KeysError("a key stands there with its private half, so anybody may have signed with it")
    if key.use not in {None, "sig"} or (key.key_ops is not None and "verify" not in key.key_ops):
        raise KeysError("a key is not for signatures")
    if key.kid is not None and len(key.kid) > LONGEST_KEY_ID:
        raise KeysError(f"a key's id is longer than {LONGEST_KEY_ID} characters")


def read_public_key(key: WebKey) -> tuple[frozenset[str], PublicKey]:
    """The key itself and all algorithms that fit its type. Raises KeysError."""
    algorithms = RSA_ALGORITHMS if key.kty == "RSA" else CURVE_ALGORITHMS.get(key.crv)
    if algorithms is None or len(key.n) > LONGEST_RSA // 6 + 2:
        raise KeysError("a key is of a type or size that is not known here")
    try:
        public = decode_numbers(key)
    except (PyJWTError, ValueError, TypeError, OverflowError, UnsupportedAlgorithm) as error:
        raise KeysError("a key's numbers are not those of a key") from error
    if isinstance(public, RSAPublicKey):
        refuse_weak(public)
    return algorithms, public


def decode_numbers(key: WebKey) -> PublicKey:
    """The key's numbers through PyJWT, which is given the public members alone."""
    match key.kty:
        case "RSA":
            public: object = RSAAlgorithm.from_jwk({"kty": "RSA", "n": key.n, "e": key.e})
        case "EC":
            public = ECAlgorithm.from_jwk({"kty": "EC", "crv": key.crv, "x": key.x, "y": key.y})
        case "OKP":
            public = OKPAlgorithm.from_jwk({"kty": "OKP", "crv": key.crv, "x": key.x})
        case _:
            raise ValueError(key.kty)
    if not isinstance(public, PublicKey):
        raise TypeError(type(public))
    return public


def refuse_weak(key: RSAPublicKey) -> None:
    """Refuse an RSA key that can be broken, or that would make each check dear. Raises KeysError."""
    if key.key_size < SHORTEST_RSA:
        raise KeysError(f"an RSA key is shorter than {SHORTEST_RSA} bits")
    if key.key_size > LONGEST_RSA or key.public_numbers().e.bit_length() > LONGEST_EXPONENT:
        raise KeysError("an RSA key is too long")


def by_key_id(keys: tuple[SigningKey, ...]) -> Mapping[str, tuple[SigningKey, ...]]:
    """The keys that have an id, by it; two keys of different types may share one."""
    named: dict[str, tuple[SigningKey, ...]] = {}
    for key in keys:
        if key.key_id is not None:
            named[key.key_id] = (*named.get(key.key_id, ()), key)
    return named
