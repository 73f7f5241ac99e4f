"""Promises of the limits that several hosts share, with a real Redis behind them."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from proxy.access.redis_store import MOST_CONNECTIONS, Answer, RedisStore, RedisStores, bucket_key, read_answer
from proxy.access.shared_store import Want
from proxy.config.access_spec import Redis
from proxy.errors import ConfigError
from tests.access.clocks import Clock
from tests.access.redis_servers import RedisServer, needs_redis

PATIENT = 20.0  # seconds for a round trip; the machine may be busy
TEN = Want("ten", 1.0, 10.0, 1.0)

MakeStore = Callable[..., RedisStore]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store_of(clock: Clock) -> AsyncIterator[MakeStore]:
    """Makes stores that are closed in the end."""
    stores: list[RedisStore] = []

    def make(url: str, timeout: float = PATIENT) -> RedisStore:
        stores.append(RedisStore(Redis(url, timeout=timeout), clock))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


async def taken(store: RedisStore, *wants: Want) -> bool | None:
    """Whether all was there; None where the store is away."""
    verdicts = await store.take(wants, PATIENT)
    return None if verdicts is None else all(verdict.admitted for verdict in verdicts)


async def charged(store: RedisStore, *wants: Want) -> None:
    """Charge, and wait until that is done."""
    store.charge(wants)
    while "0 charges" not in repr(store):  # noqa: ASYNC110 - nothing tells when it is over
        await asyncio.sleep(0)


@needs_redis
class TestThere:
    """While Redis answers."""

    async def test_a_bucket_is_full_at_first_and_gives_what_it_holds(
        self, server: RedisServer, store_of: MakeStore
    ) -> None:
        store = store_of(server.url)
        want = Want("slow", 4.0, 10.0, 1e-6)
        verdicts = [(await store.take([want], PATIENT) or [])[0] for _ in range(3)]
        assert [(verdict.admitted, verdict.remaining) for verdict in verdicts] == [(True, 6), (True, 2), (False, 2)]
        assert [verdict.retry_after for verdict in verdicts] == [0.0, 0.0, pytest.approx(2e6, rel=1e-3)]
        assert verdicts[0].reset == pytest.approx(4e6, rel=1e-3)

    async def test_all_is_taken_or_nothing(self, server: RedisServer, store_of: MakeStore) -> None:
        store = store_of(server.url)
        plenty, scarce = Want("plenty", 1.0, 10.0, 1e-6), Want("scarce", 2.0, 3.0, 1e-6)
        assert await taken(store, plenty, scarce)
        verdicts = await store.take([plenty, scarce], PATIENT)
        assert verdicts is not None
        assert [verdict.admitted for verdict in verdicts] == [True, False]
        assert server.level("plenty") == pytest.approx(9.0)
        assert server.level("scarce") == pytest.approx(1.0)

    async def test_a_bucket_refills_by_the_clock_of_redis(
        self, server: RedisServer, store_of: MakeStore, clock: Clock
    ) -> None:
        store = store_of(server.url)
        want = Want("k", 10.0, 10.0, 0.5)
        assert await taken(store, want)
        clock.now += 3600.0
        assert not await taken(store, want)
        server.pass_time("k", 19.0)
        assert not await taken(store, want._replace(cost=10.0))
        server.pass_time("k", 1.0)
        assert await taken(store, want)

    async def test_a_bucket_never_holds_more_than_its_capacity(self, server: RedisServer, store_of: MakeStore) -> None:
        store = store_of(server.url)
        assert await taken(store, TEN)
        server.pass_time("ten", 1e6)
        assert not await taken(store, TEN._replace(cost=10.5))
        await charged(store, TEN._replace(cost=-1e6))
        assert server.level("ten") == 10.0

    async def test_a_clock_that_was_set_back_takes_nothing_away(self, server: RedisServer, store_of: MakeStore) -> None:
        store = store_of(server.url)
        assert await taken(store, TEN)
        server.pass_time("ten", -1e6)
        assert await taken(store, TEN._replace(cost=9.0))

    async def test_what_is_charged_may_leave_a_debt_that_time_pays_back(
        self, server: RedisServer, store_of: MakeStore
    ) -> None:
        store = store_of(server.url)
        await charged(store, TEN._replace(cost=25.0))
        assert server.level("ten") == -15.0
        server.pass_time("ten", 15.0)
        assert not await taken(store, TEN._replace(cost=0.0, at_least=1.0))
        server.pass_time("ten", 1.0)
        assert await taken(store, TEN._replace(cost=0.0, at_least=1.0))

    async def test_what_is_given_back_can_be_taken_again(self, server: RedisServer, store_of: MakeStore) -> None:
        store = store_of(server.url)
        want = Want("k", 10.0, 10.0, 1e-6)
        assert await taken(store, want)
        await charged(store, want._replace(cost=-10.0))
        assert await taken(store, want)

    async def test_what_is_more_than_a_bucket_holds_has_no_time_to_come_back(
        self, server: RedisServer, store_of: MakeStore
    ) -> None:
        verdicts = await store_of(server.url).take([TEN._replace(cost=10.5)], PATIENT)
        assert verdicts is not None
        assert (verdicts[0].admitted, verdicts[0].retry_after) == (False, None)

    async def test_a_bucket_is_forgotten_a_minute_after_it_is_full(
        self, server: RedisServer, store_of: MakeStore
    ) -> None:
        store = store_of(server.url)
        assert await taken(store, Want("k", 30.0, 40.0, 0.5))
        assert int(server.ask("TTL", bucket_key("k"))[1:]) in range(118, 121)
        await charged(store, Want("debt", 1000.0, 10.0, 10.0))
        assert int(server.ask("TTL", bucket_key("debt"))[1:]) in range(158, 161)

    async def test_no_more_than_a_limit_passes_however_many_ask_at_once(
        self, server: RedisServer, store_of: MakeStore
    ) -> None:
        one, other = store_of(server.url), store_of(server.url)
        want = Want("k", 1.0, 50.0, 1e-6)
        answers = await asyncio.gather(*(taken(store, want) for _ in range(60) for store in (one, other)))
        assert (answers.count(True), answers.count(False)) == (50, 70)

    async def test_no_more_connections_are_opened_than_stated(self, server: RedisServer, store_of: MakeStore) -> None:
        store = store_of(server.url)
        await asyncio.gather(*(taken(store, TEN) for _ in range(4 * MOST_CONNECTIONS)))
        opened = int(server.ask("INFO", "stats").partition("total_connections_received:")[2].split()[0])
        asked_by_test = 2  # while it waited for the server, at the least
        assert opened <= MOST_CONNECTIONS + asked_by_test + 3

    async def test_a_store_takes_as_many_requests_at_once_as_come(
        self, server: RedisServer, store_of: MakeStore
    ) -> None:
        store = store_of(server.url)
        want = Want("k", 1.0, 1e6, 1e-6)
        answers = await asyncio.gather(*(taken(store, want) for _ in range(1000)))
        assert answers.count(True) == 1000

    async def test_who_leaves_while_redis_is_asked_gets_back_what_was_taken(
        self, server: RedisServer, store_of: MakeStore
    ) -> None:
        store = store_of(server.url)
        want = Want("k", 4.0, 10.0, 1e-6)
        assert await taken(store, want)
        server.stop()
        asking = asyncio.create_task(store.take([want], PATIENT))
        for _ in range(20):
            await asyncio.sleep(0)
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        server.go_on()
        await store.close()
        assert asking.cancelled()
        calls = server.ask("INFO", "commandstats").partition("cmdstat_evalsha:calls=")[2]
        assert int(calls.partition(",")[0]) >= 3
        assert server.level("k") == pytest.approx(6.0)

    async def test_the_name_of_a_caller_is_not_told_to_redis(self, server: RedisServer, store_of: MakeStore) -> None:
        assert await taken(store_of(server.url), TEN._replace(key="route/chat alice@example.com \ud800\r\n"))
        assert "alice" not in server.ask("KEYS", "*")
        assert "penstock:{limits}:" in server.ask("KEYS", "*")

    async def test_a_server_behind_a_unix_socket_is_asked_alike(self, tmp_path: Path, store_of: MakeStore) -> None:
        path = tmp_path / "s"
        with RedisServer(tmp_path, "--unixsocket", str(path)):
            assert await taken(store_of(f"unix://{path}"), TEN)


@needs_redis
class TestAway:
    """While Redis does not answer."""

    async def test_a_refused_connection_is_told_at_once(self, server: RedisServer, store_of: MakeStore) -> None:
        store = store_of(server.url, timeout=3600.0)
        server.kill()
        async with asyncio.timeout(PATIENT):
            assert await store.take([TEN], 3600.0) is None

    async def test_a_server_that_is_away_is_not_asked_again_until_its_pause_has_passed(
        self, server: RedisServer, store_of: MakeStore, clock: Clock
    ) -> None:
        store = store_of(server.url)
        server.kill()
        assert await taken(store, TEN) is None
        server.start()
        clock.now += 0.49
        assert await taken(store, TEN) is None
        await charged(store, TEN)
        assert server.level("ten") is None
        clock.now += 0.01
        assert await taken(store, TEN) is True
        assert await taken(store, TEN) is True

    async def test_the_pause_doubles_from_failure_to_failure_up_to_five_seconds(
        self, server: RedisServer, store_of: MakeStore, clock: Clock
    ) -> None:
        store = store_of(server.url)
        server.kill()
        for pause in (0.5, 1.0, 2.0, 4.0, 5.0, 5.0):
            assert await taken(store, TEN) is None
            server.start()
            clock.now += pause - 0.01
            assert await taken(store, TEN) is None
            server.kill()
            clock.now += 0.02
        server.start()
        assert await taken(store, TEN) is True
        server.kill()
        assert await taken(store, TEN) is None
        server.start()
        clock.now += 0.5
        assert await taken(store, TEN) is True

    async def test_all_that_waited_when_it_went_away_are_one_failure(
        self, server: RedisServer, store_of: MakeStore, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = store_of(server.url)
        server.kill()
        answers = await asyncio.gather(*(taken(store, TEN) for _ in range(50)))
        assert answers == [None] * 50
        assert [record.levelno for record in caplog.records if record.name == "penstock.limits"] == [logging.WARNING]
        server.start()
        clock.now += 0.5
        assert await taken(store, TEN) is True

    async def test_one_request_alone_waits_to_see_whether_it_is_back(
        self, server: RedisServer, store_of: MakeStore, clock: Clock
    ) -> None:
        store = store_of(server.url)
        server.kill()
        assert await taken(store, TEN) is None
        server.start()
        server.stop()
        clock.now += 0.5
        first = asyncio.create_task(taken(store, TEN))
        await asyncio.sleep(0)
        async with asyncio.timeout(PATIENT / 2):
            assert await taken(store, TEN) is None
        server.go_on()
        assert await first is True
        assert await taken(store, TEN) is True

    async def test_a_server_that_stands_still_costs_no_more_than_the_timeout_and_then_nothing(
        self, server: RedisServer, store_of: MakeStore, clock: Clock
    ) -> None:
        store = store_of(server.url)
        assert await taken(store, TEN)
        server.stop()
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await store.take([TEN], 0.05) is None
        assert 0.04 < loop.time() - began < PATIENT / 2
        async with asyncio.timeout(PATIENT / 2):
            assert await store.take([TEN], 3600.0) is None
        server.go_on()
        clock.now += 0.5
        assert await taken(store, TEN) is True

    async def test_a_server_that_was_killed_is_used_again_once_it_is_back(
        self, server: RedisServer, store_of: MakeStore, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "penstock.limits")
        store = store_of(server.url)
        assert await taken(store, TEN)
        server.kill()
        assert await taken(store, TEN) is None
        server.start()
        clock.now += 0.5
        assert await taken(store, TEN) is True
        assert server.level("ten") == 9.0
        told = [record.getMessage() for record in caplog.records if record.name == "penstock.limits"]
        assert [("does not answer" in text, "is back" in text) for text in told] == [(True, False), (False, True)]

    async def test_settlements_that_redis_does_not_take_are_dropped_and_nobody_waits(
        self, server: RedisServer, store_of: MakeStore
    ) -> None:
        store = store_of(server.url)
        server.kill()
        await charged(store, TEN)
        assert await taken(store, TEN) is None

    async def test_closing_waits_no_longer_than_a_round_trip_may_take(
        self, server: RedisServer, store_of: MakeStore
    ) -> None:
        store = store_of(server.url, timeout=0.05)
        assert await taken(store, TEN)
        server.stop()
        store.charge([TEN])
        async with asyncio.timeout(PATIENT):
            await store.close()
        server.go_on()

    async def test_neither_the_password_nor_the_url_is_told(
        self, tmp_path: Path, store_of: MakeStore, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        with RedisServer(tmp_path, "--requirepass", "s3cret") as server:
            right = store_of(f"redis://:s3cret@{server.address}")
            wrong = store_of(f"redis://alice:gu3ssed@{server.address}")
            assert await taken(right, TEN) is True
            assert await taken(wrong, TEN) is None
            assert "AuthenticationError" in caplog.text
            clock.now += 0.5
            server.kill()
            assert await taken(right, TEN) is None
        messages = [record.getMessage() for record in caplog.records if record.name == "penstock.limits"]
        assert len(messages) == 2
        told = "".join(messages) + repr(right) + repr(wrong) + repr(Redis(server.url))
        for secret in ("s3cret", "gu3ssed", "alice", "127.0.0.1", str(server.port)):
            assert secret not in told
        assert "s3cret" not in caplog.text
        assert "gu3ssed" not in caplog.text


def test_a_redis_has_one_store(clock: Clock) -> None:
    stores = RedisStores(clock)
    assert stores.find(Redis("redis://h:1")) is stores.find(Redis("redis://h:1"))
    assert stores.find(Redis("redis://h:1")) is not stores.find(Redis("redis://h:2"))
    assert repr(stores) == "<RedisStores 2>"


@pytest.mark.parametrize("asked", ["socket_timeout=s3cret", "max_connections=s3cret", "s3cret=1", "protocol=9"])
def test_a_url_that_asks_for_what_cannot_be_had_is_told_without_showing_it(clock: Clock, asked: str) -> None:
    with pytest.raises(ConfigError) as told:
        RedisStores(clock).find(Redis(f"redis://:s3cret@h?{asked}"))
    assert "s3cret" not in str(told.value)
    assert "URL of a Redis" in str(told.value)


async def test_stores_that_are_closed_are_made_anew(clock: Clock) -> None:
    stores = RedisStores(clock)
    before = stores.find(Redis("redis://h:1"))
    await stores.close()
    assert stores.find(Redis("redis://h:1")) is not before


def test_without_the_extra_a_configuration_is_told_what_to_install(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"pip install 'penstock\[redis\]'"):
        RedisStores(clock).find(Redis("redis://h"))


@pytest.mark.parametrize(
    "said", [5, [], [1], [1, b"abc"], [1, b"nan"], [2, b"1"], b"OK", [1, b"1", b"1"], [1, 5], None, [b"1", b"1"]]
)
def test_what_is_no_answer_of_the_script_is_told_from_one(said: object) -> None:
    with pytest.raises(ValueError, match="no"):
        read_answer(said, 1)
    assert read_answer([0, b"0.5"], 1) == Answer(False, (0.5,))
