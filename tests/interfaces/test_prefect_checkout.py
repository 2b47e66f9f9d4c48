"""Where a run goes on a worker's machine."""

from pathlib import Path

import pytest

from two_tower.core.errors import InputError
from two_tower.interfaces import prefect_checkout


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The checkout that was deployed from, and the worker's own; the current folder is neither."""
    made = tmp_path / "deployed", tmp_path / "own"
    for folder in made:
        folder.mkdir()
        (folder / "dbt_project.yml").touch()
    monkeypatch.chdir(tmp_path)
    return made


def test_a_run_goes_to_the_checkout_that_was_deployed_from(folders: tuple[Path, Path]) -> None:
    deployed, _ = folders
    assert prefect_checkout.enter(str(deployed)) == {"directory": str(deployed)}
    assert Path.cwd() == deployed


def test_a_worker_whose_checkout_is_elsewhere_says_where(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, own = folders
    monkeypatch.setenv("TWO_TOWER_PROJECT_DIR", str(own))
    assert prefect_checkout.enter("/on/another/machine") == {"directory": str(own)}
    assert Path.cwd() == own


def test_without_a_checkout_the_way_out_is_named(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no checkout in /on/another/machine, the folder that was"):
        prefect_checkout.enter("/on/another/machine")
    monkeypatch.setenv("TWO_TOWER_PROJECT_DIR", "/nowhere")
    with pytest.raises(InputError, match=r"no checkout in /nowhere \(TWO_TOWER_PROJECT_DIR\)"):
        prefect_checkout.enter(str(folders[0]))
