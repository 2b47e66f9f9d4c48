"""Export and the model API: contracts of the files, parity, what a reader is told."""

import gzip
import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
import torch

import planted
import two_tower
from two_tower.artifacts import export as exporting
from two_tower.artifacts.export import ExportResult, export
from two_tower.artifacts.load_model import TorchModel
from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.artifacts.storage import CorruptFileError
from two_tower.core.errors import GateError, InputError, NotEnoughDataError
from two_tower.core.settings import Settings
from two_tower.database.warehouse import open_warehouse
from two_tower.model import feature_rows
from two_tower.model.layout import Layout, Tower
from two_tower.model.onnx import check_parity, open_session
from two_tower.model.slots import Slots
from two_tower.model.towers import load_towers

USER_DIM, ITEM_DIM = 1 + planted.VIDEOS, 2 + 1 + planted.VIDEOS


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, ExportResult]:
    """A published planted model (read-only for the tests), on DuckDB."""
    from conftest import folders, make_settings

    folder = tmp_path_factory.mktemp("exported")
    settings = make_settings("duckdb", duckdb_path=folder / "file.duckdb", **folders(folder))
    planted.build(settings)
    return settings, export(settings)


@pytest.fixture(scope="module")
def models(exported: tuple[Settings, ExportResult]) -> Path:
    return Path(exported[0].registry_url) / "models"


def vectors(path: Path) -> tuple[list[str], np.ndarray]:
    table = pq.read_table(path)
    rows = table.column(1).combine_chunks()
    return table.column(0).to_pylist(), rows.flatten().to_numpy().reshape(len(rows), -1)


def test_files_and_their_sha256(models: Path, exported: tuple[Settings, ExportResult]) -> None:
    result = exported[1]
    assert result.version == planted.VERSION
    assert (result.user_feature_dim, result.item_feature_dim) == (USER_DIM, ITEM_DIM)
    assert (result.user_rows, result.item_rows) == (planted.USERS, planted.VIDEOS)
    assert result.is_complete
    assert result.largest_difference <= 1e-5
    text = json.loads((models / "two_tower_latest.json").read_text())
    assert {
        key: text[key] for key in ("version", "dim", "loss", "input_schema_version", "layout_hash")
    } == {
        "version": planted.VERSION,
        "dim": 128,
        "loss": "softmax",
        "input_schema_version": 3,
        "layout_hash": planted.HASH,
    }
    assert text["trained_at"] == "2026-01-01T00:00:00+00:00"
    assert set(result.files) == set(text["sha256"])
    for name, sha256 in text["sha256"].items():
        assert hashlib.sha256((models / name).read_bytes()).hexdigest() == sha256


def test_model_meta_names_every_vocabulary_size(models: Path) -> None:
    meta = json.loads((models / "model_meta.json").read_text())
    assert meta["video_vocab_size"] == planted.VIDEOS
    assert meta["source_vocab_size"] == 2
    assert (meta["user_feature_dim"], meta["item_feature_dim"]) == (USER_DIM, ITEM_DIM)
    assert Layout.from_dict(meta["layout"]).feature_dim("item") == ITEM_DIM
    assert meta["feature_files"]["user_features.parquet"] == {
        "rows": planted.USERS,
        "of": planted.USERS,
        "is_complete": True,
    }


def test_onnx_inputs_and_outputs_are_the_contracted_ones(models: Path) -> None:
    session = open_session(models / "two_tower_latest.onnx")
    inputs = [(item.name, item.type, item.shape[1]) for item in session.get_inputs()]
    outputs = [(item.name, item.type, item.shape[1]) for item in session.get_outputs()]
    assert inputs == [
        ("user_features", "tensor(float)", USER_DIM),
        ("item_features", "tensor(float)", ITEM_DIM),
    ]
    assert outputs == [
        ("user_embedding", "tensor(float)", 128),
        ("item_embedding", "tensor(float)", 128),
    ]
    model = onnx.load(models / "two_tower_latest.onnx", load_external_data=False)
    assert all(not tensor.external_data for tensor in model.graph.initializer)
    # Both declared inputs must be fed: none is an initializer with a default.
    assert {tensor.name for tensor in model.graph.initializer}.isdisjoint(
        {"user_features", "item_features"}
    )
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["version"] == planted.VERSION
    assert properties["input_schema_version"] == "3"
    assert json.loads(properties["model_meta"])["video_vocab_size"] == planted.VIDEOS


