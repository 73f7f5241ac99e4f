"""Limits that several hosts share: token buckets in Redis or Valkey, asked in one round trip by a script."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from hashlib import blake2b
from types import ModuleType
from typing import Any, NamedTuple

from proxy.access.buckets import TOLERANCE, Verdict
from proxy.access.shared_store import Want
from proxy.config.access_spec import Redis
from proxy.errors import ConfigError, Problem, Severity

LOG = logging.getLogger("penstock.limits")

MOST_CONNECTIONS = 64
MOST_CHARGES = 10_000
"""Settlements under way at once; with more, the host or the network cannot keep up, and further ones are dropped."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
"""Seconds for which a store that failed is not asked again; they double from failure to failure."""

# Each bucket is a hash of what it held and when. All are read first, on the server's own clock; only if every one has
# enough (or ARGV[1] says that it is a settlement) all pay. The braces keep the keys of a call on one node of a cluster.
SCRIPT = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local forced = ARGV[1] == '1'
local levels, enough = {}, true
for i = 1, #KEYS do
  local cost, capacity = tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1])
  local rate, least = tonumber(ARGV[4 * i]), tonumber(ARGV[4 * i + 1])
  local row = redis.call('HMGET', KEYS[i], 'tokens', 'at')
  local tokens, at = tonumber(row[1]), tonumber(row[2])
  if tokens and at then
    tokens = math.min(capacity, tokens + math.max(0, now - at) * rate)
  else
    tokens = capacity
  end
  levels[i] = tokens
  if tokens + 0.000001 < math.max(cost, least) then enough = false end
