"""What a call takes of limits, and what it has cost when it is over."""

import asyncio
import json
from collections.abc import Sequence

import pytest

from proxy.access.buckets import Verdict
from proxy.access.identity import Identity
from proxy.access.limits import Limits
from proxy.access.quota import Subject
from proxy.access.shared_store import Want
from proxy.access.shared_table import SharedTable
from proxy.config.access_spec import Counted, JwtAuth, Limit, Redis
from proxy.config.spec import Config, ModelServer, Route
from proxy.errors import RequestError
from proxy.forwarding.admission import Admission
from proxy.forwarding.exchange import Attempt, Exchange
from proxy.forwarding.facts import Facts
from proxy.forwarding.peek import Peek
from proxy.forwarding.toll import Toll, subject_of
from tests.access.clocks import Clock
from tests.downstream.visits import Visit, post

REDIS = Redis("redis://here")
REQUESTS = Limit(Counted.REQUESTS, 10, "month")
TOKENS = Limit(Counted.TOKENS, 100, "month")
ANSWER = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":20}}'


class Store:
    """A Redis that holds so much of everything, and answers when it is let."""

    def __init__(self) -> None:
        self.holds = 1000.0
        self.answers = asyncio.Event()
        self.answers.set()

    async def take(self, wants: Sequence[Want], timeout: float) -> Sequence[Verdict] | None:  # noqa: ASYNC109
        del timeout
        await self.answers.wait()
        admitted = all(want.cost <= self.holds for want in wants)
        if admitted:
            self.charge(wants)
        return [Verdict(admitted, self.holds, 1.0, 0.0) for _ in wants]

    def charge(self, wants: Sequence[Want]) -> None:
        self.holds -= sum(want.cost for want in wants)


class World:
    """The limits of the route "r" and of the server "s", and calls that they hold for."""

    def __init__(self, route: Sequence[Limit] = (), server: Sequence[Limit] = ()) -> None:
        self.clock = Clock()
        self.store = Store()
        self.admission = Admission(Limits(SharedTable.create(1, 1024, self.clock), self.clock, lambda _: self.store))
        servers = {"s": ModelServer("s", (), limits=tuple(server)), "free": ModelServer("free", ())}
        for _ in self.admission.prepare(Config(servers, (Route("r", (), limits=tuple(route)),))):
            pass
        self.exchange = Exchange("id", "192.0.2.7", "POST", "/", 0.0)

    def toll(self, characters: int = 40, identity: Identity | None = None, path: bytes = b"/v1/completions") -> Toll:
        """Of a new call, whose prompt is so long."""
        visit = Visit()
        body = json.dumps({"model": "m", "prompt": "x" * characters}).encode()
        visit.sends(post(body, b"Content-Type: application/json", target=path))
        request = visit.requests[-1]
        self.exchange = Exchange("id", "192.0.2.7", "POST", "/", 0.0)
        facts = Facts(request, Peek())
        return Toll(self.admission, request, facts, self.exchange, identity, address="192.0.2.7", counts=False)

    def asks(self) -> None:
        """An engine is asked."""
        self.exchange.attempts.append(Attempt("s", "http://e"))

    def answers(self, toll: Toll, status: int = 200, body: bytes = ANSWER, *, coded: bool = False) -> None:
        """An engine is asked, and answers."""
        self.asks()
        self.exchange.status = status
        meter = toll.meter(b"application/json", coded=coded)
        if meter is not None:
            meter.feed(body)

    def left(self) -> dict[str, int]:
        """What is left of the route's limits, in words."""
        told = self.toll(0)
        told.enter("r")
        lines = told.head_lines.decode().splitlines()
        told.leave(failed=True)
        pairs = [line.split(": ") for line in lines if "remaining" in line]
        held = {name.rpartition("-")[2]: int(value) for name, value in pairs}
        return {name: value + (name == "requests") for name, value in held.items()}


def test_where_nothing_is_limited_nothing_is_taken_or_told() -> None:
    world = World()
    toll = world.toll()
    assert toll.enter("r") is None
    assert not toll.limits("s")
    assert (toll.head_lines, toll.counts) == (b"", False)
    toll.leave(failed=False)


def test_a_prompt_is_looked_at_only_where_tokens_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    def estimate(body: bytes, _path: str, _content_type: bytes) -> int:
        looked.append(len(body))
        return 1

    monkeypatch.setattr("proxy.forwarding.toll.estimate", estimate)
    World(route=[REQUESTS]).toll().enter("r")
    assert not looked
    toll = World(route=[TOKENS], server=[TOKENS]).toll()
    toll.enter("r")
    toll.enter_server("s")
    assert len(looked) == 1


def test_tokens_are_counted_where_they_are_limited() -> None:
    assert not entered(World(route=[REQUESTS])).counts
    assert entered(World(route=[TOKENS])).counts


