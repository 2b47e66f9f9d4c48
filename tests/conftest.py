"""Fixtures that several test folders share: the two databases, and a small folder of data."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import forked
from postgres_server import PostgresServer, running_postgres
from two_tower.core.settings import Settings, Target
from two_tower.database import dbt
from two_tower.database.warehouse import PostgresWarehouse

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest_plugins = ["faults.table"]

PROJECT_DIR = Path(__file__).resolve().parents[1]
Files = Mapping[str, str | bytes]
MakeDataDir = Callable[..., Path]

VIDEOS = [f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3)]
PAGE = "https://www.dmm.co.jp/digital/videoa/-/detail/=/cid="

CATALOGUE = {
    "videos.csv": (
        "id,title,thumbnail_url,product_url,source,maker,label,series,price,released_on\n"
        f"{VIDEOS[0]},夏の海,https://img.example/1.jpg,{PAGE}abc001/,dmm,海,青,夏,1980,2024-07-01\n"
        f"{VIDEOS[1]},冬の山,,{PAGE}abc002/,dmm,山,白,冬,500,2023-12-24\n"
        f"{VIDEOS[2]},春の川,,{PAGE}xyz003/,fanza,海,,,,\n"
    ),
    "tags.csv": "id,name\n1,ドラマ\n2,自然\n3,旅\n",
    "video_tags.csv": f"video_id,tag_id\n{VIDEOS[0]},1\n{VIDEOS[0]},2\n{VIDEOS[1]},2\n",
    "performers.csv": "id,name\n10,青木\n20,白石\n",
    "video_performers.csv": f"video_id,performer_id\n{VIDEOS[0]},10\n{VIDEOS[2]},20\n",
    "users.csv": "id,signed_up_at\nu1,2024-01-01T00:00:00Z\nu2,2024-02-01 09:00:00+09:00\n",
}

REVIEWS = (
    "product_url,reviewer_id,stars,reviewed_at\n"
    f"{PAGE}abc001/,u1,5,2024-08-01T10:00:00Z\n"
    f"{PAGE}abc002/,u1,2,2024-08-02\n"
    f"{PAGE}abc001/,u2,4.5,\n"
)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own TWO_TOWER_* and DATABASE_URL out of the tests."""
    for name in list(os.environ):
        if name == "DATABASE_URL" or name.startswith("TWO_TOWER_"):
            monkeypatch.delenv(name)
    # A seed trains the same model bit by bit there alone.
    monkeypatch.setenv("TWO_TOWER_TRAIN__DEVICE", "cpu")


@pytest.fixture(scope="session", autouse=True)
def forks() -> Iterator[forked.Forks]:
    """Let what is called in this process find dbt imported; runs other commands in forks too."""
    with forked.running() as forks, pytest.MonkeyPatch.context() as patch:
        patch.setattr(dbt, "_shown", forks)
        yield forks


def make_settings(target: Target, **fields: Any) -> Settings:
    """Return settings of this project that do not read `.env`."""
    return Settings(_env_file=None, target=target, project_dir=PROJECT_DIR, **fields)  # type: ignore[call-arg]


