"""How many tokens a request brings, told from its prompt's length before any engine has counted them."""

from typing import Any

import msgspec

from proxy.forwarding.multipart import field_span

Body = bytes | bytearray

CHARACTERS_OF_A_TOKEN = 4
"""Kthena's rule: unicode characters of the prompt, divided by this, rounded up."""
MANY = 2**16
"""Commas up to which a body is taken apart. A list has no more elements than that, so neither time nor memory run away:
of 64 MiB of `{},{},…` only the size is looked at."""

_AROUND = len("<|im_start|>\n<|im_end|>\n")
_TEXTS = frozenset({"text", "input_text", "output_text"})


class _Part(msgspec.Struct, gc=False):
    type: Any = None
    text: Any = None


class _Message(msgspec.Struct, gc=False):
    role: Any = None
    content: str | list[str | _Part] | None = None
    text: Any = None


class _Other(msgspec.Struct, gc=False):
    """An object that is no prompt: /v1/responses names a stored prompt by one."""


_Content = str | list[str | _Part] | None
_Prompt = str | list[str | int | list[int]] | _Other | None
_Input = str | list[str | _Message | int | list[int]] | None
_Side = str | _Message | list[str | _Message] | None


class _Asked(msgspec.Struct, gc=False):
    prompt: _Prompt = None
    messages: list[_Message] | None = None
    system: _Content = None
    input: _Input = None
    instructions: Any = None
    query: _Side = None
    queries: _Side = None
    text_1: _Side = None
    data_1: _Side = None
    documents: _Side = None
    items: _Side = None
    texts: _Side = None
    text_2: _Side = None
    data_2: _Side = None


_decode = msgspec.json.Decoder(_Asked).decode


def estimate(body: Body, path: str, content_type: bytes) -> int:
    """Input tokens of a request: a quarter of its prompt's characters, rounded up, and each token id as one.

    Kthena's reading: `prompt`, or `messages` (Anthropic's `system` before them) written as ChatML with nothing but
    their texts, or `input` with `instructions`. Where it would refuse, this reads on: lists of prompts and of token
    ids, embeddings, and the pairs of rerank and score. A body that names several counts as the largest, because its
    path and not a rule of ours says which one an engine reads. What cannot be read counts as its size divided by
    four, which is no less than its texts would. Of a form only `prompt` counts. Never raises.
    """
    if not body:
        return 0
    if content_type != b"application/json" and content_type[:19].lower() == b"multipart/form-data":
        return _form(body, content_type)
    if len(body) > MANY and body.count(b",") > MANY:
        return _tokens(len(body))
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _tokens(len(body))
    messages = asked.messages
    if messages is None or asked.prompt is not None or asked.input is not None:
        return _largest(asked, path, len(body))
    return -(-_chat(messages, asked.system) // CHARACTERS_OF_A_TOKEN)


def _tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_OF_A_TOKEN)


def _form(body: Body, content_type: bytes) -> int:
    """What a form asks of an image or a speech model; the file beside it has no characters."""
    span = field_span(body, content_type, b"prompt")
    return 0 if span is None else _tokens(len(body[span[0] : span[1]].decode("utf-8", "replace")))


def _largest(asked: _Asked, path: str, size: int) -> int:
    """The largest of all that the body names; its size where it names nothing."""
    found: list[int] = []
    if asked.prompt is not None and not isinstance(asked.prompt, _Other):
        found.append(_inputs(asked.prompt, chat=False))
    if asked.messages is not None:
        found.append(_tokens(_chat(asked.messages, asked.system)))
    if asked.input is not None:
        found.append(_responses(asked, path))
    if (second := _first(asked.documents, asked.items, asked.texts, asked.text_2, asked.data_2)) is not None:
        found.append(_tokens(_pairs(_first(asked.query, asked.queries, asked.text_1, asked.data_1), second)))
    return max(found, default=_tokens(size))


def _chat(messages: list[_Message], system: _Content) -> int:
    """Characters of the messages as ChatML."""
    characters = 0
    if system is not None:
        characters = _AROUND + len("system") + _content(system)
    for message in messages:
        content = message.content
        role = message.role
        characters += _AROUND
        if type(role) is str:
            characters += len(role)
        if type(content) is str:
            characters += len(content)
        elif content is not None:
            characters += _content(content)
    return characters


def _content(content: _Content) -> int:
    """Characters of a content: its texts, joined by line ends."""
    if content is None or isinstance(content, str):
        return len(content or "")
    characters = -1
    for part in content:
        if isinstance(part, str):
            characters += 1 + len(part)
        elif isinstance(part.text, str) and isinstance(part.type, str) and part.type in _TEXTS:
            characters += 1 + len(part.text)
    return max(characters, 0)


def _responses(asked: _Asked, path: str) -> int:
    """Tokens of `input`, a developer's instructions before it. A text is a user's message to /v1/responses alone."""
    before = asked.instructions
    total = _AROUND + len("developer") + len(before) if isinstance(before, str) else 0
    given = asked.input
    if isinstance(given, str) and path.endswith("/responses"):
        return _tokens(total + _AROUND + len("user") + len(given))
    return _tokens(total) + _inputs(given, chat=True)


def _inputs(given: str | list[Any] | None, *, chat: bool) -> int:
    """Tokens of a prompt or of a list of prompts: texts, token ids, and messages in a chat."""
    if given is None or isinstance(given, str):
        return _tokens(len(given or ""))
    characters = ids = 0
    for item in given:
        if isinstance(item, str):
            characters += len(item)
        elif isinstance(item, int):
            ids += 1
        elif isinstance(item, list):
            ids += len(item)
        elif chat and item.role is not None:
            characters += _chat([item], None)
    return _tokens(characters) + ids


def _first(*given: _Side) -> str | _Message | list[str | _Message] | None:
    return next((side for side in given if side is not None), None)


def _pairs(first: _Side, second: _Side) -> int:
    """Characters of all pairs that are scored: a single query is read again with each document."""
    queries, documents = _side(first), _side(second)
    repeated = max(len(documents), 1) if len(queries) == 1 else 1
    return sum(queries) * repeated + sum(documents)


def _side(side: _Side) -> list[int]:
    if side is None:
        return []
    return [_length(item) for item in (side if isinstance(side, list) else [side])]


def _length(item: str | _Message) -> int:
    if isinstance(item, str):
        return len(item)
    return len(item.text) if isinstance(item.text, str) else _content(item.content)
