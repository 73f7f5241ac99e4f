"""Where one request would go, with all that is settled on the way: rule, targets and their shares, names, policies."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from proxy.config.spec import NOWHERE, ModelServer, Origin, Retries, Route, Timeouts
from proxy.routing.explain import Verdict, trace
from proxy.routing.matching import compile_globs
from proxy.routing.rewriting import NAMING_PATHS
from proxy.routing.sample import SampleRequest
from proxy.routing.split import Split
from proxy.routing.table import BoundTarget, RoutingTable, Step
from proxy.routing.wording import quoted, shares, strategy


@dataclass(frozen=True, slots=True)
class SentModel:
    """A model's name that is sent upstream, and its share of the target's requests. None is a body that names none."""

    name: str | None
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the proxy answers by itself in the place of a server that is not asked."""

    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class DecidedTarget:
    """A server that the request may go to, and on which terms.

    `share` is its share of the rule's requests. `endpoints` are addresses, None where they are not known. `headers` are
    the names of those that are set on the request. `answer` is what the client gets if this server's turn comes and it
    is not asked.
    """

    server: str
    share: float
    models: tuple[SentModel, ...]
    timeouts: Timeouts
    retries: Retries
    endpoints: tuple[str, ...] | None = None
    headers: tuple[str, ...] = ()
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a request goes, and why not elsewhere. `rule` is None where no rule holds.

    `strategy` is single, split, fallback or shadow, or several of them with + between. `tried` are the rules that were
    asked, the one that holds last. `disabled` are rules ("route/rule") of the routes that are for this model; `named`
    says whether any route names it.
    """

    request: SampleRequest
    route: str | None = None
    rule: str | None = None
    strategy: str = ""
    targets: tuple[DecidedTarget, ...] = ()
    fallback: tuple[DecidedTarget, ...] = ()
    shadow: DecidedTarget | None = None
    tried: tuple[Verdict, ...] = ()
    disabled: tuple[str, ...] = ()
    named: bool = False
    description: str = ""
    kind: str = ""
    origin: Origin = NOWHERE

    @property
    def matched(self) -> bool:
        """Whether a rule takes the request."""
        return self.rule is not None

    @property
    def selected(self) -> int:
        """How many servers one such request may reach: one of the split, each fallback, and the shadow."""
        return (1 + len(self.fallback) + (self.shadow is not None)) if self.matched else 0

    def is_by(self, expected: str) -> bool:
        """Whether it is by the rule of this name, or of this route and name ("route/rule")."""
        return self.matched and expected in {self.rule, f"{self.route}/{self.rule}"}

    @property
    def explanation(self) -> str:
        """Why, in a sentence."""
        if self.matched:
            return f"Matched rule '{self.rule}' of route '{self.route}' ({self.tried[-1].reason})"
        nothing = "No rules matched the request"
        if self.named:
            return nothing
        model = self.request.model
        lack = "it names no model" if model is None else f"no route names the model {quoted(model)}"
        return f"{nothing}: {lack}, and no rule for any model holds"


def decide(table: RoutingTable, request: SampleRequest, servers: Mapping[str, ModelServer] | None = None) -> Decision:
    """Where the request would go: what `table.lookup` finds, explained. No split moves on.

    `servers` are those of the configuration; without them nothing is said of endpoints.
    """
    traced = list(trace(table, request, values=True))
    tried = tuple(verdict for _, verdict in traced)
    routes = [route for route in table.routes if is_for(route, request.model)]
    unmatched = Decision(
        request,
        tried=tried,
        disabled=tuple(f"{route.name}/{rule.name}" for route in routes for rule in route.rules if not rule.enabled),
        named=any(route.models or route.adapters for route in routes),
    )
    if not traced or not traced[-1][1].holds:
        return unmatched
    return _matched(unmatched, traced[-1][0], table.routes, servers)


def _matched(
    decision: Decision, step: Step, routes: tuple[Route, ...], servers: Mapping[str, ModelServer] | None
) -> Decision:
    match, rule = step.match, step.rule
    terms = _Terms(decision.request, servers)
    return replace(
        decision,
        route=match.route,
        rule=match.rule,
        strategy=strategy(rule),
        targets=tuple(terms.decided(target, share) for target, share in _shared(match.split)),
        fallback=tuple(terms.decided(target) for target in match.fallback),
        shadow=None if match.shadow is None else terms.decided(match.shadow.target),
        description=rule.description,
        kind=next((route.kind for route in routes if route.name == match.route), ""),
        origin=rule.origin,
    )


def _shared(split: Split[BoundTarget]) -> list[tuple[BoundTarget, float]]:
    return list(zip(split.items, shares(split.weights), strict=True))


class _Terms:
    """On which terms a request goes to targets."""

    def __init__(self, request: SampleRequest, servers: Mapping[str, ModelServer] | None) -> None:
        self._request = request
        self._servers = servers

    def decided(self, target: BoundTarget, share: float = 1.0) -> DecidedTarget:
        """A target with all that is settled."""
        return DecidedTarget(
            target.server,
            share,
            sent_models(target, self._request),
            target.timeouts,
            target.retries,
            self._endpoints(target),
            tuple(name for name, _ in target.headers),
            self._answer(target),
        )

    def _endpoints(self, target: BoundTarget) -> tuple[str, ...] | None:
        server = None if self._servers is None else self._servers.get(target.server)
        return None if server is None else tuple(endpoint.address for endpoint in server.endpoints)

    def _answer(self, target: BoundTarget) -> Answer | None:
        if target.rewriter is not None and needs_name(self._request) and not sent_models(target, self._request)[0].name:
            return Answer(400, "the body names no model, and nothing gives it one")
        server = None if self._servers is None else self._servers.get(target.server)
        if server is not None and not server.endpoints:
            known = "no file defines it" if server.missing else "it has no endpoints"
            return Answer(503, f"no endpoint of the model server {target.server!r} is available: {known}")
        return None


def sent_models(target: BoundTarget, request: SampleRequest) -> tuple[SentModel, ...]:
    """The names that may be sent: what the server's own rewrites say, else the target's, else the client's own.

    A request without a name gets one only from a server with rewrites, and only where its endpoint needs one.
    """
    named = request.model
    if target.rewriter is None:
        return (SentModel(named if target.model is None or named is None else target.model),)
    if not named and not needs_name(request):
        return (SentModel(named),)
    split = target.rewriter.split_for(named)
    if split is None:
        return (SentModel(target.model or named),)
    return tuple(
        SentModel(name, share) for name, share in zip(split.items, shares(split.weights), strict=True) if share
    )


def needs_name(request: SampleRequest) -> bool:
    """Whether the request's endpoint asks for a model's name in its body."""
    return isinstance(request.body, dict) and request.path.endswith(NAMING_PATHS)


def is_for(route: Route, model: str | None) -> bool:
    """Whether a route is for requests that name this model."""
    if not route.models and not route.adapters:
        return True
    if model is None:
        return False
    return model in route.adapters or (bool(route.models) and compile_globs(route.models)(model))
