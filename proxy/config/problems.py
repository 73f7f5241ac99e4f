"""The collector of problems: reading goes on after each one, so that all of them are told at once."""

from collections.abc import Iterable
from difflib import get_close_matches

from proxy.config.codes import Code
from proxy.config.spec import Origin
from proxy.config.text.nodes import Place, shown
from proxy.errors import Problem, Severity

# difflib compares a word with every candidate. Both bounds keep a file with thousands of slips from taking minutes.
_MOST_SUGGESTIONS = 200
_MOST_CANDIDATES = 2_000
# A shorter text from a variable may stand in any other by chance.
_SHORTEST_SECRET = 4


Where = Place | Origin


class Problems:
    """All problems found so far, in the order they were found. It alone adds to them."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._errors = 0
        self._suggestions: dict[tuple[str, int], str | None] = {}
        self._veiled: set[str] = set()

    def error(self, place: Where, code: Code, message: str, suggestion: str | None = None) -> None:
        """Something that must be put right before the configuration can be used."""
        self._add(Severity.ERROR, place, code, message, suggestion)

    def warning(self, place: Where, code: Code, message: str, suggestion: str | None = None) -> None:
        """Something that works, but probably not as meant."""
        self._add(Severity.WARNING, place, code, message, suggestion)

    def hint(self, place: Where, code: Code, message: str, suggestion: str | None = None) -> None:
        """Something worth knowing."""
        self._add(Severity.HINT, place, code, message, suggestion)

    def suggest(self, word: str, known: Iterable[str]) -> str | None:
        """The known word nearest to this one, if any is near."""
        candidates = list(known)
        remembered = (word, hash(tuple(candidates)))
        if remembered not in self._suggestions:
            if len(self._suggestions) >= _MOST_SUGGESTIONS:
                return None
            self._suggestions[remembered] = _nearest(word, candidates)
        return self._suggestions[remembered]

    def veil(self, text: str) -> None:
        """This text came from a variable, and may be a secret."""
        if text:
            self._veiled.add(text)

    def veiled(self, text: str) -> bool:
        """Whether a text came from a variable, or holds one that did, as a name of several parts may."""
        if not self._veiled:
            return False
        return not self._veiled.isdisjoint((text, *text.split("/"))) or any(
            len(part) >= _SHORTEST_SECRET and part in text for part in self._veiled
        )

    def said(self, text: str) -> str:
        """A text as a message shows it where the node that it came from is not at hand."""
        return "'…' (from a variable)" if self.veiled(text) else shown(text)

    @property
    def errors(self) -> int:
        """How many of them are errors."""
        return self._errors

    @property
    def failed(self) -> bool:
        """At least one of them is an error."""
        return self._errors > 0

    def all(self) -> tuple[Problem, ...]:
        """All of them, those of a file together and from its top to its end."""
        files = {name: i for i, name in enumerate(dict.fromkeys(problem.file for problem in self._found))}
        return tuple(sorted(self._found, key=lambda problem: (files[problem.file], problem.line, problem.column)))

    def __len__(self) -> int:
        return len(self._found)

    def _add(self, severity: Severity, place: Where, code: Code, message: str, suggestion: str | None) -> None:
        self._errors += severity is Severity.ERROR
        self._found.append(
            Problem(severity, code.value, place.file, place.line, place.column, place.path, message, suggestion)
        )


def _nearest(word: str, candidates: list[str]) -> str | None:
    if len(word) > 64:
        return None
    folded = {_folded(candidate): candidate for candidate in reversed(candidates)}
    if (same := folded.get(_folded(word))) is not None:
        return same
    near = get_close_matches(word, [c for c in candidates if abs(len(c) - len(word)) <= 4][:_MOST_CANDIDATES], n=1)
    return near[0] if near else None


def _folded(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")
