"""What is alive of one address of a model server: plain state, no input or output."""

from proxy.config.spec import EndpointSpec


class Endpoint:
    """Owns what is known of an endpoint. It outlives reloads: state is kept by (server, address).

    `available` says that it takes new requests, `in_flight` counts the requests that hold a lease on it; whoever raises
    it lowers it again in the same block.
    """

    __slots__ = ("address", "available", "host", "in_flight", "prefix", "server", "spec", "weight")

    def __init__(self, server: str, spec: EndpointSpec) -> None:
        self.server = server
        self.spec = spec
        self.address = spec.address
        self.host = _authority(spec)
        self.prefix = spec.prefix.encode()
        self.weight = spec.weight
        self.in_flight = 0
        self.available = True

    def __repr__(self) -> str:
        return f"<Endpoint {self.address} {self.state}, {self.in_flight} in flight>"

    @property
    def state(self) -> str:
        """One word for an operator."""
        return "available" if self.available else "unavailable"

    def adopt(self, spec: EndpointSpec) -> None:
        """Follow a reload: labels and weight may have changed, the address has not."""
        self.spec = spec
        self.weight = spec.weight


def _authority(spec: EndpointSpec) -> bytes:
    """The Host field of requests that go there (RFC 9110 7.2)."""
    name = f"[{spec.host}]" if ":" in spec.host else spec.host
    default = 443 if spec.scheme == "https" else 80
    return (name if spec.port == default else f"{name}:{spec.port}").encode()
