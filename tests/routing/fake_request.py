"""A request made of plain data, for tests of routing."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FakeRequest:
    """Answers what routing asks from dicts."""

    model: str | None = None
    method: str = "POST"
    path: str = "/v1/chat/completions"
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    parameters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: Mapping[tuple[str, ...], str] = dataclasses.field(default_factory=dict)
    fields: Mapping[str, object] = dataclasses.field(default_factory=dict)

    def header(self, name: str) -> str | None:
        return self.headers.get(name)

    def query(self, name: str) -> str | None:
        return self.parameters.get(name)

    def field(self, keys: tuple[str, ...]) -> str | None:
        return self.body.get(keys)

    def data(self, name: str) -> object:
        return self.fields.get(name)
