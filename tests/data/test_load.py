"""What `load` takes, what it refuses and why: the same on both engines."""

import codecs
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import CATALOGUE, PAGE, PROJECT_DIR, REVIEWS, VIDEOS, MakeDataDir, environment
from two_tower.core.errors import BuildError, InputError
from two_tower.core.settings import Settings
from two_tower.data.load import LoadSummary, load
from two_tower.data.sample_data import generate
from two_tower.database import dbt, dbt_profile
from two_tower.database.warehouse import open_warehouse
from two_tower.operations import doctor

HEADER = "product_url,reviewer_id,stars,reviewed_at\n"
REVIEW_COLUMNS = "file, line, product_url, reviewer_id, stars, reviewed_at"


def run(settings: Settings) -> LoadSummary:
    with open_warehouse(settings) as warehouse:
        return load(settings, warehouse)


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with open_warehouse(settings) as warehouse:
        return [tuple(row.values()) for row in warehouse.fetch(sql)]


def reviews(settings: Settings) -> list[tuple[Any, ...]]:
    return rows(settings, f"select {REVIEW_COLUMNS} from raw.reviews order by file, line")


def rejected(settings: Settings) -> list[tuple[Any, ...]]:
    sql = "select line, reason, row_text from raw.rejected_reviews order by file, line"
    return rows(settings, sql)


