"""What keeps a worker from sending a model server's requests on, as its report tells it."""

from proxy.telemetry.report import ServerProblem
from proxy.upstream.server import ServerRegistry


def server_problems(registry: ServerRegistry) -> list[ServerProblem]:
    """The servers whose engines want to be shown what cannot be read, or could not when it was read last."""
    return [
        ServerProblem(name, why, kept=not registry.servers[name].lacks_credential)
        for name, why in registry.unread.items()
    ]
