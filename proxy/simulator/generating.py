"""Chats and completions: one half of the work or both, streamed or whole."""

from contextlib import AsyncExitStack
from itertools import islice
from typing import Any, assert_never

from aiohttp import web

from proxy.simulator.answers import Heading, Json, chunk_choice, role_choice, usage_fields, whole_choice
from proxy.simulator.disaggregation import (
    TRANSFER,
    Local,
    NixlDecode,
    NixlPrefill,
    Plan,
    RoomDecode,
    RoomPrefill,
    handle_params,
    plan_of,
)
from proxy.simulator.engine import Engine, Run
from proxy.simulator.generation import Generation, read_generation, read_object
from proxy.simulator.observation import Call
from proxy.simulator.peer import PrefillPeers
from proxy.simulator.streaming import EventStream, event, send_whole
from proxy.simulator.text import seed_of, spaced, words


class Generator:
    """Answers `/v1/chat/completions` and `/v1/completions` for one engine."""

    def __init__(self, engine: Engine, peers: PrefillPeers) -> None:
        self._engine = engine
        self._peers = peers

    async def answer(self, request: web.Request, call: Call, *, chat: bool) -> web.StreamResponse:
        """Read, check, wait for a slot, work, answer."""
        body = read_object(call.body)
        generation = read_generation(body, self._engine.options, chat=chat)
        plan = plan_of(body, generation, self._engine.options, self._engine.bootstrap_port)
        request_id = request.headers.get("x-request-id") or self._engine.new_id()
        heading = Heading(generation, request_id, int(self._engine.clock()))
        async with self._engine.admit(generation, call.entry) as run:
            extra = await self._prepare(plan, run, request_id)
            answer = Answer(self._engine, heading, run, limit_of(plan, generation))
            if generation.stream:
                return await answer.stream(EventStream(request, call.fault, call.entry, self._engine.sleep), plan)
            return await send_whole(
                request, {**await answer.whole(plan), **extra}, call.fault, call.entry, self._engine.sleep
            )

    async def _prepare(self, plan: Plan, run: Run, request_id: str) -> Json:
        """What must happen before headers may be sent; gives the fields that go with the answer."""
        match plan:
            case Local():
                return {}
            case NixlPrefill():
                await run.prefill()
                return {TRANSFER: self._pin(run, request_id)}
            case NixlDecode(handle):
                await self._peers.fetch_blocks(handle)
            case RoomPrefill():
                await self._hand_over(plan, run)
            case RoomDecode(meetings):
                await self._peers.fetch_rooms(meetings)
            case _:
                assert_never(plan)
        return {}

    def _pin(self, run: Run, request_id: str) -> dict[str, object]:
        engine = self._engine
        name = f"{request_id}-{engine.new_id()}"
        handle = engine.pinned.pin(engine.engine_id, name, run.generation.prompt_tokens, engine.host, engine.port)
        return handle_params(handle)

    async def _hand_over(self, plan: RoomPrefill, run: Run) -> None:
        async with AsyncExitStack() as stack:
            rooms = [
                await stack.enter_async_context(self._engine.rooms.prefilling(item.room)) for item in plan.meetings
            ]
            await run.prefill()
            for room in rooms:
                await self._engine.rooms.hand_over(room)


def limit_of(plan: Plan, generation: Generation) -> int:
    """How many tokens this engine makes: a prefill engine only the first one."""
    match plan:
        case NixlPrefill() | RoomPrefill():
            return 1
        case Local() | NixlDecode() | RoomDecode():
            return generation.tokens
        case _:
            assert_never(plan)


class Answer:
    """The text of one run, as it comes into being."""

    def __init__(self, engine: Engine, heading: Heading, run: Run, tokens: int) -> None:
        self._engine = engine
        self._heading = heading
        self._run = run
        self._generation = run.generation
        self._tokens = tokens
        self._texts = [self._words(index) for index in range(run.generation.choices)]

    async def whole(self, plan: Plan) -> Json:
        """All of it at once."""
        await self._first(plan)
        for index in range(self._tokens):
            await self._run.step(index)
        texts = ["".join(text) for text in self._texts]
        choices = [whole_choice(self._generation, index, text, self._finish_reason) for index, text in enumerate(texts)]
        return {**self._heading.fields(chunk=False), "choices": choices, "usage": self._usage()}

    async def stream(self, stream: EventStream, plan: Plan) -> web.StreamResponse:
        """Token by token. The headers go first, as vLLM sends them: before the first token is there."""
        await stream.begin()
        await self._first(plan)
        for index in range(self._tokens):
            await self._run.step(index)
            if index == 0 and self._generation.chat:
                for choice in range(self._generation.choices):
                    await stream.send(self._chunk(role_choice(choice)))
            await self._send_tokens(stream, index)
        if self._generation.include_usage:
            await stream.send(event({**self._heading.fields(chunk=True), "choices": [], "usage": self._usage()}))
        await stream.send(b"data: [DONE]\n\n")
        return await stream.end()

    async def _send_tokens(self, stream: EventStream, index: int) -> None:
        reason = self._finish_reason if index == self._tokens - 1 else None
        for choice, text in enumerate(self._texts):
            await stream.send(self._chunk(chunk_choice(self._generation, choice, text[index], reason)))

    async def _first(self, plan: Plan) -> None:
        match plan:
            case Local():
                await self._run.prefill()
            case NixlPrefill() | RoomPrefill():
                return  # done before the headers
            case NixlDecode() | RoomDecode():
                await self._run.receive_prefill()
            case _:
                assert_never(plan)

    @property
    def _finish_reason(self) -> str:
        return self._generation.finish_reason if self._tokens == self._generation.tokens else "length"

    def _words(self, choice: int) -> list[str]:
        prompt = self._generation.prompts[choice // self._generation.n]
        source = words(seed_of(prompt, self._generation.seed, choice % self._generation.n))
        return [spaced(word, index) for index, word in enumerate(islice(source, self._tokens))]

    def _chunk(self, choice: Json) -> bytes:
        chunk: dict[str, Any] = {**self._heading.fields(chunk=True), "choices": [choice]}
        if self._generation.continuous_usage:
            chunk["usage"] = self._usage()
        return event(chunk)

    def _usage(self) -> Json:
        return usage_fields(self._generation, self._run.completion_tokens, self._run.cached_tokens)
