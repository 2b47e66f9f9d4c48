import duckdb
import numpy as np
import pytest

import training_tables
from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.database.warehouse import DuckDBWarehouse
from two_tower.model.feature_rows import read_layout
from two_tower.training.data import dataset


@pytest.fixture
def warehouse():
    return DuckDBWarehouse(duckdb.connect())


def test_any_rows_come_back_as_the_database_has_them(warehouse, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "two_tower.database.warehouse.BATCH_ROWS", 2048
    )  # so that there are several
    training_tables.build(warehouse)
    warehouse.execute(
        "insert into two_tower.training_users select users.*"
        " replace (user_id || '-' || n as user_id)"
        " from two_tower.training_users as users, range(60) as copies(n)"
    )
    layout = read_layout(warehouse)
    dataset.spool(warehouse, tmp_path)
    users = dataset.Users(tmp_path)
    table = warehouse.fetch("select * from two_tower.training_users order by user_id")
    assert len(users) == len(table) > 3 * 2048
    assert len(users._chunks) > 1
    rows = np.sort(np.random.default_rng(0).choice(len(users), 300, replace=False))
    part = users.read(rows, layout)
    dense = layout.densify("user", part.slots)
    for number, row in enumerate(rows):
        expected = table[row]
        mine = slice(part.offsets[number], part.offsets[number + 1])
        assert part.items[mine].tolist() == expected["item_numbers"]
        assert part.liked[mine].tolist() == [label == 1 for label in expected["labels"]]
        assert part.folds[mine].tolist() == expected["folds"]
        assert part.recency_ranks[mine].tolist() == expected["recency_ranks"]
        ids, indices = np.array(expected["feature_ids"]), np.array(expected["indices"])
        one = layout.dense("user", ids, indices, np.array(expected["values"]), [0, len(ids)])
        assert np.array_equal(dense[number], one[0])
    assert sum(len(rows) for rows, _ in users.chunks(layout)) == len(users)


def test_reviews_are_counted_and_as_relevant_as_the_square_of_their_weight(warehouse, tmp_path):
    training_tables.build(warehouse)
    data = training_tables.read(warehouse, tmp_path)
    table = warehouse.fetch(
        "select item, count(*) as reviews, sum(label) as likes from (select unnest(item_numbers)"
        " as item, unnest(labels) as label from two_tower.training_users) group by item"
    )
    counts = np.zeros((2, training_tables.VIDEOS))
    for row in table:
        counts[:, row["item"]] = row["reviews"], row["likes"]
    assert data.review_counts.tolist() == counts[0].tolist()
    assert data.like_counts.tolist() == counts[1].tolist()
    assert data.seen.tolist() == (counts[0] > 0).tolist()
    users = data.read(np.arange(9))
    weights = np.where(users.liked, training_tables.LIKE, training_tables.DISLIKE)
    assert users.relevances.tolist() == (weights**2).tolist()


def test_who_has_no_other_review_is_not_asked_in_validation(warehouse, tmp_path):
    training_tables.build(warehouse)
    before = training_tables.read(warehouse, tmp_path / "before")
    row = int(before.validation[0])
    user_id = warehouse.fetch("select user_id from two_tower.training_users order by user_id")
    warehouse.execute(
        "update two_tower.training_users set folds = list_transform(folds, lambda fold: 0)"
        f" where user_id = '{user_id[row]['user_id']}'"
    )
    after = training_tables.read(warehouse, tmp_path / "after")
    np.testing.assert_array_equal(after.validation, before.validation[1:])
    np.testing.assert_array_equal(after.likers, before.likers)


def test_videos_know_their_place_in_the_histories(warehouse, tmp_path):
    training_tables.build(warehouse, users=1)
    dataset.spool(warehouse, tmp_path)
    items = dataset.read_items(tmp_path, read_layout(warehouse))
    assert items.identity.tolist() == [*range(50), *[-1] * 10]


def test_item_numbers_with_gaps_are_refused(warehouse, tmp_path):
    training_tables.build(warehouse, users=1)
    warehouse.execute("delete from two_tower.item_feature_slots where item_number = 3")
    dataset.spool(warehouse, tmp_path)
    with pytest.raises(InputError, match="item_number"):
        dataset.read_items(tmp_path, read_layout(warehouse))


@pytest.mark.parametrize("value", ["null", "[1, null]"])
def test_a_null_is_refused_with_its_column(warehouse, tmp_path, value):
    training_tables.build(warehouse, users=2)
    warehouse.execute(f"update two_tower.training_users set folds = {value}")
    with pytest.raises(InputError, match="column folds"):
        dataset.spool(warehouse, tmp_path)


def test_missing_tables_are_not_enough_data(warehouse, tmp_path):
    with pytest.raises(NotEnoughDataError, match="training_users"):
        dataset.spool(warehouse, tmp_path)


def test_what_another_version_spooled_is_refused(warehouse, tmp_path, monkeypatch):
    training_tables.build(warehouse, users=1)
    schema = dataset.SCHEMAS["training_users"]
    older = schema.remove(schema.get_field_index("recency_ranks"))
    monkeypatch.setitem(dataset.SCHEMAS, "training_users", older)
    dataset.spool(warehouse, tmp_path)
    with pytest.raises(InputError, match="lacks recency_ranks: another version"):
        dataset.Users(tmp_path)
