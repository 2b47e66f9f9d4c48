"""The registry, on a folder and on a real S3-compatible server."""

import gzip
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from two_tower.artifacts.registry import Registry
from two_tower.artifacts.storage import CorruptFileError, sha256_of
from two_tower.core.errors import InputError, NotEnoughDataError, UnavailableError
from two_tower.core.settings import Settings

PORT_LINE = "Running on http://127.0.0.1:"
FIRST, SECOND, THIRD = "20260101_000000", "20260102_000000", "20260103_000000"
HTML = b"<!doctype html><html><body>Sign in to the proxy</body></html>"


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A moto server process with an empty bucket."""
    log = tmp_path_factory.mktemp("moto") / "log"
    program = Path(sys.executable).parent / "moto_server"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [program, "-H", "127.0.0.1", "-p", "0"], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield _endpoint(server, log)
    finally:
        server.terminate()
        server.wait(10)


def _endpoint(server: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        text = log.read_text()
        if PORT_LINE in text:
            endpoint = "http://127.0.0.1:" + text.split(PORT_LINE)[1].split()[0]
            urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=10).close()
            return endpoint
        time.sleep(0.1)
    raise RuntimeError(f"moto_server did not start: {log.read_text()}")


@pytest.fixture(params=["folder", "s3"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "folder":
        return _settings(tmp_path, str(tmp_path / "artifacts"), {})
    options = {
        "key": "testing",
        "secret": "testing",
        "client_kwargs": {
            "endpoint_url": request.getfixturevalue("s3_endpoint"),
            "region_name": "us-east-1",
        },
    }
    bucket = tmp_path.name.replace("_", "-").lower()
    fs, _ = fsspec.core.url_to_fs(f"s3://{bucket}", **options)
    fs.call_s3("create_bucket", Bucket=bucket)
    return _settings(tmp_path, f"s3://{bucket}/two-tower", options)


def _settings(project: Path, url: str, options: dict[str, object]) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        project_dir=project,
        registry_url=url,
        registry_options=options,
    )


def meta(version: str, width: int = 4) -> dict[str, Any]:
    return {
        "trained_at": "2026-01-01T00:00:00",
        "dim": 128,
        "loss": "softmax",
        "metrics": {"recall@20": 0.5},
        "input_schema_version": 1,
        "layout_hash": "abc",
        "model_meta": {
            "tag_vocab_size": width,
            "layout": {"user": [{"feature": "preferred_tag_ids", "offset": 0, "width": width}]},
            "feature_files": {"user_features.parquet": {"rows": 2, "complete": True}},
        },
    }


@pytest.fixture
def publish(settings: Settings, tmp_path: Path) -> Callable[..., Registry]:
    def publish_version(version: str, content: str = "", width: int = 4) -> Registry:
        folder = tmp_path / f"new_{version}"
        folder.mkdir(exist_ok=True)
        files = {
            "onnx": folder / "onnx",
            "pkl": folder / "pkl",
            "user_features.parquet": folder / "user",
            "item_features.parquet": folder / "item",
        }
        for kind, path in files.items():
            path.write_text(f"{kind} {content or version} " * 100)
        registry = Registry(settings)
        registry.publish(version, files, meta(version, width))
        return registry

    return publish_version


def damage(registry: Registry, name: str, how: str) -> None:
    """Change a stored file behind the registry's back."""
    path = registry.storage.path(name)
    content = registry.storage.fs.cat_file(path)
    if how == "missing":
        registry.storage.fs.rm_file(path)
        return
    middle = len(content) // 2
    damaged = {
        "truncated": content[:middle],
        "bit-flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "empty": b"",
        "html": HTML,
    }[how]
    registry.storage.fs.pipe_file(path, damaged)


def empty_cache(registry: Registry) -> None:
    for file in registry.storage.cache_dir.iterdir():
        file.unlink()


