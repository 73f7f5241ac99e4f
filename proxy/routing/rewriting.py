"""The models that a server's own rewrites send in place of the client's: exact names first, then any name."""

from proxy.config.spec import ModelServer
from proxy.routing.split import Split

# Endpoints whose body must name a model: those that the inference extension's parsers rewrite.
NAMING_PATHS = (
    "/chat/completions",
    "/completions",
    "/embeddings",
    "/responses",
    "/conversations",
    "/chat/completions/render",
    "/completions/render",
    "/images/generations",
    "/messages",
    "/messages/count_tokens",
    "/inference/v1/generate",
)


class Rewriter:
    """A server's rewrites, prepared. Of two for one name the first is used; only the winning one is asked."""

    __slots__ = ("_exact", "_generic", "server")

    def __init__(self, server: ModelServer) -> None:
        self.server = server.name
        self._exact: dict[str, Split[str]] = {}
        self._generic: Split[str] | None = None
        for rewrite in server.rewrites:
            split = Split([(target.model, target.weight) for target in rewrite.targets], key=rewrite.targets)
            for model in rewrite.models:
                self._exact.setdefault(model, split)
            if not rewrite.models and self._generic is None:
                self._generic = split

    def __repr__(self) -> str:
        other = "" if self._generic is None else " and any other"
        return f"<Rewriter of {self.server}: {len(self._exact)} models{other}>"

    def split_for(self, model: str | None) -> Split[str] | None:
        """What a name is rewritten to; a request without one can only meet what takes any name."""
        found = self._exact.get(model) if model else None
        return found if found is not None else self._generic

    def adopt(self, other: "Rewriter") -> None:
        """Go on where the rewrites of an earlier configuration stand, wherever they are the same."""
        for model, split in self._exact.items():
            if (known := other._exact.get(model)) is not None:  # noqa: SLF001 - its own kind
                split.adopt(known)
        if self._generic is not None and other._generic is not None:  # noqa: SLF001
            self._generic.adopt(other._generic)  # noqa: SLF001