def entered(world: World) -> Toll:
    toll = world.toll()
    assert toll.enter("r") is None
    return toll


def test_an_answer_costs_what_its_engine_tells() -> None:
    world = World(route=[REQUESTS, TOKENS])
    toll = entered(world)
    world.answers(toll)
    toll.leave(failed=False)
    assert world.left() == {"requests": 9, "tokens": 77}


def test_the_record_says_what_was_counted() -> None:
    world = World(route=[TOKENS])
    toll = entered(world)
    world.answers(toll)
    toll.leave(failed=False)
    exchange = world.exchange
    assert (exchange.input_tokens, exchange.output_tokens) == (3, 20)
    assert exchange.first_body is not None
    assert exchange.first_body == exchange.last_body


def test_nothing_is_charged_where_no_engine_was_asked() -> None:
    world = World(route=[REQUESTS, TOKENS])
    entered(world).leave(failed=True)
    assert world.left() == {"requests": 10, "tokens": 100}


def test_an_engine_that_brings_no_answer_costs_a_request_and_no_tokens() -> None:
    world = World(route=[REQUESTS, TOKENS])
    toll = entered(world)
    world.asks()
    toll.leave(failed=True)
    assert world.left() == {"requests": 9, "tokens": 100}


@pytest.mark.parametrize("status", [400, 429, 500])
def test_an_engines_error_costs_a_request_and_no_tokens(status: int) -> None:
    world = World(route=[REQUESTS, TOKENS])
    toll = entered(world)
    world.answers(toll, status)
    toll.leave(failed=False)
    assert world.left() == {"requests": 9, "tokens": 100}


def test_the_estimate_stands_where_the_client_leaves_before_the_answer() -> None:
    world = World(route=[TOKENS])
    toll = entered(world)
    world.asks()
    toll.leave(failed=False)
    assert world.left() == {"tokens": 90}


def test_the_estimate_stands_where_the_answer_cannot_be_read() -> None:
    world = World(route=[TOKENS])
    toll = entered(world)
    world.answers(toll, coded=True)
    toll.leave(failed=False)
    assert world.left() == {"tokens": 90}


def test_a_call_is_settled_once() -> None:
    world = World(route=[REQUESTS])
    toll = entered(world)
    toll.leave(failed=False)
    toll.leave(failed=False)
    assert world.left() == {"requests": 10}


def test_what_is_refused_has_taken_nothing() -> None:
    world = World(route=[REQUESTS, TOKENS])
    with pytest.raises(RequestError) as refused:
        world.toll(characters=500).enter("r")
    assert refused.value.status == 429
    assert world.left() == {"requests": 10, "tokens": 100}


def test_of_a_route_and_its_server_the_tighter_limit_is_told() -> None:
    world = World(route=[REQUESTS], server=[Limit(Counted.REQUESTS, 4, "month"), TOKENS])
    toll = entered(world)
    assert b"remaining-requests: 9\r\n" in toll.head_lines
    assert toll.enter_server("s") is None
    assert b"limit-requests: 4\r\nx-ratelimit-remaining-requests: 3\r\n" in toll.head_lines
    assert b"remaining-tokens: 90\r\n" in toll.head_lines
    toll.leave_server(failed=True)
    assert b"remaining-requests: 9\r\n" in toll.head_lines
    assert b"tokens" not in toll.head_lines


def test_a_server_is_charged_for_what_was_asked_of_it_and_not_of_the_one_before() -> None:
    world = World(server=[Limit(Counted.REQUESTS, 4, "month")])
    toll = world.toll()
    world.asks()  # of another server, which failed
    toll.enter_server("s")
    toll.leave_server(failed=True)
    toll.enter_server("s")
    assert b"remaining-requests: 3\r\n" in toll.head_lines
    world.asks()
    toll.leave_server(failed=True)
    toll.enter_server("s")
    assert b"remaining-requests: 2\r\n" in toll.head_lines


def test_the_callers_and_the_servers_limits_cost_the_same_tokens() -> None:
    world = World(server=[TOKENS])
    caller = Identity("k", "key", "/keys", {}, limits=(TOKENS,))
    toll = world.toll(identity=caller)
    toll.enter("r")
    toll.enter_server("s")
    world.answers(toll)
    toll.leave_server(failed=False)
    toll.leave(failed=False)
    again = world.toll(characters=0, identity=caller)
    again.enter("r")
    assert b"remaining-tokens: 77\r\n" in again.head_lines
    other = world.toll(characters=0)
    other.enter_server("s")
    assert b"remaining-tokens: 77\r\n" in other.head_lines


