import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence

import pytest

from proxy.config.settings_spec import Listener, Settings
from proxy.runtime.service_plan import ServiceFailure, ServicePort, ServiceStatus
from proxy.runtime.services import Services

HOST = "127.0.0.1"


class FakeWorkers:
    """Opens what it is told to, with these failures."""

    def __init__(self) -> None:
        self.services_lacking = False
        self.failures: list[ServiceFailure] = []
        self.told: list[list[int]] = []

    async def set_services(self, ports: Sequence[ServicePort], /) -> list[ServiceFailure]:
        self.told.append([port.port for port in ports])
        return [failure for failure in self.failures if failure.port in self.told[-1]]


def plain(port: int, *servers: str) -> ServicePort:
    return ServicePort(port, tuple((server, None) for server in servers))


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def workers() -> FakeWorkers:
    return FakeWorkers()


@pytest.fixture
def services(workers: FakeWorkers) -> Services:
    return Services(workers, Settings(listeners=(Listener(HOST, 8400), Listener(HOST, 8443))), Listener(HOST, 8401))


@pytest.fixture
def occupied() -> Iterator[socket.socket]:
    with socket.create_server((HOST, 0)) as other:
        yield other


def states(services: Services) -> dict[tuple[str, ...], str]:
    return {status.servers: status.state for status in services.statuses}


async def test_a_port_is_opened_and_told(workers: FakeWorkers, services: Services) -> None:
    port = free_port()
    await services.set([plain(port, "a", "b")])
    assert workers.told == [[port]]
    assert services.statuses == (ServiceStatus(port, ("a", "b"), "listening", urls=(f"http://{HOST}:{port}",)),)


async def test_without_ports_no_worker_is_asked(workers: FakeWorkers, services: Services) -> None:
    await services.set([])
    assert (workers.told, services.statuses) == ([], ())


@pytest.mark.parametrize(("port", "whose"), [(8400, "a listener"), (8443, "a listener"), (8401, "the admin listener")])
async def test_a_port_of_the_proxy_itself_is_refused(
    workers: FakeWorkers, services: Services, port: int, whose: str
) -> None:
    await services.set([plain(port, "a")])
    assert workers.told == []
    assert services.statuses == (ServiceStatus(port, ("a",), "failed", f"port {port} is that of {whose}"),)


async def test_an_occupied_port_is_the_problem_of_its_servers_alone_until_it_is_free(
    workers: FakeWorkers, services: Services, occupied: socket.socket
) -> None:
    taken, free = occupied.getsockname()[1], free_port()
    await services.set([plain(taken, "a"), plain(free, "b")])
    assert workers.told == [[free]]
    assert services.statuses[0].message == f"cannot listen on {HOST}:{taken}: Address already in use"
    assert states(services) == {("a",): "failed", ("b",): "listening"}
    occupied.close()
    await services.retry()
    assert workers.told[-1] == [taken, free]
    assert states(services) == {("a",): "listening", ("b",): "listening"}


async def test_what_one_worker_cannot_open_is_open_in_none(workers: FakeWorkers, services: Services) -> None:
    bad, good = free_port(), free_port()
    workers.failures = [ServiceFailure(bad, "cannot listen")]
    await services.set([plain(bad, "a"), plain(good, "b")])
    assert workers.told == [[bad, good], [good]]
    assert services.statuses[0] == ServiceStatus(bad, ("a",), "failed", "cannot listen")
    workers.failures = []
    await services.retry()
    assert workers.told[-1] == [bad, good]
    assert states(services)["a",] == "listening"


async def test_a_secret_is_the_problem_of_the_servers_that_name_it(workers: FakeWorkers, services: Services) -> None:
    port = free_port()
    workers.failures = [ServiceFailure(port, "tls.crt: cannot be read", "x/bad")]
    await services.set([ServicePort(port, (("a", "x/good"), ("b", "x/bad"), ("c", None)))])
    assert services.statuses == (
        ServiceStatus(port, ("b",), "failed", "tls.crt: cannot be read"),
        ServiceStatus(port, ("a", "c"), "listening", urls=(f"https://{HOST}:{port}",)),
    )


async def test_a_secret_that_is_spoilt_while_its_certificate_is_shown_on_is_told(
    workers: FakeWorkers, services: Services
) -> None:
    port = free_port()
    workers.failures = [ServiceFailure(port, "no certificate", "x/a", kept=True)]
    await services.set([ServicePort(port, (("a", "x/a"),))])
    (status,) = services.statuses
    assert (status.state, status.message) == ("listening", "no certificate")


async def test_a_port_without_any_certificate_is_closed_and_says_why(workers: FakeWorkers, services: Services) -> None:
    port = free_port()
    workers.failures = [
        ServiceFailure(port, "tls.crt: gone", "x/a"),
        ServiceFailure(port, "no certificate can be shown"),
    ]
    await services.set([ServicePort(port, (("a", "x/a"),))])
    assert workers.told == [[port], []]
    assert services.statuses == (ServiceStatus(port, ("a",), "failed", "no certificate can be shown: tls.crt: gone"),)


async def test_ports_that_are_no_longer_asked_for_close(workers: FakeWorkers, services: Services) -> None:
    port = free_port()
    await services.set([plain(port, "a")])
    await services.set([])
    assert workers.told == [[port], []]
    assert services.statuses == ()


async def test_only_what_does_not_stand_as_it_should_is_tried_again(workers: FakeWorkers, services: Services) -> None:
    await services.set([plain(free_port(), "a")])
    await services.retry()
    assert len(workers.told) == 1
    workers.services_lacking = True
    await services.retry()
    assert len(workers.told) == 2


async def test_it_is_tried_again_by_itself(
    workers: FakeWorkers, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    workers.failures = [ServiceFailure(port, "cannot listen")]
    await services.set([plain(port, "a")])
    workers.failures = []
    monkeypatch.setattr("proxy.runtime.services.RETRY", 0.0)
    keeping = asyncio.create_task(services.keep())
    while states(services) != {("a",): "listening"}:  # noqa: ASYNC110
        await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_each_change_is_logged_once(
    workers: FakeWorkers, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    workers.failures = [ServiceFailure(port, "cannot listen")]
    with caplog.at_level(logging.INFO, "penstock.services"):
        await services.set([plain(port, "a")])
        await services.settle()
        workers.failures = []
        await services.settle()
    assert [record.getMessage() for record in caplog.records] == [
        f"port {port} of a: failed: cannot listen",
        f"port {port} of a: listening on http://{HOST}:{port}",
    ]
