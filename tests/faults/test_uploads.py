"""``kill -9`` after each upload of a publication, on a folder."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import make_settings
from faults.invariants import CHECKED, latest_matches
from two_tower.artifacts.registry import Registry
from two_tower.core.settings import Settings

pytestmark = [pytest.mark.faults, pytest.mark.quick]

FORMER, NEW = "20260101_000001", "20260101_000002"
# What is in the files is all the same to the registry.
META = {
    "trained_at": "2026-01-01T00:00:00Z",
    "dim": 128,
    "loss": "none",
    "metrics": {},
    "input_schema_version": 1,
    "layout_hash": "hash",
    "model_meta": {"layout": {}},
}
PUBLISH = f"""
import sys
from pathlib import Path
from conftest import make_settings
from faults import killed
from two_tower.artifacts.registry import Registry
url, folder, version, point, number = sys.argv[1:]
files = {{"onnx": "onnx", "pkl": "pkl", "user_features.parquet": "u", "item_features.parquet": "i"}}
for name in files:
    files[name] = Path(folder) / name
    files[name].write_text(name + version)
if point:
    killed.arm(point, int(number))
Registry(make_settings("duckdb", registry_url=url)).publish(version, files, {META!r})
"""


def publish(settings: Settings, version: str, point: str = "", number: int = 0) -> int:
    folder = Path(settings.registry_url).parent
    arguments = [settings.registry_url, folder, version, point, str(number)]
    return subprocess.run(
        [sys.executable, "-c", PUBLISH, *arguments],
        cwd=Path(__file__).resolve().parents[1],
        check=False,
    ).returncode


@pytest.mark.parametrize("point", ["upload", "half an upload"])
def test_each_upload(tmp_path: Path, point: str) -> None:
    """kill -9 in each upload of a publication, after it and in the middle of it."""
    settings = make_settings("duckdb", registry_url=str(tmp_path / "artifacts"))
    assert publish(settings, FORMER) == 0
    for number in range(1, 20):
        code = publish(settings, NEW, point, number)
        # Whatever a reader finds, it is one of the two, whole.
        found = Registry(settings).fetch()
        assert found.path.read_text() == f"onnx{found.version}"
        assert latest_matches(Registry(settings)) in (FORMER, NEW)
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert number > 3  # what was uploaded by the one is left alone by the next
    assert latest_matches(Registry(settings)) == NEW
    CHECKED.add("I2")
