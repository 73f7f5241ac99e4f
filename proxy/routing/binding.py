"""Targets with all settled that can be settled ahead: policies, model, rewrites, and what their callers must show."""

from proxy.config.access_spec import Auth
from proxy.config.spec import Config, ModelServer, Retries, Route, Rule, Shadow, Target, Timeouts
from proxy.errors import ConfigError, Problem, Severity
from proxy.routing.rewriting import Rewriter
from proxy.routing.split import Split
from proxy.routing.sticky import StickyChoice
from proxy.routing.table import BoundShadow, BoundTarget, Parts, RouteMatch, RoutingTable

_UNSET = Timeouts()
_Key = tuple[str, str | None, Timeouts, Retries | None, Auth | None]

_FINENESS = 10_000
"""Parts of a whole in which a share in per cent is kept: hundredths of a per cent."""


class Binder:
    """Binds rules to servers. What many rules share is made once; splits and rewrites go on where `previous` stands."""

    def __init__(self, config: Config, parts: Parts, previous: RoutingTable | None) -> None:
        self._servers = config.servers
        self._parts = parts
        self._groups = dict(previous.groups) if previous is not None else {}
        self._rewriters = previous.rewriters if previous is not None else {}
        self._bound: dict[_Key, BoundTarget] = {}

    def bind(self, route: Route, rule: Rule, *, adapter: bool = False) -> RouteMatch:
        """Where a rule leads. For an adapter the server's own model is left out: it would hide the adapter's name."""
        bound = [(self._target(route, rule, target, adapter=adapter), target.weight) for target in rule.targets]
        fallback = tuple([self._target(route, rule, target, adapter=adapter) for target in rule.fallback])
        try:
            split = Split(bound, key=rule.targets)
        except ValueError as error:
            raise _problem(rule, "bad-weights", str(error)) from error
        analysis = None if rule.canary is None else rule.canary.analysis
        match = RouteMatch(
            route.name,
            rule.name,
            split,
            fallback,
            None if rule.shadow is None else self._shadow(route, rule, rule.shadow, adapter=adapter),
            None if rule.sticky is None else StickyChoice(rule.sticky, f"{route.name}/{rule.name}", split.weights),
            judged=analysis is not None,
            timed=analysis is not None and (analysis.ttft is not None or analysis.tpot is not None),
        )
        if not adapter:
            self._continue(match)
        return match

    def _continue(self, match: RouteMatch) -> None:
        group = (match.route, match.rule)
        known = self._groups.pop(group, None)
        if known is not None:
            match.split.adopt(known)
        self._parts.groups[group] = match.split

    def _shadow(self, route: Route, rule: Rule, shadow: Shadow, *, adapter: bool) -> BoundShadow:
        target = self._target(route, rule, shadow.target, adapter=adapter)
        return BoundShadow(target, shadow.max_in_flight, shadow.max_body, _share(shadow.percent))

    def _target(self, route: Route, rule: Rule, target: Target, *, adapter: bool) -> BoundTarget:
        server = self._servers.get(target.server)
        if server is None:
            raise _problem(rule, "unknown-server", f"there is no server {target.server!r}")
        model = target.model or (None if adapter else server.model)
        timeouts = rule.timeouts if target.timeouts == _UNSET else _settle(target.timeouts, rule.timeouts)
        retries = target.retries or rule.retries
        key = (target.server, model, timeouts, retries, route.auth)
        known = self._bound.get(key)
        if known is None:
            auths = tuple(auth for auth in (route.auth, server.auth) if auth is not None)
            known = self._bound[key] = BoundTarget(
                target.server,
                model,
                _settle(timeouts, server.timeouts),
                retries or server.retries,
                self._rewriter(server),
                _own_headers(server),
                server.restore_model,
                auths,
                any(auth.forward for auth in auths),
            )
        return known

    def _rewriter(self, server: ModelServer) -> Rewriter | None:
        """One for each server, whatever leads to it: its splits are shared by all of its requests."""
        if not server.rewrites:
            return None
        known = self._parts.rewriters.get(server.name)
        if known is None:
            known = self._parts.rewriters[server.name] = Rewriter(server)
            if (earlier := self._rewriters.get(server.name)) is not None:
                known.adopt(earlier)
        return known


def _own_headers(server: ModelServer) -> tuple[tuple[str, str], ...]:
    """What is set on its requests. In a compressed answer no name could be restored, so none is asked for."""
    if not server.restore_model or any(name.lower() == "accept-encoding" for name, _ in server.headers):
        return server.headers
    return (*server.headers, ("Accept-Encoding", "identity"))


def _share(percent: float) -> Split[bool] | None:
    """Whether a request is copied, for each in turn; None where all are."""
    copied = round(percent * _FINENESS / 100)
    return None if copied >= _FINENESS else Split([(True, copied), (False, _FINENESS - copied)])


def _settle(rule: Timeouts, server: Timeouts) -> Timeouts:
    if rule == _UNSET:
        return server
    return Timeouts(
        connect=server.connect if rule.connect is None else rule.connect,
        first_byte=server.first_byte if rule.first_byte is None else rule.first_byte,
        idle=server.idle if rule.idle is None else rule.idle,
        total=server.total if rule.total is None else rule.total,
    )


def _problem(rule: Rule, code: str, message: str) -> ConfigError:
    origin = rule.origin
    text = f"rule {rule.name!r}: {message}"
    return ConfigError((Problem(Severity.ERROR, code, origin.file, origin.line, origin.column, origin.path, text),))
