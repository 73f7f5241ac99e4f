"""What a store of limits that several hosts share must do."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from proxy.access.buckets import Verdict


class Want(NamedTuple):
    """What one request wants of one bucket.

    `cost` is taken, `at_least` must be there beside it for the request to pass (an output limit wants nothing yet, but
    a token must be left). `per_second` is what the bucket, which holds `capacity`, gains.
    """

    key: str
    cost: float
    capacity: float
    per_second: float
    at_least: float = 0.0


class SharedStore(Protocol):
    """Buckets that other hosts take from as well, such as those in Redis."""

    async def take(self, wants: Sequence[Want], timeout: float) -> Sequence[Verdict] | None:  # noqa: ASYNC109 - its own
        """Take all that is wanted, or nothing of it: a verdict for each want; None if the store is away.

        `timeout` is in seconds. A call that is cancelled gives back by itself what it may have taken.
        """

    def charge(self, wants: Sequence[Want]) -> None:
        """Take each cost without asking, in the background; a negative one is given back."""
