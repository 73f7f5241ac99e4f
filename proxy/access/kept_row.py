"""A row of the shared memory that one key keeps in this worker, and the looks that make sure it is still its own."""

from proxy.access.row_memory import MARGIN, Place, RowMemory

REVIEW = 10.0
"""Seconds between looks. Whoever uses a row keeps it for MARGIN from then on, which is longer by more than a race."""
RETRY = 0.5
"""Seconds until a row in this process's own memory tries again for one that is shared."""


class KeptRow:
    """The base of what is kept in a row.

    Mutable state: where the row stands, until when it is known to be ours (`_review`), and until when it is kept
    (`_kept`, by this worker's own knowledge).
    """

    __slots__ = ("_columns", "_doubles", "_kept", "_own", "_place", "_review", "_table", "_word")

    def __init__(self, table: RowMemory, word: int) -> None:
        self._table = table
        self._word = word
        now = table.clock()
        place = table.shared_place(word, now, self._fill)
        self._stand(table.own_place(word, now, self._fill) if place is None else place, now)

    @property
    def shared(self) -> bool:
        """False while the row had to be made in this process's own memory."""
        return self._place.shared

    def _fill(self, place: Place, now: float) -> None:
        """Write what the columns of a new row begin with."""
        raise NotImplementedError

    def _carry(self, before: Place, now: float) -> None:
        """Bring along what a row said that stood elsewhere before."""
        raise NotImplementedError

    def _held(self) -> bool:
        """Whether the row cannot be taken over however long it was not used."""
        return False

    def _stand(self, place: Place, now: float) -> None:
        self._place = place
        self._doubles = place.doubles
        first = place.base + 2
        self._columns = tuple(range(first, first + self._table.workers))
        self._own = first + self._table.worker
        self._keep(now + MARGIN)
        self._review = now + (REVIEW if place.shared else RETRY)

    def _keep(self, until: float) -> None:
        """Say that nobody may take the row over before then. Only ever later: others may know of more."""
        index = self._place.base + 1
        kept = self._doubles[index]
        if kept < until:
            self._doubles[index] = kept = until
        self._kept = kept

    def _look(self, now: float) -> None:
        """Make sure of the row, or find it another place. Called at the first use after `_review`."""
        before = self._place
        ours = before.words[before.base] == self._word
        if before.shared and ours and (self._doubles[before.base + 1] > now or self._held()):
            self._keep(now + MARGIN)
            self._review = now + REVIEW
            return
        place = self._table.shared_place(self._word, now, self._fill)
        if place is None and not before.shared:
            self._keep(now + MARGIN)
            self._review = now + RETRY
            return
        self._stand(self._table.own_place(self._word, now, self._fill) if place is None else place, now)
        self._carry(before, now)
