"""Lines of the proxy's access log, in either form, as far as they tell how a request was routed."""

import re
from dataclasses import dataclass

from proxy.config.match_spec import BodyCondition, Condition, FieldCondition, HeaderCondition, QueryCondition
from proxy.config.spec import Rule

LONGEST_LOGGED = 256
"""Characters of a name that the access log holds (proxy/telemetry/access_log.py)."""

_ACCESS_KEYS = frozenset({"time", "client", "method", "path", "status", "route", "rule"})
_EVENT_KEYS = frozenset({"time", "level", "logger", "message"})
_ACCESS_LINE = re.compile(
    r"\S+T\S+Z \S+ (?P<method>\S+) (?P<path>\S+) \d+ \S+ ttfb=\S+ model=(?P<model>\S+) route=(?P<place>\S+) "
)
_EVENT_LINE = re.compile(r"\S+T\S+Z (?:debug|info|warning|error|critical) \S+: | {4}\S")
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")
_ORIGIN = re.compile(r"\Ahttps?://[^/]*", re.IGNORECASE)

# What the proxy answers by itself (proxy/runtime/app.py), so that no route is asked.
ANSWERED_HERE = frozenset({"/health", "/metrics", "/ready", "/v1/models"})
# What the log holds of the data that a FieldCondition sees.
_LOGGED_FIELDS = frozenset({"model", "request.method", "request.path", "request.type", "request.model"})


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """What a line holds. `place` is "route/rule", empty where no rule took the request."""

    method: str
    path: str
    model: str | None
    place: str

    @property
    def routed(self) -> bool:
        """Whether a route was asked about it: not if the proxy answered by itself, or refused the message."""
        return bool(self.place) or (self.method != "-" and self.path not in ANSWERED_HERE)


def is_event(line: object) -> bool:
    """Whether it is a line of the event log, as text or as parsed JSON."""
    if isinstance(line, dict):
        return line.keys() >= _EVENT_KEYS
    return isinstance(line, str) and _EVENT_LINE.match(line) is not None


def from_json(data: object) -> LoggedRequest | None:
    """What a line as parsed JSON holds; None where it is none of the access log's."""
    if not isinstance(data, dict) or not data.keys() >= _ACCESS_KEYS:
        return None
    method, path, route, rule = (data[key] for key in ("method", "path", "route", "rule"))
    if not all(isinstance(value, str) for value in (method, path, route, rule)):
        return None
    model = data.get("model")
    place = f"{route}/{rule}" if route else ""
    return LoggedRequest(method, _ORIGIN.sub("", path, count=1), model if isinstance(model, str) else None, place)


def from_text(line: str) -> LoggedRequest | None:
    """What a line as text holds; None where it is none of the access log's."""
    found = _ACCESS_LINE.match(line)
    if found is None:
        return None
    method, path, model, place = (unescaped(field) for field in found.group("method", "path", "model", "place"))
    named = None if model == "-" else model
    return LoggedRequest(method, _ORIGIN.sub("", path, count=1), named, "" if place == "-" else place)


def unescaped(field: str) -> str:
    """A field's text before it was escaped. A text that was cut loses the three dots."""
    if len(field) > LONGEST_LOGGED and field.endswith("..."):
        field = field[:-3]
    if "\\" not in field:
        return field
    return _ESCAPE.sub(lambda found: chr(int(found[1] or found[2] or found[3], 16)), field)


def is_at(logged: str, route: str, rule: str) -> bool:
    """Whether a line's place is this rule; long names are cut in the log."""
    return logged in {f"{route}/{rule}", f"{route[:LONGEST_LOGGED]}/{rule}"}


def asks_for_more(rule: Rule) -> bool:
    """Whether a rule has a condition on what the log does not hold."""
    return any(not _is_logged(condition) for match in rule.matches for condition in match.conditions)


def _is_logged(condition: Condition) -> bool:
    match condition:
        case HeaderCondition() | QueryCondition():
            return False
        case BodyCondition(keys, _):
            return keys == ("model",)
        case FieldCondition(field, _, _):
            return field in _LOGGED_FIELDS
        case _:
            return True
