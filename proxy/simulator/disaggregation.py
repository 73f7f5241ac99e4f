"""The fields by which prefill and decode engines find each other, checked as strictly as the engines need them.

vLLM: NixlConnector and its `toy_proxy_server.py`. SGLang: `mini_lb.py` and the model gateway's `pd_router.rs`.
"""

from dataclasses import dataclass
from typing import Any

from proxy.simulator.generation import Generation
from proxy.simulator.options import EngineOptions, Role, Software
from proxy.simulator.refusal import RefusedError

TRANSFER = "kv_transfer_params"
REMOTE_FIELDS = ("remote_engine_id", "remote_block_ids", "remote_host", "remote_port")
LARGEST_ROOM = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Local:
    """Prefill and decode happen in the same engine."""


@dataclass(frozen=True, slots=True)
class NixlPrefill:
    """vLLM: compute the prompt, hold its blocks, say where they are."""


@dataclass(frozen=True, slots=True)
class NixlHandle:
    """vLLM: the blocks that a prefill engine holds for one request."""

    engine_id: str
    request_id: str
    block_ids: tuple[int, ...]
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class NixlDecode:
    """vLLM: fetch these blocks, then go on from there."""

    handle: NixlHandle


@dataclass(frozen=True, slots=True)
class Meeting:
    """SGLang: the room, at a prefill engine's bootstrap address, in which both halves of one prompt meet."""

    host: str
    port: int
    room: int


@dataclass(frozen=True, slots=True)
class RoomPrefill:
    """SGLang: compute the prompts, hand each over in its room."""

    meetings: tuple[Meeting, ...]


@dataclass(frozen=True, slots=True)
class RoomDecode:
    """SGLang: take each prompt over in its room, then go on from there."""

    meetings: tuple[Meeting, ...]


Plan = Local | NixlPrefill | NixlDecode | RoomPrefill | RoomDecode


def plan_of(body: dict[str, Any], generation: Generation, options: EngineOptions, bootstrap_port: int) -> Plan:
    """Which half of the work this engine does for a request; refused with 400 where a field is wrong or missing.

    `bootstrap_port` is this engine's own, with which a prefill request must agree.
    """
    match options.software:
        case Software.VLLM:
            return nixl_plan(body, generation, options.role)
        case Software.SGLANG:
            return room_plan(body, generation, options.role, bootstrap_port)


# --- vLLM -----------------------------------------------------------------------------------------------------------


def nixl_plan(body: dict[str, Any], generation: Generation, role: Role | None) -> Plan:
    """By the engine's role; one without a role (`kv_both`) does what the fields say."""
    params = body.get(TRANSFER)
    if params is None and role is None:
        return Local()
    if not isinstance(params, dict):
        raise RefusedError(400, f"{TRANSFER} must be an object, this is a {role_name(role)} engine", TRANSFER)
    if role is Role.PREFILL or (role is None and params.get("do_remote_decode") is True):
        return check_nixl_prefill(body, generation, params)
    return check_nixl_decode(params)


def role_name(role: Role | None) -> str:
    """For messages."""
    return role.value if role else "prefill and decode"


def check_nixl_prefill(body: dict[str, Any], generation: Generation, params: dict[str, Any]) -> NixlPrefill:
    """One token, not streamed, for a decode elsewhere, and no address of a prefill."""
    require(params.get("do_remote_decode") is True, "do_remote_decode must be true for a prefill")
    require(params.get("do_remote_prefill") is False, "do_remote_prefill must be false for a prefill")
    for name in REMOTE_FIELDS:
        require(params.get(name) is None, f"{name} must be null or absent for a prefill")
    if generation.stream:
        raise RefusedError(400, "Prefill does not support streaming", "stream")
    for name in ("max_tokens", "max_completion_tokens"):
        needed = name == "max_tokens"
        if body.get(name) != 1 and (needed or body.get(name) is not None):
            raise RefusedError(400, f"{name} must be 1 for a prefill, got {body.get(name)}", name)
    if body.get("min_tokens") not in {None, 0, 1}:
        raise RefusedError(400, "min_tokens must be at most 1 for a prefill", "min_tokens")
    if generation.choices != 1:
        raise RefusedError(400, "a prefill is of one prompt and one choice", "n")
    return NixlPrefill()


