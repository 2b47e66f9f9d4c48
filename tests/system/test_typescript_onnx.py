"""The user tower on the device gives the vectors that Python gives."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
import torch

import planted
from conftest import PROJECT_DIR, folders, make_settings
from interfaces.http_server import KEY, serving, with_keys
from postgres_server import PostgresServer
from serving.app_world import make_app, video
from system import node_projects
from two_tower.artifacts.export import describe, export
from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.artifacts.storage import sha256_of
from two_tower.core.settings import Settings
from two_tower.model.layout import PAST_KINDS, Layout
from two_tower.model.onnx import TOLERANCE, write_onnx
from two_tower.model.towers import Towers, save_towers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("examples")]

RUNTIMES = ("onnxruntime-node", "onnxruntime-web")
KNOWN = 50
# All kinds that a user has: two of them hold past videos.
ROWS: list[dict[str, Any]] = [
    {"feature_id": 1, "feature": "tags", "kind": "multi_hot", "vocabulary": "tag", "width": 7},
    {"feature_id": 2, "feature": "likes", "kind": "history", "vocabulary": "video", "width": KNOWN},
    {"feature_id": 3, "feature": "count", "kind": "numeric", "vocabulary": None, "width": 1},
    {"feature_id": 4, "feature": "last", "kind": "recency", "vocabulary": "video", "width": KNOWN},
]
ITEM = {"feature_id": 9, "feature": "price", "kind": "numeric", "vocabulary": None, "width": 1}
ENCODE = """
import { readFile } from "node:fs/promises";
import { openUserTower } from "two-tower/onnx";
const [runtime, folder, version, asked] = process.argv.slice(2);
const tower = await openUserTower(await import(runtime), {
  read: (name) => readFile(`${folder}/${name}`),
  videos: JSON.parse(await readFile("videos.json", "utf8")),
  inputSchemaVersion: Number(version),
});
const vectors = [];
for (const likes of JSON.parse(asked)) vectors.push(await tower.encode(likes));
await tower.close();
console.log(JSON.stringify({ version: tower.version, vectors: vectors.map((v) => v && [...v]) }));
"""


SEARCH = """
import { createClient } from "two-tower";
const [url, key, vector, exclude] = process.argv.slice(2);
const options = { limit: 10, exclude: JSON.parse(exclude) };
const list = await createClient({ url, key }).recommendForVector(JSON.parse(vector), options);
console.log(JSON.stringify(list.map((video) => video.video_id)));
"""


PAGE = """
<!doctype html>
<script type="importmap">
  { "imports": { "two-tower/onnx": "./node_modules/two-tower/dist/onnx.js",
                 "onnxruntime-web": "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs" } }
</script>
<script type="module">
  import * as runtime from "onnxruntime-web";
  import { openUserTower } from "two-tower/onnx";
  const videos = { a: 0, b: 7 };
  const read = async (name) => (await fetch(`models/${name}`)).arrayBuffer();
  try {
    const tower = await openUserTower(runtime, { read, videos, inputSchemaVersion: 3 });
    document.body.append(JSON.stringify([...(await tower.encode(["a", "b"]))]));
  } catch (error) {
    document.body.append(`${error} ${error.hint}`);
  }
</script>
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device")
    package = json.loads((PROJECT_DIR / "clients/typescript/package.json").read_text())
    pinned = (f"{name}@{package['devDependencies'][name]}" for name in RUNTIMES)
    node_projects.install_packed(folder, *pinned)
    (folder / "encode.mjs").write_text(ENCODE)
    return folder


