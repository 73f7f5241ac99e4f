"""A configuration as the supervisor holds it: checked, cut in pieces for the workers, and summed up for `/status`.

It is read in a process of its own, `proxy.runtime.reader`: parsing 10,000 routes takes seconds in which the interpreter
would answer no one, and the memory that it takes goes back with the process.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from proxy.errors import PenstockError, Problem, Severity
from proxy.runtime.canary_plan import CanaryPlan, CanaryWeights
from proxy.runtime.children import child_environment, module_command
from proxy.runtime.resource_facts import ResourceFacts
from proxy.runtime.service_plan import ServicePort
from proxy.runtime.summary import ServerSummary

READER = tuple(module_command("proxy.runtime.reader"))
TIMEOUT = 300.0  # seconds; a reader that takes longer hangs on a file system


class ReaderFailedError(PenstockError):
    """The reader's process ended without an answer."""


class Reading(msgspec.Struct, frozen=True):
    """What was read. `pieces` is empty where the configuration cannot be used; `routes` is JSON.

    `files` were read or looked for; `watched` are certificates, keys and credentials, which workers read themselves,
    and `credentials` more of those, as places in the folder of secrets; `services` are the ports that
    model servers have of their own. `weights` stand in place of those of some rules with `canaries`: the reader leaves
    them empty. `facts` is what the statuses of resources need.
    """

    version: str = ""
    problems: tuple[Problem, ...] = ()
    files: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    services: tuple[ServicePort, ...] = ()
    canaries: tuple[CanaryPlan, ...] = ()
    pieces: tuple[bytes, ...] = ()
    weights: tuple[CanaryWeights, ...] = ()
    servers: tuple[ServerSummary, ...] = ()
    routes: bytes = b"[]"
    route_count: int = 0
    facts: ResourceFacts = ResourceFacts()

    @property
    def usable(self) -> bool:
        """Whether it may be put in force. One without a route may not: so looks a folder that went away."""
        return self.route_count > 0 and not any(problem.severity is Severity.ERROR for problem in self.problems)


async def read_configuration(paths: Sequence[str], command: Sequence[str] = READER) -> Reading:
    """Read what lies at these paths. Whatever goes wrong is a problem in the answer."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await run_reader((*command, *paths))
    except TimeoutError:
        return failed_reading(paths, f"reading took longer than {TIMEOUT:.0f} s")
    except (OSError, ReaderFailedError) as error:
        return failed_reading(paths, str(error))


async def run_reader(command: Sequence[str]) -> Reading:
    """Run the reader to its end. Raises OSError or ReaderFailedError; leaves no process behind."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=child_environment(),
        process_group=0,  # Ctrl-C in a terminal is for the supervisor
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise ReaderFailedError(f"the reader ended with status {process.returncode}: {last}")
    try:
        return msgspec.msgpack.decode(output, type=Reading)
    except msgspec.MsgspecError as error:
        raise ReaderFailedError(f"the reader's answer cannot be read: {error}") from error


def failed_reading(paths: Sequence[str], message: str) -> Reading:
    """A reading that brought nothing but the reason."""
    problem = Problem(Severity.ERROR, "reader-failed", ", ".join(paths), 0, 0, "", message)
    return Reading(problems=(problem,))
