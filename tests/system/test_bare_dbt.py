"""A dbt typed by hand, in a shell that has nothing of ours, is on the project's database."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import PROJECT_DIR
from forked import Ended, Forks
from postgres_server import PASSWORD, PostgresServer, running_postgres
from two_tower.core.errors import ExitCode, InputError
from two_tower.core.settings import read_settings
from two_tower.database import dbt, embedded
from two_tower.operations.setup import prepare

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
Done = Ended | subprocess.CompletedProcess[str]
Typed = Callable[..., Ended]
WHERE = (
    "select current_database() as base, current_user as who, current_setting('jit') as jit,"
    " current_setting('client_encoding') as encoding"
)
OURS = {"base": "ours", "who": "app", "jit": "on", "encoding": "UTF8"}


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as running:
        yield running


@pytest.fixture(scope="module")
def url(server: PostgresServer) -> str:
    """A database of a plain role, whose password has to be encoded; its sessions set an option."""
    return f"{server.prepare('ours')}?options=-c%20jit%3Don"


@pytest.fixture
def project() -> Iterator[Path]:
    """A project without models: dbt reads it in a second."""
    folder = Path(tempfile.mkdtemp(prefix="tt-", dir="/tmp"))
    folder.chmod(0o755)  # as root the embedded server runs as a user of its own
    (folder / "dbt_project.yml").write_text(
        "name: two_tower\nprofile: two_tower\nflags: {send_anonymous_usage_stats: false}\n"
    )
    shutil.copy(PROJECT_DIR / "profiles.yml.example", folder)
    try:
        yield folder
    finally:
        (folder / ".env").unlink(missing_ok=True)
        embedded.stop(read_settings(folder))
        shutil.rmtree(folder, ignore_errors=True)


def shell(exported: dict[str, str]) -> dict[str, str]:
    """The environment of a shell with a PATH and a HOME, and what was exported in it."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, **exported}


def started(
    project: Path, program: str, *arguments: str, **exported: str
) -> subprocess.CompletedProcess[str]:
    """Type a command in the project; it is a process of its own."""
    return subprocess.run(
        [BIN / program, *arguments],
        cwd=project,
        env=shell(exported),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def typed(forks: Forks) -> Typed:
    """As :func:`started`, in a fork of a process that has imported the program."""

    def end(project: Path, program: str, *arguments: str, **exported: str) -> Ended:
        return forks.end([program, *arguments], shell(exported), project)

    return end


def shown(done: Done) -> dict[str, Any]:
    """The one row that `dbt show` shows."""
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1]
    (row,) = json.loads(text)["show"]
    return dict(row)


def show(sql: str) -> tuple[str, ...]:
    return ("show", "--quiet", "--output", "json", "--inline", sql)


