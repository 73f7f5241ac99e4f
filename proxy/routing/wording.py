"""Parts of a configuration and of requests in words, as the tools tell them."""

import re
from collections.abc import Iterable

import msgspec

from proxy.config.spec import (
    Analysis,
    Canary,
    RateLimit,
    Retries,
    Rule,
    Selector,
    Shadow,
    Sticky,
    StickyKind,
    Target,
    Timeouts,
    TokenLimit,
)
from proxy.config.values.units import format_duration, format_size

# The values of headers that are called so are credentials more often than not.
_SECRET_HEADER = re.compile(r"auth|token|key|secret|cookie|passw|credential", re.IGNORECASE)
NOT_SHOWN = "***"
_SHADOW = Shadow(Target(""))

LONGEST_VALUE = 60
"""Characters of a request's value that are shown."""


def percent(share: float) -> str:
    """A share of the whole: 0.7 is "70%", a third is "33.3%". Only what is nothing or all is told as 0% or 100%."""
    value = round(share * 100, 1)
    if value == 0 and share > 0:
        return "<0.1%"
    if value == 100 and share < 1:
        return ">99.9%"
    return f"{value:g}%"


def shares(weights: Iterable[int]) -> list[float]:
    """Each weight's share of the whole; nothing where there is no whole."""
    known = list(weights)
    total = sum(known)
    return [weight / total if total else 0.0 for weight in known]


def counted(count: int, noun: str) -> str:
    """A number with its noun: 1 rule, 2 rules."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(items: Iterable[str], nothing: str = "none") -> str:
    """Items with commas between, or a word where there is none."""
    return ", ".join(items) or nothing


def holds_credential(header: str) -> bool:
    """Whether a header of this name is likely to hold a credential."""
    return _SECRET_HEADER.search(header) is not None


def header_value(name: str, value: str) -> str:
    """A header's value as it may be shown: a credential is not."""
    return NOT_SHOWN if holds_credential(name) else value


def shown_value(value: object) -> str:
    """A value of a request, on one line and cut: a text in quotes, anything else as JSON spells it."""
    if isinstance(value, str):
        return quoted(value)
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return cut(text)


def quoted(text: str) -> str:
    """A text in quotes, what cannot be printed escaped, and cut."""
    return repr(text) if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]!r}..."


def cut(text: str, longest: int = LONGEST_VALUE) -> str:
    """At most this many characters, and three dots for the rest."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def strategy(rule: Rule) -> str:
    """How a rule chooses among its targets, in Mixtrain's words; several of them with + between."""
    words = {
        "split": sum(target.weight > 0 for target in rule.targets) > 1,
        "fallback": bool(rule.fallback),
        "shadow": rule.shadow is not None,
    }
    return "+".join(word for word, holds in words.items() if holds) or "single"


def duration(seconds: float | None) -> str:
    """A limit in time."""
    return "none" if seconds is None else format_duration(seconds)


def timeouts(terms: Timeouts) -> str:
    """What is set, in words."""
    named = {"connect": terms.connect, "first byte": terms.first_byte, "idle": terms.idle, "total": terms.total}
    return listed([f"{name} {format_duration(value)}" for name, value in named.items() if value is not None])


def retries(terms: Retries) -> str:
    """How many tries after the first one, on what, and after which pause."""
    if not terms.attempts:
        return "none"
    pause = f"first pause up to {format_duration(terms.backoff)}" if terms.backoff else "without a pause"
    return f"{terms.attempts} on {causes(terms)}, {pause}"


def causes(terms: Retries) -> str:
    """What a try is repeated on; a hundred statuses are told as one word."""
    told = sorted(terms.failures)
    left = set(terms.statuses)
    for hundred in (400, 500):
        every = set(range(hundred, hundred + 100))
        if every <= left:
            left -= every
            told.append(f"{hundred // 100}xx")
    return listed([*told, *map(str, sorted(left))], "nothing")


def rate_limit(terms: RateLimit) -> str:
    """How many requests, and how many at once."""
    return f"{terms.requests_per_second:g} requests per second, {terms.burst} at once"


def token_limit(terms: TokenLimit) -> str:
    """How many LLM tokens in and out, in a unit of time."""
    named = {"in": terms.input_tokens, "out": terms.output_tokens}
    counts = " and ".join(f"{value:,} tokens {name}" for name, value in named.items() if value is not None)
    return f"{counts or 'no tokens'} per {terms.unit}{f', shared by {terms.redis}' if terms.redis else ''}"


def analysis(terms: Analysis) -> str:
    """How a canary is judged."""
    least = f"at least {terms.threshold:g}% of its requests"
    told = f"{least}, {terms.min_requests:,} or more, must succeed in each {format_duration(terms.interval)}"
    bounds = {"to its first token": terms.ttft, "for each further one": terms.tpot}
    times = [f"{factor:g} times as long {what}" for what, factor in bounds.items() if factor is not None]
    return f"{told}, and take at most {' and '.join(times)} as those of the stable target" if times else told


def canary(terms: Canary) -> str:
    """How the second target of a split is judged, and the shares that it goes through."""
    judged = "is not judged" if terms.analysis is None else analysis(terms.analysis)
    return f"{judged}; its steps are {', '.join(f'{step}%' for step in terms.steps)}" if terms.steps else judged


def sticky(terms: Sticky) -> str:
    """What keeps a caller on one side of a split."""
    return "each user" if terms.kind is StickyKind.USER else f"each value of the {terms.kind.value} {terms.name}"


def copies(terms: Shadow) -> str:
    """How much of the requests a shadow gets."""
    told = [] if terms.percent == _SHADOW.percent else [f"{terms.percent:g}% of requests"]
    told.append(f"at most {terms.max_in_flight} at once")
    told += [] if terms.max_body == _SHADOW.max_body else [f"bodies of at most {format_size(terms.max_body)}"]
    return ", ".join(told)


def labels(pairs: Iterable[tuple[str, str]]) -> str:
    """Labels as selectors write them."""
    return listed([f"{name}={value}" for name, value in pairs])


def selector(terms: Selector) -> str:
    """What a server's endpoints are chosen by."""
    wanted = [f"the workload {terms.workload}"] if terms.workload is not None else []
    wanted += [f"labels {labels(terms.labels)}"] if terms.labels else []
    ports = f", on port {', '.join(map(str, terms.ports))}" if terms.ports else ""
    return f"{' with '.join(wanted) or 'any endpoint'} in the namespace {terms.namespace}{ports}"
