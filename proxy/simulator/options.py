"""What a simulated engine is asked to be."""

from dataclasses import dataclass
from enum import Enum


class Software(Enum):
    """The engine that is simulated."""

    VLLM = "vllm"
    SGLANG = "sglang"


class Role(Enum):
    """The half of a disaggregated pair that an engine plays."""

    PREFILL = "prefill"
    DECODE = "decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """One simulated engine. Times are seconds; port 0 is a free one.

    An answer's first token comes after `time_to_first_token` and `prefill_per_token` for each prompt token that the
    prefix cache does not hold. `prefix_cache_blocks` 0 turns that cache off. `bootstrap_port` is where an SGLang
    prefill engine meets its decode engines; None means its ordinary port. `transfer_timeout` is how long prefilled
    blocks wait to be fetched, and how long the halves of an SGLang pair wait for each other.
    """

    model: str
    software: Software = Software.VLLM
    name: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    adapters: tuple[str, ...] = ()
    time_to_first_token: float = 0.05
    time_per_token: float = 0.01
    prefill_per_token: float = 0.0
    tokens: int = 32
    role: Role | None = None
    prefix_cache_blocks: int = 4096
    max_running: int = 256
    max_model_len: int = 131_072
    max_body: int = 256 * 1024 * 1024
    embedding_dimensions: int = 64
    api_key: str | None = None
    keepalive: float = 5.0
    bootstrap_port: int | None = None
    transfer_timeout: float = 30.0
    requests_kept: int = 256

    @property
    def label(self) -> str:
        """The name that the engine gives itself."""
        return self.name or self.model
