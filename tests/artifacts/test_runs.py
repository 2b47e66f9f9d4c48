from datetime import UTC, datetime

import pytest

from two_tower.artifacts import runs
from two_tower.core import files
from two_tower.core.errors import InputError

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def test_versions_rise_even_when_the_clock_goes_back(tmp_path):
    assert runs.new_version(tmp_path, NOW) == "20260301_120000"
    for name in ("20260301_235959", "20251231_000000", "zzz"):
        (tmp_path / name).mkdir()
    assert runs.new_version(tmp_path, NOW) == "20260302_000000"


def test_a_version_is_taken_once(tmp_path):
    run = runs.make_run(tmp_path / "runs", "20260101_000000")
    assert run.is_dir()
    with pytest.raises(InputError, match="there already"):
        runs.make_run(tmp_path / "runs", "20260101_000000")
    with pytest.raises(InputError, match="no version"):
        runs.make_run(tmp_path / "runs", "latest")


def test_a_write_that_breaks_off_leaves_the_old_file(tmp_path):
    path = tmp_path / "checkpoint.pt"
    path.write_text("old")

    def half(beside):
        beside.write_text("ne")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        files.write_whole(path, half)
    assert path.read_text() == "old"


def test_the_newest_begun_and_unfinished_run_is_gone_on_with(tmp_path):
    for name, there in {
        "20260101_000000": ["config.json"],
        "20260102_000000": ["config.json"],
        "20260103_000000": ["config.json", "towers.pt"],
        "20260104_000000": [],
    }.items():
        (tmp_path / name).mkdir()
        for file in there:
            (tmp_path / name / file).touch()
    assert runs.interrupted_run(tmp_path, None).name == "20260102_000000"
    assert runs.interrupted_run(tmp_path, "20260101_000000").name == "20260101_000000"
    with pytest.raises(InputError, match="20260103_000000"):
        runs.interrupted_run(tmp_path, "20260103_000000")
