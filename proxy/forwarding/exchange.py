"""The record of one request with its answer, written by that request alone and handed to telemetry at its end."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Attempt:
    """One try at one endpoint. `outcome` is "ok", a status such as "503", or the words of an `UpstreamFailure`."""

    server: str
    endpoint: str
    outcome: str = "pending"


@dataclass(slots=True)
class Exchange:
    """What happened to one request. Times are `time.perf_counter()` seconds, sizes are bytes of body.

    `model` is the client's name for it, `sent_model` the one that was sent in its place, if any. `status` is what the
    client was told, 499 where it left before that. `failure` is empty, or one word on what went wrong: "client_gone",
    "cut" (an engine that died in mid-answer), "internal_error", or the code of the error that the client was told.
    """

    request_id: str
    client: str
    method: str
    target: str
    started: float
    model: str | None = None
    route: str = ""
    rule: str = ""
    server: str = ""
    endpoint: str = ""
    status: int = 0
    failure: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    first_byte: float | None = None
    finished: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    sent_model: str | None = None
