"""The shapes that a Mixtrain file may have, each taken back to a configuration."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """What `RoutingConfig.from_json` is to read, and where a user should hear of it, which shape was found."""

    config: Any
    message: str | None = None


def unwrap(parsed: Any) -> Unwrapped:
    """The configuration in parsed JSON, which may be an export of the platform's pages, a list of rules or a record.

    What has none of these shapes is handed back as it is: a configuration, or something for the reader to refuse.
    """
    if isinstance(parsed, list):
        return Unwrapped(_of_rules(parsed), "Detected rules array format, wrapping with config structure...")
    if not isinstance(parsed, dict):
        return Unwrapped(parsed)
    if "metadata" in parsed and "config" in parsed:
        return Unwrapped(parsed["config"], "Detected frontend export format, extracting config...")
    if "rules" not in parsed and _holds_rules(parsed.get("config_data")):
        return Unwrapped(_of_record(parsed))
    return Unwrapped(parsed)


def _of_rules(rules: list[Any]) -> dict[str, Any]:
    description = "Configuration imported from rules array"
    return {"name": "Imported Configuration", "description": description, "rules": rules}


def _holds_rules(data: Any) -> bool:
    return isinstance(data, dict) and "rules" in data


def _of_record(record: dict[str, Any]) -> dict[str, Any]:
    """The platform keeps a configuration's name and description beside its data; the data's own ones win."""
    beside = {key: record[key] for key in ("name", "description") if record.get(key) is not None}
    return {"name": "Backend Configuration", **beside, **record["config_data"]}
