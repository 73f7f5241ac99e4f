"""The control plane: it starts and replaces workers, reloads the configuration, and ends all of it in order."""

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from proxy.access.shared_table import SharedTable
from proxy.config.settings_spec import Listener, Settings
from proxy.errors import ConfigError, Problem, Severity
from proxy.runtime.admin import AdminServer
from proxy.runtime.auth_files import auth_files, check_auth_files
from proxy.runtime.canaries import Action
from proxy.runtime.canary_keeper import CanaryKeeper
from proxy.runtime.canary_plan import CanaryWeights
from proxy.runtime.canary_state import CanaryStore
from proxy.runtime.canary_status import CanaryStatus, canary_status
from proxy.runtime.channel import ReloadSecrets, ReopenLogs
from proxy.runtime.outlook import Outlook, World
from proxy.runtime.process import WORKER, WorkerFailedError
from proxy.runtime.processors import count_processors
from proxy.runtime.reading import READER, Reading, read_configuration
from proxy.runtime.reload import Outcome, Reloader, Verdict
from proxy.runtime.resources import Resources, Statuses
from proxy.runtime.service_plan import ServiceStatus, service_certificates
from proxy.runtime.services import Services
from proxy.runtime.sockets import bind_all, spell
from proxy.runtime.status import Status, build_status
from proxy.runtime.version import own_version
from proxy.runtime.watch import Watcher
from proxy.runtime.workers import Workers
from proxy.telemetry.exposition import CanaryFacts, ControlFacts, render
from proxy.telemetry.report import WorkerReport

STATUS_PAUSE = 5.0
"""Seconds between two looks at how servers and routes stand: so exact is the time that a status gives for a change."""

LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.HINT: logging.INFO}

LOG = logging.getLogger("penstock.supervisor")


@dataclass(frozen=True, slots=True)
class Commands:
    """How the other processes are started."""

    worker: Sequence[str] = WORKER
    reader: Sequence[str] = READER


