"""Plain requests, by wrk."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from comparison.processes import pinned

SCRIPT = Path(__file__).with_name("chat.lua")


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: answered requests in so many seconds, latencies in seconds, failed ones of any kind."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int


def run_wrk(port: int, bodies: Path, connections: int, seconds: float, cores: Sequence[int]) -> Load:
    """Post the file's bodies in turn, one after the other on each connection, as fast as they are answered."""
    command = [
        *("wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s"),
        *("--timeout", "20s", "--script", str(SCRIPT)),
        *(f"http://127.0.0.1:{port}/v1/chat/completions", "--", str(bodies)),
    ]
    ended = subprocess.run(pinned(command, cores), capture_output=True, check=True, timeout=seconds + 60)
    seen = orjson.loads(ended.stdout.splitlines()[-1])
    return Load(seen["requests"], seen["seconds"], seen["p50"] / 1e6, seen["p99"] / 1e6, seen["errors"])
