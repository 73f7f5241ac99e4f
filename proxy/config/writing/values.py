"""Values of the spec as the native form writes them: durations, shares, timeouts, retries, what JSON can say."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from math import isinf
from typing import TypeVar

from proxy.config.spec import Retries, Timeouts
from proxy.config.text.nodes import JsonValue
from proxy.config.values.policies import STATUS_CLASSES
from proxy.config.values.units import format_duration, parse_duration
from proxy.config.writing.yaml_text import Scalar, Tree, boolean, number, text
from proxy.errors import UpstreamFailure

T = TypeVar("T")

# The most decimals that a number with a unit may have.
_MOST_DECIMALS = 20
_RETRIES = Retries()


def said(**parts: Tree | None) -> dict[str, Tree]:
    """What there is to say: the parts that are not None."""
    return {name: part for name, part in parts.items() if part is not None}


def unless(value: T, default: T, write: Callable[[T], Tree]) -> Tree | None:
    """The value as written; None where the reader takes it anyway."""
    return None if value == default else write(value)


def optional(value: T | None, write: Callable[[T], Tree]) -> Tree | None:
    """The value as written; None where there is none."""
    return None if value is None else write(value)


def texts(values: Iterable[str]) -> list[Tree]:
    """A list of texts."""
    return [text(value) for value in values]


def one_or_list(values: Sequence[str]) -> Tree | None:
    """A single text by itself, several as a list; None where there is none."""
    if not values:
        return None
    return text(values[0]) if len(values) == 1 else texts(values)


def text_map(pairs: Iterable[tuple[str, str]]) -> Tree | None:
    """A mapping of texts; None where it is empty."""
    return {key: text(value) for key, value in pairs} or None


def duration(seconds: float) -> Scalar:
    """A duration that is read as exactly these seconds."""
    short = format_duration(seconds)
    if parse_duration(short) == seconds:
        return Scalar(short)
    exact = Decimal(repr(seconds))
    written = f"{exact:f}s"
    if len(written.partition(".")[2]) > _MOST_DECIMALS + 1:
        written = f"{exact.scaleb(6):f}us"
    return Scalar(written)


def share(value: float) -> Scalar:
    """A part of the whole, in per cent."""
    percent = f"{Decimal(repr(round(value * 100, 9))):f}"
    percent = percent.rstrip("0").rstrip(".") if "." in percent else percent
    return Scalar(f"{percent}%") if float(percent) / 100 == value else Scalar(f"{Decimal(repr(value)):f}")


def timeouts(value: Timeouts, wider: Timeouts) -> Tree | None:
    """What differs from the wider scope: one duration where that says it."""
    names = ("connect", "first_byte", "idle", "total")
    own: dict[str, float | None] = {name: getattr(value, name) for name in names}
    differing = {
        name: seconds for name, seconds in own.items() if seconds is not None and seconds != getattr(wider, name)
    }
    if set(differing) == {"first_byte", "idle"} and value.first_byte == value.idle:
        return duration(differing["first_byte"])
    return {name: duration(seconds) for name, seconds in differing.items()} or None


def retries(value: Retries) -> Tree:
    """The number of tries alone where all else is as ever."""
    if value == Retries(attempts=value.attempts):
        return number(value.attempts)
    usual = (value.failures, value.statuses) == (_RETRIES.failures, _RETRIES.statuses)
    return said(
        attempts=unless(value.attempts, _RETRIES.attempts, number),
        on=None if usual else list(_causes(value)),
        backoff=unless(value.backoff, _RETRIES.backoff, duration),
    )


def _causes(value: Retries) -> Iterator[Tree]:
    """Failures by their words, then statuses, whole classes of them by theirs."""
    yield from (text(failure.value) for failure in UpstreamFailure if failure.value in value.failures)
    left = set(value.statuses)
    for word, statuses in STATUS_CLASSES.items():
        if left.issuperset(statuses):
            left.difference_update(statuses)
            yield text(word)
    yield from (number(status) for status in sorted(left))


def json_tree(value: JsonValue) -> Tree:
    """What JSON can say, each number as it is: 1.0 stays apart from 1."""
    match value:
        case None:
            return Scalar("null")
        case bool():
            return boolean(value)
        case float() if isinf(value):
            return Scalar("1e999" if value > 0 else "-1e999")
        case int() | float():
            return Scalar(repr(value))
        case str():
            return text(value)
        case Mapping():
            return {key: json_tree(item) for key, item in value.items()}
        case _:
            return [json_tree(item) for item in value]
