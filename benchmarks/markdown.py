"""What the page of results is made of: results as they were written, tables, numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from benchmarks.harness import RESULTS

NUMBER = re.compile(r"[*+−±\d.,%\s]*( of \d+)?")


def read(name: str) -> Any:
    """Return a result."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table with numbers aligned right."""
    head = list(columns)
    body = [list(row) for row in rows]
    numbers = [all(NUMBER.fullmatch(row[i]) for row in body) for i in range(len(head))]
    rule = ["---:" if number else "---" for number in numbers]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in (head, rule, *body))


def share(value: float | None, digits: int = 3) -> str:
    """Return a share without the 0 before its point."""
    if value is None:
        return ""
    return f"{value:.{digits}f}".replace("0.", ".", 1).replace("-", "−")


def percent(value: float, digits: int = 0, sign: str = "") -> str:
    """Return a share as a percentage."""
    return f"{value * 100:{sign}.{digits}f} %".replace("-", "−")
