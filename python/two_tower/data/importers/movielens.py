"""MovieLens as GroupLens publishes it: 100k, 1M, 10M, latest-small, 25M, 32M.

``two-tower import movielens ml-latest-small``
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from two_tower.core.errors import InputError
from two_tower.data.importers.blocks import Format, read
from two_tower.data.importers.target import Catalogue, Item, Ratings, raise_low_stars, split_year

SITE = "https://movielens.example.com"
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
AGE_GROUPS = (
    (56, "56+"), (50, "50-55"), (45, "45-49"), (35, "35-44"), (25, "25-34"), (18, "18-24"),
    (-math.inf, "under 18"),
)  # fmt: skip
OCCUPATIONS_1M = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student",
    "customer service", "doctor/health care", "executive/managerial", "farmer", "homemaker",
    "K-12 student", "lawyer", "programmer", "retired", "sales/marketing", "scientist",
    "self-employed", "technician/engineer", "tradesman/craftsman", "unemployed", "writer",
)  # fmt: skip
NUMBERS_1M = frozenset(map(str, range(len(OCCUPATIONS_1M))))
# In a small set most tags have one user, and are kept; in a large one such tags are personal notes.
SMALL_TAG_ROWS = 100_000
RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")
MOVIE_COLUMNS = ("movieId", "title", "genres")
TAG_COLUMNS = ("userId", "movieId", "tag", "timestamp")


@dataclass(frozen=True)
class Variant:
    """One layout of GroupLens' files."""

    ratings: str
    movies: str
    ratings_format: Format
    movies_format: Format
    tags: str | None = None
    tags_format: Format | None = None
    users: str | None = None
    users_format: Format | None = None


ITEM_COLUMNS_100K = ("movieId", "title", "released", "video_released", "url", *GENRES_100K)
CSV = Format(",", quoted=True)
VARIANTS = (
    Variant(
        "u.data", "u.item",
        Format("\t", RATING_COLUMNS),
        Format("|", ITEM_COLUMNS_100K, encoding="latin-1"),
        users="u.user",
        users_format=Format("|", ("userId", "age", "gender", "occupation", "zip")),
    ),
    Variant(
        "ratings.dat", "movies.dat",
        Format("::", RATING_COLUMNS),
        Format("::", MOVIE_COLUMNS, encoding="latin-1"),
        "tags.dat",
        Format("::", TAG_COLUMNS),
        "users.dat",
        Format("::", ("userId", "gender", "age", "occupation", "zip"), encoding="latin-1"),
    ),
    Variant("ratings.csv", "movies.csv", CSV, CSV, "tags.csv", CSV),
)  # fmt: skip