@pytest.fixture(scope="module")
def planted_model(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A model as a run exports it."""
    folder = tmp_path_factory.mktemp("planted")
    settings = make_settings("duckdb", duckdb_path=folder / "file.duckdb", **folders(folder))
    planted.build(settings)
    export(settings)
    return settings


@pytest.fixture(scope="module")
def full_model(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A model that reads every kind of feature, published as a run publishes it."""
    folder = tmp_path_factory.mktemp("full")
    settings = make_settings("duckdb", **folders(folder))
    rows = [{**row, "tower": "user", "position": place} for place, row in enumerate(ROWS)]
    towers = Towers(Layout.from_rows([*rows, {**ITEM, "tower": "item", "position": 0}], "h", 3))
    torch.nn.init.normal_(towers.towers["user"].bias, generator=torch.Generator().manual_seed(1))
    publish(settings, folder, towers)
    return settings


def publish(settings: Settings, folder: Path, towers: Towers) -> None:
    """Publish towers as the latest model."""
    version = "20260101_000000"
    meta = describe(version, towers.eval())
    files = {"onnx": folder / "model.onnx", "pkl": folder / "model.pkl"}
    write_onnx(files["onnx"], towers, {})
    save_towers(files["pkl"], towers)
    of_latest = {key: meta[key] for key in ("dim", "input_schema_version", "layout_hash")}
    described = {"trained_at": "2026-01-01T00:00:00Z", "loss": "none", "metrics": {}}
    Registry(settings).publish(version, files, described | of_latest | {"model_meta": meta})


def publish_slots(dsn: str, settings: Settings) -> None:
    """Publish the model of which a database has the slots."""
    with psycopg.connect(dsn) as owner:
        slots = owner.execute(
            "select feature_id, embedding::text from two_tower.slot_vectors order by 1, index"
        ).fetchall()
    (base, *weights) = [json.loads(vector) for _, vector in slots]
    likes = {**ROWS[1], "tower": "user", "position": 0, "width": len(weights)}
    layout = Layout.from_rows([likes, {**ITEM, "tower": "item", "position": 0}], "hash", 1)
    towers = Towers(layout, shrinkage=0)
    state = towers.state_dict()
    state["towers.user.weight"].copy_(torch.tensor(weights))
    state["towers.user.bias"].copy_(torch.tensor(base))
    publish(settings, Path(settings.registry_url).parent, towers)


def encode(
    project: Path, settings: Settings, likes: list[list[str]], **given: Any
) -> tuple[int, Any]:
    folder = given.get("folder", Path(settings.registry_url) / "models")
    arguments = (given.get("runtime", RUNTIMES[0]), str(folder), str(given.get("version", 3)))
    node = given.get("node", node_projects.NEWEST)
    done = node_projects.run(node, project, "encode.mjs", *arguments, json.dumps(likes))
    return done.returncode, json.loads(done.stdout) if done.returncode == 0 else done.stderr


def by_python(settings: Settings, indices: list[int]) -> np.ndarray:
    encoder = Encoder(Registry(settings).fetch())
    past = [b.feature_id for b in encoder.layout.user if b.kind in PAST_KINDS]
    ids, places = np.repeat(past, len(indices)), np.tile(indices, len(past))
    slots = encoder.layout.slots("user", ids, places, np.ones(len(ids)), np.array([0, len(ids)]))
    return encoder.by_onnx_runtime("user", slots)[0]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("node", node_projects.NODES, ids=node_projects.NODES.values())
@pytest.mark.parametrize("model", ["planted_model", "full_model"])
def test_the_vector_of_a_visitor_is_that_of_python(
    project: Path, request: pytest.FixtureRequest, node: Path, runtime: str, model: str
) -> None:
    settings: Settings = request.getfixturevalue(model)
    videos = {f"00000000-0000-0000-0000-0000000000{n:02x}": n for n in range(100)}
    (project / "videos.json").write_text(json.dumps(videos))
    ids = list(videos)
    few, many = [0], list(range(0, 16, 2))
    likes = [[ids[n] for n in few], [ids[n].upper() for n in many]]
    # Twice, one that came after the model, one of no vocabulary.
    likes.append([*likes[0], *likes[0], ids[99], "nobody's"])

    status, found = encode(
        project, settings, [*likes, [], ["nobody's"]], node=node, runtime=runtime
    )

    assert status == 0, found
    assert found["version"] == Registry(settings).fetch().version
    *vectors, nothing, unknown = found["vectors"]
    for vector, indices in zip(vectors, (few, many, few), strict=True):
        expected = by_python(settings, indices)
        assert np.abs(np.array(vector) - expected).max() <= TOLERANCE
    assert nothing is None
    assert unknown is None


@node_projects.NEEDS_CHROMIUM
def test_a_browser_makes_the_same_vector(
    project: Path, full_model: Settings, tmp_path: Path
) -> None:
    shutil.copytree(Path(full_model.registry_url) / "models", project / "models")
    (project / "index.html").write_text(PAGE)
    with node_projects.files(project) as page:
        shown = node_projects.browse(page, tmp_path)
    (printed,) = re.findall(r"\[-?[\d.,e-]+\]", shown) or [shown]
    difference = np.array(json.loads(printed)) - by_python(full_model, [0, 7])
    assert np.abs(difference).max() <= TOLERANCE


def test_a_list_by_the_vector_is_that_of_the_likes(
    project: Path, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    dsn = make_app(postgres_server, "typescript_device", slots=True)
    settings = make_settings("duckdb", **folders(tmp_path))
    publish_slots(dsn, settings)
    likes = [str(video(number)) for number in (9, 40, 41)]
    with psycopg.connect(dsn) as owner:
        query = "select json_object_agg(token, index) from two_tower.vocab_video"
        (project / "videos.json").write_text(json.dumps(owner.execute(query).fetchall()[0][0]))
        query = "select video_id::text from recommend_for_likes(%s::uuid[], 10) order by rank"
        expected = [row[0] for row in owner.execute(query, (likes,)).fetchall()]
    status, found = encode(project, settings, [likes], version=1)
    assert status == 0, found
    (project / "search.mjs").write_text(SEARCH)
    with serving(with_keys(dsn)) as http:
        given = (str(http.base_url), KEY, json.dumps(found["vectors"][0]), json.dumps(likes))
        done = node_projects.run(node_projects.NEWEST, project, "search.mjs", *given)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


def test_a_model_of_another_input_schema_is_refused(project: Path, full_model: Settings) -> None:
    status, said = encode(project, full_model, [], version=2)
    assert status != 0
    assert "model_meta.json has input_schema_version 3; the app is written for 2" in said
    assert "code: 'model'" in said


@pytest.mark.parametrize("name", ["two_tower_latest.onnx", "model_meta.json"])
def test_a_file_of_another_version_is_refused(
    project: Path, full_model: Settings, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(Path(full_model.registry_url) / "models", folder)
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    status, said = encode(project, full_model, [], folder=folder)
    assert status != 0
    assert f"{name} is not the file that two_tower_latest.json names" in said


def test_a_model_of_another_width_is_refused(
    project: Path, full_model: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(Path(full_model.registry_url) / "models", folder)
    meta = json.loads((folder / "model_meta.json").read_text()) | {"dim": 64}
    (folder / "model_meta.json").write_text(json.dumps(meta))
    latest = json.loads((folder / "two_tower_latest.json").read_text())
    latest["sha256"]["model_meta.json"] = sha256_of(folder / "model_meta.json")
    (folder / "two_tower_latest.json").write_text(json.dumps(latest))
    status, said = encode(project, full_model, [], folder=folder)
    assert status != 0
    assert "model_meta.json has dim 64; the database stores 128" in said
