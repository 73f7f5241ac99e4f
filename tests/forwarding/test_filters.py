"""What an answer passes through on its way to the client."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.forwarding.filters import Chain


class Letters:
    """Lets through what it holds when the next bytes come, each letter moved on by one."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, data: bytes) -> bytes:
        assert data, "a filter is fed nothing"
        before, self.held = self.held, bytes((byte + 1) % 256 for byte in data)
        return before

    def rest(self) -> bytes:
        held, self.held = self.held, b""
        return held


class Ends:
    """Keeps all to the end, and ends it with a mark."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, data: bytes) -> bytes:
        self.held += data
        return b""

    def rest(self) -> bytes:
        return self.held + b"!"


def passed(chain: Chain, *reads: bytes) -> bytes:
    return b"".join(map(chain.feed, reads)) + chain.rest()


def test_filters_work_in_their_order() -> None:
    assert passed(Chain([Letters(), Ends()]), b"ab", b"c") == b"bcd!"
    assert passed(Chain([Ends(), Letters()]), b"ab", b"c") == b'bcd"'


def test_what_a_filter_holds_at_the_end_passes_through_those_behind_it() -> None:
    chain = Chain([Letters(), Letters(), Letters()])
    assert chain.feed(b"a") == b""
    assert chain.rest() == b"d"


def test_a_chain_of_nothing_changes_nothing() -> None:
    assert passed(Chain([]), b"a", b"b") == b"ab"


def test_an_answer_without_a_body_has_what_its_filters_end_it_with() -> None:
    assert passed(Chain([Letters(), Ends()])) == b"!"


@given(st.lists(st.binary(min_size=1, max_size=4), max_size=6))
def test_nothing_is_lost_between_filters_wherever_reads_are_cut(reads: list[bytes]) -> None:
    moved = bytes((byte + 2) % 256 for byte in b"".join(reads))
    assert passed(Chain([Letters(), Letters()]), *reads) == moved
