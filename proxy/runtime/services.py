"""The supervisor's side of model servers' own ports: which may be opened, how they stand, and when to try again."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

from proxy.config.settings_spec import Listener, Settings
from proxy.runtime.service_plan import ServiceFailure, ServicePort, ServiceStatus, service_hosts
from proxy.runtime.sockets import BindError, refuse_shared, spell

RETRY = 30.0
"""Seconds after which a port that could not be opened is tried again, if nothing changes before."""

LISTENING, FAILED = "listening", "failed"

LOG = logging.getLogger("penstock.services")


class Opener(Protocol):
    """What opens ports: all workers."""

    services_lacking: bool

    async def set_services(self, ports: Sequence[ServicePort], /) -> list[ServiceFailure]:
        """Have these ports open and no others. Returns what failed."""


class Services:
    """Opens ports in every worker or in none; one that cannot be opened is the problem of its servers alone.

    Its state: the ports that are asked for, those that are open, and how they stand.
    """

    def __init__(self, workers: Opener, settings: Settings, admin: Listener | None) -> None:
        self.statuses: tuple[ServiceStatus, ...] = ()
        self._workers = workers
        self._hosts = service_hosts(settings)
        self._taken = {listener.port: "a listener" for listener in settings.listeners}
        if admin is not None:
            self._taken[admin.port] = "the admin listener"
        self._plan: Sequence[ServicePort] = ()
        self._open: frozenset[int] = frozenset()
        self._settling = asyncio.Lock()

    async def set(self, plan: Sequence[ServicePort]) -> None:
        """Have these ports open and no others."""
        self._plan = plan
        await self.settle()

    async def settle(self) -> None:
        """Try all that is asked for, with the certificates that are on disk now."""
        async with self._settling:
            plan = self._plan
            obstacles = {port.port: told for port in plan if (told := self._obstacle(port.port)) is not None}
            wanted = [port for port in plan if port.port not in obstacles]
            failures = await self._workers.set_services(wanted) if wanted or self._open else []
            broken = {failure.port: failure.message for failure in failures if failure.secret is None}
            if broken:
                wanted = [port for port in wanted if port.port not in broken]
                await self._workers.set_services(wanted)
            self._open = frozenset(port.port for port in wanted)
            before, self.statuses = self.statuses, tuple(self._statuses(plan, obstacles | broken, failures))
            tell(before, self.statuses)

    async def retry(self) -> None:
        """Try again what does not stand as it should, if anything does not."""
        if self._workers.services_lacking or any(status.message for status in self.statuses):
            await self.settle()

    async def keep(self) -> None:
        """Try again from time to time, until cancelled."""
        while True:
            await asyncio.sleep(RETRY)
            await self.retry()

    def _obstacle(self, port: int) -> str | None:
        """Why a port must not be opened."""
        if port in self._taken:
            return f"port {port} is that of {self._taken[port]}"
        if port in self._open:
            return None
        try:
            for host in self._hosts:
                refuse_shared(Listener(host, port))
        except BindError as error:
            return str(error)
        return None

    def _statuses(
        self, plan: Sequence[ServicePort], obstacles: dict[int, str], failures: Sequence[ServiceFailure]
    ) -> Iterator[ServiceStatus]:
        for port in plan:
            own = [failure for failure in failures if failure.port == port.port and failure.secret is not None]
            obstacle = obstacles.get(port.port)
            if obstacle is not None:
                message = ": ".join((obstacle, *filter(None, ["; ".join(failure.message for failure in own)])))
                yield ServiceStatus(port.port, port.names, FAILED, message)
            else:
                yield from self._listening(port, own)

    def _listening(self, port: ServicePort, failures: Sequence[ServiceFailure]) -> Iterator[ServiceStatus]:
        """An open port: its servers stand as their certificates do."""
        scheme = "https" if port.secure else "http"
        urls = tuple(f"{scheme}://{spell(Listener(host, port.port))}" for host in self._hosts)
        told: set[str] = set()
        for secret in port.secrets:
            own = [failure for failure in failures if failure.secret == secret]
            if own:
                kept = all(failure.kept for failure in own)
                users, message = port.users_of(secret), "; ".join(dict.fromkeys(failure.message for failure in own))
                yield ServiceStatus(port.port, users, LISTENING if kept else FAILED, message, urls if kept else ())
                told.update(users)
        sound = tuple(name for name in port.names if name not in told)
        if sound:
            yield ServiceStatus(port.port, sound, LISTENING, urls=urls)


def tell(before: Sequence[ServiceStatus], now: Sequence[ServiceStatus]) -> None:
    """Log what has changed."""
    for status in now:
        if status in before:
            continue
        level = logging.ERROR if status.message else logging.INFO
        note = f": {status.message}" if status.message else f" on {', '.join(status.urls)}"
        LOG.log(level, "port %d of %s: %s%s", status.port, ", ".join(status.servers), status.state, note)
