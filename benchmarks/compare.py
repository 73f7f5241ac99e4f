"""Compares Penstock with its peers on one machine and writes RESULTS.md. See README.md beside this file."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httptools
from comparison.engine import MODEL, chat_body
from comparison.measuring import (
    Cores,
    Durations,
    PlainResult,
    StreamResult,
    measure_bodies,
    measure_plain,
    measure_streams,
)
from comparison.peers import Proxy, StreamLoad, installed_peers
from comparison.penstock import model_of_route, penstock
from comparison.processes import StartFailedError, raise_open_file_limit, share_in_use
from comparison.records import DIRECT, PlainRecord, Run, StreamRecord, Subject, Table, load, now, save, this_machine
from comparison.report import render
from comparison.stream_client import StreamFailedError

RESULTS = Path(__file__).with_name("RESULTS.md")
ROUTES = (10, 100, 1_000, 10_000)
BODIES = (1, 16, 64, 256)
WORKERS = (1, 2)
QUICK = Durations(warm_up=1.0, plain=1.0, growth=1.0, streams=1.0, calm=1.0, first_events=50)
FAILURES = (
    StartFailedError,
    StreamFailedError,
    OSError,
    subprocess.SubprocessError,
    httptools.HttpParserError,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement to be made."""

    table: Table
    proxy: Proxy | None
    size: int = 0

    @property
    def name(self) -> str:
        """The proxy's name in records."""
        return self.proxy.name if self.proxy else DIRECT


@dataclass(slots=True)
class Notebook:
    """What has been measured so far."""

    plain: list[PlainRecord] = field(default_factory=list)
    streams: list[StreamRecord] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    in_use_before: list[float] = field(default_factory=list)


def main() -> int:
    """Run and report; the exit status is 1 where anything failed."""
    options = _options()
    if options.render:
        _publish(load(options.render), options)
        return 0
    raise_open_file_limit()
    cores, two_worker_cores = _cores()
    # The stream client is this process: it belongs on the load's core.
    os.sched_setaffinity(0, cores.load)
    durations = QUICK if options.quick else Durations()
    proxies, absent = _proxies(options)
    steps = list(_steps(proxies, options.tables))
    notebook = Notebook()
    begun = now()
    for number in range(1, options.rounds + 1):
        for step in steps:
            print(f"round {number}/{options.rounds}  {step.table:8} {step.size or '':6} {step.name}", flush=True)
            _take(step, two_worker_cores if step.table is Table.WORKERS else cores, durations, notebook)
    run = Run(
        begun=begun,
        machine=this_machine(),
        cores=cores,
        two_worker_cores=two_worker_cores,
        durations=durations,
        rounds=options.rounds,
        subjects=tuple(_subject(proxy) for proxy in proxies),
        absent=tuple(absent),
        plain=tuple(notebook.plain),
        streams=tuple(notebook.streams),
        failures=tuple(notebook.failures),
        in_use_before=tuple(notebook.in_use_before),
    )
    _publish(run, options)
    return 1 if run.failures or run.errors() else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare Penstock with its peers.")
    peers = os.environ.get("PENSTOCK_PEERS", ".peers")
    parser.add_argument(
        "--peers", type=Path, default=Path(peers), help="where install_peers.sh put them (PENSTOCK_PEERS)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured")
    parser.add_argument("--quick", action="store_true", help="one short round, printed and not written to RESULTS.md")
    parser.add_argument(
        "--only", type=_words, default=(), help="proxies, by the beginning of their names: nginx,envoy,penstock"
    )
    parser.add_argument("--tables", type=_tables, default=tuple(Table), help=f"which measurements: {','.join(Table)}")
    parser.add_argument("--out", type=Path, help="where the report goes (RESULTS.md for a full run, else only printed)")
    parser.add_argument("--json", type=Path, help="where the raw results go")
    parser.add_argument("--render", type=Path, help="only write the report again from an earlier run's --json")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    whole = not options.quick and not options.only and set(options.tables) == set(Table)
    if options.out is None and (whole or options.render):
        options.out = RESULTS
    return options


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip().lower() for word in text.split(",") if word.strip())


def _tables(text: str) -> tuple[Table, ...]:
    return tuple(Table(word) for word in _words(text))


def _cores() -> tuple[Cores, Cores]:
    """The cores of most measurements, and those where a proxy has up to two workers."""
    mine = sorted(os.sched_getaffinity(0))
    if len(mine) == 1:
        print("one core only: proxy, load and stub share it, so requests a second mean little")
        return Cores((mine[0],), (mine[0],)), Cores((mine[0],), (mine[0],))
    rest = mine[2:] or mine[1:]
    return Cores((mine[0],), tuple(mine[1:])), Cores((mine[0], mine[1]), tuple(rest))


