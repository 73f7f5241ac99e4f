"""Processes pinned to cores: started, waited for, measured as a whole tree, stopped."""

import contextlib
import http.client
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class StartFailedError(Exception):
    """A process that should serve ended, or did not answer in time. The text holds the end of its output."""


def free_port() -> int:
    """A TCP port on the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raise_open_file_limit() -> None:
    """Let this process and its children hold a thousand streams, two sockets each."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pinned(command: Sequence[str], cores: Sequence[int]) -> list[str]:
    """The command with its whole tree held to these cores."""
    if shutil.which("taskset") is None:
        raise StartFailedError("taskset (util-linux) is needed to pin processes to cores")
    return ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time so far in seconds, user and system: of the whole tree, and of its root where it has children."""

    tree: float
    root: float


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of the whole tree: resident, and resident with shared pages divided among those who share them."""

    resident: int
    proportional: int


class ProcessTree:
    """A started command and everything that it started."""

    def __init__(
        self, command: Sequence[str], cores: Sequence[int], output: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._output = output
        with output.open("wb") as sink:
            self._process = subprocess.Popen(
                pinned(command, cores),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_it_answers(self, port: int, body: bytes, timeout: float) -> None:
        """Post `body` as a chat request until the answer is 200. Raises StartFailedError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise StartFailedError(f"ended with status {self._process.returncode}: {self.last_output()}")
            if chat_status(port, body) == 200:
                return
            time.sleep(0.1)
        raise StartFailedError(f"no answer within {timeout:g} s: {self.last_output()}")

    def last_output(self) -> str:
        """The end of what the command wrote."""
        return self._output.read_text(errors="replace")[-1500:].strip()

    def usage(self) -> Usage:
        """Processor time, from /proc/PID/stat, in steps of the clock tick (10 ms as a rule)."""
        members = tree_of(self._process.pid)
        seconds = [processor_seconds(pid) for pid in members]
        return Usage(sum(seconds), seconds[0] if len(seconds) > 1 else 0.0)

    def memory(self) -> Memory:
        """Memory, from /proc/PID/smaps_rollup. Socket buffers in the kernel are not in it."""
        members = [memory_of(pid) for pid in tree_of(self._process.pid)]
        return Memory(sum(one.resident for one in members), sum(one.proportional for one in members))

    def stop(self) -> None:
        """Ask the whole session to end, then end it."""
        for number, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
                return


def share_in_use(seconds: float) -> float:
    """The share of all cores' time that is in use during the next `seconds`, 0 to 1, from /proc/stat."""
    idle_before, all_before = _processor_ticks()
    time.sleep(seconds)
    idle, everything = _processor_ticks()
    return 1 - (idle - idle_before) / max(1, everything - all_before)


def _processor_ticks() -> tuple[int, int]:
    """Idle ticks (waiting for a disk among them) and all ticks since the start of the system."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def chat_status(port: int, body: bytes) -> int:
    """The status of one chat request, 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return 0
    else:
        return response.status
    finally:
        connection.close()


def tree_of(root: int) -> list[int]:
    """The process and all below it, the root first."""
    members = [root]
    for pid in members:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                members.extend(int(child) for child in task.read_text().split())
    return members


def processor_seconds(pid: int) -> float:
    """utime and stime of a process with all its threads, and of its children that it has waited for (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    after_name = text.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in after_name[11:15]) / TICKS_PER_SECOND


def memory_of(pid: int) -> Memory:
    """Memory of one process, nothing for one that has gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return Memory(0, 0)
    kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    return Memory(kilobytes["Rss"] * 1024, kilobytes["Pss"] * 1024)
