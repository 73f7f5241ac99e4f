"""Checking JSON Web Tokens (RFC 7519, with the advice of RFC 8725), and remembering those that have been checked."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

from jwt.algorithms import get_default_algorithms
from jwt.exceptions import PyJWTError

from proxy.access.key_sets import KeySet
from proxy.access.signing_keys import SigningKey
from proxy.access.token_claims import ClaimRules, Claims
from proxy.access.token_parts import LONGEST_TOKEN, Parts, TokenFault, read_parts
from proxy.config.access_spec import ASYMMETRIC, JwtAuth

# What is remembered: so many tokens, of so many bytes in all (claims in memory take a few times that), for so many
# seconds at most.
MOST_REMEMBERED = 10_000
LARGEST_MEMORY = 16 * 1024 * 1024
LONGEST_MEMORY = 3600.0

# Keys to try for a token that names none. Each costs a signature check that a forger does not pay for.
MOST_TRIED = 4

TOO_LONG = TokenFault("The token is longer than 16 KiB")
ALGORITHM = TokenFault("The algorithm of the token is not accepted")
UNFIT_KEY = TokenFault("The key of the token does not fit its algorithm")
UNKNOWN_KEY = TokenFault("The key of the token is not known")
NO_KEY_NAMED = TokenFault("The token names no key and too many would fit")
SIGNATURE = TokenFault("The signature of the token is wrong")


class Remembered:
    """A token that has been checked: what it says, until when that holds, and by whose key."""

    __slots__ = ("claims", "generation", "key", "size", "until")

    def __init__(self, claims: Claims, until: float, key: SigningKey, generation: int, size: int) -> None:
        self.claims = claims
        self.until = until
        self.key = key
        self.generation = generation
        self.size = size


class TokenVerifier:
    """Checks the tokens of one issuer against its keys. `clock` gives seconds since 1970.

    Remembers tokens by their SHA-256, so that no credential stays in memory for it. The remembered ones are the only
    state; a key that the issuer has withdrawn takes its tokens with it.
    """

    def __init__(self, auth: JwtAuth, keys: KeySet, clock: Callable[[], float] = time.time) -> None:
        known = get_default_algorithms()
        self.auth = auth
        self.keys = keys
        # A symmetric algorithm stays out even where a configuration has let it in.
        self._algorithms = {name: known[name] for name in auth.algorithms if name in ASYMMETRIC}
        self._rules = ClaimRules(auth)
        self._clock = clock
        self._remembered: OrderedDict[bytes, Remembered] = OrderedDict()
        self._size = 0

    def __repr__(self) -> str:
        return f"<TokenVerifier for {self.auth.issuer}, {len(self._remembered)} tokens remembered, {self.keys!r}>"

    def known(self, token: bytes) -> Claims | TokenFault | None:
        """What a token says, or what is wrong with it, at once; None where keys must be fetched first.

        Hot path: benchmarks/access.py measures it.
        """
        if len(token) > LONGEST_TOKEN:
            return TOO_LONG
        mark = hashlib.sha256(token).digest()
        held = self._remembered.get(mark)
        if held is None:
            return self._check(token, mark)
        if held.until <= self._clock() or (held.generation != self.keys.generation and not self._still_holds(held)):
            self._forget(mark)
            return self._check(token, mark)
        self._remembered.move_to_end(mark)
        return held.claims

    async def verify(self, token: bytes) -> Claims | TokenFault:
        """What a token says, or what is wrong with it. Raises RequestError (503) where there are no keys at all."""
        answer = self.known(token)
        if answer is not None:
            return answer
        await self.keys.ask()
        answer = self.known(token)
        return UNKNOWN_KEY if answer is None else answer

    def _check(self, token: bytes, mark: bytes) -> Claims | TokenFault | None:
        parts = read_parts(token)
        if isinstance(parts, TokenFault):
            return parts
        key = self._signer(parts)
        if not isinstance(key, SigningKey):
            return key
        now = self._clock()
        claims = self._rules.check(parts.payload, now)
        if isinstance(claims, Claims):
            until = min(claims.expires + self.auth.leeway, now + LONGEST_MEMORY)
            self._remember(mark, Remembered(claims, until, key, self.keys.generation, len(token)))
        return claims

    def _signer(self, parts: Parts) -> SigningKey | TokenFault | None:
        """The key that signed it, or why none did, or None where a fetch might bring the key."""
        if parts.algorithm not in self._algorithms:
            return ALGORITHM
        candidates = self.keys.find(parts.key_id, parts.algorithm)
        if not candidates:
            return UNFIT_KEY if self.keys.knows(parts.key_id) else self._unless_askable(UNKNOWN_KEY)
        if len(candidates) > MOST_TRIED:
            return NO_KEY_NAMED
        for key in candidates:
            if self._signed(parts, key):
                return key
        # An issuer that names no keys changes them unannounced.
        return SIGNATURE if parts.key_id is not None else self._unless_askable(SIGNATURE)

    def _unless_askable(self, fault: TokenFault) -> TokenFault | None:
        return None if self.keys.askable or not self.keys.keys else fault

    def _signed(self, parts: Parts, key: SigningKey) -> bool:
        try:
            return self._algorithms[parts.algorithm].verify(parts.signed, key.public, parts.signature)
        except (ValueError, TypeError, PyJWTError):
            return False

    def _still_holds(self, held: Remembered) -> bool:
        """Whether the key is still the issuer's after its keys have changed; looked up once a change."""
        if not self.keys.holds(held.key):
            return False
        held.generation = self.keys.generation
        return True

    def _remember(self, mark: bytes, token: Remembered) -> None:
        self._remembered[mark] = token
        self._size += token.size
        while len(self._remembered) > MOST_REMEMBERED or self._size > LARGEST_MEMORY:
            self._size -= self._remembered.popitem(last=False)[1].size

    def _forget(self, mark: bytes) -> None:
        self._size -= self._remembered.pop(mark).size
