"""Files with bad rows, files that come twice, files that shrink."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from faults.world import HEADER, World, new_world, served
from two_tower.core.errors import ExitCode
from two_tower.data import csv_reader, review_files

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.xdist_group("deliveries")]

ROWS = 200
# A bad row of every kind that the loader rejects, by its reason.
BAD: dict[str, bytes] = {
    review_files.TOO_FEW: b"{page},u1",
    review_files.TOO_MANY: b"{page},u1,5,,more",
    review_files.NO_URL: b",u1,5",
    review_files.LONG_URL: b"{page}" + b"a" * 2000 + b",u1,5",
    review_files.NO_REVIEWER: b"{page},,5",
    review_files.LONG_REVIEWER: ("{page}," + "u" * 501 + ",5").encode(),
    review_files.LOST_REVIEWER: b"{page},1.23457E+15,5",
    review_files.BAD_STARS: "{page},u1,六".encode(),
    review_files.BAD_MOMENT: b"{page},u1,5,soon",
    review_files.FUTURE: b"{page},u1,5,2999-01-01",
    csv_reader.NOT_TEXT: "{page},青木さくら".encode() + b"\xe3,5",
    csv_reader.MALFORMED: b'"{page}"more,u1,5',
    csv_reader.NOT_CLOSED: b'"{page},u1,5',
    csv_reader.FIELD_TOO_LONG: b'{page},u1,"' + b"5" * (csv.field_size_limit() + 1) + b'"',
}


def write(world: World, share: float) -> list[Path]:
    """Write a file for each kind, of whose rows this share is bad; return their paths."""
    sample = sorted((world.folder / "raw/reviews").glob("dmm_reviews_sample_*.csv"))[0]
    lines = sample.read_text(encoding="utf-8").splitlines()
    # The good rows are what these people have said before.
    good = [
        fields
        for fields in (line.split(",") for line in lines[1:])
        if fields[0].startswith("http") and fields[1] and fields[2] in {"1", "2", "3", "4", "5"}
    ]
    paths = []
    for number, (reason, bad) in enumerate(BAD.items()):
        is_dated = reason in (review_files.BAD_MOMENT, review_files.FUTURE, review_files.TOO_MANY)
        header = HEADER.strip() + (",reviewed_at" if is_dated else "")
        end = "," if is_dated else ""
        rows = [header.encode()]
        for row in range(ROWS):
            page, reviewer, stars = good[row % len(good)][:3]
            if row < share * ROWS:
                rows.append(bad.replace(b"{page}", page.encode()))
            else:
                rows.append(f"{page},{reviewer},{stars}{end}".encode())
        path = world.folder / f"raw/reviews/dmm_reviews_bad_{number}.csv"
        path.write_bytes(b"\n".join(rows) + b"\n")
        paths.append(path)
    return paths


def rejected(world: World) -> dict[str, int]:
    with psycopg.connect(world.dsn) as connection:
        rows = connection.execute(
            "select reason, count(*) from raw.rejected_reviews where file like '%bad%' group by 1"
        ).fetchall()
    return dict(rows)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with new_world() as made:
        yield made


def test_one_percent(world: World) -> None:
    """Every kind of bad row in 1 % of a file's rows: the run goes on without them."""
    write(world, 0.01)
    world.converges()
    assert rejected(world) == dict.fromkeys(BAD, 2)


def test_sixty_percent(world: World) -> None:
    """Every kind of bad row in 60 % of a file's rows: the run stops before training and says so."""
    before = served(world.dsn)
    runs = sorted((world.folder / "runs").iterdir())
    write(world, 0.6)

    code, printed = world.run("run")

    assert code == ExitCode.DATA_FAILED, printed
    assert "assert_few_rows_are_rejected" in printed
    assert "Train the towers" not in printed
    assert "Traceback" not in printed
    assert sorted((world.folder / "runs").iterdir()) == runs
    assert rejected(world) == dict.fromkeys(BAD, 120)
    with psycopg.connect(world.dsn) as connection:
        # Each of the files would have stopped it by itself.
        judged = connection.execute(
            "select count(*) from two_tower.load_reconciliation"
            " where file like '%bad%' and rows_rejected > 0.3 * rows_read"
        ).fetchone()
    assert judged == (len(BAD),)
    world.holds(before)
    write(world, 0.005)
    world.converges(before)


def test_the_same_files_twice(world: World) -> None:
    """The same files are delivered twice: nothing is done twice."""
    before = served(world.dsn)
    for path in (world.folder / "raw/reviews").glob("*.csv"):
        path.touch()
    code, printed = world.run("run")
    assert code == 0, printed
    assert "rows read 0" in printed
    assert "swapped no" in printed
    world.holds(before)


def test_a_file_shrinks(world: World) -> None:
    """A file is shorter than it was: its rows are those that it has now."""
    path = world.folder / "raw/reviews/dmm_reviews_bad_0.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:50]))
    world.converges()
    with psycopg.connect(world.dsn) as connection:
        row = connection.execute(
            "select count(*) from raw.reviews where file like '%bad_0.csv'"
        ).fetchone()
    assert row == (48,)