def check_nixl_decode(params: dict[str, Any]) -> NixlDecode:
    """All that a prefill engine's answer said, as it said it."""
    require(params.get("do_remote_prefill") is True, "do_remote_prefill must be true for a decode")
    require(params.get("do_remote_decode") is False, "do_remote_decode must be false for a decode")
    blocks, port = params.get("remote_block_ids"), params.get("remote_port")
    good_blocks = isinstance(blocks, list) and all(type(block) is int for block in blocks)
    if not good_blocks or not isinstance(blocks, list):
        raise RefusedError(400, f"{TRANSFER}.remote_block_ids must be a list of numbers for a decode", TRANSFER)
    if type(port) is not int:
        raise RefusedError(400, f"{TRANSFER}.remote_port must be a number for a decode", TRANSFER)
    return NixlDecode(
        NixlHandle(
            engine_id=text_field(params, "remote_engine_id"),
            request_id=text_field(params, "remote_request_id"),
            block_ids=tuple(blocks),
            host=text_field(params, "remote_host"),
            port=port,
        )
    )


def require(holds: bool, message: str) -> None:
    """Refuse unless it holds."""
    if not holds:
        raise RefusedError(400, f"{TRANSFER}: {message}", TRANSFER)


def text_field(params: dict[str, Any], name: str) -> str:
    """A text of a decode's parameters that must be there."""
    value = params.get(name)
    if not isinstance(value, str) or not value:
        raise RefusedError(400, f"{TRANSFER}.{name} must be a string for a decode", TRANSFER)
    return value


def handle_params(handle: NixlHandle) -> dict[str, object]:
    """What a prefill engine answers, to be handed to the decode engine as it is."""
    return {
        "do_remote_prefill": True,
        "do_remote_decode": False,
        "remote_engine_id": handle.engine_id,
        "remote_request_id": handle.request_id,
        "remote_block_ids": list(handle.block_ids),
        "remote_host": handle.host,
        "remote_port": handle.port,
        "tp_size": 1,
    }


# --- SGLang ---------------------------------------------------------------------------------------------------------


def room_plan(body: dict[str, Any], generation: Generation, role: Role | None, own_port: int) -> Plan:
    """By the engine's role; one without a role does all itself and does not look at the fields."""
    match role:
        case None:
            return Local()
        case Role.PREFILL:
            meetings = read_meetings(body, generation)
            for meeting in meetings:
                if meeting.port != own_port:
                    raise RefusedError(400, f"bootstrap_port is {own_port} here, got {meeting.port}", "bootstrap_port")
            return RoomPrefill(meetings)
        case Role.DECODE:
            return RoomDecode(read_meetings(body, generation))


def read_meetings(body: dict[str, Any], generation: Generation) -> tuple[Meeting, ...]:
    """One meeting for each prompt or choice of a batch, given as three lists; a lone request gives three values."""
    prompt = body.get("prompt")
    batched = generation.choices > 1
    may_be_list = batched or (isinstance(prompt, list) and len(generation.prompts) == 1)
    columns = [
        read_column(body, name, generation.choices, batched=batched, may_be_list=may_be_list)
        for name in ("bootstrap_host", "bootstrap_port", "bootstrap_room")
    ]
    meetings = tuple(read_meeting(host, port, room) for host, port, room in zip(*columns, strict=True))
    if len({meeting.room for meeting in meetings}) != len(meetings):
        raise RefusedError(400, "each request of a batch needs a bootstrap_room of its own", "bootstrap_room")
    return meetings


def read_column(body: dict[str, Any], name: str, size: int, *, batched: bool, may_be_list: bool) -> list[Any]:
    """A field's values over the batch."""
    value = body.get(name)
    if value is None:
        raise RefusedError(400, f"{name} is missing, this engine does one half of the work", name)
    if not isinstance(value, list):
        if batched:
            raise RefusedError(400, f"{name} must be a list of {size} for a batch of {size}", name)
        return [value]
    if not may_be_list:
        raise RefusedError(400, f"{name} must not be a list, the request is no batch", name)
    if len(value) != size:
        raise RefusedError(400, f"{name} must be a list of {size} for a batch of {size}, got {len(value)}", name)
    return value


def read_meeting(host: object, port: object, room: object) -> Meeting:
    """One meeting, of the types that SGLang wants."""
    if not isinstance(host, str) or not host:
        raise RefusedError(400, f"bootstrap_host must be a host name, got {host!r}", "bootstrap_host")
    if "://" in host or (host.count(":") > 1 and not host.startswith("[")):
        raise RefusedError(
            400, f"bootstrap_host must be a host name alone, IPv6 in brackets, got {host!r}", "bootstrap_host"
        )
    if type(port) is not int or not 0 < port < 65536:
        raise RefusedError(400, f"bootstrap_port must be a port number, got {port!r}", "bootstrap_port")
    if type(room) is not int or not 0 <= room <= LARGEST_ROOM:
        raise RefusedError(400, f"bootstrap_room must be an integer from 0 to 2^63-1, got {room!r}", "bootstrap_room")
    return Meeting(host, port, room)