def settle(project: Path, *lines: str) -> None:
    (project / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")


def init(project: Path) -> list[str]:
    """What `two-tower init` does, in this process."""
    return prepare(read_settings(project))


def refused(done: Done) -> str:
    """What dbt printed when it ended before it connected."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert "does not lead to the project's database" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout


def test_it_is_on_the_database_of_env(project: Path, url: str) -> None:
    settle(project, "TWO_TOWER_TARGET=postgres", f"DATABASE_URL={url}")
    init(project)

    theirs = {"PGHOST": "elsewhere", "PGUSER": "me", "PGCLIENTENCODING": "LATIN1"}
    found = shown(started(project, "dbt", *show(WHERE), **theirs))

    assert found == OURS


def test_whatever_differs_is_named(project: Path, typed: Typed, url: str) -> None:
    one = show("select 1 as one")
    settle(project, "TWO_TOWER_TARGET=duckdb")
    init(project)
    settle(project, "TWO_TOWER_TARGET=duckdb", "TWO_TOWER_SCHEMA=elsewhere")
    assert "schema two_tower, not elsewhere" in refused(typed(project, "dbt", *one))
    settle(project, "TWO_TOWER_TARGET=duckdb", "TWO_TOWER_DUCKDB_PATH=other.duckdb")
    assert "other.duckdb" in refused(typed(project, "dbt", *one))

    settle(project, "TWO_TOWER_TARGET=postgres", f"DATABASE_URL={url}")
    init(project)
    for wrong, named in (
        (url.replace("//app:", "//me:"), "user app, not me"),
        (url.replace("p%40ss", "other"), "another password"),
        (url.replace("127.0.0.1:", "127.0.0.1:1"), "port "),
    ):
        settle(project, "TWO_TOWER_TARGET=postgres", f"DATABASE_URL={wrong}")
        assert named in refused(typed(project, "dbt", *one))


def test_a_change_of_env_is_followed_or_named(
    project: Path, server: PostgresServer, url: str, typed: Typed
) -> None:
    settle(project, "TWO_TOWER_TARGET=postgres", f"DATABASE_URL={url}")
    init(project)
    settle(project, "TWO_TOWER_TARGET=postgres", f"DATABASE_URL={server.prepare('other')}")

    printed = refused(typed(project, "dbt", *show(WHERE)))
    typed(project, "two-tower", "status")  # any command brings the profile in step

    assert "database ours, not other" in printed
    assert "two-tower init" in printed
    assert shown(typed(project, "dbt", *show(WHERE)))["base"] == "other"


def test_another_target_is_named_and_one_word_away(project: Path, typed: Typed, url: str) -> None:
    init(project)
    settle(project, "TWO_TOWER_TARGET=postgres", f"DATABASE_URL={url}")

    printed = refused(typed(project, "dbt", *show(WHERE)))
    duckdb = typed(project, "dbt", *show("select 1 as one"), "--target", "duckdb")

    assert "its target is embedded, not postgres" in printed
    assert shown(duckdb) == {"one": 1}
    assert (project / "data/warehouse.duckdb").exists()


def test_exported_settings_are_obeyed_by_two_tower_dbt(
    project: Path, typed: Typed, url: str
) -> None:
    settle(project, "TWO_TOWER_TARGET=postgres", "DATABASE_URL=postgresql://me@127.0.0.1:9/other")
    init(project)

    bare = typed(project, "dbt", *show(WHERE), DATABASE_URL=url)
    ours = typed(project, "two-tower", "dbt", "--", *show(WHERE), DATABASE_URL=url)

    assert "two-tower dbt -- COMMAND" in refused(bare)
    assert shown(ours) == OURS


def test_flags_that_a_shell_has_for_another_project_do_not_reach_a_run(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(project, "TWO_TOWER_TARGET=duckdb")
    init(project)
    (project / "models").mkdir()
    (project / "models/five.sql").write_text("select i from range(5) as r (i)")
    (project / "models/copy.sql").write_text("select i from {{ ref('five') }}")
    (project / "tests").mkdir()
    (project / "tests/few.sql").write_text("select * from {{ ref('copy') }}")
    (project / "tests/few.yml").write_text(
        "data_tests: [{name: few, config: {severity: warn}}]", encoding="utf-8"
    )
    flags = {
        "DBT_TARGET": "prod",
        "DBT_PROFILE": "theirs",
        "DBT_EMPTY": "1",
        "DBT_ENGINE_EMPTY": "1",
        "DBT_EXCLUDE_RESOURCE_TYPES": "test",
        "DBT_WARN_ERROR": "1",
        "DBT_WRITE_JSON": "0",
    }
    for name, value in flags.items():
        monkeypatch.setenv(name, value)

    built = dbt.run(read_settings(project), "build")

    assert (built.models, built.tests_passed) == (2, 0)
    (warning,) = built.warnings
    assert warning.startswith("few: 5 rows")


def test_the_target_is_a_setting_of_ours_for_who_types_too(project: Path, typed: Typed) -> None:
    settle(project, "TWO_TOWER_TARGET=duckdb")
    init(project)

    done = typed(project, "two-tower", "dbt", *show("select 1 as one"), DBT_TARGET="prod")

    assert shown(done) == {"one": 1}


def test_two_tower_dbt_hands_arguments_and_exit_code_on(project: Path) -> None:
    settle(project, "TWO_TOWER_TARGET=duckdb")
    init(project)

    (project / "models").mkdir()
    (project / "models/wrong.sql").write_text("select no_such_column")

    good = started(project, "two-tower", "dbt", "show", "--inline", "select 'a b' as c", "--quiet")
    failed = started(project, "two-tower", "dbt", "--", "run", "--select", "wrong")
    misspelt = started(project, "two-tower", "dbt", "biuld")

    assert (good.returncode, failed.returncode, misspelt.returncode) == (0, 1, 2)
    assert "a b" in good.stdout


def test_the_password_is_in_no_log(project: Path, typed: Typed, url: str) -> None:
    settle(project, "TWO_TOWER_TARGET=postgres", f"DATABASE_URL={url}")
    init(project)

    for done in (
        typed(project, "dbt", "--debug", *show(WHERE)),
        typed(project, "two-tower", "dbt", "--debug", *show(WHERE)),
    ):
        assert done.returncode == 0
        assert PASSWORD not in done.stdout + done.stderr
    logs = [path for path in project.rglob("*") if path.is_file() and path.name != "profiles.yml"]
    assert [path for path in logs if PASSWORD.encode() in path.read_bytes()] == []


def test_a_profile_that_a_person_wrote_stays_and_is_refused_where_it_leads_elsewhere(
    project: Path, server: PostgresServer, url: str, typed: Typed
) -> None:
    server.prepare("theirs")
    settle(project, "TWO_TOWER_TARGET=postgres", f"DATABASE_URL={url}")
    init(project)
    profile = project / "profiles.yml"
    text = profile.read_text().replace(
        "\"{{ env_var('TWO_TOWER_PGDATABASE', 'ours') }}\"", "theirs"
    )
    profile.write_text(text)

    initialised = init(project)
    printed = refused(typed(project, "dbt", *show(WHERE)))
    with pytest.raises(InputError, match="does not lead to the project's database") as raised:
        dbt.run(read_settings(project), "show", "--inline", WHERE)

    assert "left profiles.yml alone" in initialised[-1]
    assert profile.read_text() == text
    assert "written by hand" in printed
    assert raised.value.exit_code == ExitCode.BAD_INPUT


@pytest.mark.parametrize("made", ["by init", "by hand"])
def test_the_embedded_server_is_started_from_any_folder(project: Path, made: str) -> None:
    if made == "by init":
        init(project)
    else:
        shutil.copy(project / "profiles.yml.example", project / "profiles.yml")
    started(project, "two-tower", "db", "start")
    with psycopg.connect(embedded.url(read_settings(project))) as connection:
        connection.execute("create table here (one int)")
    started(project, "two-tower", "db", "stop")
    (project / "below").mkdir()

    found = started(
        project / "below", "dbt", *show("select count(*) as n from here"), "--profiles-dir", ".."
    )

    assert shown(found) == {"n": 0}


def test_what_the_settings_lack_is_said_and_no_other_database_is_tried(
    project: Path, typed: Typed
) -> None:
    settle(project, "TWO_TOWER_TARGET=postgres")
    init(project)

    done = typed(project, "dbt", *show(WHERE))

    assert done.returncode == 2
    assert "neither DATABASE_URL nor PGHOST is set" in done.stdout


@pytest.mark.parametrize("target", ["embedded", "duckdb"])
def test_an_env_in_utf_16_is_named(project: Path, typed: Typed, target: str) -> None:
    init(project)
    (project / ".env").write_bytes("TWO_TOWER_TARGET=postgres\n".encode("utf-16"))

    done = typed(project, "dbt", *show("select 1 as one"), "--target", target)

    assert done.returncode == 2
    assert f"{project / '.env'} is UTF-16" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_misspelt_setting_is_warned_of(project: Path, typed: Typed) -> None:
    settle(project, "TWO_TOWER_TRAGET=postgres")
    init(project)

    done = typed(project, "dbt", *show("select 1 as one"), "--target", "duckdb")

    assert done.returncode == 0
    assert "TWO_TOWER_TRAGET is not a setting" in done.stderr


def test_nobody_elses_dbt_project_is_touched(project: Path, typed: Typed) -> None:
    settle(project, "TWO_TOWER_TARGET=postgres")
    (project / "dbt_project.yml").write_text("name: theirs\nprofile: theirs\n")
    (project / "profiles.yml").write_text(
        "theirs: {target: a, outputs: {a: {type: duckdb, path: ':memory:'}}}\n"
    )

    assert shown(typed(project, "dbt", *show("select 1 as one"))) == {"one": 1}
