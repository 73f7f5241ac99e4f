"""Every way a request or a configuration can fail, each with the status that answers it."""

from dataclasses import dataclass
from enum import Enum


class PenstockError(Exception):
    """The base of all errors that this package raises."""


class RequestError(PenstockError):
    """A request that the proxy answers itself.

    `status` is the HTTP status, `kind` and `code` fill the `type` and `code` of the OpenAI-shaped body, `param` names
    the field at fault, `retry_after` is in seconds, `headers` are lines of the answer's head, `close` says that the
    connection's framing can no longer be trusted.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        headers: bytes = b"",
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.headers = headers
        self.close = close

    @classmethod
    def malformed(cls, message: str, status: int = 400) -> "RequestError":
        """A message whose framing or syntax is wrong: answered, then the connection is closed."""
        return cls(status, message, code="bad_request", close=True)


class UpstreamFailure(Enum):
    """How one attempt at an endpoint failed, in the words of the `retries.on` setting and of the metrics."""

    CONNECT = "connect-failure"
    RESET = "reset"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol-error"


class UpstreamError(PenstockError):
    """An attempt that brought no usable answer. `sent` tells whether the engine may have begun to work on it."""

    def __init__(self, failure: UpstreamFailure, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.failure = failure
        self.message = message
        self.sent = sent


class Severity(Enum):
    """How much a problem in a configuration weighs."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a configuration, and where. Lines and columns count from 1; 0 means the whole file."""

    severity: Severity
    code: str
    file: str
    line: int
    column: int
    path: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        where = f" at {self.path}" if self.path else ""
        more = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        return f"{place}: {self.severity.value} {self.code}{where}: {self.message}{more}"


class ConfigError(PenstockError):
    """A configuration that cannot be used, with every problem found in it."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
