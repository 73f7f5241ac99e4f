"""The log of events: the ordinary `logging`, as text or JSON lines on standard error, which no text can forge."""

import logging
import sys
import time
from typing import TextIO

import orjson

from proxy.config.settings_spec import LogSettings
from proxy.telemetry.safe_text import escape_message

# Their narration of each connection is of use to nobody but their authors.
TALKATIVE_LIBRARIES = ("asyncio", "aiohttp", "watchfiles")


def set_up_logging(settings: LogSettings) -> None:
    """Send all events of this process to standard error, and no others anywhere."""
    level = level_of(settings)
    logging.basicConfig(handlers=[event_handler(settings, sys.stderr)], level=level, force=True)
    for library in TALKATIVE_LIBRARIES:
        logging.getLogger(library).setLevel(max(logging.WARNING, level))


def level_of(settings: LogSettings) -> int:
    """The settings' level as `logging` counts it."""
    return logging.getLevelNamesMapping()[settings.level.upper()]


def event_handler(settings: LogSettings, stream: TextIO) -> logging.Handler:
    """A handler in the format that is set, with control characters kept out."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    return handler


class TextFormatter(logging.Formatter):
    """`2026-11-20T13:37:38.123Z warning penstock.reload: message`; a traceback follows in indented lines."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the traceback's."""
        message = escape_message(record.getMessage())
        line = f"{timestamp(record)} {record.levelname.lower()} {record.name}: {message}"
        return "\n    ".join([line, *traceback_lines(self, record)])


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        event: dict[str, str | list[str]] = {
            "time": timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": escape_message(record.getMessage()),
        }
        if lines := traceback_lines(self, record):
            event["exception"] = lines
        return orjson.dumps(event).decode()


def timestamp(record: logging.LogRecord) -> str:
    """When the event happened, in UTC."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def traceback_lines(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """The lines of the event's traceback, escaped, for an exception may quote a client."""
    if not record.exc_info:
        return []
    return [escape_message(line) for line in formatter.formatException(record.exc_info).split("\n")]
