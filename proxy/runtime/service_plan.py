"""What is asked of the ports that model servers have of their own, and what became of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from proxy.config.settings_spec import ListenerTls, Settings
from proxy.config.spec import Config
from proxy.routing.service_tables import servers_by_port


class ServicePort(msgspec.Struct, frozen=True):
    """A port with its servers, each with its secret ("namespace/name") if it has one.

    The port speaks TLS where any of them has: what one wants protected is never served in the clear.
    """

    port: int
    servers: tuple[tuple[str, str | None], ...]

    @property
    def secure(self) -> bool:
        """Whether it speaks TLS."""
        return bool(self.secrets)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets with its certificates, each once, in the servers' order."""
        return tuple(dict.fromkeys(secret for _, secret in self.servers if secret is not None))

    @property
    def names(self) -> tuple[str, ...]:
        """Its servers' names."""
        return tuple(name for name, _ in self.servers)

    def users_of(self, secret: str) -> tuple[str, ...]:
        """The servers that name a secret."""
        return tuple(name for name, named in self.servers if named == secret)


class ServiceFailure(msgspec.Struct, frozen=True):
    """What a worker could not do: open a port, or show the certificate of one of its secrets as it is on disk.

    `kept`: an earlier certificate of that secret is shown on.
    """

    port: int
    message: str
    secret: str | None = None
    kept: bool = False


class ServiceStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """How some servers stand at their port: "listening" at these URLs, or "failed" and why."""

    port: int
    servers: tuple[str, ...]
    state: str
    message: str = ""
    urls: tuple[str, ...] = ()


def plan_services(config: Config) -> tuple[ServicePort, ...]:
    """The ports that a configuration asks for."""
    return tuple(
        ServicePort(
            port,
            tuple((server.name, None if server.listener is None else server.listener.tls_secret) for server in servers),
        )
        for port, servers in sorted(servers_by_port(config).items())
    )


def service_hosts(settings: Settings) -> tuple[str, ...]:
    """The hosts that services listen on: those of the proxy's own listeners."""
    return tuple(dict.fromkeys(listener.host for listener in settings.listeners))


def secret_pair(folder: str | None, secret: str) -> ListenerTls | None:
    """The files of a mounted secret of the type kubernetes.io/tls; None without a folder of secrets."""
    if folder is None:
        return None
    place = Path(folder, secret)
    return ListenerTls(str(place / "tls.crt"), str(place / "tls.key"))


def service_certificates(folder: str | None, ports: Sequence[ServicePort]) -> Iterator[str]:
    """All files with certificates and keys that the ports need."""
    for port in ports:
        for secret in port.secrets:
            pair = secret_pair(folder, secret)
            if pair is not None:
                yield from (pair.cert, pair.key)