def test_reviews_and_catalogue_are_loaded_once(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    make_data_dir()
    first = run(either_settings)
    assert (first.files, first.files_unchanged) == (1, 0)
    assert (first.rows_read, first.rows_loaded, first.rows_rejected) == (3, 3, 0)
    assert first.catalogue == {
        "videos": 3,
        "tags": 3,
        "video_tags": 3,
        "performers": 2,
        "video_performers": 2,
        "users": 2,
    }
    before = reviews(either_settings)
    assert [(line, stars) for _, line, _, _, stars, _ in before] == [(2, 5.0), (3, 2.0), (4, 4.5)]
    assert [str(row[5]) for row in before] == ["2024-08-01 10:00:00", "2024-08-02 00:00:00", "None"]
    assert before[0][0] == "reviews/dmm_reviews_1.csv"
    signed_up = rows(either_settings, "select id, signed_up_at from raw.users order by id")
    assert [(user, str(at)) for user, at in signed_up] == [
        ("u1", "2024-01-01 00:00:00"),
        ("u2", "2024-02-01 00:00:00"),
    ]
    log = rows(either_settings, "select loaded_at from raw.review_files")
    catalogue_log = rows(either_settings, "select * from raw.catalogue_files order by file")

    second = run(either_settings)
    assert (second.files, second.files_unchanged, second.rows_read) == (1, 1, 0)
    assert second.catalogue == first.catalogue
    assert reviews(either_settings) == before
    assert rows(either_settings, "select loaded_at from raw.review_files") == log
    assert rows(either_settings, "select * from raw.catalogue_files order by file") == catalogue_log


DIRTY = {
    f"{PAGE}a/,u1,0,": "stars is not a number from 1 to 5",
    f"{PAGE}a/,u1,5.5,": "stars is not a number from 1 to 5",
    f"{PAGE}a/,u1,nan,": "stars is not a number from 1 to 5",
    f"{PAGE}a/,u1,四,": "stars is not a number from 1 to 5",
    f"{PAGE}a/,u1,,": "stars is not a number from 1 to 5",
    f"{PAGE}a/, ,5,": "reviewer_id is empty",
    f"{PAGE}a/,{'u' * 501},5,": "reviewer_id is longer than 500 characters",
    ",u1,5,": "product_url is empty",
    f"{PAGE}a/,u1,5,,": "too many fields",
    f"{PAGE}a/,u1,5": "too few fields",
    f"{PAGE}a/,u1,5,yesterday": "reviewed_at is not a date or a time",
    f"{PAGE}a/,u1,5,2024-02-30": "reviewed_at is not a date or a time",
    f"{PAGE}a/,u1,5,2024/13/01": "reviewed_at is not a date or a time",
    f"{PAGE}a/,u1,5,9999-12-31T23:59:59-09:00": "reviewed_at is not a date or a time",
    f'"{PAGE}a/"x,u1,5,': "quotes are malformed",
    f'"{PAGE}a/,u1,5,': "a quote is not closed",
    f"{PAGE}a/,\0,5,": "reviewer_id is empty",
}


def test_every_bad_row_is_kept_with_line_reason_and_text(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    good = f"{PAGE}ok/,u9,3,\n"
    text = HEADER + "".join(f"{row}\n{good}" for row in DIRTY)
    make_data_dir({"dmm_reviews_1.csv": text})
    summary = run(either_settings)
    assert rejected(either_settings) == [
        (2 * i + 2, reason, row.replace("\0", "␀")) for i, (row, reason) in enumerate(DIRTY.items())
    ]
    assert [row[1] for row in reviews(either_settings)] == [2 * i + 3 for i in range(len(DIRTY))]
    assert (summary.rows_loaded, summary.rows_rejected) == (len(DIRTY), len(DIRTY))
    assert summary.rejected_by_reason["stars is not a number from 1 to 5"] == 5
    assert rows(
        either_settings, "select rows_read, rows_loaded, rows_rejected from raw.review_files"
    ) == [(2 * len(DIRTY), len(DIRTY), len(DIRTY))]


def test_dirty_files_that_mean_the_same_give_the_same_rows(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    japanese = REVIEWS.replace("u1", "青木")
    url = f"{PAGE}abc001/"
    variants: dict[str, str | bytes] = {
        "plain": japanese,
        "bom": codecs.BOM_UTF8 + japanese.encode(),
        "utf16": japanese.encode("utf-16"),
        "utf16_be_bare": japanese.encode("utf-16-be"),
        "utf16_le_bare": japanese.encode("utf-16-le"),
        "cp932": japanese.encode("cp932"),
        "crlf": japanese.replace("\n", "\r\n"),
        "cr": japanese.replace("\n", "\r"),
        "mixed": japanese.replace("u2", "u2", 1).replace("\n", "\r\n", 2),
        "no_last_newline": japanese.rstrip("\n"),
        "nul": japanese.replace("u2", "u\0002"),
        "header": japanese.replace("product_url,reviewer_id", " Product_URL ,REVIEWER_ID"),
        "quoted": japanese.replace(url, f'"{url}"'),
        "reordered": HEADER.replace("stars,reviewed_at", "reviewed_at,stars,body")
        + f'{url},青木,2024-08-01T19:00:00+09:00,5,"一行\n""二"",行"\n'
        + f"{PAGE}abc002/,青木,2024/8/2,2,\n{url},u2,,4.5,x\n",
    }
    make_data_dir({f"dmm_reviews_{name}.csv": text for name, text in variants.items()})
    summary = run(either_settings)
    assert summary.rejected_by_reason == {}
    expected = rows(
        either_settings,
        f"select {REVIEW_COLUMNS.removeprefix('file, line, ')} from raw.reviews"
        " where file = 'reviews/dmm_reviews_plain.csv' order by line",
    )
    assert len(expected) == 3
    for name in variants:
        found = rows(
            either_settings,
            f"select {REVIEW_COLUMNS.removeprefix('file, line, ')} from raw.reviews"
            f" where file = 'reviews/dmm_reviews_{name}.csv' order by line",
        )
        assert found == expected, name
    lines = rows(
        either_settings,
        "select line from raw.reviews where file = 'reviews/dmm_reviews_reordered.csv' order by 1",
    )
    assert lines == [(2,), (4,), (5,)]
    assert dict(rows(either_settings, "select file, encoding from raw.review_files")) == {
        f"reviews/dmm_reviews_{name}.csv": {
            "bom": "utf-8-sig",
            "utf16": "utf-16",
            "utf16_be_bare": "utf-16-be",
            "utf16_le_bare": "utf-16-le",
            "cp932": "cp932",
        }.get(name, "utf-8")
        for name in variants
    }


def test_a_changed_file_replaces_its_own_rows_and_a_removed_one_keeps_them(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    folder = make_data_dir({"dmm_reviews_1.csv": REVIEWS, "dmm_reviews_2.csv": REVIEWS})
    assert run(either_settings).rows_loaded == 6
    (folder / "reviews/dmm_reviews_2.csv").unlink()
    (folder / "reviews/dmm_reviews_1.csv").write_text(HEADER + f"{PAGE}new/,u3,1,\n,u3,1,\n")
    summary = run(either_settings)
    assert (summary.rows_loaded, summary.rows_rejected) == (1, 1)
    assert any("dmm_reviews_2.csv is no longer there" in text for text in summary.warnings)
    assert [row[0][-5:] for row in reviews(either_settings)] == ["1.csv", *["2.csv"] * 3]
    (folder / "reviews/dmm_reviews_1.csv").write_text(HEADER)
    run(either_settings)
    assert len(reviews(either_settings)) == 3
    assert rejected(either_settings) == []


def test_a_file_that_cannot_be_loaded_keeps_its_old_rows_and_the_others_are_loaded(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    folder = make_data_dir({"dmm_reviews_1.csv": REVIEWS, "dmm_reviews_3.csv": "url,stars\nx,1\n"})
    with pytest.raises(InputError, match=r"_3.csv: the header lacks product_url, reviewer_id; it"):
        run(either_settings)
    before = reviews(either_settings)
    assert len(before) == 3
    # Good rows first, and then a line that ends the reading, many blocks behind them.
    filler = f"{PAGE}new/,u3,1,\n" * 200_000
    (folder / "reviews/dmm_reviews_1.csv").write_text(HEADER + filler + "x" * 1_100_000)
    (folder / "reviews/dmm_reviews_2.csv").write_text(HEADER + f"{PAGE}new/,u4,1,\n")
    with pytest.raises(InputError, match="2 files were not loaded") as caught:
        run(either_settings)
    assert "line 200002 is longer than" in str(caught.value)
    assert [row for row in reviews(either_settings) if row[0].endswith("_1.csv")] == before
    assert len(reviews(either_settings)) == 4


def test_warnings_about_the_folder(either_settings: Settings, make_data_dir: MakeDataDir) -> None:
    folder = make_data_dir({}, {})
    summary = run(either_settings)
    assert (summary.files, summary.rows_read, summary.catalogue) == (0, 0, {})
    assert any("dmm_reviews_*.csv" in w and "two-tower sample-data" in w for w in summary.warnings)
    assert any("catalogue_schema" in text for text in summary.warnings)
    make_data_dir({"dmm_reviews_sample_1.csv": REVIEWS, "dmm_reviews_0.csv": ""})
    marker = {"origin": "sample-data", "files": ["reviews/dmm_reviews_sample_1.csv"]}
    (folder / "origin.json").write_text(json.dumps(marker))
    summary = run(either_settings)
    (warning,) = (text for text in summary.warnings if "TWO DATA SETS ARE MIXED" in text)
    assert "`two-tower sample-data` wrote, reviews/dmm_reviews_sample_1.csv." in warning
    assert any("dmm_reviews_0.csv is empty" in text for text in summary.warnings)
    assert summary.rows_loaded == 3
    (folder / "reviews/dmm_reviews_0.csv").unlink()
    assert any("TWO DATA SETS ARE MIXED" in text for text in run(either_settings).warnings)
    (folder / "origin.json").write_text("{}")  # not ours
    assert not any("MIXED" in text for text in run(either_settings).warnings)


def test_review_files_have_the_names_that_the_setting_says(
    either_settings: Settings, tmp_path: Path
) -> None:
    settings = either_settings.model_copy(update={"review_files": "ratings-*.csv"})
    summary = run(settings)
    assert any("no file matches" in w and "ratings-*.csv" in w for w in summary.warnings)
    folder = settings.path(settings.data_dir)
    generate(folder, 400, review_files=settings.review_files)
    (folder / "reviews/dmm_reviews_1.csv").write_text(REVIEWS)

    summary = run(settings)

    assert summary.files == len(list((folder / "reviews").glob("ratings-sample_*.csv"))) == 6
    assert summary.rows_loaded > 300
    assert any("the names that are read are ratings-*.csv" in w for w in summary.warnings)
    (data,) = (check for check in doctor.examine(settings) if check.name == "data")
    assert data.found == f"6 review files in {folder}/reviews"
    assert dbt_profile.environment(settings)["TWO_TOWER_REVIEW_FILES"] == "ratings-*.csv"


WRONG_CATALOGUES = {
    "videos": [
        ("不正,t,,u,,,,,,", "line 5, column id: '不正' is not a uuid"),
        (f"{VIDEOS[0]},t,,u,,,,,,", f"line 5, column id: {VIDEOS[0]} is on line 2 already"),
        (f"{VIDEOS[0].upper()},t,,u,,,,,,", "is on line 2 already"),
        (",t,,u,,,,,,", "line 5, column id: it is empty; it must be a uuid"),
        (f"{VIDEOS[0][:-1]}9,t,,u,,,,,-1,", "column price: '-1' is not a number from 0"),
        (f"{VIDEOS[0][:-1]}9,t,,u,,,,,安い,", "column price: '安い' is not a number from 0"),
        (f"{VIDEOS[0][:-1]}9,t,,u,,,,,,夏", "column released_on: '夏' is not a date"),
        (f"{VIDEOS[0][:-1]}9,t", "line 5: 2 fields where the header has 10"),
    ],
    "tags": [("1,again", "line 5, column id: 1 is on line 2 already")],
    "video_tags": [
        (f"{VIDEOS[0][:-1]}9,1", "is not an id in videos.csv"),
        (f"{VIDEOS[0]},77", "line 5, column tag_id: '77' is not an id in tags.csv"),
    ],
    "users": [("u3,soon", "line 4, column signed_up_at: 'soon' is not a time")],
}


def test_a_wrong_catalogue_row_is_named_and_nothing_replaced(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    folder = make_data_dir()
    run(either_settings)
    for name, cases in WRONG_CATALOGUES.items():
        for row, message in cases:
            (folder / f"catalogue/{name}.csv").write_text(CATALOGUE[f"{name}.csv"] + row + "\n")
            with pytest.raises(InputError) as caught:
                run(either_settings)
            assert message in str(caught.value)
            assert f"{name}.csv" in str(caught.value)
        (folder / f"catalogue/{name}.csv").write_text(CATALOGUE[f"{name}.csv"])
    for name, count in {"videos": 3, "tags": 3, "video_tags": 3, "users": 2}.items():
        assert rows(either_settings, f"select count(*) from raw.{name}") == [(count,)]


def test_faults_of_a_catalogue_are_in_the_order_of_lines_and_columns(
    duckdb_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    id_ = VIDEOS[0]
    lines = ["video_id,tag_id", f"{id_},1", "no,77", id_, f"{id_},78", f"{id_},1", "no,77", ""]
    make_data_dir(catalogue=CATALOGUE | {"video_tags.csv": "\n".join(lines)})
    with pytest.raises(InputError) as caught:
        run(duckdb_settings)
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == [
        "line 3, column video_id: 'no' is not a uuid",
        "line 3, column tag_id: '77' is not an id in tags.csv: add it there",
        "line 4: 1 fields where the header has 2",
        "line 5, column tag_id: '78' is not an id in tags.csv: add it there",
        f"line 6, column tag_id: {id_}, 1 is on line 2 already",
        "line 7, column video_id: 'no' is not a uuid",
        "line 7, column tag_id: '77' is not an id in tags.csv: add it there",
    ]


def test_catalogue_changes_are_taken_whole(
    either_settings: Settings, make_data_dir: MakeDataDir
) -> None:
    folder = make_data_dir() / "catalogue"
    run(either_settings)
    (folder / "users.csv").unlink()
    videos = CATALOGUE["videos.csv"].splitlines(keepends=True)
    (folder / "videos.csv").write_text("".join([videos[0], *videos[2:]]))
    with pytest.raises(InputError, match=r"video_tags\.csv is not loaded"):
        run(either_settings)  # an unchanged file points to the video that is gone
    (folder / "video_tags.csv").write_text("tag_id,video_id\n")
    (folder / "video_performers.csv").write_text("video_id,performer_id,note\n")
    assert run(either_settings).catalogue == {
        "videos": 2,
        "tags": 3,
        "video_tags": 0,
        "performers": 2,
        "video_performers": 0,
    }
    (folder / "tags.csv").unlink()
    with pytest.raises(InputError, match=r"catalogue lacks tags.csv"):
        run(either_settings)


def test_a_second_load_waits_for_the_first_and_finds_its_files(
    clean_postgres: Settings, postgres_dsn: str, make_data_dir: MakeDataDir
) -> None:
    make_data_dir({}, None)
    run(clean_postgres)
    make_data_dir()
    code = (
        "from two_tower.data.load import load\n"
        "from two_tower.database.warehouse import open_warehouse\n"
        "from two_tower.core.settings import Settings; s = Settings(_env_file=None)\n"
        "with open_warehouse(s) as w: print(load(s, w).files_unchanged)"
    )
    env = environment(clean_postgres)
    with psycopg.connect(postgres_dsn) as holder:
        holder.execute("lock table raw.review_files in share row exclusive mode")
        loads = [
            subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
    assert sorted(int(process.communicate(timeout=120)[0]) for process in loads) == [0, 1]
    assert len(reviews(clean_postgres)) == 3


def test_memory_does_not_grow_with_the_file(
    either_settings: Settings, make_data_dir: MakeDataDir, tmp_path: Path
) -> None:
    code = (
        "import resource; from two_tower.data.load import load\n"
        "from two_tower.database.warehouse import open_warehouse\n"
        "from two_tower.core.settings import Settings\n"
        "for folder in ('small', 'large'):\n"
        f"    s = Settings(_env_file=None, data_dir={str(tmp_path)!r} + '/' + folder)\n"
        "    with open_warehouse(s) as w: assert load(s, w).rows_loaded\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    env = environment(either_settings) | {"TWO_TOWER_MEMORY_LIMIT": "100MB"}
    for folder, row_count in {"small": 100_000, "large": 300_000}.items():
        maker = random.Random(row_count)
        lines = [f"{PAGE}{maker.randrange(9999)}/,u{i % 5000},4,\n" for i in range(row_count)]
        files = {"dmm_reviews_1.csv": HEADER + "".join(lines)}
        make_data_dir(files, {}, folder=tmp_path / folder)
    done = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, check=True)
    small, large = map(int, done.stdout.split())
    assert large < small + 40  # MiB; the second file is 13 MB longer


@pytest.fixture
def scratch_project(tmp_path: Path, duckdb_settings: Settings) -> Settings:
    """A project with one model over raw.reviews, so that the test needs none of the real models."""
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    (project / "dbt_project.yml").write_text("name: scratch\nprofile: two_tower\n")
    (project / "profiles.yml").write_text((PROJECT_DIR / "profiles.yml.example").read_text())
    (project / "models/counted.sql").write_text("select count(*) as n from raw.reviews")
    return duckdb_settings.model_copy(update={"project_dir": project})


def test_a_bare_dbt_run_on_duckdb_reads_the_files(
    scratch_project: Settings,
    make_data_dir: MakeDataDir,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT_DIR / "python"))
    folder = make_data_dir(folder=scratch_project.project_dir / "data/raw")
    program = str(Path(sys.executable).parent / "dbt")
    command = [program, "run", "--target", "duckdb"]
    bare = subprocess.run(command, cwd=scratch_project.project_dir, check=False)
    assert bare.returncode == 0
    found = scratch_project.model_copy(
        update={"duckdb_path": scratch_project.project_dir / "data/warehouse.duckdb"}
    )
    assert rows(found, "select n from two_tower.counted") == [(3,)]

    (folder / "reviews/dmm_reviews_2.csv").write_text("product_url;reviewer_id;stars\n")
    capfd.readouterr()
    settings = found.model_copy(update={"data_dir": folder})
    with pytest.raises(BuildError):
        dbt.run(settings, "run")
    shown = capfd.readouterr().err
    assert "dmm_reviews_2.csv: its columns are separated by semicolons" in shown
    assert "save it with commas between the columns" in shown
    assert "Traceback" not in shown
