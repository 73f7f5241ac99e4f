"""How a decode engine reaches a prefill engine: over HTTP, where real engines use NIXL or their bootstrap server."""

import asyncio
from dataclasses import asdict

import aiohttp

from proxy.simulator.disaggregation import Meeting, NixlHandle
from proxy.simulator.refusal import RefusedError


class PrefillPeers:
    """The prefill engines that this engine fetches from, over one client session."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def fetch_blocks(self, handle: NixlHandle) -> None:
        """Take the blocks of a vLLM prefill; refused with 400 if there are none or nobody answers there."""
        await self._ask(handle.host, handle.port, "/sim/blocks", {**asdict(handle)})

    async def fetch_rooms(self, meetings: tuple[Meeting, ...]) -> None:
        """Meet an SGLang prefill in each of these rooms."""
        try:
            async with asyncio.TaskGroup() as group:
                for meeting in meetings:
                    group.create_task(self._ask(meeting.host, meeting.port, "/sim/rooms", {"room": meeting.room}))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _ask(self, host: str, port: int, path: str, message: dict[str, object]) -> None:
        url = f"http://{host}:{port}{path}"
        try:
            async with self._session.post(url, json=message) as response:
                if response.status == 200:
                    return
                text = (await response.json()).get("message", "")
        except (aiohttp.ClientError, ValueError, AttributeError) as error:
            raise RefusedError(400, f"no prefill engine answers at {host}:{port}: {error}") from None
        raise RefusedError(response.status, f"prefill engine at {host}:{port}: {text}")
