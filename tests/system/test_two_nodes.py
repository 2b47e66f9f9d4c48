"""Past one machine: a Ray cluster of two nodes, one of which is killed on the way (ADR 33).

Both nodes are real processes of Ray, on addresses of the loopback network.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import training_tables
from serving import tiny_model
from two_tower.core.settings import Settings
from two_tower.core.train_config import TrainConfig
from two_tower.database import warehouse
from two_tower.database.warehouse import open_warehouse
from two_tower.serving import landing
from two_tower.serving.embed import embed
from two_tower.training.train import train

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

USERS = 40_000
NODE = {"num_cpus": 2, "object_store_memory": 80 * 2**20}


class TwoNodes:
    """A head, on which the command runs, and a node that can be killed."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        head = {"include_dashboard": False, "node_ip_address": "127.0.0.2", "temp_dir": str(folder)}
        self.cluster = Cluster(initialize_head=True, head_node_args={**NODE, **head})
        self.other = self.cluster.add_node(**NODE, node_ip_address="127.0.0.3")
        self.cluster.wait_for_nodes()

    def kill(self) -> None:
        self.cluster.remove_node(self.other, allow_graceful=False)

    @property
    def alive(self) -> int:
        return len(self.cluster.list_all_nodes())


@pytest.fixture
def nodes(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TwoNodes]:
    environment = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",  # it would write a token into this person's home
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "120",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = TwoNodes(tmp_path_factory.mktemp("r"))  # short: sockets lie below it
    monkeypatch.setenv("RAY_ADDRESS", found.cluster.address)
    yield found
    found.cluster.shutdown()


def landed(settings: Settings) -> list[dict[str, Any]]:
    with open_warehouse(settings) as opened:
        return [
            row
            for table, key in landing.TABLES.values()
            for row in opened.fetch(
                f"select cast({key} as text) as id, embedding from two_tower.{table}_landing"
                " order by 1"
            )
        ]


def wait_until_idle() -> None:
    """Wait until all that was asked of the nodes is done: its results lie on both."""
    import ray

    idle = 0
    while idle < 10:
        time.sleep(0.2)
        is_idle = ray.available_resources().get("CPU", 0) == ray.cluster_resources()["CPU"]
        idle = idle + 1 if is_idle else 0


def test_embedding_gives_equal_bytes_though_a_node_is_killed(
    duckdb_settings: Settings,
    nodes: TwoNodes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = duckdb_settings
    with open_warehouse(settings) as opened:
        tiny_model.make_feature_tables(
            opened, [f"00000000-0000-4000-8000-{number:012}" for number in range(6)]
        )
        opened.execute(
            "create table two_tower.user_feature_slots as select 'u' || i as user_id,"
            " [1, 1, 2]::smallint[] as feature_ids,"
            " [i % 4, (i + 1 + (i // 4) % 3) % 4, 0]::integer[] as indices,"
            f' [1, .5, i % 97]::real[] as "values" from range({USERS}) as t(i)'
        )
    tiny_model.publish(settings, "20260101_000001", tmp_path)
    monkeypatch.setattr(warehouse, "BATCH_ROWS", 2048)
    embed(settings)
    expected, write = landed(settings), landing.write
    seen: list[int] = []

    def killing(into: Any, tower: Any, version: str, batches: Iterable[Any]) -> int:
        def watched() -> Iterator[Any]:
            for number, batch in enumerate(batches):
                if (tower, number) == ("user", 2):
                    seen.append(nodes.alive)
                    wait_until_idle()
                    nodes.kill()
                yield batch

        return write(into, tower, version, watched())

    monkeypatch.setattr(landing, "write", killing)
    result = embed(settings.model_copy(update={"engine": "ray"}))
    assert (result.users, result.videos, seen, nodes.alive) == (USERS, 6, [2], 1)
    assert landed(settings) == expected


def test_training_ends_as_well_as_alone_though_a_node_is_killed(
    duckdb_settings: Settings, nodes: TwoNodes
) -> None:
    settings = duckdb_settings
    config = TrainConfig(epochs=60, batch_size=8, steps=10_000)
    with open_warehouse(settings) as opened:
        training_tables.build(opened)
    alone = train(settings, config)
    killed: list[dict[str, Any]] = []

    def kill() -> None:
        """In the middle of the first fit, some epochs behind a checkpoint."""
        path = settings.runs_dir / "20990101_000000" / "checkpoint.pt"
        while not path.exists():
            time.sleep(0.02)
        killed.append(torch.load(path, weights_only=True))
        nodes.kill()

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    ray_settings = settings.model_copy(update={"engine": "ray"})
    found = train(ray_settings, config, version="20990101_000000")
    thread.join(60)
    assert nodes.alive == 1
    assert (killed[0]["key"], killed[0]["fit"]["done"] < config.epochs) == ("search/towers 1", True)
    assert (found.epochs, found.reviews, found.users) == (alone.epochs, alone.reviews, alone.users)
    assert found.valid_metric is not None
    assert alone.valid_metric is not None
    # Of 120 users the metric's standard error is .02; at random it is .29.
    assert abs(found.valid_metric - alone.valid_metric) < 0.06
    assert found.valid_metric > 0.36
    names = {path.name for path in found.run_dir.iterdir()}
    assert names == {path.name for path in alone.run_dir.iterdir()}
