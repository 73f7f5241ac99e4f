"""Promises of the log of events."""

import io
import logging
import re
import subprocess
import sys

import orjson
import pytest

from proxy.config.settings_spec import LogSettings
from proxy.telemetry.logs import event_handler

FORGED = "made up\n2026-01-01T00:00:00.000Z error penstock: forged\x1b[2J\u202e"


def logged(settings: LogSettings, message: str, *values: object, error: Exception | None = None) -> str:
    stream = io.StringIO()
    logger = logging.getLogger("penstock.reload")
    handler = event_handler(settings, stream)
    logger.addHandler(handler)
    logger.warning(message, *values, exc_info=error)
    logger.removeHandler(handler)
    return stream.getvalue()


def test_a_text_event_is_one_line() -> None:
    line = logged(LogSettings(), "%d problems", 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning penstock\.reload: 3 problems\n", line)


def test_a_json_event_is_one_object() -> None:
    event = orjson.loads(logged(LogSettings(format="json"), "%d problems", 3))
    assert event.pop("time").endswith("Z")
    assert event == {"level": "warning", "logger": "penstock.reload", "message": "3 problems"}


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_text_can_forge_an_event(form: str) -> None:
    output = logged(LogSettings(format=form), "model %s", FORGED)
    assert output.count("\n") == 1
    assert output[:-1].isprintable()


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exceptions_text_cannot_forge_an_event(form: str) -> None:
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        output = logged(LogSettings(format=form), "failed", error=error)
    first, *rest = output[:-1].split("\n")
    assert all(line.startswith("    ") for line in rest)
    assert all(line.isprintable() for line in (first, *rest))
    assert "ValueError: made up" in output


def test_the_set_up_logs_to_standard_error_from_its_level_on() -> None:
    program = (
        "import logging\n"
        "from proxy.config.settings_spec import LogSettings\n"
        "from proxy.telemetry.logs import set_up_logging\n"
        "for _ in range(2): set_up_logging(LogSettings(level='info'))\n"
        "logging.getLogger('penstock').debug('unseen')\n"
        "logging.getLogger('penstock').info('seen')\n"
        "logging.getLogger('aiohttp.access').info('unseen')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(" info penstock: seen\n")