def _proxies(options: argparse.Namespace) -> tuple[list[Proxy], list[str]]:
    """The proxies to compare, and a line for each that is not installed."""
    found = installed_peers(options.peers.resolve())
    absent = [line for line in found if isinstance(line, str)]
    for line in absent:
        print(f"skipped: {line}")
    proxies = [proxy for proxy in found if isinstance(proxy, Proxy)]
    proxies += [penstock(), penstock(rewrite=True)]
    if options.only:
        proxies = [proxy for proxy in proxies if proxy.name.lower().startswith(options.only)]
    return proxies, absent


def _steps(proxies: Sequence[Proxy], tables: Sequence[Table]) -> Iterator[Step]:
    """One round, in its order."""
    ours = [proxy for proxy in proxies if proxy.name == "Penstock"]
    if Table.PLAIN in tables:
        yield from (Step(Table.PLAIN, proxy) for proxy in (None, *proxies))
    if Table.STREAMS in tables:
        yield from (Step(Table.STREAMS, proxy) for proxy in (None, *proxies) if proxy is None or proxy.streams)
    if Table.ROUTES in tables and ours:
        yield from (Step(Table.ROUTES, penstock(routes=count), count) for count in ROUTES)
    if Table.BODIES in tables:
        yield from (Step(Table.BODIES, one, kib * 1024) for one in proxies if one.large_bodies for kib in BODIES)
    if Table.WORKERS in tables:
        yield from (Step(Table.WORKERS, one, count) for one in proxies if one.takes_workers for count in WORKERS)


def _take(step: Step, cores: Cores, durations: Durations, notebook: Notebook) -> None:
    """Measure once; a failure is written down, and the run goes on."""
    notebook.in_use_before.append(share_in_use(0.3))
    try:
        if step.table is Table.STREAMS:
            streams = step.proxy.streams if step.proxy else None
            result = measure_streams(step.proxy, streams or StreamLoad(), cores, durations)
            notebook.streams.append(StreamRecord(step.name, result))
            print(f"    {_stream_line(result)}", flush=True)
        else:
            plain = _measure(step, cores, durations)
            notebook.plain.append(PlainRecord(step.table, step.name, step.size, plain))
            print(f"    {_plain_line(plain)}", flush=True)
    except FAILURES as error:
        notebook.failures.append(f"{step.table} {step.size or ''} {step.name}: {error}")
        print(f"    failed: {error}", flush=True)


def _measure(step: Step, cores: Cores, durations: Durations) -> PlainResult:
    if step.table is Table.ROUTES:
        bodies = [chat_body(model=model_of_route(index)) for index in range(step.size)]
        return measure_bodies(step.proxy, bodies, cores, durations, durations.growth)
    if step.table is Table.BODIES:
        return measure_bodies(step.proxy, [chat_body(step.size, MODEL)], cores, durations, durations.growth)
    if step.table is Table.WORKERS:
        return measure_bodies(step.proxy, [chat_body()], cores, durations, durations.growth, step.size)
    return measure_plain(step.proxy, cores, durations)


def _plain_line(result: PlainResult) -> str:
    return (
        f"{result.processor * 1e6:.1f} µs/request, {result.rate:,.0f} requests/s, p50 {result.p50 * 1e3:.2f} ms, "
        f"p99 {result.p99 * 1e3:.2f} ms, alone {result.alone_p50 * 1e3:.2f} ms, {result.resident / 1e6:.0f} MB, "
        f"{result.errors} errors"
    )


def _stream_line(result: StreamResult) -> str:
    return (
        f"{result.processor * 1e6:.1f} µs/event, first event {result.first_event_p50 * 1e6:.0f} µs, "
        f"event {result.event_p50 * 1e6:.0f} µs, "
        f"{result.resident_each / 1e3:.1f} KB for each stream, {result.errors} errors"
    )


def _subject(proxy: Proxy) -> Subject:
    streams = proxy.streams or StreamLoad()
    return Subject(proxy.name, proxy.version, proxy.setup, str(streams.busy), str(streams.calm), streams.idle)


def _publish(run: Run, options: argparse.Namespace) -> None:
    report = render(run)
    if options.json and not options.render:
        save(run, options.json)
    if options.out:
        options.out.write_text(report)
        print(f"written: {options.out}")
    else:
        print(report)


if __name__ == "__main__":
    sys.exit(main())
