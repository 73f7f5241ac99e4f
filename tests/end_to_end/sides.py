"""What a request may reach when it has a choice: engines that tell their name, fail on a schedule, and count."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from tests.end_to_end.engines import RawConnection, RawEngine, raw_engine
from tests.end_to_end.raw_client import Answer, chat, post, raw_client


class Side:
    """An engine that answers with its name; each `every`th request, counted from the first, with `status` instead.

    While `hold` is not set, answers wait. `most` is how many requests it has had at once.
    """

    def __init__(self, name: str, *, every: int = 0, status: str = "503 Unavailable", holds: bool = False) -> None:
        self.name = name
        self.every = every
        self.status = status
        self.asked = 0
        self.working = 0
        self.most = 0
        self.hold = asyncio.Event()
        self.engine: RawEngine | None = None
        if not holds:
            self.hold.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self.engine is not None
        return self.engine.url

    @property
    def heard(self) -> list[bytes]:
        """All requests, as they came."""
        assert self.engine is not None
        return self.engine.requests

    async def talk(self, connection: RawConnection) -> None:
        """Serve one connection."""
        while await connection.request():
            self.asked += 1
            self.working += 1
            self.most = max(self.most, self.working)
            try:
                await self._answer(connection)
            finally:
                self.working -= 1

    async def _answer(self, connection: RawConnection) -> None:
        failing = self.every and self.asked % self.every == 0
        if not self.hold.is_set():
            await self._held(connection)
        body = json.dumps({"from": self.name}).encode()
        fields = (b"Content-Type: application/json",)
        await connection.answer(body, *fields, status=self.status.encode() if failing else b"200 OK")

    async def _held(self, connection: RawConnection) -> None:
        """Wait until answers may go; ConnectionResetError where nobody waits for this one any more."""
        waiting = asyncio.create_task(self.hold.wait())
        gone = asyncio.create_task(connection.gone())
        try:
            await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            gone.cancel()
            await asyncio.wait({waiting, gone})
        if not self.hold.is_set():
            raise ConnectionResetError


StartSide = Callable[..., Awaitable[Side]]


def start_side(stack: AsyncExitStack) -> StartSide:
    """What starts such engines, which stop with the stack."""

    async def start(name: str, **how: object) -> Side:
        side = Side(name, **how)  # type: ignore[arg-type]
        side.engine = await stack.enter_async_context(raw_engine(side.talk))
        return side

    return start


def name_in(answer: Answer) -> str:
    """Which engine has answered."""
    return str(json.loads(answer.body)["from"])


async def ask(port: int, body: bytes | None = None, path: str = "/v1/chat/completions", **fields: str) -> Answer:
    """The answer to a chat on a connection of its own."""
    async with raw_client(port) as client:
        return await client.ask(post(chat() if body is None else body, path, **fields))


async def drive(port: int, count: int, clients: int = 16, **fields: str) -> list[Answer]:
    """The answers to so many chats, which as many clients share that each worker gets some of them."""

    async def visit(share: int) -> list[Answer]:
        async with raw_client(port) as client:
            return [await client.ask(post(chat(), **fields)) for _ in range(share)]

    shares = [count // clients + (number < count % clients) for number in range(clients)]
    return [answer for answers in await asyncio.gather(*map(visit, shares)) for answer in answers]