@pytest.mark.parametrize("users", [0, 1, 2, 257])
@pytest.mark.parametrize("items", [0, 1, 2, 257])
def test_onnx_equals_pytorch_and_the_sparse_towers(models: Path, users: int, items: int) -> None:
    session = open_session(models / "two_tower_latest.onnx")
    payload = torch.load(models / "two_tower_latest.pkl", weights_only=True)
    dense = two_tower.artifacts.load_model.Towers.from_payload(payload).dense_module()
    rows = [
        np.resize(vectors(models / f"{tower}_features.parquet")[1], (count, width))
        for tower, count, width in (("user", users, USER_DIM), ("item", items, ITEM_DIM))
    ]
    found = session.run(None, {"user_features": rows[0], "item_features": rows[1]})
    with torch.no_grad():
        expected = dense(*(torch.from_numpy(part) for part in rows))
    for left, right, count in zip(found, expected, (users, items), strict=True):
        assert left.shape == (count, 128)
        assert left.dtype == np.float32
        assert np.allclose(left, right.numpy(), rtol=0, atol=1e-5)
        assert np.allclose(np.linalg.norm(left, axis=1), 1, atol=1e-5)


def test_what_the_encoder_adds_up_is_what_onnx_runtime_multiplies(
    exported: tuple[Settings, ExportResult],
) -> None:
    encoder = Encoder(Registry(exported[0]).fetch())
    tables: dict[Tower, str] = {"user": "user_feature_slots", "item": "item_feature_slots"}
    for tower, table in tables.items():
        with open_warehouse(exported[0]) as warehouse:
            batch = warehouse.read_arrow(f"select * from two_tower.{table}").read_all()
        slots = feature_rows.slots(encoder.layout, tower, batch)
        empty = Slots(slots.positions, slots.values, np.append(slots.offsets, slots.offsets[-1]))
        found = encoder.encode(tower, empty)
        assert found.dtype == np.float32
        assert len(found) == batch.num_rows + 1
        assert np.allclose(found, encoder.by_onnx_runtime(tower, empty), rtol=0, atol=1e-6)
        encoder.check(tower, empty)


def test_feature_files_hold_the_serving_features_that_onnx_takes(
    models: Path, exported: tuple[Settings, ExportResult]
) -> None:
    settings = exported[0]
    towers = load_towers(settings.path(settings.runs_dir) / planted.VERSION / "towers.pt")
    session = open_session(models / "two_tower_latest.onnx")
    ids, users = vectors(models / "user_features.parquet")
    assert pq.read_schema(models / "user_features.parquet").field("vector").type.list_size == (
        USER_DIM
    )
    assert ids == [planted.user_id(number) for number in range(planted.USERS)]
    video_ids, items = vectors(models / "item_features.parquet")
    assert video_ids == [planted.video_id(number) for number in range(planted.VIDEOS)]
    assert items[3, :3].tolist() == [0.0, 1.0, 5.5]
    found = session.run(None, {"user_features": users, "item_features": items})
    with open_warehouse(settings) as warehouse:
        rows = warehouse.read_arrow(
            'select feature_ids, indices, "values" from two_tower.user_feature_slots'
            " order by user_id"
        ).read_all()
    from two_tower.model.feature_rows import slots

    with torch.no_grad():
        sparse = towers.forward_sparse("user", slots(towers.layout, "user", rows))
    assert np.allclose(found[0], sparse.numpy(), rtol=0, atol=1e-5)


def test_the_pickle_holds_tensors_and_primitives_only(models: Path) -> None:
    payload = torch.load(models / "two_tower_latest.pkl", weights_only=True)
    assert payload["user_feature_dim"] == USER_DIM
    assert payload["layout"]["layout_hash"] == planted.HASH
    packed = (models / f"two_tower_{planted.VERSION}.pt.gz").read_bytes()
    assert gzip.decompress(packed) == (models / "two_tower_latest.pkl").read_bytes()


def test_exporting_again_changes_no_versioned_file(
    exported: tuple[Settings, ExportResult], models: Path
) -> None:
    versioned = {path: path.read_bytes() for path in models.glob(f"two_tower_{planted.VERSION}*")}
    again = export(exported[0], planted.VERSION)
    assert again.sha256s == exported[1].sha256s
    assert {path: path.read_bytes() for path in versioned} == versioned


@pytest.mark.parametrize("file", ["two_tower_latest.onnx", "two_tower_latest.pkl", "", ".."])
def test_load_model_encodes_users_and_items(models: Path, file: str) -> None:
    model = two_tower.load_model((models / file).resolve())
    _, users = vectors(models / "user_features.parquet")
    _, items = vectors(models / "item_features.parquet")
    user_vectors, item_vectors = model.encode_user(users), model.encode_item(items)
    assert user_vectors.shape == (planted.USERS, 128)
    assert item_vectors.shape == (planted.VIDEOS, 128)
    assert user_vectors.dtype == item_vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(item_vectors, axis=1), 1, atol=1e-5)
    best = (user_vectors @ item_vectors.T).argmax(axis=1)
    assert [planted.group(video) for video in best] == [
        planted.group(user) for user in range(planted.USERS)
    ]
    assert model.meta["version"] == planted.VERSION
    assert model.layout.feature_dim("user") == USER_DIM
    assert model.encode_user(users[:0]).shape == (0, 128)
    with pytest.raises(InputError, match=rf"shape \[60, {ITEM_DIM}\].*takes \[batch, {USER_DIM}\]"):
        model.encode_user(items[:60])
    with pytest.raises(InputError, match="takes"):
        model.encode_item(items[0])


