"""A real Redis or Valkey for tests, which can be stopped, killed and started again."""

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from proxy.access.redis_store import bucket_key

BINARY = shutil.which("redis-server") or shutil.which("valkey-server")
START = 20.0  # seconds; the machine may be busy

needs_redis = pytest.mark.skipif(BINARY is None, reason="neither redis-server nor valkey-server is installed")


class RedisServer:
    """A server that listens on a free port of this host, with its files in a folder; it ends with its block."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"redis://{self.address}"
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, empty, and wait until it listens."""
        assert BINARY is not None
        keeps_nothing = ("--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", str(self._folder))
        self._process = subprocess.Popen(
            [BINARY, "--port", str(self.port), "--bind", "127.0.0.1", *keeps_nothing, *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START
        while not self._listens():
            assert self._process.poll() is None, "Redis has ended"
            assert time.monotonic() < deadline, "Redis does not start"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Let it do nothing: it still accepts connections, in its kernel's queue."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it work again."""
        self._signal(signal.SIGCONT)

    def ask(self, *words: str) -> str:
        """What it answers to a command, as the protocol writes it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=START) as connection:
            connection.sendall(_command(words))
            connection.sendall(_command(["QUIT"]))
            answer = b""
            while read := connection.recv(65536):
                answer += read
        return answer.removesuffix(b"+OK\r\n").decode()

    def level(self, key: str) -> float | None:
        """What a bucket held when it was last written; None where it never was."""
        lines = self.ask("HGET", bucket_key(key), "tokens").splitlines()
        return float(lines[1]) if len(lines) > 1 else None

    def pass_time(self, key: str, seconds: float) -> None:
        """Make it so that a bucket was last written so much earlier."""
        at = float(self.ask("HGET", bucket_key(key), "at").splitlines()[1])
        self.ask("HSET", bucket_key(key), "at", repr(at - seconds))

    def _listens(self) -> bool:
        try:
            return self.ask("PING").startswith(("+PONG", "-NOAUTH"))
        except OSError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def _command(words: Sequence[str]) -> bytes:
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