async def test_limits_that_others_share_are_waited_for() -> None:
    world = World(route=[REQUESTS, Limit(Counted.TOKENS, 50, "month", redis=REDIS)], server=[])
    toll = world.toll()
    waiting = toll.enter("r")
    assert waiting is not None
    await waiting
    assert (world.store.holds, toll.counts) == (990.0, True)
    world.answers(toll)
    toll.leave(failed=False)
    assert world.store.holds == 977.0


async def test_what_a_shared_limit_refuses_has_taken_nothing_on_this_host() -> None:
    world = World(route=[REQUESTS], server=[REQUESTS, Limit(Counted.REQUESTS, 50, "month", redis=REDIS)])
    world.store.holds = 0.0
    toll = world.toll()
    toll.enter("r")
    waiting = toll.enter_server("s")
    assert waiting is not None
    with pytest.raises(RequestError):
        await waiting
    toll.leave(failed=True)
    assert world.left() == {"requests": 10}
    world.store.holds = 1.0
    again = toll.enter_server("s")
    assert again is not None
    await again
    assert b"limit-requests: 50\r\nx-ratelimit-remaining-requests: 0\r\n" in toll.head_lines


async def test_a_client_that_leaves_while_a_shared_limit_is_asked_has_taken_nothing() -> None:
    world = World(route=[REQUESTS, Limit(Counted.REQUESTS, 50, "month", redis=REDIS)])
    world.store.answers.clear()
    toll = world.toll()
    waiting = toll.enter("r")
    assert waiting is not None
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    toll.leave(failed=False)
    world.store.answers.set()
    free = world.toll()
    again = free.enter("r")
    assert again is not None
    await again
    assert b"limit-requests: 10\r\nx-ratelimit-remaining-requests: 9\r\n" in free.head_lines


async def test_a_copy_takes_of_its_servers_limits_alone_and_the_call_pays_nothing_of_it() -> None:
    world = World(route=[REQUESTS], server=[TOKENS])
    toll = world.toll()
    ticket = await toll.take("s")
    assert ticket is not None
    assert b"remaining-tokens: 90\r\n" in ticket.headers
    assert (toll.head_lines, toll.counts) == (b"", False)
    assert await toll.take("free") is None


def test_limits_tell_callers_apart_by_who_they_are_or_else_by_their_address() -> None:
    assert subject_of(None, "m", "192.0.2.1") == Subject("192.0.2.1", "192.0.2.1", "m", "192.0.2.1")
    identity = Identity("key-1", "key", "/keys", {}, user="alice", owner="d1")
    assert subject_of(identity, "m", "192.0.2.1") == Subject("d1 key-1", "key alice", "m", "192.0.2.1")


def test_callers_of_one_name_from_two_issuers_or_with_two_keys_share_no_bucket() -> None:
    tokens = [Identity("ada", "jwt", JwtAuth(issuer), {}) for issuer in ("https://one", "https://two")]
    keys = [Identity("ada", "key", "/keys", {}, owner=owner) for owner in ("d1", "d2")]
    subjects = [subject_of(identity, "", "192.0.2.1") for identity in (*tokens, *keys)]
    assert len({subject.key for subject in subjects}) == 4
    assert len({subject.user for subject in subjects}) == 3  # a user may have several keys


def test_a_clients_network_is_its_address_where_it_has_many() -> None:
    first, second, other = (subject_of(None, "", f"2001:db8:0:{net}::1").address for net in ("1", "1", "2"))
    assert first == subject_of(None, "", "2001:db8:0:1:ffff::9").address == second != other


@pytest.mark.parametrize(
    ("path", "content_type", "answer", "left"),
    [
        (b"/generate", b"application/json", b'{"text": "x", "meta_info": {"completion_tokens": 60}}', 40),
        (b"/generate", b"application/json", b'[{"meta_info": {"completion_tokens": %d}}]' % 30, 70),
        (b"/generate", b"application/json", b"[%b, %b]" % ((b'{"meta_info": {"completion_tokens": 35}}',) * 2), 30),
        (b"/v1/completions", b"application/json", b'{"usage": {"completion_tokens": 25.0}}', 75),
        (b"/v1/completions", b"application/json", b"x" * 200, 50),
        (b"/v1/completions", b"application/x-ndjson", b"x" * 200, 50),
        (b"/v1/completions", b"text/plain", b"x" * 200, 50),
        (b"/tokenize", b"application/json", b"x" * 200, 100),
    ],
)
def test_an_answer_that_was_generated_is_charged_whatever_it_looks_like(
    path: bytes, content_type: bytes, answer: bytes, left: int
) -> None:
    world = World(route=[Limit(Counted.OUTPUT_TOKENS, 100, "month")])
    toll = world.toll(path=path)
    toll.enter("r")
    world.asks()
    world.exchange.status, world.exchange.bytes_out = 200, len(answer)
    meter = toll.meter(content_type, coded=False)
    if meter is not None:
        meter.feed(answer)
    toll.leave(failed=False)
    assert world.left() == {"tokens": left}
