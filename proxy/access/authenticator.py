"""Who calls, found from what a request shows: keys, tokens and client certificates, over all that is configured."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from proxy.access.certificates import certificate_identity
from proxy.access.identity import Caller, Fault, Identity, united
from proxy.access.key_sets import KeySet
from proxy.access.keys import PREFIX, digest_of
from proxy.access.presented import presented
from proxy.access.sources import Sources, make_key_set
from proxy.access.token_claims import Claims
from proxy.access.token_parts import TokenFault, looks_like_token, unverified_issuer
from proxy.access.tokens import TokenVerifier
from proxy.config.access_spec import Auth, JwtAuth
from proxy.errors import RequestError
from proxy.wire.request_gate import RequestFields

TOKEN_MEMORY = 1.0
"""Seconds for which a connection's token is not asked about again, so that a key its issuer withdraws ends it soon."""

UNKNOWN_KEY = Fault("invalid_token", "The key is not known")
FOREIGN = Fault("invalid_token", "The credential is not known", ours=False)
UNKNOWN_ISSUER = Fault("invalid_token", "The issuer of the token is not accepted")

Certificate = Mapping[str, Any]
Answer = tuple[JwtAuth, Claims | TokenFault | RequestError]


class Authenticator:
    """Knows the callers of one worker. Mutable: `active`, which says that any way to know them is configured.

    `clock` gives seconds since 1970.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.time, key_set: Callable[[JwtAuth], KeySet] = make_key_set
    ) -> None:
        self.active = False
        self._clock = clock
        self._sources = Sources(clock, key_set)

    def __repr__(self) -> str:
        return f"<Authenticator {len(self._sources.rings)} key files, {len(self._sources.verifiers)} kinds of tokens>"

    @property
    def files(self) -> tuple[str, ...]:
        """The files whose changes `reload` takes over."""
        return self._sources.files

    async def adopt(self, auths: Iterable[Auth]) -> None:
        """Know callers by these from now on. What stays keeps its state, what goes is closed.

        Raises ConfigError where it cannot be told where an issuer's keys are; then everything stays as it was.
        """
        wanted = tuple(auths)
        await self._sources.adopt(wanted)
        self.active = bool(wanted)

    async def reload(self) -> list[str]:
        """Take over what has changed in the files; what is wrong with them, and then their last good keys stay."""
        return await self._sources.reload()

    async def close(self) -> None:
        """End what runs in the background."""
        await self._sources.close()

    def known(self, said: RequestFields, certificate: Certificate | None = None) -> Caller | None:
        """Who sends these fields; None where keys must be fetched first, which `identify` does.

        `certificate` is what a connection has shown and its listener has verified, the same object each time. Hot path:
        0.2 us for fields that were seen before (benchmarks/access.py).
        """
        memo = said.caller
        # Who was found by which state of what is known, for which certificate, until when: a plain tuple, as a class
        # of its own costs 0.3 us more to make.
        if isinstance(memo, tuple) and memo[0] is self._sources.generation and memo[1] is certificate:
            caller: Caller = memo[3]
            if memo[2] > self._clock():
                return caller
        shown = presented(said.fields)
        answers: list[Answer] = []
        if isinstance(shown, bytes) and self._sources.verifiers:
            for auth, verifier in self._verifiers_of(shown):
                answer = verifier.known(shown)
                if answer is None:
                    return None
                answers.append((auth, answer))
        return self._settle(said, certificate, shown, answers)

    async def identify(self, said: RequestFields, certificate: Certificate | None = None) -> Caller:
        """Who sends these fields, as soon as the keys that tell it are there."""
        known = self.known(said, certificate)
        if known is not None:
            return known
        shown = presented(said.fields)
        answers: list[Answer] = []
        if isinstance(shown, bytes):
            answers = [(auth, await _verify(verifier, shown)) for auth, verifier in self._verifiers_of(shown)]
        return self._settle(said, certificate, shown, answers)

    def _verifiers_of(self, shown: bytes) -> list[tuple[JwtAuth, TokenVerifier]]:
        """Those who may know a token: its issuer's, and those that take any issuer's with the right signature."""
        if not looks_like_token(shown):
            return []
        issuer = unverified_issuer(shown)
        return [(auth, found) for auth, found in self._sources.verifiers.items() if auth.issuer in {None, issuer}]

    def _settle(
        self, said: RequestFields, certificate: Certificate | None, shown: bytes | Fault | None, answers: list[Answer]
    ) -> Caller:
        """All who vouch for a request, or the most telling fault; remembered with the fields."""
        if isinstance(shown, Fault):
            caller, until = Caller(None, shown, credential=True), math.inf
        else:
            caller, until = self._caller(certificate, shown, answers)
        said.caller = (self._sources.generation, certificate, until, caller)
        return caller

    def _caller(
        self, certificate: Certificate | None, shown: bytes | None, answers: list[Answer]
    ) -> tuple[Caller, float]:
        """Who calls, and until when that may be remembered."""
        identities = [_token_identity(auth, answer) for auth, answer in answers if isinstance(answer, Claims)]
        fault = None if shown is None else self._find_keys(shown, answers, identities)
        shows = None
        if certificate is not None and self._sources.certificates:
            shows = certificate_identity(certificate)
            if shows is not None and shows.expires > self._clock():
                identities.append(shows)
        identity = united(identities)
        until = math.inf if identity is None else identity.expires
        if answers:
            # What is wrong with a token may be right in a moment: a key that is fetched, a time that comes.
            now = self._clock()
            until = min(until, now + TOKEN_MEMORY) if fault is None else now
        return Caller(identity, fault, shown is not None or shows is not None), until

    def _find_keys(self, shown: bytes, answers: list[Answer], identities: list[Identity]) -> Fault | None:
        """Add who shows this as a key; a Fault where neither that nor a token makes anybody known."""
        digest = digest_of(shown)
        expired = None
        for ring in self._sources.rings.values():
            answer = ring.find(digest)
            if isinstance(answer, Identity):
                identities.append(answer)
            elif answer is not None:
                expired = answer
        return None if identities else expired or self._fault(shown, answers)

    def _fault(self, shown: bytes, answers: list[Answer]) -> Fault:
        """Why nobody vouches for what was shown."""
        for _, answer in answers:
            if isinstance(answer, RequestError):
                return Fault("invalid_token", "The token cannot be checked", unavailable=answer)
        for _, answer in answers:
            if isinstance(answer, TokenFault):
                return Fault(answer.error, answer.description)
        if self._sources.verifiers and looks_like_token(shown):
            return UNKNOWN_ISSUER
        return UNKNOWN_KEY if shown.startswith(PREFIX.encode()) else FOREIGN


async def _verify(verifier: TokenVerifier, shown: bytes) -> Claims | TokenFault | RequestError:
    """What a verifier says. That it cannot tell is an answer too: somebody else may vouch, and not all routes ask."""
    try:
        return await verifier.verify(shown)
    except RequestError as error:
        return error


def _token_identity(auth: JwtAuth, claims: Claims) -> Identity:
    """Who shows a token. A claim that merely has the name of an id or a tier does not count as one."""
    data = {**claims.claims, "id": claims.id, "tier": claims.tier}
    if claims.tier is None:
        del data["tier"]
    return Identity(claims.id, "jwt", auth, data, expires=claims.expires + auth.leeway)
