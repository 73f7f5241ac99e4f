"""What the proxy shows to engines: API keys from the configuration, from files, or from mounted secrets."""

import re
from pathlib import Path

from proxy.config.regular_file import read_regular
from proxy.config.spec import Credential
from proxy.errors import ConfigError, Problem, Severity

LONGEST = 16 * 1024
"""Bytes of a key. Mounted service tokens, the longest that are in use, have about 1 KiB."""

_FIELD_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")

Field = tuple[str, str]


def credential_path(credential: Credential, secrets: str | None) -> str | None:
    """The file that holds it, for whoever watches files: its own, or one of the secrets folder; None without any."""
    if credential.file is not None:
        return credential.file
    if credential.secret is None or secrets is None:
        return None
    return str(Path(secrets, credential.secret, credential.key))


def credential_field(credential: Credential, secrets: str | None) -> Field:
    """The field that shows it, read now. Raises ConfigError, which names the file and never what is in it."""
    value = credential.value
    if value is None:
        value = _read(credential, credential_path(credential, secrets))
    if credential.scheme == "Bearer":
        return "Authorization", f"Bearer {value}"
    return "x-api-key", value


def _read(credential: Credential, path: str | None) -> str:
    if path is None:
        wanted = credential.secret or "a credential"
        raise _unusable("", f"the secret {wanted!r} cannot be read: the settings name no secrets folder")
    try:
        data = read_regular(path, LONGEST + 1)
    except OSError as error:
        raise _unusable(path, f"cannot be read: {(error.strerror or type(error).__name__).lower()}") from None
    text = data.decode("latin-1").strip()
    if len(data) > LONGEST or not _FIELD_VALUE.fullmatch(text):
        raise _unusable(path, f"holds no API key: expected one line of at most {LONGEST} visible ASCII characters")
    return text


def _unusable(path: str, message: str) -> ConfigError:
    return ConfigError((Problem(Severity.ERROR, "credential", path, 0, 0, "", message),))
