"""Paths that two parsers may read differently, refused before anything is decided by one of the readings."""

import re
from urllib.parse import unquote_to_bytes

from proxy.errors import RequestError

# Nearly all paths: segments that hold nothing special and begin with no dot. Each repetition is possessive, so that
# whatever does not fit is left after one walk.
_PLAIN = re.compile(rb"(?:/[A-Za-z0-9_~!$&'()*+,=:@-][A-Za-z0-9_~!$&'()*+,=:@.-]*+)++/?(?:\?|\Z)|/(?:\?|\Z)")

# An empty or a dot segment; a backslash, which some take for a slash; `;`, behind which some see parameters; and, in
# their escapes, all of these, `?` and `#`, control characters, and a bad escape.
_AMBIGUOUS = re.compile(
    rb"//|/\.\.?(?:/|\Z)|[\\;#]|[^!-~]"
    rb"|%(?![0-9A-Fa-f]{2})|%(?:2[EeFf3]|5[Cc]|3[BbFf]|[01][0-9A-Fa-f]|7[Ff])"
)
# A second round of decoding would find more.
_AMBIGUOUS_DECODED = re.compile(r"[\x80-\x9f]|%[0-9A-Fa-f]{2}")


def refuse_ambiguous(target: bytes) -> None:
    """Pass a target whose path everybody reads alike; RequestError (400) for any other. Its query is not looked at.

    `target` is as it came, in origin-form. Where access hangs on the path, what a router reads as one path and the
    engine as another would get around it. Hot path: benchmarks/access.py measures it.
    """
    if _PLAIN.match(target) is None and target != b"*" and not _is_plain(target.partition(b"?")[0]):
        raise RequestError(400, "The path of the request can be read in more than one way.", code="ambiguous_path")


def _is_plain(path: bytes) -> bool:
    if not path.startswith(b"/") or _AMBIGUOUS.search(path) is not None:
        return False
    try:
        # Strict: overlong forms and surrogates are no UTF-8 (RFC 3629 section 3).
        decoded = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return False
    return _AMBIGUOUS_DECODED.search(decoded) is None
