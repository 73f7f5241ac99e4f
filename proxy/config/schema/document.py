"""JSON Schema (draft 2020-12) of the files that are written by hand, for editors: native route files and settings."""

from collections.abc import Sequence
from enum import StrEnum

from proxy.config.schema.access import auth_forms
from proxy.config.schema.routes import route_forms
from proxy.config.schema.servers import server_forms
from proxy.config.schema.settings import settings_forms
from proxy.config.schema.values import Form, Schema, definitions, ref
from proxy.config.settings import TELLING_KEYS

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


class Part(StrEnum):
    """The kinds of files."""

    ROUTES = "routes"
    SETTINGS = "settings"


def json_schema(part: Part | None = None) -> Schema:
    """The schema of one kind of file; without one, of both, told apart by their keys."""
    match part:
        case Part.ROUTES:
            return _document("Penstock: route files", _of_routes(), [*route_forms(), *server_forms(), *auth_forms()])
        case Part.SETTINGS:
            return _document("Penstock: settings", ref("settings"), [*settings_forms(), *auth_forms()])
        case None:
            forms = [*settings_forms(), *route_forms(), *server_forms(), *auth_forms()]
            either: Schema = {"oneOf": [*_of_routes()["oneOf"], {"allOf": [ref("settings"), _telling()]}]}
            return _document("Penstock: settings and route files", either, forms)


def _document(title: str, content: Schema, forms: Sequence[Form]) -> Schema:
    return {"$schema": _DRAFT, "title": title, **content, "$defs": definitions(forms)}


def _of_routes() -> Schema:
    """A native document, or a Kubernetes resource, whose form is others' to say."""
    resource: Schema = {
        "type": "object",
        "description": "A Kubernetes resource.",
        "required": ["apiVersion", "kind"],
    }
    return {"oneOf": [ref("routes"), resource]}


def _telling() -> Schema:
    """What only settings have: keys of theirs, or paths under `routes`."""
    paths: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]}
    keys: list[Schema] = [{"required": [key]} for key in sorted(TELLING_KEYS)]
    return {"anyOf": [*keys, {"required": ["routes"], "properties": {"routes": paths}}]}
