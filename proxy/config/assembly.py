"""What the readers of all files have found, before it is put together."""

from dataclasses import dataclass, field
from math import inf

from proxy.config.codes import Code
from proxy.config.filed import FiledResource
from proxy.config.problems import Problems
from proxy.config.spec import InventoryEntry, ModelServer, Origin, Rewrite, Route
from proxy.config.text.nodes import Place, ScalarNode, quoted, shown


@dataclass(frozen=True, slots=True)
class Age:
    """What orders resources among those of equal priority: the oldest first, then by name; without a date as filed.

    `created` is unix seconds, `name` is "namespace/name".
    """

    created: float | None = None
    name: str = ""

    @property
    def rank(self) -> tuple[float, str]:
        """Sorts the oldest first, and what has no date behind all that have one, in the order of the files."""
        return (inf, "") if self.created is None else (self.created, self.name)


NO_AGE = Age()


@dataclass(frozen=True, slots=True)
class FoundRoute:
    """A route as read. A sound one was read without an error: what a broken rule would have matched is not known. An
    unwritten one, which no file names, comes after all others of its priority."""

    route: Route
    age: Age
    sound: bool
    unwritten: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """A server that something leads to, by its name. `shown` is how it was written; an `optional` one may be missing:
    then it is a server without endpoints, as a Kubernetes resource may be applied before what it refers to."""

    server: str
    place: Place
    shown: str
    optional: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class RewriteDocument:
    """The rewrites of one resource for the pool that is the server of this name. `restore_model` None says nothing;
    `group` is the API group that the pool must be of."""

    server: str
    rewrites: tuple[Rewrite, ...]
    age: Age
    place: Place
    restore_model: bool | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectiveDocument:
    """A named priority for requests to the pool that is the server of this name, and of this API group."""

    server: str
    name: str
    priority: int
    place: Place
    group: str | None = None


@dataclass(slots=True)
class Assembly:
    """All that was found so far. Readers add to it; `config_of` takes what came together.

    A server's key is what targets call it: a native one's name, "namespace/name" of a ModelServer, and with the kind
    before it of whatever else becomes a server ("pool/default/vllm").
    """

    problems: Problems
    servers: dict[str, ModelServer] = field(default_factory=dict)
    routes: list[FoundRoute] = field(default_factory=list)
    inventory: list[InventoryEntry] = field(default_factory=list)
    rewrites: list[RewriteDocument] = field(default_factory=list)
    objectives: list[ObjectiveDocument] = field(default_factory=list)
    # Servers that get a route of their own where nothing else leads to them.
    pools: dict[str, Place] = field(default_factory=dict)
    # The API groups of those of them that are resources.
    pool_groups: dict[str, str] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    # Other names (by kind, then key), so that each is given once.
    declared: dict[str, dict[str, Place]] = field(default_factory=dict)
    # A file that could not be read to its end may hold the servers that others refer to.
    incomplete: bool = False
    # Resources by the names that they have themselves.
    filed: list[FiledResource] = field(default_factory=list)
    # Whether any document was found at all, also one that becomes no route.
    documents: int = 0

    def declare(self, kind: str, key: str, place: Place, *, hidden: bool = False) -> bool:
        """A thing of this kind has this name, though its own fields may be wrong; False (and told) if it is taken."""
        names = self.declared.setdefault(kind, {})
        first = names.setdefault(key, place)
        if first is place:
            return True
        said = quoted(ScalarNode(place, key, key, hidden=True)) if hidden else shown(key)
        message = f"the {kind} {said} was already defined at {where(first)}"
        self.problems.error(place, Code.DUPLICATE_NAME, message)
        return False

    def declare_server(self, key: str, place: Place) -> bool:
        """A server has this key."""
        return self.declare("server", key, place)

    def declare_route(self, key: str, place: Place, *, hidden: bool = False) -> bool:
        """A route has this name."""
        return self.declare("route", key, place, hidden=hidden)

    @property
    def server_places(self) -> dict[str, Place]:
        """Where each server stands, also one that could not be read."""
        return self.declared.get("server", {})

    def add_server(self, server: ModelServer) -> None:
        """A server; of two with one name, which has been told, the first."""
        self.servers.setdefault(server.name, server)

    def add_route(self, route: Route, *, sound: bool, age: Age = NO_AGE) -> None:
        """A route; a sound one was read without an error."""
        self.routes.append(FoundRoute(route, age, sound))

    def refer(self, server: str, place: Place, shown_as: str | None = None, *, optional: bool = False) -> None:
        """Something leads to a server, which can be followed when all files are read."""
        self.references.append(Reference(server, place, shown_as or shown(server), optional))

    def refer_by(self, node: ScalarNode) -> None:
        """A native target names a server."""
        self.references.append(Reference(node.text, node.place, quoted(node), hidden=node.hidden))


def where(place: Place | Origin) -> str:
    """A place as a message names another one."""
    return f"{place.file}:{place.line}"
