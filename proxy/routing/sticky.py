"""Which side of a split a caller stays on: a hash of what names it, laid along the targets' shares."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TypeVar, assert_never

from proxy.config.spec import Sticky, StickyKind
from proxy.routing.facts import RequestFacts

T = TypeVar("T")

Key = Callable[[RequestFacts], str | None]

_POINTS = 2**64


class StickyChoice:
    """Puts each caller at a point that depends on its name and the rule's alone, so that workers, hosts and restarts
    agree, and callers of one rule are not those of another.

    The last target takes the lowest points: a canary whose share grows keeps the callers that it had, and gives back
    the newest where it shrinks.
    """

    __slots__ = ("_key", "_places", "_salt")

    def __init__(self, sticky: Sticky, name: str, weights: Sequence[int]) -> None:
        self._key = _key_of(sticky)
        self._salt = blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).digest()
        self._places = _places(weights)

    def place(self, facts: RequestFacts) -> int | None:
        """The place of the target for this caller; None for a request that does not say who it is from."""
        key = self._key(facts)
        if not key:
            return None
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=self._salt).digest()
        point = int.from_bytes(digest, "big")
        for end, place in self._places:
            if point < end:
                return place
        return self._places[-1][1]


def _places(weights: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Each target's place with the end of its stretch of points, the last target first."""
    total, reached = sum(weights), 0
    places = []
    for place in reversed(range(len(weights))):
        if weights[place]:
            reached += weights[place]
            places.append((_POINTS * reached // total, place))
    return tuple(places)


def _key_of(sticky: Sticky) -> Key:
    name = sticky.name
    match sticky.kind:
        case StickyKind.HEADER:
            return lambda facts: facts.header(name)
        case StickyKind.QUERY:
            return lambda facts: facts.query(name)
        case StickyKind.COOKIE:
            return lambda facts: cookie(facts.header("cookie"), name)
        case StickyKind.USER:
            return user_of
        case _:
            assert_never(sticky.kind)


def cookie(header: str | None, name: str) -> str | None:
    """A cookie's value as it was sent (RFC 6265 5.4); the first one where a name stands twice."""
    for pair in (header or "").replace(", ", "; ").split(";"):
        found, _, value = pair.strip().partition("=")
        if found == name:
            return value.strip('"')
    return None


def user_of(facts: RequestFacts) -> str | None:
    """The caller's id where a credential says it, else the `user` that the body names, as OpenAI's API has it: which
    side somebody is on gives no rights.
    """
    user = facts.data("user")
    if isinstance(user, dict):
        user = user.get("id")
    return user if isinstance(user, str) else facts.field(("user",))
