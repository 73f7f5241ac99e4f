from typing import Any

import pytest

from proxy.simulator.disaggregation import (
    Local,
    Meeting,
    NixlDecode,
    NixlHandle,
    NixlPrefill,
    Plan,
    RoomDecode,
    RoomPrefill,
    handle_params,
    plan_of,
)
from proxy.simulator.generation import read_generation
from proxy.simulator.options import EngineOptions, Role, Software
from proxy.simulator.refusal import RefusedError

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}]}
HANDLE = NixlHandle("engine", "request", (1, 2), "127.0.0.1", 5600)
PREFILL_PARAMS = {
    "do_remote_decode": True,
    "do_remote_prefill": False,
    "remote_engine_id": None,
    "remote_block_ids": None,
    "remote_host": None,
    "remote_port": None,
}
PREFILL = {"max_tokens": 1, "kv_transfer_params": PREFILL_PARAMS}
DECODE_PARAMS = handle_params(HANDLE)
ROOM = {"bootstrap_host": "10.0.0.1", "bootstrap_port": 8998, "bootstrap_room": 7}


def plan(software: Software, role: Role | None, body: dict[str, Any]) -> Plan:
    options = EngineOptions(model="qwen", software=software, role=role)
    generation = read_generation(body, options, chat="messages" in body)
    return plan_of(body, generation, options, 8998)


def vllm(role: Role | None, **fields: Any) -> Plan:
    return plan(Software.VLLM, role, {**HELLO, **fields})


def sglang(role: Role | None, **fields: Any) -> Plan:
    return plan(Software.SGLANG, role, {**HELLO, **fields})


def refusal(software: Software, role: Role, body: dict[str, Any]) -> str:
    with pytest.raises(RefusedError) as caught:
        plan(software, role, body)
    assert caught.value.status == 400
    return caught.value.message


def test_an_engine_without_a_role_takes_plain_requests() -> None:
    assert vllm(None) == Local()
    assert sglang(None) == Local()
    assert sglang(None, **ROOM) == Local()


def test_an_engine_without_a_role_does_what_nixl_fields_say() -> None:
    assert vllm(None, **PREFILL) == NixlPrefill()
    assert vllm(None, kv_transfer_params=DECODE_PARAMS) == NixlDecode(HANDLE)


def test_a_prefill_by_the_book_is_accepted() -> None:
    assert vllm(Role.PREFILL, **PREFILL) == NixlPrefill()
    assert vllm(Role.PREFILL, **PREFILL, max_completion_tokens=1, stream=False, min_tokens=1) == NixlPrefill()
    bare = {"do_remote_decode": True, "do_remote_prefill": False}
    assert vllm(Role.PREFILL, max_tokens=1, kv_transfer_params=bare) == NixlPrefill()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kv_transfer_params": None}, "must be an object, this is a prefill engine"),
        ({"kv_transfer_params": {**PREFILL_PARAMS, "do_remote_decode": False}}, "do_remote_decode must be true"),
        ({"kv_transfer_params": {**PREFILL_PARAMS, "do_remote_prefill": True}}, "do_remote_prefill must be false"),
        ({"kv_transfer_params": {**PREFILL_PARAMS, "remote_host": "a"}}, "remote_host must be null"),
        ({"stream": True}, "Prefill does not support streaming"),
        ({"max_tokens": None}, "max_tokens must be 1"),
        ({"max_tokens": 100}, "max_tokens must be 1"),
        ({"max_completion_tokens": 100}, "max_completion_tokens must be 1"),
        ({"min_tokens": 5}, "min_tokens must be at most 1"),
        ({"n": 2}, "one prompt and one choice"),
    ],
)
def test_a_nixl_prefill_with_a_wrong_field_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(Software.VLLM, Role.PREFILL, {**HELLO, **PREFILL, **changes})


