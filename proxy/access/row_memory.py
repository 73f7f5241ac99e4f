"""Rows of numbers in memory that all workers share, found by a hash, with no lock in the steady state.

A row is a line of 8-byte words: the hash of its key, the time after which it says nothing (`idle_after`), a `consumed`
column for each worker, and an `intercept` column for each worker. A worker writes only its own columns. All writes are
single aligned 8-byte stores, so that nobody reads half a number: an item of a cast memoryview is one (struct's
`pack_into` is none: it fills the place with zeros first).
"""

import fcntl
import mmap
import os
import secrets
import struct
import time
import weakref
from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import NamedTuple, Self

from proxy.errors import PenstockError

MAGIC = b"penstab1"
HEADER = struct.Struct("@8sQQQ16s16x")
HEADER_WORDS = HEADER.size // 8
CACHE_LINE_WORDS = 8
WINDOW = 16
"""How many neighbouring rows a key may be found in."""
MAX_WORKERS = 1024
GAUGE_BIT = 1
"""Of the hash word: set where the consumed columns are counts of what is there now, which must not be forgotten."""
TAKEN_BIT = 2
"""Of the hash word: always set, since 0 is a row that nobody has."""

MARGIN = 30.0
"""Seconds that a row stays its key's after it has begun to say nothing."""
GRACE = 5.0
"""Seconds more before another key takes it over: a worker that was held up between its look and its store is done."""
TRIES = 32
"""For the lock, with a yield after each: some 60 us in all, since an event loop waits for nobody. A holder that is at
work needs a quarter of that; one that was stopped is not waited for, and the row stands in process-local memory."""


class SharedTableError(PenstockError):
    """Memory that cannot be attached, because it holds no table of this version or another worker's share of one."""


class Place(NamedTuple):
    """Where a row stands: the same memory as integers and as floats, and the index of the row's first word."""

    words: "memoryview[int]"
    doubles: "memoryview[float]"
    base: int
    shared: bool


Filling = Callable[[Place, float], None]
"""Writes what the columns of a new row begin with, at this time."""


