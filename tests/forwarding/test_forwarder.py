"""Promises of a request's journey."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.access_spec import Auth
from proxy.config.spec import RateLimit, Retries, Timeouts
from proxy.errors import RequestError
from proxy.forwarding.journey import LONGEST_WAIT, Journey
from proxy.upstream.retry import RetryBudget
from tests.downstream.visits import Visit, get, post
from tests.forwarding.journeys import ALWAYS, SAYS, World
from tests.upstream.talks import Talk, answer

CHAT = post(b'{"model": "m"}', target=b"/v1/chat/completions")
STORED = post(b'{"model": "m"}', target=b"/v1/responses")


async def answered(world: World, data: bytes = CHAT) -> tuple[int, bytes]:
    """The status and the body that a client gets."""
    visit = Visit()
    call = world.call(data, visit)
    try:
        await world.forwarder.forward(call)
    except RequestError as error:
        return error.status, error.message.encode()
    head, _, body = visit.hears().partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


async def test_an_answer_is_passed_on_and_the_record_tells_of_it() -> None:
    world = World([["ok"]])
    visit = Visit()
    call = world.call(CHAT, visit)
    await world.forwarder.forward(call)
    heard = visit.hears()
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert heard.endswith(b"X-Request-Id: id\r\nContent-Length: 4\r\n\r\nfine")
    exchange = call.exchange
    assert (exchange.server, exchange.endpoint, exchange.status, exchange.bytes_out) == ("s0", "http://e0:8000", 200, 4)
    assert [attempt.outcome for attempt in exchange.attempts] == ["ok"]
    assert visit.connection.active is None


async def test_a_stream_is_passed_on_read_by_read() -> None:
    world = World([["stream"]])
    status, body = await answered(world)
    assert (status, body) == (200, b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")


@pytest.mark.parametrize("first", ["refuse", "reset", "503", "502", "504", "hint-reset"])
async def test_a_try_that_failed_is_made_again_at_another_endpoint(first: str) -> None:
    world = World([[first], ["ok"]])
    assert (await answered(world))[0] == 200 or first == "hint-reset"
    assert world.asked[0][1] == 1


@pytest.mark.parametrize("first", ["500", "400", "404", "429", "200"])
async def test_an_engines_own_error_is_passed_on_as_it_is(first: str) -> None:
    world = World([[first], ["ok"]])
    assert await answered(world) == (int(first), b"busy")
    assert world.asked == [[1, 0]]


async def test_an_endpoint_that_was_tried_is_not_tried_again_while_another_is_available() -> None:
    world = World([["503", "ok"], ["reset", "ok"], ["ok"]])
    assert (await answered(world))[0] == 200
    assert world.asked == [[1, 1, 1]]


async def test_the_only_endpoint_is_tried_again() -> None:
    world = World([["503", "503", "ok"]])
    assert (await answered(world))[0] == 200
    assert world.asked == [[3]]


async def test_the_number_of_tries_is_bounded_and_the_last_answer_is_the_clients() -> None:
    world = World([["503"] * 10])
    assert await answered(world) == (503, b"busy")
    assert world.asked == [[3]]


async def test_no_retry_is_made_that_the_budget_does_not_grant() -> None:
    world = World([["503"] * 10], budget=RetryBudget(0.0, 1))
    await answered(world)
    assert world.asked == [[2]]
    await answered(world)
    assert world.asked == [[3]]


async def test_an_endpoint_that_is_down_spends_no_budget_while_another_is_up() -> None:
    world = World([["refuse"] * 10, ["ok"] * 10], budget=RetryBudget(0.0, 0))
    assert [(await answered(world))[0] for _ in range(10)] == [200] * 10
    assert world.asked[0][1] == 10


async def test_refused_connections_spend_the_budget_where_all_endpoints_are_down() -> None:
    world = World([["refuse"] * 10, ["refuse"] * 10], budget=RetryBudget(0.0, 0))
    assert (await answered(world))[0] == 502
    assert [pool.opened for pool in world.pools[0]] == [1, 1]


@pytest.mark.parametrize("outcome", ["refuse", "reset", "junk"])
async def test_a_failure_that_the_rule_does_not_name_is_not_retried(outcome: str) -> None:
    world = World([[outcome], ["ok"]], retries=Retries(attempts=5, failures=frozenset({"timeout"}), backoff=0.0))
    status, body = await answered(world)
    assert status == 502
    assert b"e0" not in body
    assert world.asked[0][1] == 0


# --- what must not run twice ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["reset", "junk", "503", "502", "500"])
@pytest.mark.parametrize("data", [STORED, post(b"x", target=b"/unknown"), get(b"/").replace(b"GET", b"PATCH")])
async def test_what_may_have_run_and_must_not_run_twice_is_sent_once(outcome: str, data: bytes) -> None:
    everything = Retries(10, frozenset({"connect-failure", "reset", "timeout", "protocol-error"}), backoff=0.0)
    world = World([[outcome], ["ok"]], [["ok"]], retries=everything)
    status, _ = await answered(world, data)
    assert status == (int(outcome) if outcome.isdigit() else 502)
    assert world.asked == [[1, 0], [0]]


async def test_what_was_never_sent_is_tried_again_whatever_it_is() -> None:
    world = World([["refuse"], ["ok"]])
    assert (await answered(world, STORED))[0] == 200
    assert world.asked == [[0, 1]]
    world = World([["refuse"] * 5], [["ok"]])
    assert (await answered(world, STORED))[0] == 200


@pytest.mark.parametrize("outcome", ["cut", "cut-events"])
async def test_nothing_is_tried_again_once_a_byte_has_gone_down(outcome: str) -> None:
    world = World([[outcome], ["ok"]], [["ok"]])
    visit = Visit()
    call = world.call(CHAT, visit)
    await world.forwarder.forward(call)
    assert world.asked == [[1, 0], [0]]
    assert call.exchange.failure == "cut"
    assert not visit.hears().endswith(b"0\r\n\r\n")
    assert visit.hung_up


async def test_a_cut_stream_of_events_ends_with_an_error_event_behind_the_partial_one() -> None:
    world = World([["cut-events"]])
    _, body = await answered(world)
    assert body.startswith(b'd\r\ndata: {"a":1}\r\n')
    assert b'\n\ndata: {"error":{' in body
    assert b"[DONE]" not in body


async def test_a_stale_connection_is_made_good_without_counting() -> None:
    world = World([["ok"]], retries=replace(ALWAYS, attempts=0))
    pool = world.pools[0][0]
    pool.idle.append(pool.connect("reset"))
    assert (await answered(world))[0] == 200
    assert world.asked == [[2]]


async def test_a_stale_connection_is_an_error_for_what_must_not_run_twice() -> None:
    world = World([["ok"]])
    pool = world.pools[0][0]
    pool.idle.append(pool.connect("reset"))
    assert (await answered(world, STORED))[0] == 502
    assert world.asked == [[1]]


# --- fallbacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["refuse", "reset", "503", "junk"])
async def test_fallbacks_are_tried_in_order(outcome: str) -> None:
    world = World([[outcome] * 9], [[outcome] * 9], [["ok"]])
    assert (await answered(world))[0] == 200
    assert world.asked[2] == [1]
    assert world.pools[1][0].opened > 0


async def test_a_server_without_an_available_endpoint_falls_back() -> None:
    world = World([["ok"]], [["ok"]])
    world.endpoints[0].available = False
    assert (await answered(world))[0] == 200
    assert world.asked == [[0], [1]]
    world.endpoints[1].available = False
    assert (await answered(world))[0] == 503


async def test_a_server_over_its_rate_limit_falls_back_and_the_last_one_tells_the_client() -> None:
    world = World([["ok"] * 3], [["ok"] * 3])
    world.limit(replace(world.servers["s0"].spec, rate_limit=RateLimit(0.001, 1)))
    for _ in range(2):
        assert (await answered(world))[0] == 200
    assert world.asked == [[1], [1]]
    world.limit(*(replace(server.spec, rate_limit=RateLimit(0.001, 1)) for server in world.servers.values()))
    assert (await answered(world))[0] == 200
    with pytest.raises(RequestError) as raised:
        await world.forwarder.forward(world.call())
    assert raised.value.status == 429
    assert raised.value.retry_after is not None


async def test_each_target_gets_the_model_that_it_knows() -> None:
    world = World([["503"] * 3], [["ok"]], models=["first", "second"])
    await answered(world)
    sent = [bytes(pools[0].transports[0].written) for pools in world.pools]
    assert sent[0].endswith(b'Content-Length: 18\r\n\r\n{"model": "first"}')
    assert sent[1].endswith(b'Content-Length: 19\r\n\r\n{"model": "second"}')


# --- waiting ----------------------------------------------------------------------------------------------------------


def journey(world: World, data: bytes = CHAT, *, last: bool = True) -> Journey:
    call = world.call(data)
    return Journey(call, world.match.split.pick(), world.servers["s0"], last)


def busy(*lines: bytes) -> "Talk":
    return Talk().asks().hears(answer(b"busy", *lines, status=b"503 Busy"))


async def test_the_engines_wish_is_waited_for_where_there_is_no_other_endpoint() -> None:
    only = journey(World([["ok"]]))
    only.begin(only.server.endpoints[0])
    assert only.wants_retry(busy(b"Retry-After: 3").head, lambda: 0.0)
    assert only.pause == 3.0


async def test_another_endpoint_need_not_wait_for_the_wish_of_the_first() -> None:
    one_of_two = journey(World([["ok"], ["ok"]]))
    one_of_two.begin(one_of_two.server.endpoints[0])
    assert one_of_two.wants_retry(busy(b"Retry-After: 3").head, lambda: 0.0)
    assert one_of_two.pause == 0.0


async def test_a_wish_that_is_too_long_goes_to_the_client() -> None:
    only = journey(World([["ok"]]))
    only.begin(only.server.endpoints[0])
    assert not only.wants_retry(busy(b"Retry-After: %d" % (LONGEST_WAIT + 1)).head, lambda: 0.0)


async def test_a_wish_that_makes_no_sense_is_passed_over() -> None:
    only = journey(World([["ok"]], retries=replace(ALWAYS, backoff=1.0)))
    only.begin(only.server.endpoints[0])
    assert only.wants_retry(busy(b"Retry-After: soon").head, lambda: 0.5)
    assert only.pause == 0.5


async def test_the_pause_grows_with_every_try() -> None:
    only = journey(World([["ok"]], retries=replace(ALWAYS, backoff=1.0, attempts=3)))
    pauses = []
    for _ in range(3):
        only.begin(only.server.endpoints[0])
        assert only.wants_retry(busy().head, lambda: 1.0)
        pauses.append(only.pause)
    assert pauses == [1.0, 2.0, 4.0]


async def test_the_last_failure_is_told_without_a_further_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    world = World([["reset"] * 9], retries=replace(ALWAYS, backoff=1.0))
    monkeypatch.setattr("proxy.forwarding.forwarder.asyncio.sleep", sleep)
    world.forwarder._random = lambda: 1.0
    assert (await answered(world))[0] == 502
    assert [seconds for seconds in slept if seconds] == [1.0, 2.0]


async def test_no_pause_before_a_retry_outlasts_the_total_limit() -> None:
    world = World([["reset"] * 3], retries=replace(ALWAYS, backoff=4.0), timeouts=Timeouts(total=2.0))
    world.forwarder._random = lambda: 1.0
    status, body = await answered(world)
    assert status == 504
    assert b"total limit" in body
    assert world.asked == [[1]]


async def test_a_total_limit_counts_from_the_clients_request() -> None:
    world = World([["ok"]], timeouts=Timeouts(total=10.0))
    only = journey(world)
    now = 500.0
    elapsed_before = only.total_deadline(now)
    assert elapsed_before < now + 10.0


# --- leases -----------------------------------------------------------------------------------------------------------

outcomes = st.sampled_from([*SAYS, "refuse", "503", "500"])
scripts = st.lists(outcomes, max_size=6)
visits = st.tuples(
    st.sampled_from([CHAT, STORED, get(b"/v1/models")]), st.integers(0, 25), st.sampled_from(["end", "wait"])
)


@settings(deadline=None)
@given(st.lists(scripts, min_size=1, max_size=3), scripts, st.lists(visits, min_size=1, max_size=6))
def test_no_lease_is_lost_and_nothing_is_left_open_whatever_happens(
    first: list[list[str]], second: list[str], clients: list[tuple[bytes, int, str]]
) -> None:
    with asyncio.Runner() as runner:
        runner.run(_happen(first, second, clients))


async def _happen(first: list[list[str]], second: list[str], clients: list[tuple[bytes, int, str]]) -> None:
    world = World(first, [second])
    tasks: list[tuple[asyncio.Task[None], int]] = []
    for data, turns, end in clients:
        tasks.append((asyncio.ensure_future(_one(world, data)), turns if end == "end" else 60))
    for turn in range(100):
        for task, until in tasks:
            if turn == until:
                task.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
    assert all(task.done() for task, _ in tasks)
    for pools in world.pools:
        for pool in pools:
            for transport in pool.transports:
                transport.settle()
                assert transport.closing or not transport.protocol.busy  # type: ignore[attr-defined]
    assert [endpoint.in_flight for endpoint in world.endpoints] == [0] * len(world.endpoints)


async def _one(world: World, data: bytes) -> None:
    visit = Visit()
    call = world.call(data, visit)
    before = sum(map(sum, world.asked))
    try:
        await world.forwarder.forward(call)
    except RequestError:
        assert visit.hears().count(b"HTTP/1.1 200") == 0
        return
    assert sum(map(sum, world.asked)) > before
    assert visit.hears().count(b"HTTP/1.1 200") <= 1


# --- the client's own name for the model ------------------------------------------------------------------------------


def telling(name: bytes, content_type: bytes = b"application/json") -> list[bytes | None]:
    return [answer(b'{"id": 1, "model": "' + name + b'"}', b"Content-Type: " + content_type)]


async def test_an_answer_tells_the_clients_own_name_and_its_new_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAYS, "ok", telling(b"org/m-v1"))
    world = World([["ok"]], models=("org/m-v1",), restore_model=True)
    visit = Visit()
    await world.forwarder.forward(world.call(CHAT, visit))
    heard = visit.hears()
    assert heard.endswith(b'Content-Length: 23\r\n\r\n{"id": 1, "model": "m"}')


@pytest.mark.parametrize(
    ("name", "content_type", "restore"),
    [(b"org/m-v1", b"application/json", False), (b"org/m-v1", b"audio/mpeg", True), (b"x", b"application/json", True)],
)
async def test_an_answer_is_otherwise_left_alone(
    monkeypatch: pytest.MonkeyPatch, name: bytes, content_type: bytes, restore: bool
) -> None:
    monkeypatch.setitem(SAYS, "ok", telling(name, content_type))
    world = World([["ok"]], models=("org/m-v1",), restore_model=restore)
    assert (await answered(world))[1] == b'{"id": 1, "model": "' + name + b'"}'


async def test_a_stream_tells_the_clients_own_name_also_where_a_read_cuts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    events = b'data: {"model":"org/m-v1"}\n\ndata: [DONE]\n\n'
    for cut in range(1, len(events)):
        parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in (events[:cut], events[cut:])]
        monkeypatch.setitem(SAYS, "ok", [head + parts[0], parts[1] + b"0\r\n\r\n"])
        _, body = await answered(World([["ok"]], models=("org/m-v1",), restore_model=True))
        assert unchunked(body) == b'data: {"model":"m"}\n\ndata: [DONE]\n\n'


async def test_a_long_answer_of_known_length_is_told_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = telling(b"org/m-v1")[0]
    assert whole is not None
    monkeypatch.setitem(SAYS, "ok", [whole[:-20], whole[-20:]])
    _, body = await answered(World([["ok"]], models=("org/m-v1",), restore_model=True))
    assert unchunked(body) == b'{"id": 1, "model": "m"}'


async def test_a_cut_stream_gives_what_was_held_back_before_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    monkeypatch.setitem(SAYS, "ok", [head + b'd\r\ndata: {"model\r\n', None])
    _, body = await answered(World([["ok"]], models=("org/m-v1",), restore_model=True))
    said = unchunked(body)
    assert said.startswith(b'data: {"model\n\ndata: {"error":')


def unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


# --- what may not be asked --------------------------------------------------------------------------------------------


async def test_who_may_not_call_the_first_target_is_not_led_to_a_fallback() -> None:
    world = World([["ok"]], [["ok"]], auths=(Auth(keys="/keys.yaml"),))
    with pytest.raises(RequestError) as raised:
        await world.forwarder.forward(world.call())
    assert raised.value.status == 401
    assert b"WWW-Authenticate: Bearer" in raised.value.headers
    assert world.asked == [[0], [0]]


async def test_a_server_without_endpoints_says_so_in_words_that_alerts_look_for() -> None:
    status, message = await answered(World([]))
    assert (status, message) == (503, b"no available pods for model server: s0")
