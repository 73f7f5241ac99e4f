"""Promises of model servers across reloads."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from proxy.config.access_spec import Queueing
from proxy.config.spec import Balance, Disaggregation, EndpointSpec, ModelServer, Origin, UpstreamTls
from proxy.upstream.connection import UpstreamConnection
from proxy.upstream.gate import Gate, NoPlaceError
from proxy.upstream.gauge import LocalGauges
from proxy.upstream.pool import ConnectionPool
from proxy.upstream.server import ServerRegistry, UpstreamServer, serving_endpoints
from proxy.wire.clock import Sweeper
from tests.transports import FakeTransport, StillLoop
from tests.upstream.paused import PausedLoop, turns
from tests.upstream.talks import answer

A, B, C = (EndpointSpec("http", name, 8000) for name in "abc")
QWEN = ModelServer("qwen", (A, B))


class House:
    """A registry, and reloads of it."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or cast("Any", StillLoop())
        self._sweeper = Sweeper(self._loop)
        self.registry = ServerRegistry(self._loop, self._sweeper)

    def reload(self, *specs: ModelServer) -> UpstreamServer | None:
        self.registry.replace({spec.name: self.registry.adopt(spec) for spec in specs})
        return self.registry.servers.get("qwen")

    def keeps(self, pool: ConnectionPool) -> bool:
        """Whether this pool keeps a connection that has just been used."""
        connection = UpstreamConnection(self._loop, self._sweeper)
        transport = FakeTransport(connection)
        transport.connect()
        connection.send(b"GET", [b"x"], first_byte=None, idle=None, total_deadline=1e9)
        transport.receive(answer(b"ok"))
        pool.give_back(connection)
        return not transport.aborted

    def load(self, spec: ModelServer = QWEN) -> UpstreamServer:
        server = self.reload(spec)
        assert server is not None
        return server


def test_an_endpoint_that_stays_keeps_its_state_and_its_connections() -> None:
    house = House()
    first = house.load()
    staying = first.endpoints[0]
    staying.in_flight = 3
    second = house.load(replace(QWEN, endpoints=(replace(A, weight=7), C)))
    assert second.endpoints[0] is staying
    assert second.pools[staying] is first.pools[staying]
    assert (staying.in_flight, staying.weight, staying.available) == (3, 7, True)


def test_an_endpoint_that_went_finishes_what_it_has_and_keeps_no_connection() -> None:
    house = House()
    first = house.load()
    gone = first.endpoints[1]
    new = house.load(replace(QWEN, endpoints=(A, C)))
    assert [endpoint.address for endpoint in new.endpoints] == ["http://a:8000", "http://c:8000"]
    assert not house.keeps(first.pools[gone])
    assert house.keeps(first.pools[first.endpoints[0]])
    assert gone.available
    assert first.take([first.endpoints[0]]) is gone


def test_no_connection_to_a_server_that_went_is_kept() -> None:
    house = House()
    gone = house.load()
    house.reload()
    assert not any(house.keeps(pool) for pool in gone.pools.values())
    assert house.registry.servers == {}


def test_an_endpoint_of_another_server_is_another_endpoint() -> None:
    house = House()
    house.reload(QWEN, replace(QWEN, name="other"))
    one, other = house.registry.servers.values()
    assert one.endpoints[0].address == other.endpoints[0].address
    assert one.endpoints[0] is not other.endpoints[0]


def test_a_server_that_did_not_change_is_the_same_server() -> None:
    house = House()
    assert house.load() is house.load(replace(QWEN))


def test_nothing_is_taken_from_anyone_before_the_swap() -> None:
    house = House()
    server = house.load()
    house.registry.adopt(replace(QWEN, endpoints=(C,)))
    assert all(house.keeps(pool) for pool in server.pools.values())
    assert house.registry.servers["qwen"] is server


def test_a_connection_made_under_other_tls_terms_carries_no_more_requests() -> None:
    secure = replace(QWEN, endpoints=(replace(A, scheme="https"),))
    house = House()
    first = house.load(secure)
    second = house.load(replace(secure, tls=UpstreamTls(server_name="other")))
    assert not house.keeps(first.pools[first.endpoints[0]])
    assert first.pools[first.endpoints[0]] is not second.pools[second.endpoints[0]]


@pytest.mark.parametrize(
    ("change", "policy", "budget"),
    [
        ({"origin": Origin("x.yaml", 1, 1, "")}, True, True),
        ({"endpoints": (A, C)}, True, True),
        ({"balance": Balance.ROUND_ROBIN}, False, True),
        ({"retry_budget": 0.5}, True, False),
    ],
)
def test_only_what_changed_begins_anew(change: dict[str, Any], policy: bool, budget: bool) -> None:
    house = House()
    first = house.load()
    second = house.load(replace(QWEN, **change))
    assert second is not first
    assert (second.policy is first.policy, second.budget is first.budget) == (policy, budget)


def test_a_tried_endpoint_is_not_taken_while_another_is_available() -> None:
    server = House().load()
    first, second = server.endpoints
    assert server.take([first]) is second
    assert server.take([second]) is first
    assert server.take([first, second]) is not None
    first.available = second.available = False
    assert server.take([]) is None


def test_a_repr_tells_an_operator_the_truth() -> None:
    assert repr(House().load()) == "<UpstreamServer qwen, 2 endpoints>"


