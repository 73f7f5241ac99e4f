"""Durations and sizes as people write them ("1h30m", "64MiB"), read and written back."""

import re
from fractions import Fraction

from proxy.errors import PenstockError

LONGEST_SECONDS = 366 * 86_400
LARGEST_BYTES = 2**53

_SECONDS = {
    "us": Fraction(1, 1_000_000),
    "µs": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1_000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3_600),
    "d": Fraction(86_400),
}
# As Kubernetes writes quantities: "M" is decimal, "Mi" is binary; the "B" may be added to either.
_BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}

_NUMBER = r"[0-9]{1,20}(?:\.[0-9]{1,20})?"
_PLAIN = re.compile(rf"({_NUMBER})")
_DURATION = re.compile(rf"(?:{_NUMBER}(?:us|µs|ms|s|m|h|d))+")
_DURATION_PART = re.compile(rf"({_NUMBER})(us|µs|ms|s|m|h|d)")
_SIZE = re.compile(rf"({_NUMBER}) ?([kKmMgGtT]?i?)[bB]?")


class UnitError(PenstockError):
    """A text that is no duration or no size; the message ends the sentence "expected …"."""


def parse_duration(text: str) -> float:
    """Seconds in "5s", "25ms", "1h30m" or a bare number of seconds. Raises UnitError."""
    stripped = text.strip()
    if _PLAIN.fullmatch(stripped):
        seconds = Fraction(stripped)
    elif _DURATION.fullmatch(stripped):
        seconds = sum((Fraction(n) * _SECONDS[unit] for n, unit in _DURATION_PART.findall(stripped)), Fraction(0))
    else:
        raise UnitError("a duration such as 5s, 25ms or 1h30m")
    if seconds > LONGEST_SECONDS:
        raise UnitError("a duration of at most 366 days")
    return float(seconds)


def parse_size(text: str) -> int:
    """Bytes in "64MiB", "32KiB", "10MB" or a bare number of bytes. Raises UnitError."""
    found = _SIZE.fullmatch(text.strip())
    factor = _BYTES.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise UnitError("a size such as 64MiB, 32KiB or a number of bytes")
    size = Fraction(found[1]) * factor
    if size.denominator != 1:
        raise UnitError("a size of whole bytes")
    if size > LARGEST_BYTES:
        raise UnitError("a size of at most 8192TiB")
    return int(size)


def format_duration(seconds: float) -> str:
    """A duration as a person would write it, exact to a microsecond: 5400.0 is "1h30m", 0.025 is "25ms"."""
    micros = round(seconds * 1_000_000)
    if micros % 1_000_000:
        return _below_a_second(micros)
    whole = micros // 1_000_000
    parts = [(whole // 3_600, "h"), (whole % 3_600 // 60, "m"), (whole % 60, "s")]
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def _below_a_second(micros: int) -> str:
    if micros % 1_000:
        return f"{micros}us"
    if micros < 1_000_000:
        return f"{micros // 1_000}ms"
    return f"{micros / 1_000_000:.3f}".rstrip("0") + "s"


def format_size(size: int) -> str:
    """A size in the largest binary unit that divides it: 67108864 is "64MiB", 1000 is "1000"."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _BYTES[unit[:2].lower()]
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)
