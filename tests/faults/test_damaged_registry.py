"""A registry whose files are not what they should be, in a folder and in a bucket."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from artifacts.test_registry import (  # the fixtures among them
    FIRST,
    SECOND,
    damage,
    empty_cache,
    publish,
    s3_endpoint,
    settings,
)
from faults.invariants import latest_matches
from faults.world import new_world
from forked import Forks
from two_tower.artifacts.descriptions import LATEST_JSON
from two_tower.artifacts.registry import Registry
from two_tower.core.errors import InputError

__all__ = ["publish", "s3_endpoint", "settings"]

pytestmark = [pytest.mark.faults, pytest.mark.quick]

Publish = Callable[..., Registry]


def test_latest_json_is_older(publish: Publish, caplog: pytest.LogCaptureFixture) -> None:
    """latest.json is older than latest.onnx"""
    registry = publish(FIRST)
    older = registry.storage.read(LATEST_JSON)
    publish(SECOND)
    registry.storage.write(LATEST_JSON, older)
    empty_cache(registry)
    for kind in ("onnx", "pkl"):
        artifact = registry.fetch(kind=kind)  # type: ignore[arg-type]
        assert artifact.version == FIRST, "the JSON is what is trusted"
        assert FIRST in artifact.path.read_text()
    assert "two_tower_latest.onnx has sha256" in caplog.text
    registry.set_latest(SECOND)  # what a release does
    assert latest_matches(registry) == SECOND


@pytest.mark.parametrize("how", ["truncated", "bit-flipped", "empty", "html", "missing"])
@pytest.mark.parametrize("kind", ["onnx", "pkl", "json"])
def test_latest_damaged(publish: Publish, kind: str, how: str) -> None:
    """a latest file truncated, bit-flipped, emptied, replaced by an HTML page, or gone"""
    publish(FIRST)
    registry = publish(SECOND)
    empty_cache(registry)
    damage(registry, f"two_tower_latest.{kind}", how)
    artifact = registry.fetch(kind="onnx" if kind == "json" else kind)  # type: ignore[arg-type]
    assert artifact.version == SECOND
    assert SECOND in artifact.path.read_text()
    registry.set_latest(SECOND)
    assert latest_matches(registry) == SECOND


@pytest.mark.parametrize("how", ["truncated", "bit-flipped", "empty", "html", "missing"])
@pytest.mark.parametrize("suffix", ["onnx", "pt.gz"])
def test_published_again(publish: Publish, suffix: str, how: str) -> None:
    """a version's file is damaged, of which this machine has a good copy: it is written again"""
    registry = publish(FIRST)
    for kind in ("onnx", "pkl"):
        registry.fetch(FIRST, kind)  # type: ignore[arg-type]
    damage(registry, f"two_tower_{FIRST}.{suffix}", how)
    publish(FIRST)
    assert registry.read_version(FIRST).keys() == {"onnx", "pkl"}
    assert latest_matches(registry) == FIRST


def test_missing_version(publish: Publish) -> None:
    """a version whose files are gone is asked for"""
    registry = publish(FIRST)
    publish(SECOND)
    registry.remove(FIRST)
    with pytest.raises(InputError, match=f"version {FIRST} is not in the registry") as error:
        registry.fetch(FIRST)
    assert SECOND in error.value.hint
    assert registry.stored_versions() == [SECOND]
    assert latest_matches(registry) == SECOND


@pytest.mark.slow
def test_run_after_damage(forks: Forks) -> None:
    """files of the latest and of its version are damaged: the next run writes them again"""
    with new_world(forks=forks) as world:
        before = world.converges()
        registry = world.registry
        damage(registry, "two_tower_latest.onnx", "bit-flipped")
        damage(registry, f"two_tower_{before.version}.pt.gz", "truncated")
        assert world.converges() == before
        assert registry.read_version(str(before.version)).keys() == {"onnx", "pkl"}
