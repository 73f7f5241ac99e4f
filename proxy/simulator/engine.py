"""A simulated engine: its queue, its prefix cache and its clock, without any HTTP."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from proxy.simulator.faults import FaultSwitch
from proxy.simulator.generation import Generation
from proxy.simulator.journal import Entry, Journal
from proxy.simulator.metrics import Load, Meters
from proxy.simulator.options import EngineOptions
from proxy.simulator.prefix_cache import PrefixCache
from proxy.simulator.transfers import PinnedBlocks, Rooms

Sleep = Callable[[float], Awaitable[object]]


def random_id() -> str:
    """What an engine calls a request that came without a name."""
    return uuid.uuid4().hex


class Engine:
    """All state of one simulated engine. Time passes only through `sleep` and is read only from `clock` (seconds)."""

    def __init__(
        self,
        options: EngineOptions,
        *,
        sleep: Sleep = asyncio.sleep,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self.options = options
        self.sleep = sleep
        self.clock = clock
        self.new_id = new_id
        self.engine_id = new_id()
        self.started = clock()
        self.host = options.host
        self.port = options.port
        self.bootstrap_port = options.bootstrap_port or options.port
        self.cache = PrefixCache(options.prefix_cache_blocks)
        self.load = Load()
        self.meters = Meters(options, self.load, self.cache)
        self.journal = Journal(deque(maxlen=options.requests_kept))
        self.faults = FaultSwitch()
        self.pinned = PinnedBlocks(options.transfer_timeout, clock)
        self.rooms = Rooms(options.transfer_timeout)
        self._slots = asyncio.Semaphore(options.max_running)

    def __repr__(self) -> str:
        load = f"{self.load.running} running, {self.load.waiting} waiting"
        return (
            f"<Engine {self.options.label} ({self.options.software.value} {self.options.model}) on {self.port}, {load}>"
        )

    @asynccontextmanager
    async def admit(self, generation: Generation, entry: Entry) -> AsyncIterator["Run"]:
        """Wait for a slot, hold it for one run, and give all of it back however the run ends."""
        run = Run(self, generation)
        await self._wait(run)
        self.journal.execute(entry)
        run.begin()
        try:
            yield run
        except BaseException:
            run.end("abort")
            raise
        else:
            run.end(generation.finish_reason)
        finally:
            self._slots.release()

    async def _wait(self, run: "Run") -> None:
        run.queue()
        try:
            await self._slots.acquire()
        finally:
            run.unqueue()


class Run:
    """One request in an engine, from the queue to its last token."""

    def __init__(self, engine: Engine, generation: Generation) -> None:
        self._engine = engine
        self._load = engine.load
        self.generation = generation
        self.cached_tokens = 0
        self.completion_tokens = 0
        self._arrived = self._last = engine.clock()
        self._held = 0

    async def prefill(self) -> None:
        """Compute the prompts, but for what the prefix cache holds."""
        engine, options = self._engine, self._engine.options
        if options.prefix_cache_blocks:
            self.cached_tokens = sum(engine.cache.lookup(prompt, self._salt) for prompt in self.generation.prompts)
        uncached = self.generation.prompt_tokens - self.cached_tokens
        self._load.cached_tokens += self.cached_tokens
        self._load.waiting_uncached_tokens += uncached
        try:
            await self._pass(options.time_to_first_token + options.prefill_per_token * uncached)
        finally:
            self._load.waiting_uncached_tokens -= uncached
        self._computed()

    async def receive_prefill(self) -> None:
        """The prompts were computed elsewhere: only the first token of our own takes time."""
        await self._pass(self._engine.options.time_per_token)
        self._computed()

    async def step(self, index: int) -> None:
        """Let the time of token `index` of each choice pass. The first one came with the prefill."""
        if index:
            await self._pass(self._engine.options.time_per_token)
        now = self._engine.clock()
        meters = self._engine.meters
        if index:
            meters.inter_token.observe(now - self._last)
        else:
            meters.first_token.observe(now - self._arrived)
        self._last = now
        choices = self.generation.choices
        self.completion_tokens += choices
        self._load.generation_tokens += choices
        self._hold(choices)

    @property
    def _salt(self) -> str:
        return self.generation.model

    def queue(self) -> None:
        """It has come."""
        self._load.waiting += 1
        self._count_adapter(self._load.waiting_adapters, 1)

    def unqueue(self) -> None:
        """It waits no more."""
        self._load.waiting -= 1
        self._count_adapter(self._load.waiting_adapters, -1)

    def begin(self) -> None:
        """It has a slot."""
        self._load.running += 1
        self._count_adapter(self._load.running_adapters, 1)
        self._engine.meters.queue.observe(self._engine.clock() - self._arrived)
        self._load.prompt_tokens += self.generation.prompt_tokens
        self._hold(self.generation.prompt_tokens)

    def end(self, reason: str) -> None:
        """It has ended, for this reason: "stop", "length" or "abort"."""
        self._load.running -= 1
        self._count_adapter(self._load.running_adapters, -1)
        self._load.finished[reason] += 1
        self._engine.meters.whole.observe(self._engine.clock() - self._arrived)
        self._hold(-self._held)

    def _computed(self) -> None:
        if self._engine.options.prefix_cache_blocks:
            for prompt in self.generation.prompts:
                self._engine.cache.insert(prompt, self._salt)

    async def _pass(self, seconds: float) -> None:
        if seconds > 0:
            await self._engine.sleep(seconds)

    def _hold(self, tokens: int) -> None:
        self._held += tokens
        self._load.used_tokens += tokens

    def _count_adapter(self, counts: dict[str, int], change: int) -> None:
        if self.generation.adapter:
            counts[self.generation.adapter] = counts.get(self.generation.adapter, 0) + change
            self._load.adapters_changed = self._engine.clock()
