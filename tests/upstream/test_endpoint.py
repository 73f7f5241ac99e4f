"""Promises of an endpoint's state."""

import pytest

from proxy.config.spec import EndpointSpec
from proxy.upstream.endpoint import Endpoint


@pytest.mark.parametrize(
    ("spec", "host"),
    [
        (EndpointSpec("http", "a", 80), b"a"),
        (EndpointSpec("http", "a", 443), b"a:443"),
        (EndpointSpec("https", "a", 443), b"a"),
        (EndpointSpec("https", "a", 80), b"a:80"),
        (EndpointSpec("http", "10.0.0.1", 8000), b"10.0.0.1:8000"),
        (EndpointSpec("http", "::1", 8000), b"[::1]:8000"),
        (EndpointSpec("http", "::1", 80), b"[::1]"),
    ],
)
def test_requests_carry_the_endpoints_own_host(spec: EndpointSpec, host: bytes) -> None:
    assert Endpoint("qwen", spec).host == host


def test_a_repr_tells_an_operator_the_truth() -> None:
    endpoint = Endpoint("qwen", EndpointSpec("http", "a", 8000, prefix="/v1"))
    endpoint.in_flight = 3
    assert repr(endpoint) == "<Endpoint http://a:8000/v1 available, 3 in flight>"
    endpoint.available = False
    assert repr(endpoint) == "<Endpoint http://a:8000/v1 unavailable, 3 in flight>"


def test_an_endpoint_follows_its_spec_and_keeps_its_state() -> None:
    endpoint = Endpoint("qwen", EndpointSpec("http", "a", 8000))
    endpoint.in_flight = 3
    endpoint.adopt(EndpointSpec("http", "a", 8000, weight=5, labels=(("zone", "b"),)))
    assert (endpoint.weight, endpoint.in_flight, endpoint.available) == (5, 3, True)


def test_an_endpoint_has_room_until_its_bound_over_all_workers_is_reached() -> None:
    endpoint = Endpoint("qwen", EndpointSpec("http", "a", 8000))
    assert endpoint.has_room
    endpoint.limit = 1
    assert endpoint.has_room
    assert endpoint.claim()
    assert not endpoint.has_room
    assert not endpoint.claim()
    assert endpoint.gauge.total() == 1
    endpoint.limit = None
    assert endpoint.has_room
    assert endpoint.claim()
