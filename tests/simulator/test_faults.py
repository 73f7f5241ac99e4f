import pytest

from proxy.simulator.faults import (
    SPELLINGS,
    Cut,
    Ending,
    FailedStatus,
    Fault,
    FaultSwitch,
    Garbage,
    Refuse,
    Reset,
    Slow,
    Stall,
    parse_fault,
)
from proxy.simulator.refusal import RefusedError

EXAMPLES: list[tuple[str, Fault]] = [
    ("status=503", FailedStatus(503)),
    ("status=500;retry-after=2", FailedStatus(500, 2.0)),
    ("refuse", Refuse()),
    ("reset", Reset()),
    ("garbage", Garbage()),
    ("stall", Stall()),
    ("stall=1.5", Stall(1.5)),
    ("slow=0.1", Slow(0.1)),
    ("stall-after=3", Cut(Ending.STALL, 3)),
    ("stall-after=3;seconds=2", Cut(Ending.STALL, 3, 2.0)),
    (" reset-after=0 ", Cut(Ending.RESET, 0)),
    ("close-after=5", Cut(Ending.CLOSE, 5)),
]


@pytest.mark.parametrize(("text", "fault"), EXAMPLES)
def test_a_fault_is_read_as_it_is_spelled(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("name", [text.strip().partition("=")[0] for text, _ in EXAMPLES])
def test_every_fault_is_in_the_list_of_spellings(name: str) -> None:
    assert name in SPELLINGS


@pytest.mark.parametrize(
    "text",
    ["", "no", "status", "status=99", "status=x", "refuse=1", "slow", "stall-after", "close-after=1;x=2", "reset;x=1"],
)
def test_an_unknown_fault_is_refused_with_the_list(text: str) -> None:
    with pytest.raises(RefusedError, match="it is one of status=503") as caught:
        parse_fault(text)
    assert caught.value.status == 400


def test_an_armed_fault_lasts_for_its_count() -> None:
    switch = FaultSwitch()
    switch.arm("refuse", 2)
    taken = [switch.take("/v1/models", probe=False) for _ in range(3)]
    assert [armed.fault if armed else None for armed in taken] == [Refuse(), Refuse(), None]


def test_a_fault_without_a_count_lasts_until_it_is_taken_back() -> None:
    switch = FaultSwitch()
    switch.arm("refuse", None)
    assert all(switch.take("/v1/models", probe=False) for _ in range(10))
    switch.arm("", 0)
    assert switch.take("/v1/models", probe=False) is None


def test_probes_are_spared_unless_their_path_is_named() -> None:
    switch = FaultSwitch()
    switch.arm("refuse", None)
    assert switch.take("/health", probe=True) is None
    switch.arm("reset", 1, "/health")
    armed = switch.take("/health", probe=True)
    assert armed is not None
    assert armed.fault == Reset()
    assert switch.report() == [{"path": "", "fault": "refuse", "count": None}]
    switch.clear()
    assert switch.report() == []


def test_a_wrong_fault_leaves_the_armed_one_alone() -> None:
    switch = FaultSwitch()
    switch.arm("refuse", 1)
    with pytest.raises(RefusedError):
        switch.arm("nonsense", 1)
    assert len(switch.report()) == 1
