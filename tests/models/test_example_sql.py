"""Each of the example questions runs as it is, and has the same answer on both engines."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from two_tower.core.settings import Settings
from two_tower.database.warehouse import open_warehouse

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("both_engines")]

QUESTIONS = sorted((Path(__file__).resolve().parents[2] / "examples" / "sql").glob("*.sql"))


def answer(settings: Settings, sql: str) -> list[list[Any]]:
    """Return a query's rows in its own order, with numbers and ids of one type on both engines."""
    with open_warehouse(settings) as warehouse:
        return [
            [
                float(value) if isinstance(value, Decimal | float) else str(value)
                for value in row.values()
            ]
            for row in warehouse.fetch(sql)
        ]


def test_there_are_ten_questions() -> None:
    assert [path.name[:2] for path in QUESTIONS] == [f"{number:02}" for number in range(1, 11)]


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_a_question_has_one_answer(path: Path, both_engines: dict[str, Settings]) -> None:
    sql = path.read_text()
    assert re.match("-- .*[?]\n--\n-- ", sql), "begin with the question and how to read its answer"
    on_duckdb = answer(both_engines["duckdb"], sql)
    assert on_duckdb, "no rows: the sample should have something to answer with"
    assert answer(both_engines["postgres"], sql) == on_duckdb
