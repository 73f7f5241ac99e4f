"""Text from outside made fit for a line of a log: nothing in it can end the line, open a field or drive a terminal."""

import re

# Everything but visible ASCII, and in fields also the blank, the quote and the backslash that shape a line.
UNFIT_FOR_FIELD = re.compile(r"[^!#-\[\]-~]")


def escape_field(text: str, limit: int) -> str:
    """A field without blanks, at most `limit` of the text's characters; "-" where there is no text."""
    if len(text) > limit:
        return escape_field(text[:limit], limit) + "..."
    return UNFIT_FOR_FIELD.sub(escape_character, text) or "-"


def escape_message(text: str) -> str:
    """A message on one line: what cannot be printed (controls, line ends, direction marks, surrogates) is escaped."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else escape_character(character) for character in text)


def escape_character(character: str | re.Match[str]) -> str:
    """A character as a Python string literal writes it."""
    code = ord(character if isinstance(character, str) else character[0])
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class FieldMemo(dict[str, str]):
    """Escaped fields by their text: most requests repeat the same few paths, models and addresses.

    It is emptied when it is full, so that made-up names cannot make it grow. A dict, because a hit then costs a third
    of escaping (benchmarks/telemetry.py); `limit` is in characters.
    """

    __slots__ = ("_capacity", "_limit")

    def __init__(self, limit: int = 256, capacity: int = 16_384) -> None:
        super().__init__()
        self._limit = limit
        self._capacity = capacity

    def __missing__(self, text: str) -> str:
        field = escape_field(text, self._limit)
        if len(text) > self._limit:
            return field
        if len(self) >= self._capacity:
            self.clear()
        self[text] = field
        return field
