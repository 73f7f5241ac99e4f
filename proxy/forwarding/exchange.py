"""The record of one request with its answer, written by that request alone and handed to telemetry at its end."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Attempt:
    """One try at one endpoint. `outcome` is "ok", a status such as "503", or the words of an `UpstreamFailure`.

    `started` is known where the try is evidence for or against a canary.
    """

    server: str
    endpoint: str
    outcome: str = "pending"
    started: float = 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """An exchange that is evidence: on this side (0 the stable target, 1 the canary), by its first so many attempts."""

    side: int
    attempts: int


@dataclass(frozen=True, slots=True)
class FailedLink:
    """A target of a chain of fallbacks that had no answer, and why: the code of the error, or a status."""

    server: str
    reason: str


@dataclass(slots=True)
class Exchange:
    """What happened to one request. Times are `time.perf_counter()` seconds, sizes are bytes of body.

    `model` is the client's name for it, `sent_model` the one that was sent in its place, if any. `status` is what the
    client was told, 499 where it left before that. `failure` is empty, or one word on what went wrong: "client_gone",
    "cut" (an engine that died in mid-answer), "internal_error", or the code of the error that the client was told.
    `caller` is the id of who asked, where a credential said it. Tokens are known where something counts them;
    `first_body` and `last_body` are when the first and the last bytes of the answer's body came. `chain` holds the
    targets that failed before the one that answered, `queued` the seconds that the request waited for a place.
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
    caller: str = ""
    chain: tuple[FailedLink, ...] = ()
    trial: Trial | None = None
    queued: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    first_body: float | None = None
    last_body: float | None = None