def test_a_decode_takes_what_a_prefill_answered() -> None:
    assert vllm(Role.DECODE, kv_transfer_params=DECODE_PARAMS, stream=True) == NixlDecode(HANDLE)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (None, "must be an object, this is a decode engine"),
        (PREFILL_PARAMS, "do_remote_prefill must be true"),
        ({**DECODE_PARAMS, "do_remote_decode": True}, "do_remote_decode must be false"),
        ({**DECODE_PARAMS, "remote_block_ids": None}, "remote_block_ids must be a list"),
        ({**DECODE_PARAMS, "remote_block_ids": ["1"]}, "remote_block_ids must be a list"),
        ({**DECODE_PARAMS, "remote_port": 5600.0}, "remote_port must be a number"),
        ({**DECODE_PARAMS, "remote_host": None}, "remote_host must be a string"),
        ({**DECODE_PARAMS, "remote_engine_id": ""}, "remote_engine_id must be a string"),
        ({**DECODE_PARAMS, "remote_request_id": None}, "remote_request_id must be a string"),
    ],
)
def test_a_nixl_decode_with_a_wrong_field_is_refused(params: object, message: str) -> None:
    assert message in refusal(Software.VLLM, Role.DECODE, {**HELLO, "kv_transfer_params": params})


def test_both_halves_of_an_sglang_pair_take_the_same_fields() -> None:
    meeting = Meeting("10.0.0.1", 8998, 7)
    assert sglang(Role.PREFILL, **ROOM) == RoomPrefill((meeting,))
    assert sglang(Role.DECODE, **ROOM) == RoomDecode((meeting,))


def test_a_batch_brings_lists_with_a_room_for_each() -> None:
    lists = {"bootstrap_host": ["a", "a"], "bootstrap_port": [8998, 8998], "bootstrap_room": [1, 2]}
    meetings = (Meeting("a", 8998, 1), Meeting("a", 8998, 2))
    assert sglang(Role.DECODE, n=2, **lists) == RoomDecode(meetings)
    assert plan(Software.SGLANG, Role.DECODE, {"prompt": ["x", "y"], **lists}) == RoomDecode(meetings)


def test_a_batch_of_one_may_bring_lists_of_one() -> None:
    lists = {name: [value] for name, value in ROOM.items()}
    assert plan(Software.SGLANG, Role.DECODE, {"prompt": ["x"], **lists}) == RoomDecode((Meeting("10.0.0.1", 8998, 7),))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bootstrap_host": None}, "bootstrap_host is missing"),
        ({"bootstrap_port": None}, "bootstrap_port is missing"),
        ({"bootstrap_room": None}, "bootstrap_room is missing"),
        ({"bootstrap_host": "http://10.0.0.1"}, "a host name alone"),
        ({"bootstrap_host": "fd00::1"}, "IPv6 in brackets"),
        ({"bootstrap_host": 7}, "must be a host name"),
        ({"bootstrap_port": "8998"}, "must be a port number"),
        ({"bootstrap_room": -1}, "from 0 to 2^63-1"),
        ({"bootstrap_room": 2**63}, "from 0 to 2^63-1"),
        ({"bootstrap_room": 7.0}, "from 0 to 2^63-1"),
        ({"bootstrap_room": [7]}, "must not be a list"),
        ({"n": 2}, "must be a list of 2"),
        ({"n": 2, "bootstrap_host": ["a"], "bootstrap_port": [1], "bootstrap_room": [1]}, "a list of 2"),
        (
            {"n": 2, "bootstrap_host": ["a", "a"], "bootstrap_port": [1, 1], "bootstrap_room": [5, 5]},
            "a bootstrap_room of its own",
        ),
    ],
)
def test_a_wrong_bootstrap_field_is_refused(changes: dict[str, Any], message: str) -> None:
    assert message in refusal(Software.SGLANG, Role.DECODE, {**HELLO, **ROOM, **changes})


def test_a_prefill_engine_knows_its_own_bootstrap_port() -> None:
    message = refusal(Software.SGLANG, Role.PREFILL, {**HELLO, **ROOM, "bootstrap_port": 30000})
    assert message == "bootstrap_port is 8998 here, got 30000"
