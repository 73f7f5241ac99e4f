"""Which models somebody may use, by names and globs as routes have them."""

from collections.abc import Callable, Sequence

ModelTest = Callable[[str], bool]


def compile_models(models: Sequence[str]) -> ModelTest | None:
    """A test of a model's name against names and globs (`*` is any text); None where there are none: all will do."""
    if not models:
        return None
    names = frozenset(model for model in models if "*" not in model)
    globs = [model.split("*") for model in models if "*" in model]
    # Most globs are beginnings, which can be asked about all at once.
    beginnings = tuple(first for first, *rest in globs if rest == [""])
    others = [parts for parts in globs if parts[1:] != [""]]
    if not globs:
        return names.__contains__
    if not others:
        return lambda name: name in names or name.startswith(beginnings)
    return lambda name: name in names or name.startswith(beginnings) or any(_fits(parts, name) for parts in others)


def _fits(parts: list[str], name: str) -> bool:
    """Linear in the name, whatever the glob: its parts are found from left to right, once."""
    first, *middle, last = parts
    start, end = len(first), len(name) - len(last)
    if end < start or not name.startswith(first) or not name.endswith(last):
        return False
    for part in middle:
        found = name.find(part, start, end)
        if found < 0:
            return False
        start = found + len(part)
    return True
