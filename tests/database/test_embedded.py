"""The embedded Postgres: who only asks it something does not load what starts it."""

from pathlib import Path

import psycopg
import pytest

from conftest import make_settings
from postgres_server import PostgresServer
from two_tower.database import embedded


class LoadedError(Exception):
    """What starts a server was loaded."""


@pytest.fixture(autouse=True)
def _nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(settings: object) -> None:
        raise LoadedError

    monkeypatch.setattr(embedded, "_server", load)


def test_a_server_that_answers_is_not_started(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings("embedded", postgres_dir=postgres_server.folder)
    monkeypatch.setattr(embedded, "url", lambda _: postgres_server.superuser_dsn)
    with psycopg.connect(embedded.start(settings)) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    # By somebody else's link it is not taken for ours.
    link = tmp_path / "link"
    monkeypatch.setattr(embedded, "socket_dir", lambda _: link)
    link.symlink_to(tmp_path)
    with pytest.raises(LoadedError):
        embedded.start(settings)
    link.unlink()
    link.symlink_to(postgres_server.folder)
    embedded.start(settings)


def test_one_that_does_not_answer_is_started(tmp_path: Path) -> None:
    with pytest.raises(LoadedError):
        embedded.start(make_settings("embedded", postgres_dir=tmp_path / "pg"))
