"""The targets that Penstock sets itself, judged by a run."""

from collections.abc import Callable
from dataclasses import dataclass

from comparison.measuring import PlainResult, StreamResult
from comparison.records import DIRECT, Run, Table, median

PENSTOCK = "Penstock"
REWRITING = "Penstock, model rewritten"

# Processor time of a plain request, as a multiple of the peer's.
PLAIN_LIMITS = {"Envoy": 1.15, "vLLM Router": 0.75, "SGLang gateway": 0.5, "LiteLLM": 0.02}
EVENT_LIMIT = 1.1
FIRST_EVENT_LIMIT = 2.0
ROUTES_LIMIT = 1.05
STREAM_BYTES_LIMIT = 40_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and what was measured; `held` is None where something was not measured."""

    subject: str
    promise: str
    limit: str
    measured: str
    held: bool | None

    @property
    def word(self) -> str:
        """For the report."""
        if self.held is None:
            return "not measured"
        return "held" if self.held else "**not held**"


def judge(run: Run) -> list[Verdict]:
    """Every target, for Penstock with and without a rewritten model."""
    verdicts = []
    for name in (PENSTOCK, REWRITING):
        verdicts += [_plain_target(run, name, peer, limit) for peer, limit in PLAIN_LIMITS.items()]
        verdicts += [_event_target(run, name), _first_event_target(run, name), _memory_target(run, name)]
    return [*verdicts, _routes_target(run)]


def _plain_target(run: Run, name: str, peer: str, limit: float) -> Verdict:
    ours, theirs = _plain(run, name), _plain(run, peer)
    promise = f"processor time for each plain request, against {peer}"
    return _ratio(name, promise, ours, theirs, limit)


def _event_target(run: Run, name: str) -> Verdict:
    ours, theirs = _stream(run, name, _event_processor), _stream(run, "nginx", _event_processor)
    return _ratio(name, "processor time for each streamed event, against nginx", ours, theirs, EVENT_LIMIT)


def _first_event_target(run: Run, name: str) -> Verdict:
    direct = _stream(run, DIRECT, _first_event)
    ours, theirs = _stream(run, name, _first_event), _stream(run, "nginx", _first_event)
    promise = "time added to the first event at one connection, against nginx"
    if ours is None or theirs is None or direct is None:
        return _ratio(name, promise, None, None, FIRST_EVENT_LIMIT)
    return _ratio(name, promise, ours - direct, theirs - direct, FIRST_EVENT_LIMIT)


def _routes_target(run: Run) -> Verdict:
    many, few = (median(run.of_plain(_processor, PENSTOCK, Table.ROUTES, size)) for size in (10_000, 10))
    return _ratio(PENSTOCK, "processor time at 10,000 routes, against 10 routes", many, few, ROUTES_LIMIT)


def _memory_target(run: Run, name: str) -> Verdict:
    promise, limit = "resident memory for each open stream", f"{STREAM_BYTES_LIMIT / 1000:g} KB"
    each = _stream(run, name, _resident_each)
    if each is None:
        return Verdict(name, promise, limit, "-", None)
    return Verdict(name, promise, limit, f"{each / 1000:.1f} KB", each <= STREAM_BYTES_LIMIT)


def _ratio(name: str, promise: str, ours: float | None, theirs: float | None, limit: float) -> Verdict:
    if ours is None or not theirs:
        return Verdict(name, promise, f"{limit:g} x", "-", None)
    measured = f"{ours / theirs:.3g} x ({ours * 1e6:,.1f} µs to {theirs * 1e6:,.1f} µs)"
    return Verdict(name, promise, f"{limit:g} x", measured, ours <= limit * theirs)


def _plain(run: Run, name: str) -> float | None:
    return median(run.of_plain(_processor, name))


def _stream(run: Run, name: str, read: Callable[[StreamResult], float]) -> float | None:
    return median(run.of_streams(read, name))


def _processor(result: PlainResult) -> float:
    return result.processor


def _event_processor(result: StreamResult) -> float:
    return result.processor


def _first_event(result: StreamResult) -> float:
    return result.first_event_p50


def _resident_each(result: StreamResult) -> float:
    return result.resident_each
