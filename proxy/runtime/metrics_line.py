"""How a worker comes by the metrics of the whole proxy, which the supervisor alone can put together."""

import asyncio
from collections.abc import Awaitable, Callable

from proxy.runtime.channel import MetricsText, MetricsWanted

TIMEOUT = 2.0
"""Seconds that a client waits for metrics."""


class MetricsLine:
    """Asks the supervisor; whoever wants metrics while an answer is awaited shares it. Its state: that question."""

    def __init__(self, send: Callable[[MetricsWanted], Awaitable[None]]) -> None:
        self._send = send
        self._number = 0
        self._answer: asyncio.Future[bytes] | None = None

    async def ask(self, limit: float = TIMEOUT) -> bytes | None:
        """The metrics in Prometheus' text format; None where there is no answer within `limit` seconds."""
        answer = self._answer
        if answer is None:
            answer = self._answer = asyncio.get_running_loop().create_future()
            self._number += 1
            await self._send(MetricsWanted(self._number))
        try:
            async with asyncio.timeout(limit):
                return await asyncio.shield(answer)
        except TimeoutError:
            if self._answer is answer:
                self._answer = None
            return None

    def take(self, text: MetricsText) -> None:
        """The supervisor answers; an answer to an older question is too late."""
        answer = self._answer
        if answer is None or text.number != self._number:
            return
        self._answer = None
        answer.set_result(text.body)
