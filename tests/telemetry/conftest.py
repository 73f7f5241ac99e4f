"""Finished exchanges to measure and log."""

from collections.abc import Callable

import pytest

from proxy.forwarding.exchange import Attempt, Exchange


@pytest.fixture
def exchange() -> Callable[..., Exchange]:
    """Makes a whole, successful exchange of 12.3 ms; any field can be given."""

    def make(**fields: object) -> Exchange:
        known: dict[str, object] = {
            "request_id": "0a1b2c",
            "client": "10.0.0.9",
            "method": "POST",
            "target": "/v1/chat/completions",
            "started": 100.0,
            "model": "qwen",
            "route": "chat",
            "rule": "default",
            "server": "qwen-7b",
            "endpoint": "http://10.0.0.11:8000",
            "status": 200,
            "bytes_in": 850,
            "bytes_out": 600,
            "first_byte": 100.0045,
            "finished": 100.0123,
            "attempts": [Attempt("qwen-7b", "http://10.0.0.11:8000", "ok")],
        }
        return Exchange(**(known | fields))  # type: ignore[arg-type]

    return make
