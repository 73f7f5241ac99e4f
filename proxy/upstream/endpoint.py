"""What is alive of one address of a model server: plain state, no input or output."""

from proxy.config.spec import EndpointSpec
from proxy.upstream.gauge import Gauge, LocalGauge


class Endpoint:
    """Owns what is known of an endpoint. It outlives reloads: state is kept by (server, address).

    `available` says that it takes new requests, `in_flight` counts the requests that hold a lease on it; whoever raises
    it lowers it again in the same block. Where its server has a gate, that gate alone does so, and counts them over all
    workers in `gauge`; `limit` is how many there may be of those (None: no bound).
    """

    __slots__ = ("address", "available", "gauge", "host", "in_flight", "limit", "prefix", "server", "spec", "weight")

    def __init__(self, server: str, spec: EndpointSpec) -> None:
        self.server = server
        self.spec = spec
        self.address = spec.address
        self.host = _authority(spec)
        self.prefix = spec.prefix.encode()
        self.weight = spec.weight
        self.in_flight = 0
        self.available = True
        self.gauge: Gauge = LocalGauge()
        self.limit: int | None = None

    def __repr__(self) -> str:
        return f"<Endpoint {self.address} {self.state}, {self.in_flight} in flight>"

    @property
    def state(self) -> str:
        """One word for an operator."""
        return "available" if self.available else "unavailable"

    @property
    def has_room(self) -> bool:
        """Whether one more request stays within its bound. The claim that follows tells it for certain."""
        return self.limit is None or self.gauge.total() < self.limit

    def claim(self) -> bool:
        """Count one more request over all workers, if the bound allows it.

        Claimed first and looked at then: of two workers that claim the last place at once both may see the other and
        withdraw, but never both stay.
        """
        gauge, limit = self.gauge, self.limit
        gauge.add(1)
        if limit is not None and gauge.total() > limit:
            gauge.add(-1)
            return False
        return True

    def adopt(self, spec: EndpointSpec) -> None:
        """Follow a reload: labels and weight may have changed, the address has not."""
        self.spec = spec
        self.weight = spec.weight


def _authority(spec: EndpointSpec) -> bytes:
    """The Host field of requests that go there (RFC 9110 7.2)."""
    name = f"[{spec.host}]" if ":" in spec.host else spec.host
    default = 443 if spec.scheme == "https" else 80
    return (name if spec.port == default else f"{name}:{spec.port}").encode()
