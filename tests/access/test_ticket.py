"""Promises of what a request was admitted with."""

from proxy.access.limits import Limits
from proxy.access.quota import ScopedLimit, Subject
from proxy.access.shared_table import SharedTable
from proxy.access.ticket import Ticket
from proxy.config.access_spec import Counted, Limit
from tests.access.clocks import Clock

ALICE = Subject("k1", "alice", "qwen", "10.0.0.1")
TOKENS = Limit(Counted.TOKENS, 100, "minute")


class World:
    """Limits of one worker, on a clock that stands."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.limits = Limits(SharedTable.create(1, 1024, self.clock), self.clock)

    def admit(
        self, *limits: Limit, tokens: int = 10, scope: str = "route/chat", ticket: Ticket | None = None
    ) -> Ticket:
        prepared = self.limits.prepare([ScopedLimit(limit, scope) for limit in limits])
        return self.limits.admit(prepared, ALICE, tokens, ticket)

    def left(self, limit: Limit, scope: str = "route/chat") -> float:
        (quota,) = self.limits.prepare([ScopedLimit(limit, scope)]).local
        return quota.find(ALICE).free(self.clock.now)


def test_a_ticket_is_settled_once() -> None:
    world = World()
    ticket = world.admit(TOKENS)
    for _ in range(3):
        ticket.settle(20, 5)
    ticket.refund()
    assert world.left(TOKENS) == 75


def test_a_ticket_is_refunded_once_and_whole() -> None:
    world = World()
    requests = Limit(Counted.REQUESTS, 5)
    other = world.admit(TOKENS, requests)
    ticket = world.admit(TOKENS, requests)
    ticket.refund()
    ticket.refund()
    ticket.settle(20, 5)
    assert (world.left(TOKENS), world.left(requests)) == (90, 4)
    assert other.taken


def test_an_abandoned_answer_is_charged_with_what_was_streamed() -> None:
    world = World()
    world.admit(TOKENS).settle(None, 3)
    assert world.left(TOKENS) == 87


def test_the_settlement_of_a_long_answer_leaves_a_debt() -> None:
    world = World()
    world.admit(TOKENS).settle(10, 500)
    assert world.left(TOKENS) == -410


def test_a_ticket_takes_over_another() -> None:
    world = World()
    requests = Limit(Counted.REQUESTS, 5)
    ticket, other = world.admit(requests), world.admit(TOKENS, scope="server/a")
    ticket.extend(other)
    assert ticket.needs_usage
    other.refund()
    assert world.left(TOKENS, "server/a") == 90
    ticket.settle(10, 30)
    assert world.left(TOKENS, "server/a") == 60


def test_a_later_call_adds_to_an_earlier_ticket() -> None:
    world = World()
    ticket = world.admit(Limit(Counted.REQUESTS, 5))
    assert world.admit(TOKENS, scope="server/a", ticket=ticket) is ticket
    ticket.refund()
    assert (world.left(Limit(Counted.REQUESTS, 5)), world.left(TOKENS, "server/a")) == (5, 100)


def test_the_headers_tell_of_the_tightest_limit_of_each_family() -> None:
    world = World()
    ticket = world.admit(
        Limit(Counted.REQUESTS, 50),
        Limit(Counted.REQUESTS, 20),
        Limit(Counted.REQUESTS, 30),
        Limit(Counted.INPUT_TOKENS, 50, "minute"),
        Limit(Counted.OUTPUT_TOKENS, 45, "minute"),
    )
    assert ticket.headers == (
        b"x-ratelimit-limit-requests: 20\r\nx-ratelimit-remaining-requests: 19\r\nx-ratelimit-reset-requests: 50ms\r\n"
        b"x-ratelimit-limit-tokens: 50\r\nx-ratelimit-remaining-tokens: 40\r\nx-ratelimit-reset-tokens: 12s\r\n"
    )


def test_only_limits_of_tokens_need_the_usage() -> None:
    world = World()
    assert not world.admit(Limit(Counted.REQUESTS, 5)).needs_usage
    assert world.admit(Limit(Counted.REQUESTS, 5), Limit(Counted.OUTPUT_TOKENS, 5)).needs_usage


def test_a_ticket_tells_what_it_holds() -> None:
    assert repr(World().admit(TOKENS)) == "<Ticket [(<Quota route/chat: 100 tokens a minute>, 10)]>"
