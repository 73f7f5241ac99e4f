"""What routing may ask of a request: a protocol, so that the pure room never sees a connection or a body."""

from typing import Protocol


class RequestFacts(Protocol):
    """Each question is answered lazily: nothing is parsed that no condition asks for."""

    @property
    def method(self) -> str:
        """The method, as sent."""

    @property
    def path(self) -> str:
        """The path, percent-decoded, without the query."""

    @property
    def model(self) -> str | None:
        """The model's name that the body gives, if any."""

    def header(self, name: str) -> str | None:
        """A header's value by its lower-case name, several fields joined by ", "; None where it is absent."""

    def query(self, name: str) -> str | None:
        """A query parameter's first value, percent-decoded; None where it is absent."""

    def field(self, keys: tuple[str, ...]) -> str | None:
        """A field of a JSON body, by its keys from the top: a string as it is, other scalars as JSON spells them."""

    def data(self, name: str) -> object:
        """A top-level field of the request's data (see FieldCondition), of any JSON type; None where it is absent."""