def test_a_published_model_has_the_contracted_names(publish: Callable[..., Registry]) -> None:
    registry = publish(FIRST)
    assert registry.storage.names() == sorted(
        [
            f"two_tower_{FIRST}.onnx",
            f"two_tower_{FIRST}.pt.gz",
            f"two_tower_{FIRST}.json",
            "two_tower_latest.pkl",
            "two_tower_latest.onnx",
            "two_tower_latest.json",
            "model_meta.json",
            "user_features.parquet",
            "item_features.parquet",
        ]
    )
    text = json.loads(registry.storage.read("two_tower_latest.json"))
    contracted = {"version", "trained_at", "dim", "loss", "metrics", "input_schema_version"}
    assert contracted <= set(text)
    assert text["version"] == FIRST
    for name, sha256 in text["sha256"].items():
        assert sha256_of(registry.storage.fetch(name, sha256)) == sha256
    assert set(text["sha256"]) == set(registry.storage.names()) - {
        f"two_tower_{FIRST}.json",
        "two_tower_latest.json",
    }


def test_latest_json_is_written_last_and_versioned_files_first(
    publish: Callable[..., Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    from two_tower.artifacts.storage import Storage

    written: list[str] = []
    write = Storage.write

    def recording(self: Storage, name: str, source: Path | bytes) -> None:
        written.append(name)
        write(self, name, source)

    monkeypatch.setattr(Storage, "write", recording)
    publish(FIRST)
    assert [name.split(".", 1)[1] for name in written[:3]] == ["onnx", "pt.gz", "json"]
    assert all(FIRST in name for name in written[:3])
    assert written[-1] == "two_tower_latest.json"


def test_fetch_returns_the_published_content(publish: Callable[..., Registry]) -> None:
    publish(FIRST)
    registry = publish(SECOND)
    assert registry.versions() == [FIRST, SECOND]
    assert registry.latest()["version"] == SECOND
    assert registry.fetch().path.read_text().startswith(f"onnx {SECOND}")
    assert registry.fetch(kind="pkl").path.read_text().startswith(f"pkl {SECOND}")
    assert registry.fetch(FIRST).path.read_text().startswith(f"onnx {FIRST}")
    assert registry.fetch(FIRST, "pkl").path.read_text().startswith(f"pkl {FIRST}")


@pytest.mark.parametrize("how", ["truncated", "bit-flipped", "empty", "html", "missing"])
@pytest.mark.parametrize("kind", ["onnx", "pkl", "json"])
def test_a_damaged_latest_falls_back_to_the_version_it_names(
    publish: Callable[..., Registry], caplog: pytest.LogCaptureFixture, kind: str, how: str
) -> None:
    publish(FIRST)
    registry = publish(SECOND)
    empty_cache(registry)
    damage(registry, f"two_tower_latest.{kind}", how)
    artifact = registry.fetch(kind="onnx" if kind == "json" else kind)
    assert artifact.version == SECOND
    assert SECOND in artifact.path.read_text()
    assert f"two_tower_latest.{kind}" in caplog.text
    assert f"using version {SECOND}" in caplog.text


def test_damage_to_latest_and_its_version_falls_back_to_an_older_one(
    publish: Callable[..., Registry], caplog: pytest.LogCaptureFixture
) -> None:
    publish(FIRST)
    registry = publish(SECOND)
    empty_cache(registry)
    damage(registry, "two_tower_latest.onnx", "truncated")
    damage(registry, f"two_tower_{SECOND}.onnx", "html")
    assert registry.fetch().version == FIRST
    assert "HTML" in caplog.text


def test_after_a_rollback_damage_does_not_bring_back_what_was_rolled_back(
    publish: Callable[..., Registry],
) -> None:
    for version in (FIRST, SECOND, THIRD):
        registry = publish(version)
    registry.set_latest(SECOND)
    empty_cache(registry)
    damage(registry, "two_tower_latest.onnx", "empty")
    damage(registry, f"two_tower_{SECOND}.onnx", "empty")
    assert registry.fetch().version == FIRST


def test_a_damaged_version_that_is_asked_for_is_an_error(publish: Callable[..., Registry]) -> None:
    registry = publish(FIRST)
    publish(SECOND)
    empty_cache(registry)
    damage(registry, f"two_tower_{FIRST}.onnx", "bit-flipped")
    with pytest.raises(CorruptFileError, match=f"two_tower_{FIRST}.onnx has sha256"):
        registry.fetch(FIRST)


def test_nothing_left_to_trust_is_an_error(publish: Callable[..., Registry]) -> None:
    registry = publish(FIRST)
    empty_cache(registry)
    damage(registry, "two_tower_latest.onnx", "empty")
    damage(registry, f"two_tower_{FIRST}.onnx", "truncated")
    with pytest.raises(CorruptFileError, match="no model in the registry can be trusted"):
        registry.fetch()


def test_a_damaged_cached_copy_is_fetched_again(publish: Callable[..., Registry]) -> None:
    registry = publish(FIRST)
    path = registry.fetch().path
    path.write_bytes(b"damaged")
    assert registry.fetch().path.read_text().startswith("onnx")


def test_an_empty_registry_and_an_unknown_version_say_so(
    settings: Settings, publish: Callable[..., Registry]
) -> None:
    with pytest.raises(NotEnoughDataError, match="no model in the registry"):
        Registry(settings).fetch()
    registry = publish(FIRST)
    with pytest.raises(InputError, match=SECOND) as raised:
        registry.fetch(SECOND)
    assert FIRST in raised.value.hint


def test_set_latest_restores_every_latest_file_from_the_versioned_ones(
    publish: Callable[..., Registry],
) -> None:
    registry = publish(FIRST, width=4)
    pickle = registry.storage.read("two_tower_latest.pkl")
    onnx = registry.storage.read("two_tower_latest.onnx")
    publish(SECOND, width=4)
    registry.set_latest(FIRST)
    assert registry.latest()["version"] == FIRST
    assert registry.storage.read("two_tower_latest.pkl") == pickle
    assert registry.storage.read("two_tower_latest.onnx") == onnx
    assert gzip.decompress(registry.storage.read(f"two_tower_{FIRST}.pt.gz")) == pickle
    assert json.loads(registry.storage.read("model_meta.json"))["tag_vocab_size"] == 4
    assert "user_features.parquet" in registry.latest()["sha256"]


def test_set_latest_removes_feature_files_of_another_layout(
    publish: Callable[..., Registry],
) -> None:
    registry = publish(FIRST, width=4)
    publish(SECOND, width=5)
    registry.set_latest(FIRST)
    assert "user_features.parquet" not in registry.storage.names()
    assert "user_features.parquet" not in registry.latest()["sha256"]
    assert registry.latest()["model_meta"]["feature_files"] == {}


def test_set_latest_to_a_damaged_version_leaves_latest_alone(
    publish: Callable[..., Registry],
) -> None:
    registry = publish(FIRST)
    publish(SECOND)
    empty_cache(registry)
    damage(registry, f"two_tower_{FIRST}.pt.gz", "truncated")
    with pytest.raises(CorruptFileError):
        registry.set_latest(FIRST)
    assert registry.fetch().version == SECOND


def test_a_version_never_changes(publish: Callable[..., Registry]) -> None:
    registry = publish(FIRST)
    before = registry.storage.read(f"two_tower_{FIRST}.json")
    publish(FIRST)
    assert registry.storage.read(f"two_tower_{FIRST}.json") == before
    with pytest.raises(InputError, match="with other weights"):
        publish(FIRST, content="other")
    assert registry.storage.read(f"two_tower_{FIRST}.json") == before


def test_publishing_again_repairs_a_damaged_version(publish: Callable[..., Registry]) -> None:
    registry = publish(FIRST)
    empty_cache(registry)
    damage(registry, f"two_tower_{FIRST}.onnx", "truncated")
    publish(FIRST)
    empty_cache(registry)
    assert registry.fetch(FIRST).version == FIRST


def test_a_reader_never_sees_half_a_file_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(_settings(tmp_path, str(tmp_path / "artifacts"), {}))
    registry.storage.write("file", b"whole")

    def killed(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        registry.storage.write("file", b"half")
    assert registry.storage.names() == ["file"]
    assert registry.storage.read("file") == b"whole"


def test_a_storage_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    options: dict[str, object] = {
        "key": "k",
        "secret": "not-to-be-seen",
        "client_kwargs": {"endpoint_url": "http://127.0.0.1:9"},
        "config_kwargs": {"retries": {"max_attempts": 1}, "connect_timeout": 1},
    }
    with pytest.raises(UnavailableError, match="s3://bucket/models") as raised:
        Registry(_settings(tmp_path, "s3://bucket", options)).fetch()
    assert "not-to-be-seen" not in str(raised.value)


def test_an_unknown_protocol_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nonsense") as raised:
        Registry(_settings(tmp_path, "nonsense://user:secret@bucket", {}))
    assert "TWO_TOWER_REGISTRY_URL" in raised.value.hint
    assert "secret@" not in str(raised.value)
