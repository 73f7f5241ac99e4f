"""A request that a simulated engine refuses, and the words in which each engine says so."""

from collections.abc import Mapping

from proxy.errors import PenstockError
from proxy.simulator.options import Software

KINDS: Mapping[int, str] = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    405: "MethodNotAllowedError",
    413: "RequestEntityTooLargeError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}


class RefusedError(PenstockError):
    """An answer other than 200. `param` names the field at fault, `retry_after` is in seconds."""

    def __init__(self, status: int, message: str, param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.retry_after = retry_after


def error_body(refusal: RefusedError, software: Software) -> dict[str, object]:
    """vLLM wraps its error in `error`; SGLang puts the same fields at the top and marks them `"object": "error"`."""
    fields: dict[str, object] = {
        "message": refusal.message,
        "type": KINDS.get(refusal.status, "InternalServerError" if refusal.status >= 500 else "BadRequestError"),
        "param": refusal.param,
        "code": refusal.status,
    }
    match software:
        case Software.VLLM:
            return {"error": fields}
        case Software.SGLANG:
            return {"object": "error", **fields}
