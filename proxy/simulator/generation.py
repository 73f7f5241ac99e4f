"""What a request for text asks for, read from its JSON body."""

from dataclasses import dataclass
from typing import Any

import orjson

from proxy.simulator.options import EngineOptions
from proxy.simulator.refusal import RefusedError
from proxy.simulator.text import token_ids

Prompt = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """A chat or a completion to simulate: `n` choices for each of `prompts`, each `tokens` long."""

    chat: bool
    model: str
    adapter: str | None
    prompts: tuple[Prompt, ...]
    n: int
    tokens: int
    finish_reason: str
    stream: bool
    include_usage: bool
    continuous_usage: bool
    seed: int

    @property
    def prompt_tokens(self) -> int:
        """Of all prompts together."""
        return sum(len(prompt) for prompt in self.prompts)

    @property
    def choices(self) -> int:
        """How many answers are given at once."""
        return self.n * len(self.prompts)


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body; refused with 400 if there is none."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise RefusedError(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise RefusedError(400, "the body must be a JSON object")
    return body


def read_generation(body: dict[str, Any], options: EngineOptions, *, chat: bool) -> Generation:
    """What is asked for; refused with 400 where a field is wrong, with 404 where the model is unknown."""
    model, adapter = resolve_model(body, options)
    prompts = chat_prompts(body) if chat else text_prompts(body.get("prompt"), "prompt")
    stream_options = body.get("stream_options") or {}
    if not isinstance(stream_options, dict):
        raise RefusedError(400, "stream_options must be an object", "stream_options")
    stream = read_flag(body, "stream")
    if stream_options and not stream:
        raise RefusedError(400, "stream_options is only allowed with stream: true", "stream_options")
    tokens, finish_reason = answer_length(body, options, chat=chat)
    check_length(prompts, options)
    return Generation(
        chat=chat,
        model=model,
        adapter=adapter,
        prompts=prompts,
        n=read_count(body, "n") or 1,
        tokens=tokens,
        finish_reason=finish_reason,
        stream=stream,
        include_usage=stream_options.get("include_usage") is True,
        continuous_usage=stream_options.get("continuous_usage_stats") is True,
        seed=read_count(body, "seed", least=None) or 0,
    )


def resolve_model(body: dict[str, Any], options: EngineOptions) -> tuple[str, str | None]:
    """The served name that is asked for, and the adapter if it is one. An engine takes a missing name for its own."""
    name = body.get("model")
    if name is None or name == options.model:
        return options.model, None
    if not isinstance(name, str):
        raise RefusedError(400, "model must be a string", "model")
    if name in options.adapters:
        return name, name
    raise RefusedError(404, f"The model `{name}` does not exist.", "model")


def chat_prompts(body: dict[str, Any]) -> tuple[Prompt, ...]:
    """The one prompt that a chat template would make of `messages`."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RefusedError(400, "messages must be a list that is not empty", "messages")
    return (token_ids("\n".join(render_message(message) for message in messages)),)


def render_message(message: object) -> str:
    """A message with its role; pictures and other parts count as their JSON."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise RefusedError(400, "each message must be an object with a role", "messages")
    content = message.get("content")
    if not isinstance(content, str):
        content = "" if content is None else orjson.dumps(content).decode()
    return f"{message['role']}: {content}"


def text_prompts(value: object, field: str) -> tuple[Prompt, ...]:
    """A text, a list of texts, a list of token numbers, or a list of such lists."""
    if isinstance(value, list) and value and not is_tokens(value):
        return tuple(one_prompt(item, field) for item in value)
    return (one_prompt(value, field),)


def one_prompt(value: object, field: str) -> Prompt:
    """The tokens of one text, or the token numbers themselves."""
    if isinstance(value, str):
        return token_ids(value)
    if isinstance(value, list) and value and is_tokens(value):
        return tuple(value)
    raise RefusedError(400, f"{field} must be a string, a list of strings or a list of token numbers", field)


def is_tokens(value: list[Any]) -> bool:
    """Whether a list holds token numbers, not texts."""
    return all(type(item) is int for item in value)


def answer_length(body: dict[str, Any], options: EngineOptions, *, chat: bool) -> tuple[int, str]:
    """How many tokens the answer has, and why it ends there."""
    limit = read_count(body, "max_tokens")
    if chat:
        limit = read_count(body, "max_completion_tokens") or limit
    natural = max(options.tokens, read_count(body, "min_tokens", least=0) or 0)
    if limit is not None and (limit <= natural or read_flag(body, "ignore_eos")):
        return limit, "length"
    return natural, "stop"


def check_length(prompts: tuple[Prompt, ...], options: EngineOptions) -> None:
    """A prompt must leave room for one token of answer."""
    longest = max(len(prompt) for prompt in prompts)
    if longest >= options.max_model_len:
        message = f"This model's maximum context length is {options.max_model_len} tokens, the prompt has {longest}."
        raise RefusedError(400, message, "prompt")


def read_count(body: dict[str, Any], field: str, *, least: int | None = 1) -> int | None:
    """An integer field of a body, None if absent or null."""
    value = body.get(field)
    if value is None:
        return None
    if type(value) is not int:
        raise RefusedError(400, f"{field} must be an integer", field)
    if least is not None and value < least:
        raise RefusedError(400, f"{field} must be at least {least}, got {value}", field)
    return value


def read_flag(body: dict[str, Any], field: str) -> bool:
    """A boolean field of a body, false if absent or null."""
    value = body.get(field)
    if value is not None and type(value) is not bool:
        raise RefusedError(400, f"{field} must be a boolean", field)
    return value is True
