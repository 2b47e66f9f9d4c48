import duckdb
import numpy as np
import pytest

from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.database.warehouse import DuckDBWarehouse
from two_tower.model.feature_rows import read_layout
from two_tower.model.layout import Layout

ROWS = [
    # Out of order on purpose: position decides, not the order of the rows.
    (3, "user", "ratio", "numeric", None, 2, 1),
    (1, "user", "tags", "multi_hot", "tag", 1, 3),
    (7, "user", "liked", "history", "video", 3, 4),
    (2, "item", "maker", "one_hot", "maker", 1, 2),
    (9, "item", "own_id", "identity", "video", 2, 4),
]
NAMES = ("feature_id", "tower", "feature", "kind", "vocabulary", "position", "width")


def layout(rows=ROWS):
    return Layout.from_rows([dict(zip(NAMES, row, strict=True)) for row in rows], "abc", 5)


def test_blocks_lie_in_the_order_of_position():
    frozen = layout()
    assert [(b.feature, b.offset, b.width) for b in frozen.user] == [
        ("tags", 0, 3),
        ("ratio", 3, 1),
        ("liked", 4, 4),
    ]
    assert (frozen.feature_dim("user"), frozen.feature_dim("item")) == (8, 6)
    assert frozen.vocab_sizes() == {"tag": 3, "video": 4, "maker": 2}


def test_a_layout_without_some_kinds_closes_up():
    rest = layout().without(("multi_hot", "identity"))
    assert [(b.feature, b.offset, b.width) for b in rest.user] == [("ratio", 0, 1), ("liked", 1, 4)]
    assert [(b.feature, b.offset, b.width) for b in rest.item] == [("maker", 0, 2)]
    assert (rest.layout_hash, rest.input_schema_version) == ("abc", 5)


def test_a_layout_survives_its_json_file(tmp_path):
    layout().write(tmp_path / "layout.json")
    assert Layout.read(tmp_path / "layout.json") == layout()


def test_a_file_that_is_no_layout_is_named(tmp_path):
    (tmp_path / "layout.json").write_text('{"user": 1}')
    with pytest.raises(InputError, match=r"layout\.json"):
        Layout.read(tmp_path / "layout.json")


def test_slots_leave_out_what_the_model_does_not_know():
    # Feature 3 is numeric, 99 and 0 are unknown, index 3 of feature 1 and -1 of 7 are out of range.
    slots = layout().slots(
        "user",
        np.array([1, 1, 3, 99, 7, 0, 7, 2, -1], dtype=np.int16),
        np.array([0, 3, 0, 0, 3, 0, -1, 0, 0], dtype=np.int32),
        np.array([1, 1, 0.5, 1, 1, 1, 1, 1, 1], dtype=np.float32),
        np.array([0, 4, 4, 9], dtype=np.int32),
    )
    assert slots.positions.tolist() == [0, 3, 7]
    assert slots.values.tolist() == [1, 0.5, 1]
    assert slots.offsets.tolist() == [0, 2, 2, 3]
    assert slots.rows.tolist() == [0, 0, 2]
    assert (slots.positions.dtype, slots.values.dtype, slots.offsets.dtype) == (
        np.int64,
        np.float32,
        np.int64,
    )


def test_dense_rows_hold_the_same_values():
    dense = layout().dense("item", [2, 9, 9], [1, 0, 3], [1, 1, 1], [0, 2, 2, 3])
    assert dense.dtype == np.float32
    assert dense.tolist() == [[0, 1, 1, 0, 0, 0], [0] * 6, [0, 0, 0, 0, 0, 1]]
    assert layout().dense("item", [], [], [], [0]).shape == (0, 6)


@pytest.mark.parametrize(("column", "value"), [(0, 1), (0, -4), (1, "video"), (3, "text"), (6, -1)])
def test_a_layout_row_that_cannot_be_is_refused(column, value):
    row = list(ROWS[0])
    row[column] = value
    with pytest.raises(InputError, match="'ratio'"):
        layout([tuple(row), *ROWS[1:]])


def test_a_tower_without_features_is_not_enough_data():
    with pytest.raises(NotEnoughDataError, match="item tower"):
        layout([row for row in ROWS if row[1] == "user"])


def test_a_layout_that_returns_is_read_with_its_old_version():
    warehouse = DuckDBWarehouse(duckdb.connect())
    with pytest.raises(NotEnoughDataError, match="feature_layout"):
        read_layout(warehouse)
    warehouse.execute("create schema two_tower")
    warehouse.execute(
        "create table two_tower.feature_layout (feature_id smallint, tower text, feature text,"
        " kind text, vocabulary text, position int, width int, layout_hash text)"
    )
    warehouse.execute(
        "create table two_tower.feature_layout_versions as select * from (values"
        " (1, 'back', timestamp '2026-01-01'), (2, 'gone', timestamp '2026-02-01'))"
        " as versions (input_schema_version, layout_hash, first_seen_at)"
    )
    for row in ROWS:
        warehouse.execute(
            "insert into two_tower.feature_layout values (?, ?, ?, ?, ?, ?, ?, 'back')", row
        )
    found = read_layout(warehouse)
    assert (found.input_schema_version, found.layout_hash) == (1, "back")
    assert found.user == layout().user
