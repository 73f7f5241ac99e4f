"""A request as data: what conditions on fields see of a message beside its body, and how values compare as texts."""

from collections.abc import Mapping, Sequence

import msgspec

# The last part of a path that tells what is asked for; the longest one that fits decides.
_TYPES = (
    ("/chat/completions", "chat"),
    ("/messages", "chat"),
    ("/completions", "completion"),
    ("/responses", "response"),
    ("/embeddings", "embedding"),
    ("/embed", "embedding"),
    ("/rerank", "rerank"),
    ("/score", "score"),
    ("/classify", "classification"),
    ("/moderations", "moderation"),
    ("/pooling", "pooling"),
    ("/tokenize", "tokenization"),
    ("/generate", "completion"),
)
_FAMILIES = (("/images/", "image"), ("/audio/", "audio"), ("/video", "video"))


def request_type(path: str) -> str | None:
    """What a path asks for: chat, completion, embedding, image, audio, rerank and so on; None where it is not known."""
    for family, kind in _FAMILIES:
        if family in path:
            return kind
    return next((kind for ending, kind in _TYPES if path.endswith(ending)), None)


def message_data(
    method: str, path: str, model: str | None, stream: object, headers: Mapping[str, str], query: Mapping[str, str]
) -> dict[str, object]:
    """What stands under `request` in the data that conditions see."""
    return {
        "method": method,
        "path": path,
        "type": request_type(path),
        "model": model,
        "stream": stream is True,
        "headers": headers,
        "query": query,
    }


def as_text(value: object, keys: Sequence[str] = ()) -> str | None:
    """The scalar that stands under these keys, as conditions compare it; None for nothing, a list or an object."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, dict | list):
        return None
    return msgspec.json.encode(value).decode()
