"""The measurements: each starts a stub and one proxy, alone on its cores, and returns plain figures."""

import contextlib
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from comparison.engine import Engine, chat_body, plain_engine, stream_engine, stream_request
from comparison.peers import Pace, Proxy, StreamLoad, Task
from comparison.processes import ProcessTree, free_port
from comparison.stream_client import StreamClient, times_to_first_event
from comparison.wrk import Load, run_wrk

CONNECTIONS = 64
# Opened further apart than any proxy but LiteLLM needs to begin one, so that the opening measures nothing.
SECONDS_BETWEEN_OPENINGS = 0.002
SECONDS_OF_WAITING = 120.0


@dataclass(frozen=True, slots=True)
class Cores:
    """Which cores the proxy has, and which the load and the stub share."""

    proxy: tuple[int, ...]
    load: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds for each measurement, and how many short streams are timed."""

    warm_up: float = 1.0
    plain: float = 5.0
    growth: float = 4.0
    streams: float = 6.0
    calm: float = 4.0
    first_events: int = 400


@dataclass(frozen=True, slots=True)
class PlainResult:
    """Plain requests: processor seconds for each, requests a second, latencies in seconds, memory in bytes.

    `supervisor` is the part of `processor` that a proxy's first process took where it has others. `alone_p50` is the
    latency at one connection.
    """

    processor: float
    supervisor: float
    rate: float
    p50: float
    p99: float
    alone_p50: float
    errors: int
    resident: int
    proportional: int


@dataclass(frozen=True, slots=True)
class StreamResult:
    """Streams: processor seconds for each event, times to the first event, events' ages on arrival, memory.

    Times are in seconds. The bytes are resident memory for each idle open stream.
    """

    processor: float
    events: int
    first_event_p50: float
    first_event_p99: float
    event_p50: float
    event_p99: float
    resident_each: float
    errors: int


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for configurations and logs, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Served:
    """What is measured: a port that answers, and the proxy behind it, None where that is the engine itself."""

    port: int
    process: ProcessTree | None
    folder: Path

    def usage(self) -> tuple[float, float]:
        """Processor seconds so far: of all the proxy's processes, and of its first one where it has others."""
        if self.process is None:
            return 0.0, 0.0
        usage = self.process.usage()
        return usage.tree, usage.root

    def memory(self) -> tuple[int, int]:
        """Resident and proportional bytes."""
        if self.process is None:
            return 0, 0
        memory = self.process.memory()
        return memory.resident, memory.proportional


@contextlib.contextmanager
def served(proxy: Proxy | None, engine: Engine, cores: Cores, folder: Path, workers: int = 1) -> Iterator[Served]:
    """The proxy in front of the engine, on its cores and answering; the engine itself for None."""
    if proxy is None:
        yield Served(engine.ports[0], None, folder)
        return
    task = Task(free_port(), engine.ports, folder, workers)
    launch = proxy.launch(task)
    with ProcessTree(launch.command, cores.proxy, folder / "proxy.log", launch.environment) as process:
        process.wait_until_it_answers(task.port, chat_body(), proxy.start_timeout)
        yield Served(task.port, process, folder)


def measure_plain(proxy: Proxy | None, cores: Cores, durations: Durations) -> PlainResult:
    """Posts of 850 bytes: on one connection, then on 64 for `durations.plain` seconds."""
    return measure_bodies(proxy, [chat_body()], cores, durations, durations.plain)


def measure_bodies(
    proxy: Proxy | None,
    bodies: Sequence[bytes],
    cores: Cores,
    durations: Durations,
    seconds: float,
    workers: int = 1,
) -> PlainResult:
    """Post these bodies in turn."""
    with (
        scratch_folder() as folder,
        plain_engine(folder, cores.load) as engine,
        served(proxy, engine, cores, folder, workers) as target,
    ):
        path = folder / "bodies"
        path.write_bytes(b"\n".join(bodies) + b"\n")
        run_wrk(target.port, path, CONNECTIONS, durations.warm_up, cores.load)
        alone = run_wrk(target.port, path, 1, durations.warm_up, cores.load)
        before = target.usage()
        load = run_wrk(target.port, path, CONNECTIONS, seconds, cores.load)
        return _plain_result(target, before, load, alone)


