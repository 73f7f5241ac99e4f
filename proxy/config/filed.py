"""What a resource of a file calls itself, so that what is told of it later goes by its own names."""

from dataclasses import dataclass

from proxy.config.spec import Origin


@dataclass(frozen=True, slots=True)
class FiledResource:
    """A resource's apiVersion, kind and metadata as filed, and where its name stands: the origin of what it becomes.

    `generation` and `created` (unix seconds) are None where it does not say.
    """

    api_version: str
    kind: str
    namespace: str
    name: str
    origin: Origin
    generation: int | None = None
    created: float | None = None

    @property
    def key(self) -> str:
        """How others call it: "namespace/name"."""
        return f"{self.namespace}/{self.name}"
