"""Where the package's log goes: stderr, as lines for people or as JSON for programs."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime

from two_tower.settings import Settings


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
        return json.dumps(line, ensure_ascii=False, default=str)


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
