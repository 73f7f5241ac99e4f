"""Promises of the rows that all workers share."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.access.row_memory import GRACE, HEADER, MAGIC, MARGIN, WINDOW, Place, RowMemory, SharedTableError
from tests.access.clocks import Clock

ROOT = Path(__file__).parents[2]

HOLDER = """
import sys
from proxy.access.row_memory import RowMemory
memory = RowMemory.attach(int(sys.argv[1]), 1)
print(memory._lock(), flush=True)
sys.stdin.read()
"""


def nothing(place: Place, now: float) -> None:
    pass


def words(memory: RowMemory, count: int) -> list[int]:
    return [memory.word_of(f"key {number}", gauge=False) for number in range(count)]


@contextmanager
def lock_holder(memory: RowMemory) -> Iterator[subprocess.Popen[str]]:
    """Another process, which holds the lock when this begins."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(memory.fileno())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(memory.fileno(),),
        cwd=ROOT,
        text=True,
    )
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "True\n"
            yield child
        finally:
            child.kill()


def test_every_worker_finds_the_row_of_a_key() -> None:
    first = RowMemory.create(2)
    second = RowMemory.attach(first.fileno(), 1)
    word = first.word_of("a", gauge=False)
    assert word == second.word_of("a", gauge=False)
    places = [memory.shared_place(word, 1000.0, nothing) for memory in (first, second)]
    assert places[0] is not None
    assert places[1] is not None
    assert places[0].base == places[1].base


def test_two_tables_hash_a_key_differently() -> None:
    assert RowMemory.create(1).word_of("a", gauge=False) != RowMemory.create(1).word_of("a", gauge=False)


def test_a_gauge_and_a_bucket_of_the_same_key_have_different_rows() -> None:
    memory = RowMemory.create(1)
    assert memory.word_of("a", gauge=False) != memory.word_of("a", gauge=True)


def test_a_full_window_has_no_room_until_a_row_says_nothing() -> None:
    memory = RowMemory.create(1, entries=WINDOW)
    *held, late = words(memory, WINDOW + 1)
    assert all(memory.shared_place(word, 1000.0, nothing) for word in held)
    assert memory.shared_place(late, 1000.0, nothing) is None
    assert memory.shared_place(late, 1000.0 + MARGIN + GRACE, nothing) is None
    assert memory.shared_place(late, 1000.1 + MARGIN + GRACE, nothing) is not None


def test_a_row_that_was_taken_over_no_longer_bears_the_old_word() -> None:
    memory = RowMemory.create(1, entries=WINDOW)
    *held, late = words(memory, WINDOW + 1)
    places = {word: memory.shared_place(word, 1000.0, nothing) for word in held}
    taken = memory.shared_place(late, 2000.0, nothing)
    assert taken is not None
    assert taken.words[taken.base] == late
    lost = [word for word, place in places.items() if place is not None and place.base == taken.base]
    again = memory.shared_place(lost[0], 2000.0, nothing)
    assert again is not None
    assert again.base != taken.base


def test_what_stands_in_its_own_memory_is_counted() -> None:
    memory = RowMemory.create(1)
    assert not memory.own_place(memory.word_of("a", gauge=False), 1000.0, nothing).shared
    assert memory.overflowed == 1


def test_a_row_is_named_last_so_that_a_death_while_it_is_filled_leaves_it_free() -> None:
    memory = RowMemory.create(1, entries=WINDOW)
    held = words(memory, WINDOW)
    for word in held:
        memory.shared_place(word, 1000.0, nothing)
    seen: list[int] = []
    memory.shared_place(
        memory.word_of("late", gauge=False), 2000.0, lambda place, _: seen.append(place.words[place.base])
    )
    assert seen == [0]


def header(magic: bytes = MAGIC, workers: int = 2, entries: int = WINDOW, stride: int = 8) -> bytes:
    return HEADER.pack(magic, workers, entries, stride, bytes(16))


@pytest.mark.parametrize(
    ("content", "size"),
    [
        (b"", 0),
        (b"x" * 8, 8),
        (header(magic=b"penstab0"), HEADER.size + WINDOW * 64),
        (header(), HEADER.size + WINDOW * 64 - 8),
        (header(entries=WINDOW + 1), HEADER.size + WINDOW * 64),
        (header(workers=4), HEADER.size + WINDOW * 64),
        (header(workers=0), HEADER.size + WINDOW * 64),
        (header(workers=2**63), HEADER.size + WINDOW * 64),
        (header(entries=0), HEADER.size),
    ],
)
def test_memory_that_is_no_such_table_is_refused(content: bytes, size: int) -> None:
    fd = os.memfd_create("other")
    try:
        os.pwrite(fd, content, 0)
        os.ftruncate(fd, size)
        with pytest.raises(SharedTableError):
            RowMemory.attach(fd, 0)
    finally:
        os.close(fd)


@pytest.mark.parametrize("worker", [-1, 2])
def test_a_worker_that_the_table_has_no_columns_for_is_refused(worker: int) -> None:
    memory = RowMemory.create(2)
    with pytest.raises(SharedTableError, match="no worker"):
        RowMemory.attach(memory.fileno(), worker)


def test_a_closed_descriptor_is_refused() -> None:
    fd = os.memfd_create("gone")
    os.close(fd)
    with pytest.raises(SharedTableError):
        RowMemory.attach(fd, 0)


def test_nobody_can_shrink_the_memory_under_its_readers() -> None:
    memory = RowMemory.create(1)
    with pytest.raises(PermissionError):
        os.ftruncate(memory.fileno(), 0)


def test_a_table_that_is_gone_leaves_no_descriptor_open() -> None:
    memory, closed = RowMemory.create(1), RowMemory.create(1)
    descriptors = [memory.fileno(), closed.fileno()]
    closed.close()
    del memory
    for fd in descriptors:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


def test_a_stopped_holder_of_the_lock_blocks_nobody() -> None:
    memory = RowMemory.create(2, clock=Clock())
    known, late = words(memory, 2)
    memory.shared_place(known, 1000.0, nothing)
    with lock_holder(memory) as child:
        os.kill(child.pid, signal.SIGSTOP)
        assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
        assert memory.shared_place(late, 1000.0, nothing) is None
        assert memory.shared_place(known, 1000.0, nothing) is not None


def test_a_killed_holder_of_the_lock_leaves_it_free() -> None:
    memory = RowMemory.create(2, clock=Clock())
    late = memory.word_of("late", gauge=False)
    with lock_holder(memory) as child:
        assert memory.shared_place(late, 1000.0, nothing) is None
        child.kill()
        child.wait()
        assert memory.shared_place(late, 1000.0, nothing) is not None


def test_the_lock_is_let_go_after_an_allocation_that_failed() -> None:
    memory = RowMemory.create(1)

    def fail(place: Place, now: float) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        memory.shared_place(memory.word_of("a", gauge=False), 1000.0, fail)
    script = f"import fcntl; fcntl.lockf({memory.fileno()}, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 0)"
    subprocess.run([sys.executable, "-c", script], pass_fds=(memory.fileno(),), check=True)
