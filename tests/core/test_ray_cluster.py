"""Ray is optional: who asks for it without having it is told what to type."""

from __future__ import annotations

import os
import sys

import pytest

from conftest import environment
from two_tower.core import ray_cluster
from two_tower.core.errors import InputError, UnavailableError
from two_tower.core.settings import Settings
from two_tower.interfaces.cli import app


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)


@pytest.mark.usefixtures("without_ray")
def test_nothing_is_told_to_anybody_and_the_extra_is_named() -> None:
    with (
        pytest.raises(InputError, match="which is not installed") as raised,
        ray_cluster.connected(),
    ):
        pass
    assert "'.[ray]'" in raised.value.hint
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.usefixtures("without_ray")
@pytest.mark.parametrize("command", ["train", "embed"])
def test_an_option_chooses_the_engine_before_anything_is_written(
    command: str, duckdb_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(duckdb_settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TWO_TOWER_ENGINE", "local")
    if command == "embed":  # which asks for its model first
        monkeypatch.setattr("two_tower.serving.embed.Registry", lambda _: _Registry())
        monkeypatch.setattr("two_tower.serving.embed.Encoder", lambda _: None)
    with pytest.raises(InputError, match="Ray, which is not installed"):
        app([command, "--engine", "ray"], standalone_mode=False)
    assert not list(duckdb_settings.runs_dir.glob("*"))


class _Registry:
    def fetch(self, version: str | None) -> None:
        return None


def test_a_cluster_that_is_not_there_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.9:1")
    with (
        pytest.raises(UnavailableError, match=r"no Ray cluster at 127\.0\.0\.9:1"),
        ray_cluster.connected(),
    ):
        pass
