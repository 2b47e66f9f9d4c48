"""Five releases by a real dbt under clients of HTTP that never stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from conftest import make_settings
from interfaces.http_server import serving
from postgres_server import PostgresServer
from serving.serving_world import World, make_world, telling_vectors, told_by
from two_tower.operations import setup
from two_tower.serving.release import release

pytestmark = [pytest.mark.xdist_group("http_releases"), pytest.mark.slow]

VERSIONS = [f"20260101_00000{number}" for number in range(1, 6)]
CLIENTS = 4


@dataclass
class Asker:
    """Asks in a loop, and keeps what no client should see."""

    client: httpx.Client
    number: int
    stopped: threading.Event = field(default_factory=threading.Event)
    answers: int = 0
    wrong: list[str] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)

    def run(self) -> None:
        try:
            while not self.stopped.is_set():
                self.ask()
                time.sleep(0.002)  # dbt shares these cores
        except Exception as error:
            self.wrong.append(repr(error))

    def ask(self) -> None:
        params = {"user_id": f"user_{self.number}"}
        got = self.client.get("/v1/recommend_videos", params=params)
        self.answers += 1
        if got.status_code != 200:
            self.wrong.append(got.text)
            return
        rows = got.json()
        releases = {row["release_id"] for row in rows}
        numbers = told_by(row["score"] for row in rows)
        if (
            len(rows) != 20
            or len(releases) != 1
            or {(n and n + 1) or 1 for n in numbers} != releases
        ):
            self.wrong.append(f"{len(rows)} rows of {releases}, by their scores of {numbers}")
        elif not self.seen or self.seen[-1] != numbers:
            self.seen.append(numbers)


@dataclass
class Story:
    client: httpx.Client
    askers: list[Asker]
    tags: list[str]


@pytest.fixture(scope="module")
def world(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("http_releases")
    made = make_settings(
        "postgres",
        database_url=postgres_server.prepare("http_releases"),
        runs_dir=folder / "runs",
        registry_url=str(folder / "artifacts"),
        serve_connections=4,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_TARGET_PATH", str(tmp_path_factory.mktemp("target")))
        setup.prepare(made)
        yield make_world(made, users=1000, videos=1200)


@pytest.fixture(scope="module")
def story(world: World) -> Iterator[Story]:
    """One server for all releases; clients from the first on."""
    tags = []
    with serving(world.settings) as client:
        askers = [Asker(client, number) for number in range(CLIENTS)]
        threads = [threading.Thread(target=asker.run) for asker in askers]
        for number, version in enumerate(VERSIONS):
            world.land(
                version,
                telling_vectors(number, world.users, "user"),
                telling_vectors(number, world.videos, "item"),
            )
            release(world.settings)
            tags.append(client.get("/v1/popular_videos").headers["etag"])
            if number == 0:
                for thread in threads:
                    thread.start()
        for asker in askers:
            asker.stopped.set()
        for thread in threads:
            thread.join()
        yield Story(client, askers, tags)


def test_no_request_fails_or_mixes_releases(story: Story) -> None:
    for asker in story.askers:
        assert asker.wrong == []
        assert asker.seen == [{0}, {1}, {2}, {3}, {4}]
        assert asker.answers > 100
    print(f"{sum(asker.answers for asker in story.askers)} answers")


def test_each_release_has_tags_of_its_own(story: Story) -> None:
    assert len(set(story.tags)) == len(VERSIONS)
    assert story.client.get("/readyz").json()["release_id"] == len(VERSIONS)
    assert "two_tower_http_release 5.0" in story.client.get("/metrics").text
