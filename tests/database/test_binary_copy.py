"""What Arrow holds arrives in Postgres as it is, whatever its type."""

from datetime import date, datetime
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from two_tower.core.settings import Settings
from two_tower.database import binary_copy, ddl
from two_tower.database.warehouse import PostgresWarehouse, open_warehouse

VIDEO = UUID("123e4567-e89b-42d3-a456-426614174000")
COLUMNS = {
    "text": ("text", pa.string(), ["", "山田\n\t\\N", None, "x" * 3000]),
    "small": ("smallint", pa.int16(), [-1, 32767, None, 0]),
    "whole": ("integer", pa.int32(), [-1, 2**31 - 1, None, 0]),
    "large": ("bigint", pa.int64(), [-1, 2**63 - 1, None, 0]),
    "short": ("real", pa.float32(), [-0.5, float("inf"), None, 0.0]),
    "long": ("double precision", pa.float64(), [0.1, -1e300, None, 0.0]),
    "day": ("date", pa.date32(), [date(1970, 1, 1), date(2000, 1, 1), None, date(2999, 12, 31)]),
    "time": (
        "timestamp",
        pa.timestamp("us"),
        [datetime(1999, 12, 31, 23, 59, 59, 999999), datetime(2026, 2, 28), None, datetime.min],
    ),
    "video": ("uuid", pa.uuid(), [VIDEO, UUID(int=0), None, UUID(int=2**128 - 1)]),
}


@pytest.mark.parametrize("rows", [slice(None), slice(1, 3), slice(0, 0)])
def test_every_type_arrives_as_it_is(postgres_settings: Settings, rows: slice) -> None:
    names = list(COLUMNS)
    columns = [pa.array(values, kind)[rows] for _, kind, values in COLUMNS.values()]
    with open_warehouse(postgres_settings) as warehouse:
        assert isinstance(warehouse, PostgresWarehouse)
        types = ", ".join(f'"{name}" {COLUMNS[name][0]}' for name in names)
        warehouse.execute(f"create temporary table arrived (place serial, {types})")
        with binary_copy.into(warehouse.connection, "arrived", names) as copy:
            copy.write(binary_copy.rows(columns))
            copy.write(binary_copy.rows(columns))
        found = warehouse.fetch("select * from arrived order by place")
    sent = [values[rows] * 2 for _, _, values in COLUMNS.values()]
    assert [[row[name] for row in found] for name in names] == sent


def test_vectors_of_both_widths_arrive(postgres_settings: Settings) -> None:
    values = np.random.default_rng(0).standard_normal((3, 128)).astype(np.float32)
    with open_warehouse(postgres_settings) as warehouse:
        assert isinstance(warehouse, PostgresWarehouse)
        of = ddl.pgvector_schema(warehouse)
        warehouse.execute(
            f"create temporary table arrived (half {of}.halfvec(128), whole {of}.vector(128))"
        )
        with binary_copy.into(warehouse.connection, "arrived", ["half", "whole"]) as copy:
            columns = [binary_copy.vectors(values, kind) for kind in (">f2", ">f4")]
            copy.write(binary_copy.rows(columns))
        found = warehouse.fetch("select half::real[] as half, whole::real[] as whole from arrived")
    assert np.array_equal(np.float16([row["half"] for row in found]), values.astype(np.float16))
    assert np.array_equal(np.float32([row["whole"] for row in found]), values)


def test_a_type_without_a_format_is_refused() -> None:
    with pytest.raises(TypeError, match="bool"):
        binary_copy.rows([pa.array([True])])
