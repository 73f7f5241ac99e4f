"""Promises of an issuer's keys while the proxy runs, on a clock that only the tests move."""

import asyncio
import logging
from pathlib import Path

import pytest

from proxy.access.key_sets import KeySet
from proxy.access.key_sources import Fetched, KeyFile, KeySource, KeyUrl
from proxy.access.signing_keys import KeysError
from proxy.errors import RequestError
from tests.access.issuers import Issuer, Signer

OLD, NEW = Signer("ES256", "old"), Signer("ES256", "new", number=1)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """A place with keys that counts who asks, answers when told to, and fails when told to."""

    def __init__(self, *signers: Signer) -> None:
        self.signers = signers
        self.asked = 0
        self.problem: str | None = None
        self.max_age: float | None = None
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()

    def __repr__(self) -> str:
        return "https://issuer.example/keys"

    async def fetch(self) -> Fetched:
        self.asked += 1
        self.begun.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.problem is not None:
            raise KeysError(self.problem)
        return Fetched(Issuer(*self.signers).jwks(), self.max_age)


class Pauses:
    """Waiting that ends when told to, and what was waited for."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._turns: asyncio.Queue[None] = asyncio.Queue()
        self._begun: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self._begun.put_nowait(None)
        await self._turns.get()

    async def reached(self) -> None:
        await self._begun.get()

    async def over(self) -> None:
        self._turns.put_nowait(None)
        await self.reached()


def key_set(source: KeySource, clock: Clock | None = None, patience: float = 5.0) -> KeySet:
    return KeySet(source, clock=clock or Clock(), pause=Pauses(), chance=lambda: 0.0, patience=patience)


def key_ids(keys: KeySet) -> list[str | None]:
    return [key.key_id for key in keys.keys]


async def test_starting_does_not_wait_and_a_first_token_joins_the_first_fetch() -> None:
    source = Source(OLD)
    keys = key_set(source)
    keys.start()
    assert keys.keys == ()
    await keys.ask()
    assert (key_ids(keys), source.asked) == (["old"], 1)
    await keys.close()


async def test_without_any_keys_a_token_is_told_to_come_back() -> None:
    source = Source()
    source.problem = "gone"
    with pytest.raises(RequestError) as caught:
        await key_set(source).ask()
    assert (caught.value.status, caught.value.code) == (503, "issuer_unavailable")
    assert caught.value.retry_after == 1.0
    assert "gone" not in caught.value.message


async def test_a_first_token_does_not_wait_for_ever() -> None:
    source = Source(OLD)
    source.gate = asyncio.Event()
    pauses = Pauses()
    keys = KeySet(source, clock=Clock(), pause=pauses, patience=0.0)
    keys.start()
    with pytest.raises(RequestError, match="not available"):
        await keys.ask()
    source.gate.set()
    await pauses.reached()
    assert (key_ids(keys), source.asked) == (["old"], 1)
    await keys.close()


async def test_all_who_ask_meanwhile_share_one_fetch() -> None:
    source = Source(OLD)
    source.gate = asyncio.Event()
    keys = key_set(source)
    asking = [asyncio.create_task(keys.ask()) for _ in range(50)]
    await asyncio.sleep(0)
    source.gate.set()
    await asyncio.gather(*asking)
    assert source.asked == 1


async def test_one_who_leaves_does_not_end_the_fetch_of_the_others() -> None:
    source = Source(OLD)
    source.gate = asyncio.Event()
    keys = key_set(source)
    leaving, staying = asyncio.create_task(keys.ask()), asyncio.create_task(keys.ask())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    await staying
    assert leaving.cancelled()
    assert key_ids(keys) == ["old"]


async def test_askers_make_one_fetch_in_ten_seconds_however_many_they_are() -> None:
    source, clock = Source(OLD), Clock()
    keys = key_set(source, clock)
    for _ in range(1000):
        await keys.ask()
        clock.now += 0.0199
    assert source.asked == 2
    clock.now += 10.0
    assert keys.askable
    await keys.ask()
    assert source.asked == 3


async def test_a_new_key_is_had_by_asking() -> None:
    source, clock = Source(OLD), Clock()
    keys = key_set(source, clock)
    await keys.ask()
    source.signers = (NEW, OLD)
    clock.now += 10.0
    await keys.ask()
    assert keys.knows("new")
    assert keys.generation == 2


async def test_a_key_that_stays_is_the_same_object_and_one_that_goes_is_not_held() -> None:
    source = Source(OLD, Signer("EdDSA", "third"))
    keys = key_set(source)
    await keys.reload()
    old, third = keys.keys
    source.signers = (NEW, OLD)
    await keys.reload()
    assert keys.holds(old)
    assert not keys.holds(third)


async def test_the_same_keys_are_no_new_generation() -> None:
    keys = key_set(Source(OLD))
    await keys.reload()
    await keys.reload()
    assert keys.generation == 1


async def test_another_key_of_the_same_id_takes_the_place_of_the_first() -> None:
    source = Source(OLD)
    keys = key_set(source)
    await keys.reload()
    first = keys.keys[0]
    source.signers = (Signer("ES256", "old", number=2),)
    await keys.reload()
    assert not keys.holds(first)
    assert len(keys.find("old", "ES256")) == 1


async def test_keys_are_found_by_id_and_algorithm() -> None:
    keys = key_set(Source(OLD, Signer("EdDSA", "old"), NEW))
    await keys.reload()
    assert [key.algorithms for key in keys.find("old", "EdDSA")] == [{"EdDSA"}]
    assert keys.find("old", "RS256") == ()
    assert keys.find("../old", "ES256") == ()
    assert [key.key_id for key in keys.find(None, "ES256")] == ["old", "new"]


async def test_the_last_good_keys_stay_and_the_log_tells_it_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "penstock.access")
    source = Source(OLD)
    keys = key_set(source)
    await keys.reload()
    for problem in ("the answer is a 500", "no answer within 5 s", "the answer is a 500"):
        source.problem = problem
        await keys.reload()
    assert key_ids(keys) == ["old"]
    assert repr(keys) == "<KeySet https://issuer.example/keys: 1 keys, the answer is a 500>"
    source.problem = None
    await keys.reload()
    assert [record.message for record in caplog.records] == [
        "1 keys from https://issuer.example/keys",
        "no keys from https://issuer.example/keys: the answer is a 500; 1 known ones stay in use",
        "the keys at https://issuer.example/keys are available again",
    ]


@pytest.mark.parametrize(
    "rubbish", [b"", b"<html>", b'{"keys":[]}', b'{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}', b"[" * 9999]
)
async def test_rubbish_leaves_the_keys_as_they_are(rubbish: bytes) -> None:
    async with Issuer(OLD) as issuer:
        keys = key_set(KeyUrl(issuer.jwks_url))
        await keys.reload()
        issuer.body = rubbish
        await keys.reload()
        assert key_ids(keys) == ["old"]
        assert keys.problem is not None


async def test_an_issuer_that_goes_away_leaves_the_keys_as_they_are() -> None:
    async with Issuer(OLD) as issuer:
        keys = key_set(KeyUrl(issuer.jwks_url))
        await keys.reload()
    await keys.reload()
    assert (key_ids(keys), keys.failures) == (["old"], 1)


async def test_a_fault_of_a_source_does_not_end_the_fetching() -> None:
    class Broken(Source):
        async def fetch(self) -> Fetched:
            raise ZeroDivisionError("secret")

    keys = key_set(Broken())
    await keys.reload()
    assert keys.problem == "a fault of the proxy (ZeroDivisionError)"


@pytest.mark.parametrize(
    ("max_age", "seconds"), [(None, 300.0), (0.0, 60.0), (59.0, 60.0), (1800.0, 1800.0), (9e8, 3600.0)]
)
async def test_keys_are_fetched_again_when_they_are_no_longer_fresh(max_age: float | None, seconds: float) -> None:
    source, pauses = Source(OLD), Pauses()
    source.max_age = max_age
    keys = KeySet(source, pause=pauses, chance=lambda: 0.0)
    keys.start()
    await pauses.reached()
    await pauses.over()
    assert (pauses.seconds, source.asked) == ([seconds, seconds], 2)
    await keys.close()


async def test_retries_come_slower_and_slower_until_one_brings_keys() -> None:
    source, pauses = Source(OLD), Pauses()
    source.problem = "gone"
    keys = KeySet(source, pause=pauses, chance=lambda: 0.0)
    keys.start()
    await pauses.reached()
    for _ in range(7):
        await pauses.over()
    source.problem = None
    await pauses.over()
    assert pauses.seconds == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 300.0]
    await keys.close()


async def test_chance_keeps_workers_out_of_step() -> None:
    pauses = Pauses()
    keys = KeySet(Source(OLD), pause=pauses, chance=lambda: 0.5)
    keys.start()
    await pauses.reached()
    assert pauses.seconds == [285.0]
    await keys.close()


async def test_closing_ends_what_runs_and_keeps_the_keys() -> None:
    source = Source(OLD)
    keys = key_set(source)
    keys.start()
    await keys.ask()
    await keys.close()
    await keys.close()
    assert key_ids(keys) == ["old"]
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_closing_ends_a_fetch_that_hangs() -> None:
    source = Source(OLD)
    source.gate = asyncio.Event()
    keys = key_set(source)
    keys.start()
    await asyncio.sleep(0)
    await keys.close()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


async def test_a_key_file_is_read_again_on_reload(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(Issuer(OLD).jwks())
    keys = key_set(KeyFile(str(file)))
    await keys.reload()
    file.write_bytes(Issuer(NEW).jwks())
    await keys.reload()
    assert key_ids(keys) == ["new"]
    file.write_bytes(b"half a fi")
    await keys.reload()
    assert key_ids(keys) == ["new"]


async def test_keys_that_are_not_used_are_told(caplog: pytest.LogCaptureFixture) -> None:
    async with Issuer(OLD) as issuer:
        issuer.body = issuer.jwks().replace(b'{"keys": [', b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"},')
        await key_set(KeyUrl(issuer.jwks_url)).reload()
    assert [record.message.split(": ")[1] for record in caplog.records] == ["a key is symmetric"]
    assert "c2VjcmV0" not in caplog.text


async def test_those_who_wait_when_it_closes_are_answered_and_not_cancelled() -> None:
    source = Source(OLD)
    source.gate = asyncio.Event()
    keys = key_set(source)
    asking = asyncio.create_task(keys.ask())
    await source.begun.wait()
    await keys.close()
    with pytest.raises(RequestError):
        await asking
    assert not keys.askable
    with pytest.raises(RequestError):
        await keys.ask()
    await keys.reload()
    assert source.asked == 1


async def test_a_reload_looks_again_though_a_fetch_has_begun() -> None:
    source = Source(OLD)
    source.gate = asyncio.Event()
    keys = key_set(source)
    keys.start()
    reloading = asyncio.create_task(keys.reload())
    await source.begun.wait()
    source.gate.set()
    await reloading
    assert source.asked == 2
    await keys.close()
