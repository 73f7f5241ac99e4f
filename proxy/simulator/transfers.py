"""What a prefill engine holds for decode engines: vLLM's pinned blocks, SGLang's rooms."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from proxy.simulator.disaggregation import NixlHandle
from proxy.simulator.prefix_cache import BLOCK_TOKENS
from proxy.simulator.refusal import RefusedError

REMEMBERED = 4096  # handles and rooms that have been used, kept to tell "twice" from "never"


class Used:
    """The last names that may not be used again."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """This name is spent."""
        self._names[name] = None
        while len(self._names) > REMEMBERED:
            self._names.popitem(last=False)


class PinnedBlocks:
    """The blocks of prefills that no decode engine has fetched yet; they are freed after `timeout` seconds."""

    def __init__(self, timeout: float, clock: Callable[[], float]) -> None:
        self._timeout = timeout
        self._clock = clock
        self._pinned: dict[str, tuple[NixlHandle, float]] = {}
        self._fetched = Used()
        self._next_block = 0
        self.expired = 0

    def __len__(self) -> int:
        self._expire()
        return len(self._pinned)

    def pin(self, engine_id: str, request_id: str, tokens: int, host: str, port: int) -> NixlHandle:
        """Hold the blocks of a prompt of so many tokens."""
        self._expire()
        count = -(-tokens // BLOCK_TOKENS)
        blocks = tuple(range(self._next_block, self._next_block + count))
        self._next_block += count
        handle = NixlHandle(engine_id, request_id, blocks, host, port)
        self._pinned[request_id] = (handle, self._clock())
        return handle

    def fetch(self, handle: NixlHandle) -> None:
        """Give the blocks away, once; refused with 400 unless the handle is what a prefill here answered."""
        self._expire()
        if handle.request_id in self._fetched:
            raise RefusedError(400, f"the blocks of {handle.request_id} have been fetched before")
        held = self._pinned.get(handle.request_id)
        if held is None:
            raise RefusedError(400, f"no prefill {handle.request_id} is held here")
        if held[0] != handle:
            raise RefusedError(400, f"the fields are not those that the prefill {handle.request_id} answered")
        del self._pinned[handle.request_id]
        self._fetched.add(handle.request_id)

    def _expire(self) -> None:
        limit = self._clock() - self._timeout
        for request_id in [name for name, (_, since) in self._pinned.items() if since < limit]:
            del self._pinned[request_id]
            self.expired += 1


@dataclass(slots=True)
class Room:
    """Where the two halves of one request meet; each side comes once."""

    prefill: bool = False
    decode: bool = False
    computed: asyncio.Event = field(default_factory=asyncio.Event)
    fetched: asyncio.Event = field(default_factory=asyncio.Event)


class Rooms:
    """SGLang's bootstrap server: neither half goes on before the other has come, or waits over `timeout` seconds."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._rooms: dict[int, Room] = {}
        self._used = Used()

    def __len__(self) -> int:
        return len(self._rooms)

    @asynccontextmanager
    async def prefilling(self, number: int) -> AsyncIterator[Room]:
        """A prefill's stay in its room, which nobody may use again."""
        room = self._enter(number)
        if room.prefill:
            raise RefusedError(400, f"bootstrap_room {number} has a prefill already", "bootstrap_room")
        room.prefill = True
        try:
            yield room
        finally:
            self._rooms.pop(number, None)
            self._used.add(str(number))

    async def hand_over(self, room: Room) -> None:
        """The prompt is computed: wait until the decode engine has fetched it; 500 if it does not come."""
        room.computed.set()
        await self._within_time(room.fetched, "the decode engine did not come to the bootstrap room")

    async def fetch(self, number: int) -> None:
        """A decode's visit: wait until the prompt is computed, then take it."""
        room = self._enter(number)
        if room.decode:
            raise RefusedError(400, f"bootstrap_room {number} has a decode already", "bootstrap_room")
        room.decode = True
        try:
            await self._within_time(room.computed, "the prefill engine did not come to the bootstrap room")
            room.fetched.set()
        finally:
            if not room.prefill:
                self._rooms.pop(number, None)

    def _enter(self, number: int) -> Room:
        if str(number) in self._used:
            raise RefusedError(400, f"bootstrap_room {number} has been used before", "bootstrap_room")
        return self._rooms.setdefault(number, Room())

    async def _within_time(self, event: asyncio.Event, message: str) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await event.wait()
        except TimeoutError:
            raise RefusedError(500, f"KVTransferError: {message} within {self._timeout:g} s") from None
