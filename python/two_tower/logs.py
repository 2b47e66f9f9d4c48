"""Where the package's log goes: stderr, as lines for people or as JSON for programs."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime

from two_tower import output
from two_tower.settings import Settings, unknown_names


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message; whatever ``extra`` held."""

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


def configure(settings: Settings) -> None:
    """Send the log of the package to stderr, in the format of ``settings.log_format``."""
    logger = logging.getLogger("two_tower")
    if any(isinstance(handler, logging.StreamHandler) for handler in logger.handlers):
        return  # somebody has seen to it: a flow, say
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter()
        if settings.log_format == "json"
        else logging.Formatter("%(levelname)s: %(message)s")
    )
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if settings.log_format == "json" else logging.WARNING)
    logger.propagate = False


def warn_of_unknown_names(settings: Settings) -> None:
    """Warn of what looks like a setting and is none."""
    for sentence in unknown_names(settings.project_dir):
        logging.getLogger(__name__).warning(sentence)