class Malicious:
    """Runs code where it is unpickled without a care."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("owned"),))


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_load_model_never_unpickles_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if kind == "torch":
        torch.save({"format": 1, "state": Malicious()}, tmp_path / "model.pkl")
    else:
        (tmp_path / "model.pkl").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(InputError, match="is not a model of this project"):
        two_tower.load_model(tmp_path / "model.pkl")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["model.onnx", "model.pkl", "model.pt.gz"])
@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", b"\x08\x07\x12"])
def test_load_model_says_what_is_no_model(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="is not a model of this project"):
        two_tower.load_model(tmp_path / name)
    with pytest.raises(InputError, match="does not exist"):
        two_tower.load_model(tmp_path / f"other_{name}")


def test_load_model_compares_a_file_with_the_json_beside_it(models: Path, tmp_path: Path) -> None:
    content = bytearray((models / "two_tower_latest.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "two_tower_latest.onnx").write_bytes(content)
    two_tower.load_model(tmp_path / "two_tower_latest.onnx")  # nothing beside it to compare with
    (tmp_path / "two_tower_latest.json").write_bytes(
        (models / "two_tower_latest.json").read_bytes()
    )
    with pytest.raises(CorruptFileError, match=r"two_tower_latest\.onnx is not the file"):
        two_tower.load_model(tmp_path / "two_tower_latest.onnx")


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, two_tower; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_feature_file_above_the_budget_holds_the_first_rows_and_says_so(
    either_settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planted.build(either_settings)
    monkeypatch.setattr(exporting, "FEATURE_FILE_CELLS", USER_DIM * 10 + 5)
    monkeypatch.setattr(exporting, "ROW_GROUP_CELLS", USER_DIM * 3)
    towers = planted.towers(Layout.read(_run(either_settings) / "layout.json"))
    path = tmp_path / "user.parquet"
    with open_warehouse(either_settings) as warehouse:
        counts = exporting.write_features(warehouse, towers.layout, "user", path)
    assert counts == (10, planted.USERS)
    assert vectors(path)[0] == [planted.user_id(number) for number in range(10)]
    assert pq.ParquetFile(path).num_row_groups == 4


def test_export_names_the_rows_it_left_out_and_what_was_measured(
    duckdb_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = planted.build(duckdb_settings)
    monkeypatch.setattr(exporting, "FEATURE_FILE_CELLS", ITEM_DIM * 10)
    metrics = {"metrics": {"two_tower": {"overall": {"recall@20": 0.5}}}}
    (run / "metrics.json").write_text(json.dumps(metrics))
    result = export(duckdb_settings)
    assert not result.is_complete
    assert result.item_rows == 10
    latest = Registry(duckdb_settings).latest()
    assert latest["metrics"] == {"recall@20": 0.5}
    files = latest["model_meta"]["feature_files"]
    assert files["item_features.parquet"] == {"rows": 10, "of": 80, "is_complete": False}


def test_weights_that_are_not_finite_are_refused_and_nothing_is_published(
    duckdb_settings: Settings,
) -> None:
    planted.build(duckdb_settings)
    path = _run(duckdb_settings) / "towers.pt"
    payload = torch.load(path, weights_only=True)
    payload["state"]["towers.item.bias"][0] = torch.nan
    torch.save(payload, path)
    with pytest.raises(GateError, match="item_embedding differs"):
        export(duckdb_settings)
    assert Registry(duckdb_settings).storage.names() == []


def test_parity_notices_a_file_of_other_weights(
    models: Path, exported: tuple[Settings, ExportResult]
) -> None:
    towers = load_towers(_run(exported[0]) / "towers.pt")
    with torch.no_grad():
        towers.state_dict()["towers.user.bias"][0] += 0.01
    rows = np.ones((3, USER_DIM), np.float32), np.ones((3, ITEM_DIM), np.float32)
    with pytest.raises(GateError, match="user_embedding differs"):
        check_parity(models / "two_tower_latest.onnx", towers.dense_module(), *rows)


def test_export_without_features_says_what_to_run(duckdb_settings: Settings) -> None:
    planted.write_run(duckdb_settings, planted.VERSION)
    with pytest.raises(NotEnoughDataError, match="does not exist") as raised:
        export(duckdb_settings)
    assert "dbt build" in raised.value.hint


def test_a_pickle_of_another_format_is_refused() -> None:
    with pytest.raises(InputError, match="format 99"):
        TorchModel({"format": 99, "layout": planted_layout()})


def planted_layout() -> dict:
    block = {"feature_id": 1, "feature": "f", "kind": "numeric", "vocabulary": None}
    block |= {"offset": 0, "width": 1}
    return {"layout_hash": "h", "input_schema_version": 1, "user": [block], "item": [block]}


def _run(settings: Settings) -> Path:
    return settings.path(settings.runs_dir) / planted.VERSION
