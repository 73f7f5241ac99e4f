"""Lines of configuration as whoever reads a pipeline's log may see them: each character of a secret is a star."""

import re

_LONGEST = 2_048
# The password in a URL, and all that stands in its query.
_PASSWORD = re.compile(r"(://[^/\s@]*?:)([^/\s@]+)(?=@)")
_QUERY = re.compile(
    r"""("[^"]*?://[^"?]*\?)((?:\\.|[^"\\])+)"""
    r"""|('[^']*?://[^'?]*\?)((?:''|[^'])+)"""
    r"""|(://[^\s"'?]*\?)([^\s"']+)"""
)
_KEY = re.compile(
    r"""(?i)["']?(?<![\w.-])([\w.-]*(?:key|token|secret|password|authorization)[\w.-]*)["']?\s*:(?=[\s"'])\s*"""
)
# Keys whose values are paths, names and numbers, by which nobody gets in.
_OPEN = re.compile(r"(?i)[\w.-]*_file|keys|secrets|tls_secret|token_limit|(?:input_|output_)?tokens")
_VARIABLE = re.compile(r"""(["']?)\$\{\w+\}\1(?=\s*(?:[,}\]#]|$))""")
_QUOTED = re.compile(r""""(?:\\.|[^"\\])*"?|'(?:''|[^'])*'?""")
_LAST_KEY = re.compile(r"""(?:^|\.)([\w-]+)(?:\[\d+\])*$""")
_IN_FLOW = re.compile(r"[^,}\]]*")


def concealed(line: str, path: str) -> str:
    """The line, as long as before unless that is very long. `path` is the place in the document that it is shown for.

    Secrets are passwords and queries of URLs, and what stands under a key that sounds like one, whether that key is
    known or mistyped. The values of variables are not in the file, so their names stay.
    """
    line = _PASSWORD.sub(_starred, line[:_LONGEST])
    line = _QUERY.sub(_starred, line)
    named, end = False, 0
    while (key := _KEY.search(line, end)) is not None:
        named, end = True, key.end()
        if not _OPEN.fullmatch(key[1]):
            end = _end_of_value(line, key.end())
            line = _stars(line, key.end(), end)
    return line if named else _without_its_key(line, path)


def _without_its_key(line: str, path: str) -> str:
    """A value that stands below its key, which alone says that it is a secret."""
    last = _LAST_KEY.search(path)
    if last is None or ":" in line or not _KEY.match(f"{last[1]}: ") or _OPEN.fullmatch(last[1]):
        return line
    return _stars(line, len(line) - len(line.lstrip(" -")), len(line))


def _end_of_value(line: str, start: int) -> int:
    if _VARIABLE.match(line, start):
        return start
    if quoted := _QUOTED.match(line, start):
        return quoted.end()
    # A list or a mapping holds more of them; outside of braces a comma is a part of a text.
    flow = _IN_FLOW.match(line, start) if "{" in line[:start] and line[start : start + 1] not in ("[", "{") else None
    return max(start, len(line.rstrip())) if flow is None else start + len(flow[0].rstrip())


def _starred(found: re.Match[str]) -> str:
    before, secret = [group for group in found.groups() if group is not None]
    return before + "*" * len(secret)


def _stars(line: str, start: int, end: int) -> str:
    return line[:start] + "*" * (end - start) + line[end:]