def test_closing_closes_every_pool() -> None:
    house = House()
    server = house.load()
    house.registry.close()
    assert not any(house.keeps(pool) for pool in server.pools.values())


SECURE = ModelServer("qwen", (EndpointSpec("https", "a", 8443),), tls=UpstreamTls(verify=False))


def test_renewed_certificates_leave_no_connection_under_the_old_ones() -> None:
    house = House()
    pool = next(iter(house.load(SECURE).pools.values()))
    assert house.keeps(pool)
    assert house.registry.renew_secrets() == []
    assert pool.idle == 0
    assert house.keeps(pool)


def test_a_certificate_that_cannot_be_read_is_told_and_the_old_one_serves_on() -> None:
    house = House()
    server = house.load(SECURE)
    pool = next(iter(server.pools.values()))
    assert house.keeps(pool)
    server.spec = replace(SECURE, tls=UpstreamTls(ca="/nowhere/ca.pem"))
    (failure,) = house.registry.renew_secrets()
    assert "/nowhere/ca.pem" in failure
    assert pool.idle == 1


def test_whole_requests_go_to_the_endpoints_that_decode_where_prefill_has_its_own() -> None:
    prefill = replace(A, labels=(("role", "P"), ("group", "1")))
    decode = replace(B, labels=(("group", "1"), ("role", "D")))
    split = Disaggregation("group", (("role", "P"),), (("role", "D"),))
    assert serving_endpoints(ModelServer("s", (prefill, decode), disaggregation=split)) == (decode,)
    assert serving_endpoints(ModelServer("s", (prefill,), disaggregation=split)) == (prefill,)
    assert serving_endpoints(ModelServer("s", (prefill, decode))) == (prefill, decode)


@pytest.mark.parametrize("queueing", [None, Queueing(max_in_flight=9)], ids=["without a bound", "with one"])
def test_a_lease_counts_until_it_is_given_back(queueing: Queueing | None) -> None:
    server = House().load(replace(QWEN, queueing=queueing))
    endpoint = server.take(())
    assert endpoint is not None
    assert endpoint.in_flight == 1
    server.give_back(endpoint)
    assert endpoint.in_flight == 0


BOUND = replace(QWEN, queueing=Queueing(max_in_flight=1, max_pending=5))


def gate_of(server: UpstreamServer) -> Gate:
    assert server.gate is not None
    return server.gate


def sent_away(task: "asyncio.Task[Any]") -> str | None:
    error = task.exception()
    assert isinstance(error, NoPlaceError)
    return error.code


def test_only_a_server_with_a_bound_has_a_gate() -> None:
    assert House().load().gate is None
    assert House().load(replace(QWEN, queueing=Queueing(max_pending=5))).gate is None
    assert House().load(BOUND).gate is not None
    assert House().load(replace(QWEN, endpoints=(A, replace(B, max_in_flight=1)))).gate is not None


def test_a_gate_outlives_a_reload_and_learns_of_its_bounds_at_the_swap() -> None:
    house = House()
    first = house.load(BOUND)
    gate = gate_of(first)
    assert gate.take(()) is not None
    more = replace(BOUND, endpoints=(A, C), queueing=Queueing(max_in_flight=2))
    house.registry.adopt(more)
    assert gate.take(()) is None
    second = house.load(more)
    assert second.gate is gate
    assert gate.pools is second.pools
    assert gate.take((), first.pools) is second.endpoints[0]
    assert gate.take(()) is None


def test_bounds_that_come_again_still_know_of_what_is_in_flight() -> None:
    house = House()
    gate = gate_of(house.load(BOUND))
    endpoint = gate.take(())
    assert endpoint is not None
    assert house.load().gate is None
    again = gate_of(house.load(BOUND))
    assert again.take(()) is None
    gate.release(endpoint)
    assert again.take(()) is not None


def test_gauges_are_shared_by_whoever_hands_them_in() -> None:
    gauges = LocalGauges()
    loop = cast("Any", StillLoop())
    servers = [ServerRegistry(loop, Sweeper(loop), gauges).adopt(BOUND) for _ in range(2)]
    assert gate_of(servers[0]).take(()) is not None
    assert gate_of(servers[1]).take(()) is None


@pytest.mark.parametrize("after", [replace(QWEN), None], ids=["lifted", "gone"])
def test_who_waits_passes_when_bounds_are_lifted_and_is_told_when_the_server_goes(after: ModelServer | None) -> None:
    loop = PausedLoop()
    house = House(loop)
    gate = gate_of(house.load(BOUND))
    assert gate.take(()) is not None
    task = loop.create_task(gate.wait((), "c"))
    loop.run_until_complete(turns())
    house.reload(*([after] if after else []))
    loop.run_until_complete(asyncio.wait([task]))
    if after:
        assert task.result() in house.registry.servers["qwen"].pools
    else:
        assert sent_away(task) == "no_endpoint"
    loop.close()


def test_closing_sends_away_who_waits() -> None:
    loop = PausedLoop()
    house = House(loop)
    gate = gate_of(house.load(BOUND))
    assert gate.take(()) is not None
    task = loop.create_task(gate.wait((), "c"))
    loop.run_until_complete(turns())
    house.registry.close()
    loop.run_until_complete(asyncio.wait([task]))
    assert sent_away(task) == "no_endpoint"
    loop.close()
