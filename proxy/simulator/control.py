"""The paths under `/sim/`: what was received, which faults are armed, and what decode engines fetch."""

from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from proxy.simulator.disaggregation import NixlHandle
from proxy.simulator.engine import Engine
from proxy.simulator.generation import read_count, read_object
from proxy.simulator.refusal import RefusedError


class Control:
    """The handlers of one engine's `/sim/` paths. They leave no trace in the journal."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.get("/sim/requests", self.requests),
            web.delete("/sim/requests", self.forget),
            web.get("/sim/faults", self.faults),
            web.post("/sim/faults", self.arm),
            web.delete("/sim/faults", self.clear),
            web.post("/sim/blocks", self.fetch_blocks),
            web.post("/sim/rooms", self.fetch_room),
        ]

    async def requests(self, request: web.Request) -> web.Response:
        """The counters and the last requests, oldest first; `?last=N` gives fewer."""
        engine = self._engine
        entries = list(engine.journal.entries)
        last = request.query.get("last")
        if last is not None:
            if not last.isdecimal():
                raise RefusedError(400, "last must be a number", "last")
            entries = entries[max(0, len(entries) - int(last)) :]
        return json_response(
            {
                "engine": engine.options.label,
                "counters": asdict(engine.journal.counters),
                "held": {"prefills": len(engine.pinned), "expired": engine.pinned.expired, "rooms": len(engine.rooms)},
                "requests": [asdict(entry) for entry in entries],
            }
        )

    async def forget(self, _: web.Request) -> web.Response:
        """Begin counting anew."""
        self._engine.journal.clear()
        return json_response({})

    async def faults(self, _: web.Request) -> web.Response:
        """What is armed."""
        return json_response({"faults": self._engine.faults.report()})

    async def arm(self, request: web.Request) -> web.Response:
        """Arm a fault, or take one back."""
        body = read_object(await request.read())
        text, path = body.get("fault", ""), body.get("path", "")
        if not isinstance(text, str) or not isinstance(path, str):
            raise RefusedError(400, "fault and path must be strings", "fault")
        self._engine.faults.arm(text, read_count(body, "count", least=0), path)
        return json_response({"faults": self._engine.faults.report()})

    async def clear(self, _: web.Request) -> web.Response:
        """Take all faults back."""
        self._engine.faults.clear()
        return json_response({"faults": []})

    async def fetch_blocks(self, request: web.Request) -> web.Response:
        """A vLLM decode engine takes a prefill's blocks."""
        try:
            self._engine.pinned.fetch(read_handle(read_object(await request.read())))
        except RefusedError as refusal:
            return peer_refusal(refusal)
        return json_response({})

    async def fetch_room(self, request: web.Request) -> web.Response:
        """An SGLang decode engine meets a prefill; answered when that is computed."""
        try:
            room = read_count(read_object(await request.read()), "room", least=0)
            if room is None:
                raise RefusedError(400, "room is missing", "room")
            await self._engine.rooms.fetch(room)
        except RefusedError as refusal:
            return peer_refusal(refusal)
        return json_response({})


def read_handle(body: dict[str, Any]) -> NixlHandle:
    """The handle that a decode engine sends."""
    try:
        return NixlHandle(**{**body, "block_ids": tuple(body["block_ids"])})
    except (KeyError, TypeError):
        raise RefusedError(400, "this is no handle of a prefill") from None


def peer_refusal(refusal: RefusedError) -> web.Response:
    """What the other engine is told: the bare message, to be put in its own shape."""
    return json_response({"message": refusal.message}, refusal.status)


def json_response(body: object, status: int = 200) -> web.Response:
    """JSON."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