class Supervisor:
    """A life in three verbs: startup, main_loop, shutdown.

    Its state: the reading in force, and how far its life has come. The workers and the reloader own the rest.
    """

    def __init__(self, settings: Settings, commands: Commands = Commands()) -> None:
        self._settings = replace(settings, workers=settings.workers or count_processors())
        self._commands = commands
        self._reloader = Reloader()
        self._routes = Watcher(settings.routes)
        self._secrets = Watcher(())
        self._admin = None if settings.admin is None else AdminServer(self, settings.admin)
        self._workers: Workers | None = None
        self._services: Services | None = None
        self._reading = Reading()
        self._statuses = Statuses()
        self._reloading = asyncio.Lock()
        store = CanaryStore(None if settings.state is None else Path(settings.state))
        self._canaries = CanaryKeeper(self, store, self._reloading)
        self._serving = False
        self._hangup = asyncio.Event()
        self._ending = asyncio.Event()
        self._hurried: signal.Signals | None = None

    # --- the life ----------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Serve until told to stop. Returns the exit status: 0; 130 where a second SIGINT cut the drain short.

        Raises ConfigError, BindError or WorkerFailedError when it cannot begin.
        """
        life = asyncio.create_task(self._live())
        try:
            with self._signals(life):
                await asyncio.wait([life])
            return self._status(life)
        finally:
            life.cancel()
            await asyncio.wait([life])
            await self._clear()

    async def _live(self) -> None:
        await self._startup()
        await self._main_loop()
        await self._shutdown()

    async def _startup(self) -> None:
        """From files to workers that serve. Nothing listens before the configuration is known to be good."""
        await self._routes.look()
        faults = await asyncio.to_thread(check_auth_files, [self._settings.auth])
        if any(fault.severity is Severity.ERROR for fault in faults):
            raise ConfigError(faults)
        self._log_problems(faults)
        reading = await self._read()
        if not reading.usable:
            raise ConfigError(reading.problems)
        self._log_problems(reading.problems)
        self._watch(reading)
        listeners, rows = bind_all(self._settings.listeners, self._settings.workers)
        self._settings = replace(self._settings, listeners=listeners)
        table = SharedTable.create(self._settings.workers)
        self._workers = Workers(self._settings, rows, table, self._commands.worker, self._metrics)
        admin = None if self._admin is None else await self._admin.start()
        courses = self._canaries.prospect(reading)
        reading = msgspec.structs.replace(reading, weights=self._canaries.weights(courses))
        await self._workers.start(reading)
        self._services = Services(self._workers, self._settings, admin)
        await self._services.set(reading.services)
        self._reading = reading
        await self._canaries.adopt(courses)
        self._reloader.begin(reading, time.time())
        self._serving = True
        self._announce(reading, admin)

    async def _main_loop(self) -> None:
        """Replace workers, follow files and SIGHUP, until told to stop."""
        async with asyncio.TaskGroup() as tasks:
            duties = [
                tasks.create_task(duty)
                for duty in (
                    self._present_workers.keep(),
                    self._present_services.keep(),
                    self._canaries.keep(),
                    self._follow_statuses(),
                    self._follow_routes(),
                    self._follow_secrets(),
                    self._follow_hangups(),
                )
            ]
            await self._ending.wait()
            for duty in duties:
                duty.cancel()

    async def _shutdown(self) -> None:
        """Let everything in flight come to its end."""
        self._serving = False
        LOG.info("draining for up to %.0f s; a second signal stops at once", self._settings.drain_timeout)
        await self._present_workers.drain(self._settings.drain_notice, self._settings.drain_timeout)
        LOG.info("stopped")

    async def _clear(self) -> None:
        """Leave nothing behind, however it ended."""
        if self._workers is not None:
            await self._workers.stop()
        if self._admin is not None:
            await self._admin.close()

    def _status(self, life: "asyncio.Task[None]") -> int:
        if self._hurried is not None and life.cancelled():
            return 130 if self._hurried is signal.SIGINT else 0
        life.result()
        return 0

    # --- signals -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _signals(self, life: "asyncio.Task[None]") -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._end, signal.SIGTERM, life)
        loop.add_signal_handler(signal.SIGINT, self._end, signal.SIGINT, life)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _end(self, number: signal.Signals, life: "asyncio.Task[None]") -> None:
        if self._serving and not self._ending.is_set():
            self._ending.set()
            return
        self._hurried = number
        life.cancel()

    # --- reloads -----------------------------------------------------------------------------------------------------

    async def reload(self) -> Outcome:
        """Read the configuration again, now, and put it in force if it is good and new."""
        async with self._reloading:
            reading = await self._read()
            outcome, problems = await self._adopt(reading)
            if outcome is Outcome.APPLIED:
                await self._present_services.set(reading.services)
            else:
                await self._present_services.retry()
            if not outcome.successful:
                await asyncio.to_thread(self._watch, self._reading, reading)
            self._reloader.record(outcome, reading, time.time(), problems)
            self._log_problems((*reading.problems, *problems))
            LOG.log(
                logging.INFO if outcome.successful else logging.ERROR,
                "configuration %s: version %s is in force, routes: %d",
                outcome.value,
                self._reloader.version,
                self._reading.route_count,
            )
            return outcome

    async def _adopt(self, reading: Reading) -> tuple[Outcome, tuple[Problem, ...]]:
        match self._reloader.judge(reading):
            case Verdict.KEEP:
                return Outcome.REJECTED, ()
            case Verdict.NOTHING:
                return Outcome.UNCHANGED, ()
            case Verdict.APPLY:
                courses = self._canaries.prospect(reading)
                reading = msgspec.structs.replace(reading, weights=self._canaries.weights(courses))
                # Before workers read them: what changes from now on, they are told.
                await asyncio.to_thread(self._watch, reading, self._reading)
                try:
                    await self._present_workers.apply(reading)
                except WorkerFailedError as error:
                    return Outcome.FAILED, (self._not_applied(error),)
                self._reading = reading
                await self._canaries.adopt(courses)
                self._watch(reading)
                return Outcome.APPLIED, ()

    async def put_weights(self, weights: tuple[CanaryWeights, ...]) -> None:
        """Put these weights in force, on the road of a changed file. Whoever asks holds the lock of reloads.

        Raises WorkerFailedError.
        """
        if weights != self._reading.weights:
            reading = msgspec.structs.replace(self._reading, weights=weights)
            await self._present_workers.apply(reading)
            self._reading = reading

    def _not_applied(self, error: WorkerFailedError) -> Problem:
        return Problem(Severity.ERROR, "not-applied", ", ".join(self._settings.routes), 0, 0, "", str(error))

    async def _read(self) -> Reading:
        return await read_configuration(self._settings.routes, self._commands.reader)

    def _watch(self, *readings: Reading) -> None:
        """Watch all that these were read from, and all secrets that they name."""
        self._routes.watch_also([file for reading in readings for file in reading.files])
        secrets = [file for reading in readings for file in self._secret_files(reading)]
        self._secrets.watch_also((*self._listener_certificates(), *secrets))

    def _secret_files(self, reading: Reading) -> Iterator[str]:
        yield from reading.watched
        yield from service_certificates(self._settings.secrets, reading.services)
        if self._settings.secrets is not None:
            yield from (str(Path(self._settings.secrets, place)) for place in reading.credentials)
        if self._settings.auth is not None:
            yield from auth_files(self._settings.auth)

    def _listener_certificates(self) -> Iterator[str]:
        for listener in (*self._settings.listeners, self._settings.admin):
            if listener is not None and listener.tls is not None:
                yield from (listener.tls.cert, listener.tls.key, *filter(None, [listener.tls.client_ca]))

    async def _follow_routes(self) -> None:
        async with aclosing(self._routes.changes()) as changes:
            async for _ in changes:
                await self.reload()

    async def _follow_secrets(self) -> None:
        async with aclosing(self._secrets.changes()) as changes:
            async for _ in changes:
                await self._reload_secrets()
                if not self._reloader.facts().last_reload_successful:
                    await self.reload()

    async def _follow_hangups(self) -> None:
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            await self._present_workers.tell(ReopenLogs())
            await self._reload_secrets()
            await self.reload()

    async def _follow_statuses(self) -> None:
        while True:
            self._statuses.observe(await self._outlook(), time.time())
            await asyncio.sleep(STATUS_PAUSE)

    async def _reload_secrets(self) -> None:
        LOG.info("certificates and keys are read again")
        await self._present_workers.tell(ReloadSecrets())
        await self._present_services.settle()
        try:
            if self._admin is not None:
                self._admin.reload_certificate()
        except ConfigError as error:
            self._log_problems(error.problems)

    # --- what the admin listener asks --------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether requests are served and nothing drains."""
        alive = self._workers is not None and self._workers.alive
        return self._serving and alive and not self._ending.is_set()

    async def reports(self) -> Sequence[WorkerReport]:
        """What is going on in each worker."""
        return [] if self._workers is None else await self._workers.reports()

    def problems(self) -> tuple[Problem, ...]:
        """What was found when the configuration was last read."""
        return self._reloader.facts().problems

    def facts(self) -> ControlFacts:
        """What the metrics show."""
        facts = self._reloader.facts()
        control = ControlFacts(
            config_version=facts.version,
            last_reload_successful=facts.last_reload_successful,
            last_success=facts.last_success,
            reloads=facts.reloads,
            problems=len(facts.problems),
            canaries=[
                CanaryFacts(view.plan.route, view.plan.rule, view.phase.value, view.weight)
                for view in self._canaries.views()
            ],
        )
        if self._workers is None:
            return control
        return replace(control, worker_restarts=self._workers.restarts, departed=self._workers.departed)

    async def status(self) -> Status:
        """What `/status` shows."""
        listeners = [url_of(listener) for listener in self._settings.listeners]
        reports = await self.reports()
        facts = self._reloader.facts()
        return build_status(own_version(), self.ready, listeners, self._reading, facts, reports, self.services())

    async def resources(self) -> Resources:
        """What `/servers`, `/routes` and `/rewrites` show."""
        return self._statuses.list(await self._outlook(), time.time())

    async def _outlook(self) -> Outlook:
        reports = await self.reports()
        facts = self._reloader.facts()
        world = World(
            reports=reports,
            services=self.services(),
            canaries=self.canaries(),
            problems=facts.problems,
            successful=facts.last_reload_successful,
            listeners=[url_of(listener) for listener in self._settings.listeners],
            machine=socket.gethostname(),
        )
        return Outlook(self._reading.facts, world)

    def services(self) -> tuple[ServiceStatus, ...]:
        """How the ports stand that model servers have of their own."""
        return () if self._services is None else self._services.statuses

    def canaries(self) -> list[CanaryStatus]:
        """What `/canaries` shows."""
        return [canary_status(view) for view in self._canaries.views()]

    async def command_canary(self, action: Action, name: str) -> CanaryStatus:
        """Do with a canary as an operator asks.

        Raises CanaryError, and WorkerFailedError where it is decided but not in force.
        """
        return canary_status(await self._canaries.command(action, name))

    # --- small things ------------------------------------------------------------------------------------------------

    @property
    def _present_workers(self) -> Workers:
        if self._workers is None:
            raise AssertionError("no workers before the startup")
        return self._workers

    @property
    def _present_services(self) -> Services:
        if self._services is None:
            raise AssertionError("no services before the startup")
        return self._services

    async def _metrics(self) -> bytes:
        return render(await self.reports(), self.facts())

    def _log_problems(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            LOG.log(LEVELS[problem.severity], "%s", problem)

    def _announce(self, reading: Reading, admin: Listener | None) -> None:
        LOG.info(
            "penstock %s serves on %s, workers: %d, admin on %s; configuration %s, routes: %d, servers: %d",
            own_version(),
            ", ".join(url_of(listener) for listener in self._settings.listeners),
            self._settings.workers,
            "no address" if admin is None else url_of(admin),
            reading.version,
            reading.route_count,
            len(reading.servers),
        )


def url_of(listener: Listener) -> str:
    """A listener's address as a URL."""
    return f"{'https' if listener.tls else 'http'}://{spell(listener)}"
