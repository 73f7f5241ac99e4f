"""The OpenAI shapes in which an engine answers."""

import base64
import math
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proxy.simulator.generation import Generation
from proxy.simulator.options import EngineOptions
from proxy.simulator.text import seed_of

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Heading:
    """What every chunk of an answer repeats. `created` is in seconds since the epoch."""

    generation: Generation
    request_id: str
    created: int

    def fields(self, *, chunk: bool) -> Json:
        """The identifier, kind, time and model, before the choices."""
        if self.generation.chat:
            kind, name = "chatcmpl", "chat.completion.chunk" if chunk else "chat.completion"
        else:
            kind, name = "cmpl", "text_completion"
        identifier = f"{kind}-{self.request_id}"
        return {"id": identifier, "object": name, "created": self.created, "model": self.generation.model}


def usage_fields(generation: Generation, completion_tokens: int, cached_tokens: int) -> Json:
    """The `usage` of an answer."""
    return {
        "prompt_tokens": generation.prompt_tokens,
        "total_tokens": generation.prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    }


def whole_choice(generation: Generation, index: int, text: str, finish_reason: str) -> Json:
    """One finished choice of an answer that is not streamed."""
    end = {"logprobs": None, "finish_reason": finish_reason}
    if generation.chat:
        return {"index": index, "message": {"role": "assistant", "content": text}, **end}
    return {"index": index, "text": text, **end}


def chunk_choice(generation: Generation, index: int, text: str, finish_reason: str | None) -> Json:
    """One token of a choice in a stream."""
    end = {"logprobs": None, "finish_reason": finish_reason}
    if generation.chat:
        return {"index": index, "delta": {"content": text}, **end}
    return {"index": index, "text": text, **end}


def role_choice(index: int) -> Json:
    """How a streamed chat begins."""
    return {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}


def model_cards(options: EngineOptions, created: int) -> Json:
    """The list of `GET /v1/models`: the model, and each adapter with the model as its parent."""
    names: list[tuple[str, str | None]] = [(options.model, None), *((name, options.model) for name in options.adapters)]
    cards = [
        {
            "id": name,
            "object": "model",
            "created": created,
            "owned_by": options.software.value,
            "root": name,
            "parent": parent,
            "max_model_len": options.max_model_len if parent is None else None,
        }
        for name, parent in names
    ]
    return {"object": "list", "data": cards}


def embedding_vector(tokens: Sequence[int], dimensions: int) -> list[float]:
    """A vector of length 1 that depends on the tokens alone."""
    dice = random.Random(seed_of(tokens, 0, 0))
    values = [dice.gauss(0.0, 1.0) for _ in range(dimensions)]
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def embedding_item(index: int, vector: list[float], *, as_base64: bool) -> Json:
    """One input's embedding; in base64 as little-endian 32-bit floats, which is what the openai client asks for."""
    value: str | list[float] = vector
    if as_base64:
        value = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    return {"object": "embedding", "index": index, "embedding": value}
