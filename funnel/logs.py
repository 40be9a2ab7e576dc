"""Logs and crash reports: a line of JSON each, with fields of one list only, and never what an error says.

What an error says may hold what somebody typed, so that of an error its type and its places in the source are told.
Of a library's line, likewise, only what stands word for word in that library's source.
"""

import faulthandler
import linecache
import logging
import resource
import sys
import threading
import traceback
import warnings
from collections.abc import MutableMapping
from copy import copy
from types import TracebackType
from typing import Any

import structlog

# Ids and counts.
NUMBERS = frozenset({"attempt", "batch", "batches", "recipients", "funnels", "port", "skew_ms", "kept"})
# Words of closed sets: a state, a class of fault, a scope that an operator named.
WORDS = frozenset({"fate", "health", "reason", "scope", "fault", "kind", "place"})
MAY_BE_LOGGED = NUMBERS | WORDS
_OWN = {"event", "level", "timestamp", "dropped"}


def configure() -> None:
    """For a process of its own: everything that is logged goes to stderr this way."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Lines())
    arq = logging.getLogger("arq")
    arq.handlers.clear()  # those of its command line, which repeat what an error says
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            only_known,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    _report_crashes()


def _report_crashes() -> None:
    """Whatever ends, or fails where nobody can catch it: in any thread, in a finalizer, or below Python."""
    sys.excepthook = crash
    if threading.excepthook is not threading.__excepthook__:
        return  # a test runner has hooks of its own
    threading.excepthook = lambda told: crash(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: crash(told.exc_type, told.exc_value, told.exc_traceback)
    warnings.formatwarning = lambda _, kind, file, line, __=None: f"{kind.__name__} {file}:{line}\n"  # type: ignore[assignment]
    faulthandler.enable()  # tells places, no values
    # A core file would hold addresses, names and keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def only_known(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drops every field that may not be logged, or is no number where one belongs: an id may come from anywhere.

    The line says which, so that somebody mends the call.
    """
    unknown = sorted(
        name
        for name in event.keys() - _OWN
        if name not in MAY_BE_LOGGED or (name in NUMBERS and not _counts(event[name]))
    )
    for name in unknown:
        del event[name]
    if unknown:
        event["dropped"] = unknown
    return event


def _counts(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, list | tuple) and all(isinstance(each, int) for each in value))


class Lines(logging.Formatter):
    """What libraries log: one line each, without the values that they put into it, and errors without their words."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        said = copy(record)  # other handlers get the same one
        said.msg, said.args, said.exc_text = _literal(record), (), None
        return "".join(char if char.isprintable() else " " for char in super().format(said))

    def formatException(
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        return report(ei[0], ei[2]) if ei[0] else ""


def _literal(record: logging.LogRecord) -> str:
    """What a line says as far as the library's source has it as one literal, and else only where it was logged."""
    written = str(record.msg)
    source = "".join(linecache.getlines(record.pathname))
    if f'"{written}"' in source or f"'{written}'" in source:
        return written
    return f"{record.filename}:{record.lineno}"


def crash(kind: type[BaseException], _error: BaseException | None, places: TracebackType | None) -> None:
    """In place of Python's own report of an error that nobody caught."""
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    sys.stderr.write(f"{report(kind, places)}\n")


def report(kind: type[BaseException], places: TracebackType | None) -> str:
    """An error's type and where it came from, as lines of our source: no message, no values."""
    return "".join(traceback.format_tb(places)) + kind.__name__
