"""The keys of one issuer while the proxy runs: fetched, kept fresh, and kept when the issuer is away."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable

from proxy.access.key_sources import KeySource
from proxy.access.signing_keys import KeysError, ReadKeys, SigningKey, by_key_id, read_keys
from proxy.errors import RequestError

LOG = logging.getLogger("penstock.access")

# All in seconds. An issuer announces a new key well before it signs with it, so minutes are fresh enough; a token
# with a key that is not known yet asks at once, and then again no sooner than ASKED_EACH.
FRESH = 300.0
FRESH_LEAST = 60.0
FRESH_MOST = 3600.0
ASKED_EACH = 10.0
PATIENCE = 5.0
FIRST_RETRY = 1.0
LAST_RETRY = 60.0
# The share of a delay that chance may take away, so that workers and hosts do not ask in step.
SPREAD = 0.1


class KeySet:
    """One issuer's keys, where they come from, and when they were asked for.

    `clock` gives seconds and never goes back, `pause` waits for so many seconds, `chance` is a number from 0 to 1,
    `patience` is how many seconds a token waits for a fetch. `generation` goes up whenever the keys have changed.
    """

    def __init__(
        self,
        source: KeySource,
        *,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        patience: float = PATIENCE,
    ) -> None:
        self.source = source
        self.keys: tuple[SigningKey, ...] = ()
        self.generation = 0
        self.problem: str | None = None
        self.failures = 0
        self._by_key_id = by_key_id(())
        self._fresh = FRESH
        self._asked = -math.inf
        self._closed = False
        self._fetching: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._clock = clock
        self._pause = pause
        self._chance = chance
        self._patience = patience

    def __repr__(self) -> str:
        trouble = f", {self.problem}" if self.problem else ""
        return f"<KeySet {self.source!r}: {len(self.keys)} keys{trouble}>"

    def start(self) -> None:
        """Begin the first fetch and the refreshing in the background, without waiting for either."""
        if self._keeping is None:
            first = self._fetch()
            self._keeping = asyncio.create_task(self._keep_fresh(first))

    async def close(self) -> None:
        """End what runs in the background for good. The keys stay, for requests that still hold this set."""
        self._closed = True
        running = [task for task in (self._keeping, self._fetching) if task is not None]
        self._keeping = self._fetching = None
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def find(self, key_id: str | None, algorithm: str) -> tuple[SigningKey, ...]:
        """The keys of that id that fit the algorithm; all that fit where no id is given."""
        named = self.keys if key_id is None else self._by_key_id.get(key_id, ())
        return tuple(key for key in named if algorithm in key.algorithms)

    def knows(self, key_id: str | None) -> bool:
        """Whether there is a key of that id."""
        return key_id in self._by_key_id

    def holds(self, key: SigningKey) -> bool:
        """Whether this very key is still among the issuer's."""
        return key in self.keys

    @property
    def askable(self) -> bool:
        """Whether a token with an unknown key may wait for a fetch: one runs, or the last such one is long ago."""
        if self._closed:
            return False
        return self._fetching is not None or self._clock() - self._asked >= ASKED_EACH

    async def ask(self) -> None:
        """Wait for the fetch that a token needs, shared with all who ask meanwhile; begin none too soon.

        Raises RequestError (503) where there are no keys at all.
        """
        if self.askable:
            if self._fetching is None:
                self._asked = self._clock()
            await asyncio.wait({self._fetch()}, timeout=self._patience)
        if not self.keys:
            raise RequestError(
                503,
                "The keys that tokens are checked with are not available.",
                kind="server_error",
                code="issuer_unavailable",
                retry_after=max(1.0, min(ASKED_EACH, self._delay())),
            )

    async def reload(self) -> None:
        """Fetch now, whatever the schedule says: a key file has changed, or an operator asks."""
        if self._fetching is not None:
            # It may have looked before the change.
            await asyncio.wait({self._fetching})
        if not self._closed:
            await asyncio.wait({self._fetch()})

    def _fetch(self) -> asyncio.Task[None]:
        """The fetch that runs, or a new one.

        Those who wait do so by `asyncio.wait`: one who leaves must not end it for the others, and its own end in
        `close` must not end them.
        """
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_once())
        return self._fetching

    async def _fetch_once(self) -> None:
        try:
            fetched = await self.source.fetch()
            self._adopt(read_keys(fetched.content))
        except KeysError as problem:
            self._failed(str(problem))
        except Exception as error:  # noqa: BLE001 - the edge of a background task: a fault of ours must not end the fetching
            self._failed(f"a fault of the proxy ({type(error).__name__})")
        else:
            self._fresh = FRESH if fetched.max_age is None else min(max(fetched.max_age, FRESH_LEAST), FRESH_MOST)
        finally:
            self._fetching = None

    def _adopt(self, read: ReadKeys) -> None:
        """Take over the keys; one that stays as it was stays the same object, for tokens that remember it."""
        if self.problem is not None:
            LOG.info("the keys at %r are available again", self.source)
        self.problem = None
        self.failures = 0
        held = {key.mark: key for key in self.keys}
        if held.keys() == {key.mark for key in read.usable}:
            return
        self.keys = tuple(held.get(key.mark, key) for key in read.usable)
        self._by_key_id = by_key_id(self.keys)
        self.generation += 1
        LOG.info("%d keys from %r", len(self.keys), self.source)
        for why in sorted(set(read.refused)):
            LOG.warning("a key from %r is not used: %s", self.source, why)

    def _failed(self, why: str) -> None:
        if self.problem is None:
            LOG.warning("no keys from %r: %s; %d known ones stay in use", self.source, why, len(self.keys))
        self.problem = why
        self.failures += 1

    async def _keep_fresh(self, fetch: asyncio.Task[None]) -> None:
        while True:
            await asyncio.wait({fetch})
            await self._pause(self._delay() * (1.0 - SPREAD * self._chance()))
            fetch = self._fetch()

    def _delay(self) -> float:
        """How many seconds until the next fetch in the background."""
        if self.failures == 0:
            return self._fresh
        return min(LAST_RETRY, FIRST_RETRY * 2.0 ** min(self.failures - 1, 10))
