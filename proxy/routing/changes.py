"""How one part of a configuration differs from another, told as a person would."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, StrEnum
from typing import Any

from proxy.config.access_spec import Auth, Limit, Queueing
from proxy.config.match_spec import Match
from proxy.config.spec import (
    Analysis,
    Canary,
    Credential,
    Origin,
    RateLimit,
    Retries,
    Selector,
    ServiceListener,
    Shadow,
    Sticky,
    Target,
    Timeouts,
    TokenLimit,
)
from proxy.routing import access_wording, wording
from proxy.routing.explain import describe

NOT_SHOWN = "changed where it is not shown"


class Action(StrEnum):
    """What became of a part."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    MOVED = "moved"


class Part(StrEnum):
    """What a change is about."""

    SERVER = "server"
    ROUTE = "route"
    RULE = "rule"


@dataclass(frozen=True, slots=True)
class Change:
    """One part that differs, and in what. `route` is the one that a rule belongs to."""

    action: Action
    part: Part
    name: str
    route: str | None = None
    details: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The part: `route chat, rule default`."""
        within = "" if self.route is None else f"route {self.route}, "
        return f"{within}{self.part.value} {self.name}"


def field_changes(old: Any, new: Any, skipped: Iterable[str]) -> list[str]:
    """All fields of two specs of one kind that differ, but for those that are told in another way."""
    names = [field.name for field in fields(old) if field.name not in {*skipped, "origin"}]
    return [
        change(name.replace("_", " "), getattr(old, name), getattr(new, name))
        for name in names
        if getattr(old, name) != getattr(new, name)
    ]


def change(what: str, old: object, new: object) -> str:
    """A value and what it became."""
    if isinstance(old, Timeouts) and isinstance(new, Timeouts):
        limits = [
            f"{field.name.replace('_', ' ')} {wording.duration(before)} → {wording.duration(after)}"
            for field in fields(Timeouts)
            if (before := getattr(old, field.name)) != (after := getattr(new, field.name))
        ]
        return f"{what}: {', '.join(limits)}"
    before, after = said(old), said(new)
    return f"{what}: {NOT_SHOWN}" if before == after else f"{what} {before} → {after}"


def keyed_changes(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Things by their names, each with a word on it: which are new, gone or have become another."""
    changes = [f"{what} {name} removed" for name in old if name not in new]
    for name, word in new.items():
        if name not in old:
            changes.append(f"{what} {name} added{f' ({word})' if word else ''}")
        elif old[name] != word:
            changes.append(f"{what} {name}: {old[name] or 'none'} → {word or 'none'}")
    return changes


def moved(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, str | None]]:
    """The names that have another place among those in both, each with the one that now stands before it: as few as
    there can be, all others kept their order."""
    before = {name: place for place, name in enumerate(old)}
    common = [name for name in new if name in before]
    kept = _longest_rising([before[name] for name in common])
    return [(name, common[place - 1] if place else None) for place, name in enumerate(common) if place not in kept]


def _longest_rising(places: Sequence[int]) -> set[int]:
    """The indices of the longest rising part (patience sorting)."""
    tops: list[int] = []
    at: list[int] = []
    previous: list[int | None] = []
    for index, place in enumerate(places):
        pile = bisect_left(tops, place)
        previous.append(at[pile - 1] if pile else None)
        tops[pile : pile + 1] = [place]
        at[pile : pile + 1] = [index]
    kept: set[int] = set()
    index_or_none = at[-1] if at else None
    while index_or_none is not None:
        kept.add(index_or_none)
        index_or_none = previous[index_or_none]
    return kept


# --- values in words --------------------------------------------------------------------------------------------------


def said(value: object) -> str:
    """A value of a spec in words."""
    match value:
        case None | () | "":
            return "none"
        case bool():
            return "yes" if value else "no"
        case Enum():
            return str(value.value)
        case Timeouts():
            return wording.timeouts(value)
        case Retries():
            return wording.retries(value)
        case RateLimit():
            return wording.rate_limit(value)
        case TokenLimit():
            return wording.token_limit(value)
        case Selector():
            return wording.selector(value)
        case _:
            return _said_of_access(value)


def _said_of_access(value: object) -> str:
    match value:
        case Auth():
            return access_wording.auth(value)
        case (Limit(), *_):
            return "; ".join(access_wording.limit(one) for one in value if isinstance(one, Limit))
        case Canary():
            return wording.canary(value)
        case Sticky():
            return wording.sticky(value)
        case Queueing():
            return access_wording.queueing(value)
        case ServiceListener():
            return access_wording.listener(value)
        case Credential():
            return access_wording.credential(value)
        case _:
            return _said_of_parts(value)


def _said_of_parts(value: object) -> str:
    match value:
        case Analysis():
            return wording.analysis(value)
        case Target():
            return target_words(value)
        case Shadow():
            return f"{target_words(value.target)}, {wording.copies(value)}"
        case Match():
            return " and ".join(map(describe, value.conditions)) or "always"
        case (str(), str()):
            return f"{value[0]}={value[1]}"
        case tuple():
            return ", ".join(map(said, value))
        case frozenset():
            return ", ".join(sorted(map(said, value)))
        case _ if is_dataclass(value):
            given = {field.name: getattr(value, field.name) for field in fields(value)}
            named = {name: part for name, part in given.items() if part is not None and not isinstance(part, Origin)}
            return ", ".join(f"{name.replace('_', ' ')} {said(part)}" for name, part in named.items())
        case _:
            return str(value)


def when(matches: tuple[Match, ...]) -> str:
    """What a rule asks of a request."""
    return " or ".join(map(said, matches)) or "always"


def target_words(target: Target) -> str:
    """A target without its weight: `large (model qwen-72b)`."""
    terms = [f"model {target.model}"] if target.model is not None else []
    terms += [f"timeouts {wording.timeouts(target.timeouts)}"] if target.timeouts != Timeouts() else []
    terms += [f"retries {wording.retries(target.retries)}"] if target.retries is not None else []
    return f"{target.server} ({', '.join(terms)})" if terms else target.server
