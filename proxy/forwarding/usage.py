"""How many tokens an answer has used, as its engine tells it in JSON."""

import re
from typing import Any, NamedTuple

import msgspec


class Usage(NamedTuple):
    """Tokens of one request and its answer.

    `told` says that the output is the engine's own figure, and that nothing has come after it. Otherwise it is what was
    seen of the answer: at least that much.
    """

    input: int | None
    output: int
    cached: int | None
    told: bool


class Told(NamedTuple):
    """What one `usage` object says. Cached tokens are a part of the input."""

    input: int | None
    output: int | None
    cached: int | None


class Figures(msgspec.Struct, gc=False):
    """A usage object of any dialect, as it came; SGLang's own API calls it `meta_info`."""

    prompt_tokens: Any = None
    completion_tokens: Any = None
    prompt_tokens_details: Any = None
    input_tokens: Any = None
    output_tokens: Any = None
    input_tokens_details: Any = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cached_tokens: Any = None


class _Holder(msgspec.Struct, gc=False):
    usage: Figures | None = None


class _Answer(msgspec.Struct, gc=False):
    usage: Figures | None = None
    message: _Holder | None = None  # Anthropic's message_start
    response: _Holder | None = None  # response.completed
    meta_info: Figures | None = None  # SGLang's /generate


class _Chunk(msgspec.Struct, gc=False):
    usage: dict[str, Any]
    choices: list[msgspec.Raw]


OBJECT = re.compile(rb'"(?:usage|meta_info)"(?:\ndata:|[ \t\r\n])*+:(?:\ndata:|[ \t\r\n])*+(?=\{)')
"""Where a usage is told, also in an event whose data is spread over lines. Inside a text its quotes would be escaped;
`"usage":null`, which some engines write into every chunk, is not found."""

# An object with up to two levels of objects inside. Nothing is tried twice: the quantifiers give nothing back.
_BRACES = re.compile(rb"\{[^{}]*+(?:\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}[^{}]*+)*+\}")
_MOST = 2**24
"""Tokens that a figure may tell: what is more is no count, and would be a debt for years."""
_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_answer = msgspec.json.Decoder(_Answer).decode
_answers = msgspec.json.Decoder(list[_Answer]).decode
_chunk = msgspec.json.Decoder(_Chunk).decode
_figures = msgspec.json.Decoder(Figures).decode


def read(text: bytes) -> Told | None:
    """What a whole JSON text says, or, where it is not whole, what the last usage object in it says. Never raises."""
    try:
        answer = _answer(text)
    except _ERRORS:
        return _of_several(text) if text.lstrip()[:1] == b"[" else last(text)
    return _said(answer)


def _said(answer: _Answer) -> Told | None:
    usage = answer.usage or answer.meta_info
    if usage is None and (holder := answer.message or answer.response) is not None:
        usage = holder.usage
    return None if usage is None else figures(usage)


def _of_several(text: bytes) -> Told | None:
    """What the answers to several prompts at once, in a list, say together."""
    try:
        found = [told for answer in _answers(text) if (told := _said(answer)) is not None]
    except _ERRORS:
        return last(text)
    if not found:
        return None
    return Told(*(sum(part or 0 for part in column) for column in zip(*found, strict=True)))


def tells_only_usage(text: bytes) -> bool:
    """Whether this is the chunk that `include_usage` brings: a usage, and an empty list of choices."""
    try:
        return not _chunk(text).choices
    except _ERRORS:
        return False


def last(text: bytes) -> Told | None:
    """The last usage that a cut text tells."""
    for found in reversed(list(OBJECT.finditer(text))):
        braces = _BRACES.match(text, found.end())
        if braces is None:
            continue
        try:
            told = figures(_figures(braces.group()))
        except _ERRORS:
            continue
        if told is not None:
            return told
    return None


def figures(usage: Figures) -> Told | None:
    """OpenAI's, the Responses API's and Anthropic's figures; None where there are none.

    Only Anthropic's `input_tokens` leave out what a cache has given, so here it is added:
    https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching
    """
    prompt, output = usage.prompt_tokens, usage.completion_tokens
    if type(prompt) is int and type(output) is int and 0 <= prompt <= _MOST and 0 <= output <= _MOST:
        return Told(prompt, output, _cached_of(usage))
    prompt, output = _count(prompt), _count(output)
    if prompt is not None or output is not None:
        return Told(prompt, output, _cached_of(usage))
    prompt, output = _count(usage.input_tokens), _count(usage.output_tokens)
    if prompt is None and output is None:
        return None
    cached = _count(usage.cache_read_input_tokens)
    if prompt is not None:
        prompt += (cached or 0) + (_count(usage.cache_creation_input_tokens) or 0)
    return Told(prompt, output, _cached(usage.input_tokens_details) if cached is None else cached)


def _cached_of(usage: Figures) -> int | None:
    found = _cached(usage.prompt_tokens_details)
    return _count(usage.cached_tokens) if found is None else found


def _cached(details: object) -> int | None:
    return _count(details.get("cached_tokens")) if isinstance(details, dict) else None


def _count(value: object) -> int | None:
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST else None
