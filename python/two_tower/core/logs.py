"""The package's log on stderr, as text for people or as JSON lines for programs.

With JSON, stderr holds nothing else: each line that dbt, a library or a progress bar writes becomes
the ``message`` of a record.
"""

from __future__ import annotations

import io
import logging
import sys
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal, TextIO

from two_tower.core import output

LogFormat = Literal["text", "json"]


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (UTC), level, logger, message, and the fields of ``extra``."""

    OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as a line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in self.OWN}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return output.as_json(line, sys.stderr, default=str)


class Handler(logging.Handler):
    """Writes each record to the current stderr, bypassing :class:`Wrapped`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        stream = sys.stderr.beneath if isinstance(sys.stderr, Wrapped) else sys.stderr
        try:
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:
            self.handleError(record)


class Wrapped(io.TextIOBase):
    """A stderr that logs each line written to it as a record on ``beneath``."""

    def __init__(self, beneath: TextIO) -> None:
        self.beneath = beneath
        self._begun = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """See :class:`io.TextIOBase`."""
        return self.beneath.encoding

    def write(self, text: str) -> int:
        """Log the complete lines; keep the rest until its newline comes."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                logging.getLogger("two_tower.stderr").info("%s", line.rstrip())
        return len(text)

    def writable(self) -> bool:
        """See :class:`io.TextIOBase`."""
        return True


def configure(log_format: LogFormat) -> None:
    """Send the package's log to stderr in this format."""
    logger = logging.getLogger("two_tower")
    for handler in [h for h in logger.handlers if isinstance(h, Handler)]:
        logger.removeHandler(handler)
    handler = Handler()
    logger.addHandler(handler)
    logger.propagate = False
    if log_format == "text":
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        logger.setLevel(logging.WARNING)
        return
    handler.setFormatter(JsonFormatter())
    logger.setLevel(logging.INFO)
    if not isinstance(sys.stderr, Wrapped):
        sys.stderr = Wrapped(sys.stderr)


def warn_of(sentences: Iterable[str]) -> None:
    """Log each sentence as a warning."""
    for sentence in sentences:
        logging.getLogger(__name__).warning(sentence)
