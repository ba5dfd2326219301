"""Log lines: each names the message that it is about, and no text in a message can break a line."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType

LOG_FORMATS = ("text", "json")

MAX_LOG_TEXT_LENGTH = 10_000
"""Characters of a text in a log line."""

_message: ContextVar[Mapping[str, object]] = ContextVar("_message", default={})  # noqa: B039 it is never changed


@contextmanager
def message_context(
    *, uuid: str = "", topic: str = "", partition: int | None = None, offset: int | None = None
) -> Iterator[None]:
    """What this thread logs inside is about this message. An inner context adds to an outer one."""
    before = _message.set(_message.get())
    try:
        _add(uuid=uuid, topic=topic, partition=partition, offset=offset)
        yield
    finally:
        _message.reset(before)


def add_to_context(*, uuid: str = "", beamline: str = "", proposal: str = "") -> None:
    """Add what is known of the message later, until the end of its `message_context`."""
    _add(uuid=uuid, beamline=beamline, proposal=proposal)


def _add(**known: object) -> None:
    _message.set({**_message.get(), **{name: it for name, it in known.items() if it not in ("", None)}})


def plain(text: str) -> str:
    """The text on one line, with the control characters of a terminal written as in Python, `\\x1b`."""
    if len(text) > MAX_LOG_TEXT_LENGTH:
        text = f"{text[:MAX_LOG_TEXT_LENGTH]}... ({len(text) - MAX_LOG_TEXT_LENGTH} more characters)"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class _Text(logging.Formatter):
    """One line, and below it a stack with each of its lines marked."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = plain(record.message)
        uuid = plain(str(_message.get().get("uuid", "")))
        if uuid not in record.message:
            record.message += f" [{uuid}]"
        return super().formatMessage(record)

    def formatException(self, ei: _ExcInfo) -> str:
        return "\n".join(f"  | {plain(line)}" for line in super().formatException(ei).split("\n"))


class _Json(logging.Formatter):
    """One object a line, its times in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": plain(record.getMessage()),
            **_message.get(),
        }
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)[-MAX_LOG_TEXT_LENGTH:]
        return json.dumps(line)


_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def formatter(form: str) -> logging.Formatter:
    """For any handler; `form` is one of LOG_FORMATS."""
    return _Json() if form == "json" else _Text()


def set_up(level: str, form: str) -> None:
    """Write all log lines of this process, and uncaught errors, to stderr. `form` is one of LOG_FORMATS."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(form))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, stack: _uncaught((kind, error, stack))
    threading.excepthook = lambda it: _uncaught((it.exc_type, it.exc_value or it.exc_type(), it.exc_traceback))


def _uncaught(error: tuple[type[BaseException], BaseException, TracebackType | None]) -> None:
    logging.getLogger(__name__).critical("internal error in SciCow, please report it", exc_info=error)
