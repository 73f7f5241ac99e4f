"""What a run has found: flat records, their medians, and their JSON form."""

import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import msgspec

from comparison.measuring import Cores, Durations, PlainResult, StreamResult

DIRECT = "the stub itself"


class Table(StrEnum):
    """The measurements that a run is made of."""

    PLAIN = "plain"
    STREAMS = "streams"
    ROUTES = "routes"
    BODIES = "bodies"
    WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were taken on."""

    processor: str
    cores: int
    memory: int
    system: str
    kernel: str
    python: str
    load_generator: str


@dataclass(frozen=True, slots=True)
class Subject:
    """A proxy of this run, as the report names it."""

    name: str
    version: str
    setup: str
    busy: str
    calm: str
    idle: int


@dataclass(frozen=True, slots=True)
class PlainRecord:
    """One measurement of plain requests. `size` is how many routes, body bytes or workers, where the table has one."""

    table: Table
    proxy: str
    size: int
    result: PlainResult


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One measurement of streams."""

    proxy: str
    result: StreamResult


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a report is written from."""

    begun: str
    machine: Machine
    cores: Cores
    two_worker_cores: Cores
    durations: Durations
    rounds: int
    subjects: tuple[Subject, ...]
    absent: tuple[str, ...]
    plain: tuple[PlainRecord, ...]
    streams: tuple[StreamRecord, ...]
    failures: tuple[str, ...]
    # What else was going on: the share of the machine in use before each measurement, when nothing of the run's was.
    in_use_before: tuple[float, ...]

    def of_plain(
        self, read: Callable[[PlainResult], float], proxy: str, table: Table = Table.PLAIN, size: int = 0
    ) -> list[float]:
        """One figure from each round."""
        asked = (table, proxy, size)
        return [read(one.result) for one in self.plain if (one.table, one.proxy, one.size) == asked]

    def of_streams(self, read: Callable[[StreamResult], float], proxy: str) -> list[float]:
        """One figure from each round."""
        return [read(one.result) for one in self.streams if one.proxy == proxy]

    def errors(self) -> int:
        """Failed requests and streams of all measurements."""
        return sum(one.result.errors for one in self.plain) + sum(one.result.errors for one in self.streams)


def median(values: Sequence[float]) -> float | None:
    """The median, None of nothing."""
    return statistics.median(values) if values else None


def save(run: Run, path: Path) -> None:
    """Write the run as JSON."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1))


def load(path: Path) -> Run:
    """Read what `save` wrote. Raises msgspec.ValidationError for anything else."""
    return msgspec.json.decode(path.read_bytes(), type=Run)


def this_machine() -> Machine:
    """The machine that this runs on."""
    processors = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    kilobytes = int(Path("/proc/meminfo").read_text().split()[1])
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout.split()
    return Machine(
        processor=processors[0].partition(":")[2].strip() if processors else platform.machine(),
        cores=len(processors),
        memory=kilobytes * 1024,
        system=platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        kernel=platform.release(),
        python=platform.python_version(),
        load_generator=" ".join(wrk[:2]),
    )


def now() -> str:
    """The present day and minute, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