end
local answer = { enough and 1 or 0 }
for i = 1, #KEYS do
  local cost, capacity, rate = tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local tokens = levels[i]
  if enough or forced then
    tokens = math.min(capacity, tokens - cost)
    redis.call('HSET', KEYS[i], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.17g', now))
    redis.call('EXPIRE', KEYS[i], math.ceil((capacity - tokens) / rate) + 60)
  end
  answer[i + 1] = string.format('%.17g', tokens)
end
return answer
"""


class Answer(NamedTuple):
    """Whether all buckets had enough, and what each holds now."""

    admitted: bool
    levels: tuple[float, ...]


class RedisStore:
    """Owns the connections to one Redis. While it is away it is not waited for: its callers learn that at once.

    `clock` gives seconds and never goes back.
    """

    def __init__(self, redis: Redis, clock: Callable[[], float]) -> None:
        self._client, self._error = _connect(redis)
        self._script = self._client.register_script(SCRIPT)
        self._timeout = redis.timeout
        self._clock = clock
        self._away_until = -math.inf
        self._failed_at = -math.inf
        self._pause = 0.0
        self._asked: set[asyncio.Task[Answer | None]] = set()
        self._charges: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<RedisStore {'away' if self._pause else 'there'}, {len(self._charges)} charges under way>"

    async def take(self, wants: Sequence[Want], timeout: float) -> Sequence[Verdict] | None:  # noqa: ASYNC109 - a limit's
        """Take all or nothing, in one round trip; None where Redis does not answer within `timeout` seconds.

        A client that leaves meanwhile may have paid already: it gets that back.
        """
        if self._clock() < self._away_until:
            return None
        asking = asyncio.get_running_loop().create_task(self._run(wants, timeout, forced=False))
        self._asked.add(asking)
        asking.add_done_callback(self._asked.discard)
        try:
            answer = await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(lambda asked: self._return(wants, asked))
            raise
        if answer is None:
            return None
        return [_verdict(want, answer.admitted, level) for want, level in zip(wants, answer.levels, strict=True)]

    def _return(self, wants: Sequence[Want], asked: asyncio.Task[Answer | None]) -> None:
        answer = None if asked.cancelled() else asked.result()
        if answer is not None and answer.admitted:
            self.charge([want._replace(cost=-want.cost, at_least=0.0) for want in wants if want.cost])

    def charge(self, wants: Sequence[Want]) -> None:
        """Take without asking, beside whatever goes on; a negative cost gives back."""
        if len(self._charges) >= MOST_CHARGES:
            return
        task = asyncio.get_running_loop().create_task(self._charge(wants))
        self._charges.add(task)
        task.add_done_callback(self._charges.discard)

    async def close(self) -> None:
        """Let what is under way end, for as long as one round trip may take, and close the connections."""
        for under_way in (self._asked, self._charges):  # what was asked in vain is charged back
            if under_way:
                _, late = await asyncio.wait(under_way, timeout=self._timeout)
                for task in late:
                    task.cancel()
        await self._client.aclose()

    async def _charge(self, wants: Sequence[Want]) -> None:
        await self._run(wants, self._timeout, forced=True)

    async def _run(self, wants: Sequence[Want], limit: float, *, forced: bool) -> Answer | None:
        began = self._clock()
        if began < self._away_until:
            return None
        if self._pause:
            self._away_until = began + limit  # one asks whether it is back, and the others do not wait for that
        arguments: list[str] = ["1" if forced else "0"]
        for want in wants:
            arguments += map(repr, (want.cost, want.capacity, want.per_second, want.at_least))
        try:
            async with asyncio.timeout(limit):
                said = await self._script([bucket_key(want.key) for want in wants], arguments)
            answer = read_answer(said, len(wants))
        except (TimeoutError, OSError, ValueError, self._error) as error:
            self._went_away(error, began)
            return None
        if self._pause:
            LOG.info("Redis is back: shared limits are kept there again")
        self._pause, self._away_until = 0.0, -math.inf
        return answer

    def _went_away(self, error: BaseException, began: float) -> None:
        if began <= self._failed_at:
            return  # asked before that was known
        if not self._pause:
            LOG.warning("Redis does not answer (%s): shared limits do as their 'fail' says", type(error).__name__)
        self._pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, 2 * self._pause))
        self._failed_at = self._clock()
        self._away_until = self._failed_at + self._pause


def read_answer(said: object, buckets: int) -> Answer:
    """What the script answers. Raises ValueError for anything else: what says it is no Redis that can keep limits."""
    if not isinstance(said, list) or len(said) != buckets + 1 or said[0] not in {0, 1}:
        raise ValueError("this is no answer of the script")
    levels = tuple(float(level) for level in said[1:] if isinstance(level, bytes))
    if len(levels) != buckets or not all(map(math.isfinite, levels)):
        raise ValueError("these are no levels of buckets")
    return Answer(bool(said[0]), levels)


class RedisStores:
    """Owns the stores of a worker, one for each Redis. `clock` as in RedisStore."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stores: dict[Redis, RedisStore] = {}

    def __repr__(self) -> str:
        return f"<RedisStores {len(self._stores)}>"

    def find(self, redis: Redis) -> RedisStore:
        """The store of this Redis. Raises ConfigError where the extra is not installed, or the URL is none."""
        store = self._stores.get(redis)
        if store is None:
            store = self._stores[redis] = RedisStore(redis, self._clock)
        return store

    async def close(self) -> None:
        """Close the connections of all."""
        for store in self._stores.values():
            await store.close()
        self._stores.clear()


def bucket_key(key: str) -> str:
    """A bucket's key in Redis. A digest: names of callers may be long, and anything."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"penstock:{{limits}}:{digest}"


def _verdict(want: Want, admitted: bool, level: float) -> Verdict:
    needed = max(want.cost, want.at_least)
    fits = admitted or level + TOLERANCE >= needed
    wait: float | None = 0.0 if fits else (needed - level) / want.per_second
    if needed > want.capacity:
        wait = None
    remaining = max(0, math.floor(level + TOLERANCE))
    return Verdict(fits, remaining, max(0.0, want.capacity - level) / want.per_second, wait)


def _connect(redis: Redis) -> tuple[Any, type[Exception]]:
    """A client and the error that says that Redis is away. Raises ConfigError where the extra is not installed, or does
    not take the URL; its own words would tell a part of that.
    """
    library, errors = _library()
    error: type[Exception] = errors.RedisError
    try:
        pool = library.BlockingConnectionPool.from_url(
            redis.url,
            max_connections=MOST_CONNECTIONS,
            timeout=redis.timeout,
            socket_timeout=redis.timeout,
            socket_connect_timeout=redis.timeout,
        )
        pool.make_connection()  # which connects to nothing, but takes what the URL asks for beside the address
    except (ValueError, TypeError, AttributeError, error):
        raise _unusable("the URL of a Redis asks behind its '?' for something that cannot be had") from None
    return library.Redis.from_pool(pool), error


def _library() -> tuple[ModuleType, ModuleType]:
    """redis-py, an extra that only limits across hosts need."""
    try:
        import redis.asyncio  # noqa: PLC0415 - it is not there without the extra
        import redis.exceptions  # noqa: PLC0415 - as above
    except ImportError:
        raise _unusable("limits with redis need the extra: pip install 'penstock[redis]'") from None
    return redis.asyncio, redis.exceptions


def _unusable(message: str) -> ConfigError:
    return ConfigError((Problem(Severity.ERROR, "redis", "", 0, 0, "", message),))
