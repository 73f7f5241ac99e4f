import sys
from pathlib import Path

import pytest

from proxy.access.shared_table import SharedTable
from proxy.config.settings_spec import Listener, Settings
from proxy.runtime.process import WorkerFailedError
from proxy.runtime.processors import count_processors
from proxy.runtime.reading import Reading
from proxy.runtime.sockets import bind_all
from proxy.runtime.workers import RestartPause, Workers


def test_the_first_death_is_met_at_once_and_repeated_ones_after_growing_pauses() -> None:
    pauses = RestartPause()
    assert [pauses.after(lived=1.0) for _ in range(8)] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_a_worker_that_lived_long_is_replaced_at_once_again() -> None:
    pauses = RestartPause()
    for _ in range(5):
        pauses.after(lived=1.0)
    assert pauses.after(lived=3600.0) == 0.0
    assert pauses.after(lived=1.0) == 0.5


async def test_a_worker_that_cannot_begin_tells_why() -> None:
    settings = Settings(listeners=(Listener("127.0.0.1", 0),))
    _, rows = bind_all(settings.listeners, 2)
    workers = Workers(settings, rows, SharedTable.create(2), [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(WorkerFailedError, match=r"worker \d \(pid \d+\) ended with status 3"):
        await workers.start(Reading(version="v1"))
    await workers.stop()


@pytest.mark.parametrize(
    ("limit", "most"), [("max 100000", None), ("150000 100000", 2), ("10000 100000", 1), ("nonsense", None)]
)
def test_no_more_processors_are_counted_than_the_container_may_use(
    tmp_path: Path, limit: str, most: int | None
) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    unlimited = count_processors(tmp_path / "absent")
    expected = unlimited if most is None else min(unlimited, most)
    assert count_processors(tmp_path / "cpu.max") == expected
