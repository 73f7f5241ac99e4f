"""The entry of the short-lived process that reads a configuration: `python -m proxy.runtime.reader PATH…`."""

import os
import sys
from collections.abc import Sequence

import msgspec

from proxy.config.loader import LoadResult, load
from proxy.config.spec import Config
from proxy.runtime.auth_files import auth_files, check_auth_files
from proxy.runtime.canary_plan import canary_plans
from proxy.runtime.pieces import cut
from proxy.runtime.reading import Reading
from proxy.runtime.resource_facts import resource_facts
from proxy.runtime.service_plan import plan_services
from proxy.runtime.summary import summarize_routes, summarize_servers

NICENESS = 5  # requests in flight matter more than a reload


def main(paths: Sequence[str]) -> None:
    """Write the `Reading` of these paths to standard output. Whatever else is printed goes to standard error."""
    output, sys.stdout = sys.stdout.buffer, sys.stderr
    os.nice(NICENESS)
    output.write(msgspec.msgpack.encode(digest(load(paths))))
    output.flush()


def digest(result: LoadResult) -> Reading:
    """All that the supervisor needs of what was loaded."""
    config = result.config
    if config is None:
        return Reading(problems=result.problems, files=result.files)
    auths = [server.auth for server in config.servers.values()] + [route.auth for route in config.routes]
    faults = check_auth_files(auths)
    # A key file that keeps the configuration from being put in force is watched with its own files: once it is mended
    # all of them are read again.
    return Reading(
        version=config.version,
        problems=(*result.problems, *faults),
        files=(*result.files, *dict.fromkeys(fault.file for fault in faults)),
        watched=secret_files(config),
        credentials=credential_places(config),
        services=plan_services(config),
        canaries=tuple(canary_plans(config)),
        pieces=tuple(cut(config)),
        servers=summarize_servers(config),
        routes=msgspec.json.encode(summarize_routes(config)),
        route_count=len(config.routes),
        facts=resource_facts(config, result.filed),
    )


def secret_files(config: Config) -> tuple[str, ...]:
    """The certificates, keys and credentials that servers and routes name, which workers read for themselves."""
    files: set[str] = set()
    for server in config.servers.values():
        tls, credential = server.tls, server.credential
        files |= set() if tls is None else {path for path in (tls.ca, tls.cert, tls.key) if path is not None}
        if credential is not None and credential.file is not None:
            files.add(credential.file)
    auths = (*(server.auth for server in config.servers.values()), *(route.auth for route in config.routes))
    files.update(*(auth_files(auth) for auth in auths if auth is not None))
    return tuple(sorted(files))


def credential_places(config: Config) -> tuple[str, ...]:
    """Where in the folder of secrets the credentials lie that servers ask for."""
    found = (server.credential for server in config.servers.values() if server.credential is not None)
    return tuple(sorted({f"{one.secret}/{one.key}" for one in found if one.secret is not None}))


if __name__ == "__main__":
    main(sys.argv[1:])