def _plain_result(target: Served, before: tuple[float, float], load: Load, alone: Load) -> PlainResult:
    tree, root = (later - earlier for later, earlier in zip(target.usage(), before, strict=True))
    resident, proportional = target.memory()
    requests = max(1, load.requests)
    return PlainResult(
        processor=tree / requests,
        supervisor=root / requests,
        rate=load.requests / load.seconds,
        p50=load.p50,
        p99=load.p99,
        alone_p50=alone.p50,
        errors=load.errors + alone.errors,
        resident=resident,
        proportional=proportional,
    )


def measure_streams(proxy: Proxy | None, load: StreamLoad, cores: Cores, durations: Durations) -> StreamResult:
    """Short streams one by one, then streams that wait, then calm ones, then busy ones."""
    with (
        scratch_folder() as folder,
        stream_engine(folder, cores.load) as engine,
        served(proxy, engine, cores, folder) as target,
    ):
        short = stream_request(2, 0)
        times_to_first_event(target.port, short, durations.first_events // 4)
        first = times_to_first_event(target.port, short, durations.first_events)
        idle = _idle_streams(target, load.idle)
        calm = _paced_streams(target, load.calm, durations.calm)
        busy = _paced_streams(target, load.busy, durations.streams)
        return StreamResult(
            processor=busy.processor,
            events=len(busy.ages),
            first_event_p50=percentile(first, 50),
            first_event_p99=percentile(first, 99),
            event_p50=percentile(calm.ages, 50),
            event_p99=percentile(calm.ages, 99),
            resident_each=idle.resident_each,
            errors=idle.silent + calm.incomplete + busy.incomplete,
        )


@dataclass(frozen=True, slots=True)
class _Idle:
    resident_each: float
    silent: int


def _idle_streams(target: Served, count: int) -> _Idle:
    """Open streams that wait for their second event; resident bytes for each, and how many did not begin."""
    before, _ = target.memory()
    client = StreamClient(target.port, stream_request(2, SECONDS_OF_WAITING))
    try:
        client.open(count, SECONDS_BETWEEN_OPENINGS)
        client.read_until(time.monotonic() + 30, client.each_has_begun)
        after, _ = target.memory()
        return _Idle((after - before) / count, client.silent())
    finally:
        client.close()
        time.sleep(0.5)


@dataclass(frozen=True, slots=True)
class _Paced:
    processor: float
    ages: Sequence[float]
    incomplete: int


def _paced_streams(target: Served, pace: Pace, seconds: float) -> _Paced:
    """Streams at this pace; counted is what comes after all have begun and before the first one ends."""
    opening = pace.streams * SECONDS_BETWEEN_OPENINGS
    events = round((opening + seconds + 1.0) / pace.interval)
    client = StreamClient(target.port, stream_request(events, pace.interval))
    try:
        client.open(pace.streams, SECONDS_BETWEEN_OPENINGS)
        client.read_until(time.monotonic() + 20, client.each_has_begun)
        skipped, before = len(client.latencies), target.usage()[0]
        client.read_until(time.monotonic() + seconds)
        counted, after = len(client.latencies), target.usage()[0]
        client.read_until(time.monotonic() + 30, client.all_are_complete)
        ages = [age / 1e9 for age in client.latencies[skipped:counted]]
        return _Paced((after - before) / max(1, len(ages)), ages, client.incomplete(events))
    finally:
        client.close()


def percentile(values: Sequence[float], rank: int) -> float:
    """The value below which `rank` per cent lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[rank - 1] if len(values) > 1 else sum(values)