class RowMemory:
    """One worker's view of the shared rows, and the owner of the descriptor that it is made with.

    `overflowed` counts the rows that had to be kept in its own memory.
    Mutable state: the shared memory itself, and that count. Used by one thread.
    """

    def __init__(self, fd: int, worker: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._fd = fd
        self._close_descriptor = weakref.finalize(self, os.close, fd)
        self._memory = mmap.mmap(fd, 0)
        self.workers, self.entries, self._stride, self._secret = _read_header(self._memory, worker)
        self.worker = worker
        self.clock = clock
        self.overflowed = 0
        self._words = memoryview(self._memory).cast("Q")
        self._doubles = memoryview(self._memory).cast("d")

    @classmethod
    def create(cls, workers: int, entries: int = 65_536, clock: Callable[[], float] = time.monotonic) -> Self:
        """New memory for this many workers, seen as worker 0. Its pages are taken up as rows come into use.

        The descriptor is open for as long as what is returned here lives, or until it is closed.
        `clock` must be one clock for all processes: CLOCK_MONOTONIC is, on Linux.
        """
        if not 1 <= workers <= MAX_WORKERS or entries < WINDOW:
            raise ValueError(f"no table for {workers} workers and {entries} entries")
        stride = -(-(2 + 2 * workers) // CACHE_LINE_WORDS) * CACHE_LINE_WORDS
        fd = os.memfd_create("penstock-limits", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, (HEADER_WORDS + stride * entries) * 8)
        # Nobody can shrink it under a reader, who would die of SIGBUS.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        os.pwrite(fd, HEADER.pack(MAGIC, workers, entries, stride, secrets.token_bytes(16)), 0)
        return cls(fd, 0, clock)

    @classmethod
    def attach(cls, fd: int, worker: int, clock: Callable[[], float] = time.monotonic) -> Self:
        """The memory behind an inherited descriptor, as this worker. Raises SharedTableError if it is no such table.

        The descriptor is duplicated, and stays its opener's.
        """
        try:
            return cls(os.dup(fd), worker, clock)
        except (OSError, ValueError, struct.error) as error:
            raise SharedTableError(f"cannot attach the shared table: {error}") from error

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.entries} entries, worker {self.worker} of {self.workers}, "
            f"{self.overflowed} overflowed>"
        )

    def fileno(self) -> int:
        """The descriptor that other workers inherit."""
        return self._fd

    def close(self) -> None:
        """Let go of the memory and of this view's descriptor. No row may be used any more."""
        self._words.release()
        self._doubles.release()
        self._memory.close()
        self._close_descriptor()

    def word_of(self, key: str, *, gauge: bool) -> int:
        """The hash word of a key. Its secret is the table's, so that no client finds two keys with the same one."""
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "little") & ~GAUGE_BIT | TAKEN_BIT | (GAUGE_BIT if gauge else 0)

    def shared_place(self, word: int, now: float, fill: Filling) -> Place | None:
        """The shared row of a hash word, taken if it has none; None without room, or without the lock."""
        for base in self._window(word):
            if self._words[base] == word and self._doubles[base + 1] > now:
                return Place(self._words, self._doubles, base, shared=True)
        if not self._lock():
            return None
        try:
            return self._allocate(word, now, fill)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, 0)

    def own_place(self, word: int, now: float, fill: Filling) -> Place:
        """A row in this process's own memory, which must do until there is a shared one."""
        self.overflowed += 1
        memory = memoryview(bytearray(self._stride * 8))
        place = Place(memory.cast("Q"), memory.cast("d"), 0, shared=False)
        place.doubles[1] = now + MARGIN
        fill(place, now)
        place.words[0] = word
        return place

    def begin_worker(self) -> None:
        """Take back the counts that an earlier process left as this worker when it died."""
        for position, word in enumerate(self._words[HEADER_WORDS :: self._stride].tolist()):
            if word & GAUGE_BIT:
                self._doubles[HEADER_WORDS + position * self._stride + 2 + self.worker] = 0.0

    def _window(self, word: int) -> Iterator[int]:
        """The bases of the rows that a key may have: never cut short, so a row may become free at any time."""
        first = word >> 2
        for step in range(WINDOW):
            yield HEADER_WORDS + (first + step) % self.entries * self._stride

    def _lock(self) -> bool:
        """Get the lock that only allocation needs. It is a record lock: the kernel frees it when its holder dies."""
        for _ in range(TRIES):
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)
            except (BlockingIOError, PermissionError):
                os.sched_yield()
            else:
                return True
        return False

    def _allocate(self, word: int, now: float, fill: Filling) -> Place | None:
        """Under the lock: the word's own row, or one that says nothing. It is named last: a death leaves it free."""
        free = 0
        for base in self._window(word):
            found = self._words[base]
            if found == word:
                self._doubles[base + 1] = now + MARGIN
                return Place(self._words, self._doubles, base, shared=True)
            if not free and self._says_nothing(base, found, now):
                free = base
        if not free:
            return None
        place = Place(self._words, self._doubles, free, shared=True)
        self._words[free] = 0
        self._doubles[free + 1] = now + MARGIN
        fill(place, now)
        self._words[free] = word
        return place

    def _says_nothing(self, base: int, word: int, now: float) -> bool:
        if not word:
            return True
        if self._doubles[base + 1] + GRACE >= now:
            return False
        return not word & GAUGE_BIT or not any(self._doubles[base + 2 : base + 2 + self.workers])


def _read_header(memory: mmap.mmap, worker: int) -> tuple[int, int, int, bytes]:
    """Workers, entries, words of a row and the secret. Raises SharedTableError where they do not fit the memory, and
    struct.error where it is shorter than a header."""
    magic, workers, entries, stride, secret = HEADER.unpack_from(memory)
    if magic != MAGIC:
        raise SharedTableError("this is no shared table of this version")
    fits = 1 <= workers <= MAX_WORKERS and entries >= WINDOW and stride >= 2 + 2 * workers
    if not fits or len(memory) != (HEADER_WORDS + stride * entries) * 8:
        raise SharedTableError("the shared table's header does not fit its size")
    if not 0 <= worker < workers:
        raise SharedTableError(f"the shared table has no worker {worker}: it was made for {workers}")
    return workers, entries, stride, secret
