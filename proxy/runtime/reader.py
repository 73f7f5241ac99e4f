"""The entry of the short-lived process that reads a configuration: `python -m proxy.runtime.reader PATH…`."""

import os
import sys
from collections.abc import Sequence

import msgspec

from proxy.config.loader import LoadResult, load
from proxy.config.spec import Config
from proxy.runtime.pieces import cut
from proxy.runtime.reading import Reading
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
    return Reading(
        version=config.version,
        problems=result.problems,
        files=result.files,
        certificates=upstream_certificates(config),
        pieces=tuple(cut(config)),
        servers=summarize_servers(config),
        routes=msgspec.json.encode(summarize_routes(config)),
        route_count=len(config.routes),
    )


def upstream_certificates(config: Config) -> tuple[str, ...]:
    """The files that model servers' TLS names."""
    specs = (server.tls for server in config.servers.values() if server.tls is not None)
    files = {path for spec in specs for path in (spec.ca, spec.cert, spec.key) if path is not None}
    return tuple(sorted(files))


if __name__ == "__main__":
    main(sys.argv[1:])
