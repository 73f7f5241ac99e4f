"""What keeps a worker from sending a model server's requests on, as its report tells it."""

from collections.abc import Iterable

from proxy.config.spec import Credential
from proxy.telemetry.report import ServerProblem
from proxy.upstream.server import UpstreamServer


def server_problems(servers: Iterable[UpstreamServer]) -> list[ServerProblem]:
    """The servers whose engines want to be shown what could not be read."""
    return [
        ServerProblem(server.spec.name, f"what its engines are shown cannot be read: {_place(server.spec.credential)}")
        for server in servers
        if server.lacks_credential
    ]


def _place(credential: Credential | None) -> str:
    """Where it should be; never what it is."""
    if credential is None:
        return "its credential"
    return credential.file or f"{credential.key} of the secret {credential.secret}"