def folders(folder: Path) -> dict[str, Any]:
    """Return the settings that put data, runs and the registry below a folder."""
    return {
        "data_dir": folder / "raw",
        "runs_dir": folder / "runs",
        "registry_url": str(folder / "artifacts"),
    }


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment in which a process of its own has the same settings."""
    url = settings.database_url
    return dict(os.environ) | {
        "TWO_TOWER_TARGET": settings.target,
        "DATABASE_URL": url.get_secret_value() if url else "",
        "TWO_TOWER_PROJECT_DIR": str(settings.project_dir),
        "TWO_TOWER_POSTGRES_DIR": str(settings.postgres_dir),
        "TWO_TOWER_DUCKDB_PATH": str(settings.duckdb_path),
        "TWO_TOWER_DATA_DIR": str(settings.data_dir),
        "TWO_TOWER_RUNS_DIR": str(settings.runs_dir),
        "TWO_TOWER_REGISTRY_URL": settings.registry_url,
    }


@pytest.fixture
def make_data_dir(tmp_path: Path) -> MakeDataDir:
    """Return a function that writes a data folder (`reviews/`, `catalogue/`) and returns it.

    Its `reviews` and `catalogue` arguments map file names to text or bytes: by default three good
    reviews and a catalogue of three videos. It is written where the settings fixtures look
    (`tmp_path/raw`), or to the `folder` argument.
    """

    def make(
        reviews: Files | None = None, catalogue: Files | None = None, folder: Path | None = None
    ) -> Path:
        data_dir = folder or tmp_path / "raw"
        parts: dict[str, Files] = {
            "reviews": {"dmm_reviews_1.csv": REVIEWS} if reviews is None else reviews,
            "catalogue": CATALOGUE if catalogue is None else catalogue,
        }
        for part, files in parts.items():
            (data_dir / part).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                data = content.encode() if isinstance(content, str) else content
                (data_dir / part / name).write_bytes(data)
        return data_dir

    return make


@pytest.fixture
def duckdb_settings(tmp_path: Path) -> Settings:
    """Settings of a DuckDB file, data and runs in the test's own folder."""
    return make_settings("duckdb", duckdb_path=tmp_path / "warehouse.duckdb", **folders(tmp_path))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A private Postgres, started once a session; tests connect as the plain role ``app``."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_dsn(postgres_server: PostgresServer) -> str:
    """The URL of the session's database, which the plain role owns."""
    return postgres_server.prepare("two_tower_tests")


@pytest.fixture(scope="session")
def postgres_settings(postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the session's database.

    What one test writes there the next one sees: `clean_postgres` is the same database, emptied.
    """
    folder = tmp_path_factory.mktemp("postgres")
    return make_settings("postgres", database_url=postgres_dsn, **folders(folder))


@pytest.fixture
def clean_postgres(postgres_dsn: str, tmp_path: Path) -> Settings:
    """Settings of the session's database emptied, data and runs in the test's folder."""
    warehouse = PostgresWarehouse(postgres_dsn)
    try:
        warehouse.execute("drop schema if exists raw, two_tower, public cascade")
        warehouse.execute("create schema public")
    finally:
        warehouse.close()
    return make_settings("postgres", database_url=postgres_dsn, **folders(tmp_path))


@pytest.fixture(params=["duckdb", "postgres"])
def either_settings(request: pytest.FixtureRequest) -> Settings:
    """Settings of an empty database: the test runs once on each engine."""
    name = "duckdb_settings" if request.param == "duckdb" else "clean_postgres"
    settings: Settings = request.getfixturevalue(name)
    return settings


@pytest.fixture(scope="session")
def dbt_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of dbt's manifest and logs, kept apart from the developer's own."""
    folder = tmp_path_factory.mktemp("target")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_TARGET_PATH", str(folder))
        patch.setenv("DBT_LOG_PATH", str(folder))
        yield folder


@pytest.fixture(scope="session")
def both_engines(
    postgres_server: PostgresServer, dbt_target: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Settings]:
    """Settings of a DuckDB file and a Postgres database that `dbt build` made from one sample.

    Read them only, and mark the test with `xdist_group("both_engines")`: then it is built once.
    """
    from both_engines import build_both

    return build_both(postgres_server, tmp_path_factory.mktemp("both"))


@pytest.fixture(scope="session")
def released(
    postgres_server: PostgresServer, dbt_target: Path, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Settings of a database with two releases of generated data.

    Mark the test with `xdist_group("explorer")`: then it is built once.
    """
    from interfaces.explorer_world import make_released

    return make_released(postgres_server, "explorer", tmp_path_factory.mktemp("explorer"))


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A headless browser; the test needs the mark `needs_browser`.

    Not of the session: while Playwright runs, no other test of the process can run an event loop.
    """
    from browser import running_browser

    with running_browser() as browser:
        yield browser
