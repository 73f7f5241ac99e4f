"""What callers are known by: the key rings, issuers' keys and verifiers of a configuration, from one to the next."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from proxy.access.key_sets import KeySet
from proxy.access.key_sources import WELL_KNOWN, key_source
from proxy.access.keys import KeyRing
from proxy.access.signing_keys import KeysError
from proxy.access.tokens import TokenVerifier
from proxy.config.access_spec import Auth, JwtAuth
from proxy.config.codes import Code
from proxy.errors import ConfigError, Problem, Severity

LOG = logging.getLogger("penstock.access")


def make_key_set(auth: JwtAuth) -> KeySet:
    """The keys of a token's issuer. Raises KeysError where it cannot be told where they are."""
    return KeySet(key_source(auth))


class Sources:
    """What the present configuration knows callers by. Mutable: all of its fields, which `adopt` exchanges together.

    `clock` gives seconds since 1970. `generation` is another object after each change.
    """

    def __init__(self, clock: Callable[[], float], key_set: Callable[[JwtAuth], KeySet]) -> None:
        self.rings: dict[str, KeyRing] = {}
        self.verifiers: dict[JwtAuth, TokenVerifier] = {}
        self.certificates = False
        self.generation = object()
        self._key_sets: dict[str, KeySet] = {}
        self._clock = clock
        self._key_set = key_set

    @property
    def files(self) -> tuple[str, ...]:
        """The files whose changes `reload` takes over."""
        return (*self.rings, *filter(_is_file, self._key_sets))

    async def adopt(self, auths: Iterable[Auth]) -> None:
        """Exchange what there is for what these need. What stays keeps its state, what goes is closed.

        A file that cannot be used is told, and lets nobody in until it is mended: whoever read the configuration has
        checked its files, and a worker that begins later must serve what does not hang on them. Raises ConfigError
        where it cannot be told where an issuer's keys are; then everything stays as it was.
        """
        wanted = tuple(auths)
        tokens = list(dict.fromkeys(auth.jwt for auth in wanted if auth.jwt is not None))
        problems: list[Problem] = []
        async with AsyncExitStack() as opened:
            rings = await self._open_rings(dict.fromkeys(auth.keys for auth in wanted if auth.keys))
            key_sets = await self._open_key_sets(tokens, problems, opened)
            if problems:
                raise ConfigError(tuple(problems))
            opened.pop_all()
        gone = [keys for place, keys in self._key_sets.items() if place not in key_sets]
        self.verifiers = {auth: self._verifier(auth, key_sets[_place(auth)]) for auth in tokens}
        self.rings, self._key_sets = rings, key_sets
        self.certificates = any(auth.client_certificate for auth in wanted)
        self.generation = object()
        await _close(gone)

    async def reload(self) -> list[str]:
        """Take over what has changed in the files; what is wrong with them, and then their last good keys stay."""
        told: list[str] = []
        for ring in tuple(self.rings.values()):
            told += await asyncio.to_thread(ring.reload)
        for place, keys in tuple(self._key_sets.items()):
            if _is_file(place):
                await keys.reload()
                told += [] if keys.problem is None else [f"{place}: {keys.problem}"]
        self.generation = object()
        return told

    async def close(self) -> None:
        """End what runs in the background."""
        key_sets, self._key_sets = list(self._key_sets.values()), {}
        await _close(key_sets)

    def _verifier(self, auth: JwtAuth, keys: KeySet) -> TokenVerifier:
        held = self.verifiers.get(auth)
        return held if held is not None and held.keys is keys else TokenVerifier(auth, keys, self._clock)

    async def _open_rings(self, paths: Iterable[str]) -> dict[str, KeyRing]:
        rings = {path: self.rings[path] for path in paths if path in self.rings}
        for path in paths:
            if path in rings:
                continue
            rings[path] = await asyncio.to_thread(KeyRing, path, self._clock)
            for problem in rings[path].problems:
                LOG.log(logging.ERROR if problem.severity is Severity.ERROR else logging.WARNING, "%s", problem)
        return rings

    async def _open_key_sets(
        self, tokens: Iterable[JwtAuth], problems: list[Problem], opened: AsyncExitStack
    ) -> dict[str, KeySet]:
        """All issuers' keys. A file is read at once; an issuer that is away must keep nobody from starting."""
        key_sets: dict[str, KeySet] = {}
        for auth in tokens:
            place = _place(auth)
            if place in key_sets:
                continue
            if place in self._key_sets:
                key_sets[place] = self._key_sets[place]
                continue
            try:
                keys = key_sets[place] = self._key_set(auth)
            except KeysError as problem:
                problems.append(_problem(place, str(problem)))
                continue
            opened.push_async_callback(keys.close)
            keys.start()
            if _is_file(place):
                await keys.reload()
                if keys.problem is not None:
                    LOG.error("%s", _problem(place, keys.problem))
        return key_sets


def _place(auth: JwtAuth) -> str:
    """What tells key sets apart: issuers' audiences share one."""
    return auth.jwks or f"{auth.issuer}{WELL_KNOWN}"


def _is_file(place: str) -> bool:
    return place.startswith("/")


def _problem(place: str, why: str) -> Problem:
    return Problem(
        Severity.ERROR, Code.UNREADABLE.value, place.partition("?")[0], 0, 0, "", f"no keys of tokens: {why}"
    )


async def _close(key_sets: Iterable[KeySet]) -> None:
    for keys in key_sets:
        await keys.close()
