"""One line per thing that happened, in JSON or for a terminal, whoever wrote it and whatever they tried to add."""

from __future__ import annotations

import contextlib
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TextIO, Unpack

import structlog
from structlog.typing import Processor

from bridge.observe.catalogue import Keys, LogEvent
from bridge.observe.redact import clean_line, describe_error

_FIRST = ("ts", "level", "event")
_RETOLD = ("pika",)  # libraries that cry at every attempt; our own events say it once


@dataclass(frozen=True, slots=True)
class Logger:
    """Writes catalogued events; holds no state but the keys it was bound to. Silent until configured."""

    bound: Mapping[str, Any] = field(default_factory=dict)

    def bind(self, **keys: Unpack[Keys]) -> Logger:
        """Return a logger that adds these keys to every line."""
        return Logger({**self.bound, **keys})

    def emit(self, event: LogEvent, **keys: Unpack[Keys]) -> None:
        """Write one line at the event's own level; `error` may be an exception. Never raises."""
        if not structlog.is_configured():
            return
        line = {**self.bound, **keys}
        if isinstance(error := line.get("error"), BaseException):
            line |= describe_error(error)
        with contextlib.suppress(OSError, ValueError):  # a log that is gone must not stop the bridge
            getattr(structlog.get_logger(), event.level)(event.value, **line)


log = Logger()


def configure_logging(
    level: str = "info",
    *,
    json: bool | None = None,
    stream: TextIO | None = None,
    on_dropped: Callable[[int], None] | None = None,
) -> None:
    """Send our events and the libraries' warnings to `stream` (stderr), redacted.

    `json` None means JSON unless the stream is a terminal. `on_dropped` learns how many keys were
    dropped from a line because the catalogue does not have them.
    """
    out = stream or sys.stderr
    structlog.configure(
        processors=_processors(out, json is True or (json is None and not out.isatty()), on_dropped),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_ThirdParty()]
    root.setLevel(logging.WARNING)
    for name in _RETOLD:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.captureWarnings(True)


def install_excepthook() -> None:
    """Make uncaught errors, in the main thread and in others, print their type and place only."""
    sys.excepthook = _main_hook
    threading.excepthook = _thread_hook
    sys.unraisablehook = _unraisable_hook


def _processors(out: TextIO, json: bool, on_dropped: Callable[[int], None] | None) -> list[Processor]:
    def redact(_: Any, __: str, line: MutableMapping[str, Any]) -> Mapping[str, Any]:
        kept, dropped = clean_line(line)
        if dropped and on_dropped:
            on_dropped(dropped)
        return {**{key: kept[key] for key in _FIRST if key in kept}, **kept}

    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=out.isatty(), timestamp_key="ts")
    )
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts")
    return [structlog.processors.add_log_level, stamp, redact, renderer]


class _ThirdParty(logging.Handler):
    """Passes on a library's warning without the values: these may quote a request, a row or a person."""

    def emit(self, record: logging.LogRecord) -> None:
        keys: Keys = {"logger": record.name, "outcome": record.levelname.lower(), "template": _template(record)}
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            keys["error"] = error
        log.emit(LogEvent.THIRD_PARTY, **keys)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name; its own prints the args
        pass


def _template(record: logging.LogRecord) -> str:
    if isinstance(record.msg, str) and (record.args or _is_literal(record)):
        return record.msg
    return f"<{type(record.msg).__name__}>"


def _is_literal(record: logging.LogRecord) -> bool:
    """Whether the message stands as it is in the code that logged it; an f-string already holds values."""
    frame = inspect.currentframe()
    while frame is not None:
        if (frame.f_code.co_filename, frame.f_code.co_name) == (record.pathname, record.funcName):
            return record.msg in frame.f_code.co_consts
        frame = frame.f_back
    return False


def _uncaught(error: BaseException | None) -> None:
    if error is None or isinstance(error, KeyboardInterrupt | SystemExit):
        return
    if not structlog.is_configured():
        configure_logging()
    log.emit(LogEvent.APP_FAILED, error=error)


def _main_hook(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    _uncaught(error)


def _thread_hook(args: threading.ExceptHookArgs) -> None:
    _uncaught(args.exc_value)


def _unraisable_hook(args: sys.UnraisableHookArgs) -> None:
    _uncaught(args.exc_value)