class MovieLens:
    """A folder of MovieLens.

    Raises:
        InputError: it is none of the known layouts.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.variant = _variant(path)
        self.notes: list[str] = []

    @property
    def ratings_bytes(self) -> int:
        """Size of the ratings file."""
        return (self.path / self.variant.ratings).stat().st_size

    def catalogue(self) -> Catalogue:
        """Read the movies, their genres and what users tagged them with."""
        catalogue = Catalogue("movielens", SITE)
        for block in read(self.path / self.variant.movies, self.variant.movies_format):
            for row in block.columns.to_pylist():
                title, year = split_year(row["title"])
                item = catalogue.items[row["movieId"]] = Item(title or row["movieId"], year)
                for genre in _genres(row):
                    item.add_tag(genre)
        self._add_user_tags(catalogue)
        self._add_user_categories(catalogue)
        return catalogue

    def ratings(self, advance: Callable[[float], None]) -> Iterator[Ratings]:
        """Stream the ratings; half a star becomes one star."""
        raised = 0
        path = self.path / self.variant.ratings
        for block in read(path, self.variant.ratings_format, advance):
            stars = block.numbers("rating")
            wrong = pc.fill_null(pc.or_(pc.less(stars, 0.5), pc.greater(stars, 5.0)), True)
            if pc.any(wrong).as_py():
                row = pc.index(wrong, True).as_py()
                raise block.error(row, "rating", "is not between 0.5 and 5")
            stars, low = raise_low_stars(stars)
            raised += low
            yield Ratings(
                block.text("userId"), block.text("movieId"), stars, block.numbers("timestamp")
            )
        if raised:
            self.notes.append(f"{raised} ratings of half a star were written as 1 star")

    def _add_user_categories(self, catalogue: Catalogue) -> None:
        """Add age group, gender and occupation, where the set has them; postcodes are left out."""
        if self.variant.users is None or self.variant.users_format is None:
            return
        path = self.path / self.variant.users
        if not path.exists():
            return
        for block in read(path, self.variant.users_format):
            ages = block.numbers("age").to_pylist()
            for age, row in zip(ages, block.columns.to_pylist(), strict=True):
                values = {
                    "age_group": None if age is None else _age_group(age),
                    "gender": row["gender"],
                    "occupation": _occupation(row["occupation"]),
                }
                catalogue.categories += [
                    (row["userId"].strip(), name, value) for name, value in values.items() if value
                ]
        self.notes.append(f"{self.variant.users}: age group, gender and occupation are categories")

    def _add_user_tags(self, catalogue: Catalogue) -> None:
        if self.variant.tags is None or self.variant.tags_format is None:
            return
        path = self.path / self.variant.tags
        if not path.exists():
            return
        tags = _counted_tags([b.columns for b in read(path, self.variant.tags_format)])
        least = 1 if tags.rows <= SMALL_TAG_ROWS else 2
        kept = tags.pairs.filter(pc.greater_equal(tags.pairs["userId_count_distinct"], least))
        for movie, tag in zip(*(kept[c].to_pylist() for c in ("movieId", "tag")), strict=True):
            if movie in catalogue.items:
                catalogue.items[movie].add_tag(tag)
        self.notes.append(
            f"{kept.num_rows} of {tags.pairs.num_rows} pairs of movie and user tag were kept"
            f" (given by {least} or more users)"
        )


@dataclass(frozen=True)
class _Tags:
    rows: int
    pairs: pa.Table


def _counted_tags(batches: list[pa.RecordBatch]) -> _Tags:
    """Count the users of each movie-tag pair; case and blanks are ignored."""
    if not batches:
        empty = {name: pa.array([], pa.string()) for name in ("movieId", "tag")}
        return _Tags(0, pa.table({**empty, "userId_count_distinct": pa.array([], pa.int64())}))
    table = pa.Table.from_batches(batches)
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(table["tag"]))
    plain = pc.replace_substring_regex(plain, r"\s+", " ")
    table = table.set_column(table.schema.get_field_index("tag"), "tag", plain)
    pairs = table.group_by(["movieId", "tag"]).aggregate([("userId", "count_distinct")])
    return _Tags(table.num_rows, pairs.sort_by([("movieId", "ascending"), ("tag", "ascending")]))


def _age_group(age: float) -> str:
    """Return the age group as MovieLens 1M has them."""
    return next(name for least, name in AGE_GROUPS if age >= least)


def _occupation(written: str) -> str:
    """Return an occupation by its name; MovieLens 1M writes its number."""
    return OCCUPATIONS_1M[int(written)] if written in NUMBERS_1M else written


def _genres(row: dict[str, str]) -> list[str]:
    if "genres" in row:
        return row["genres"].split("|")
    return [genre for genre in GENRES_100K[1:] if row[genre] == "1"]


def _variant(path: Path) -> Variant:
    for variant in VARIANTS:
        if (path / variant.ratings).is_file() and (path / variant.movies).is_file():
            return variant
    looked_for = ", or ".join(f"{v.ratings} with {v.movies}" for v in VARIANTS)
    raise InputError(
        f"{path} is no MovieLens folder: looked for {looked_for}",
        "unpack the archive from grouplens.org and give the folder that holds its files",
    )
