"""The target of an import: the review files and the catalogue of a data folder."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from two_tower.data.data_folder import DataFolder, table_csv

ROWS_PER_FILE = 1_000_000
NO_TAGS = {"", "(no genres listed)"}


@dataclass
class Item:
    """A video of the catalogue; ``tags`` and ``performers`` map an id to a name."""

    title: str
    year: int | None = None
    maker: str | None = None
    label: str | None = None
    series: str | None = None
    price: float | None = None
    tags: dict[str, str] = field(default_factory=dict)
    performers: dict[str, str] = field(default_factory=dict)

    def add_tag(self, name: str) -> None:
        """Add a tag; variants in case and blanks are one tag, under its first spelling."""
        name = " ".join(name.split())
        if name not in NO_TAGS:
            self.tags.setdefault(name.casefold(), name)


@dataclass
class Catalogue:
    """All items by their original id, and the site of their product URLs."""

    source: str
    site: str
    items: dict[str, Item] = field(default_factory=dict)
    categories: list[tuple[str, str, str]] = field(default_factory=list)  # user, category, value

    def url(self, item_id: str) -> str:
        """Return the product URL of an item."""
        return f"{self.site}/items/{quote(item_id, safe='')}"

    def video_id(self, item_id: str) -> str:
        """Return the item's uuid, a function of its original id."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.url(item_id)))

    def tables(self, users: list[str]) -> dict[str, pa.Table]:
        """Return the catalogue's tables by name; without user_categories where none are known."""
        items = self.items.values()
        ids = {item_id: self.video_id(item_id) for item_id in self.items}
        tags: dict[str, str] = {}
        performers: dict[str, str] = {}
        for item in items:
            for key, name in item.tags.items():
                tags.setdefault(key, name)
            performers.update(item.performers)
        found = {
            "videos": self._videos(ids),
            "tags": _text({"id": tags.keys(), "name": tags.values()}),
            "performers": _text({"id": performers.keys(), "name": performers.values()}),
            "video_tags": _text(
                {
                    "video_id": (ids[i] for i, item in self.items.items() for _ in item.tags),
                    "tag_id": (key for item in items for key in item.tags),
                }
            ),
            "video_performers": _text(
                {
                    "video_id": (ids[i] for i, item in self.items.items() for _ in item.performers),
                    "performer_id": (key for item in items for key in item.performers),
                }
            ),
            "users": _text({"id": users, "signed_up_at": (None for _ in users)}),
        }
        if self.categories:
            names = ("user_id", "category", "value")
            columns = zip(*self.categories, strict=True)
            found["user_categories"] = _text(dict(zip(names, columns, strict=True)))
        return found

    def _videos(self, ids: dict[str, str]) -> pa.Table:
        items = list(self.items.values())
        released = [None if item.year is None else f"{item.year:04d}-01-01" for item in items]
        text = _text(
            {
                "id": ids.values(),
                "title": (item.title for item in items),
                "thumbnail_url": (None for _ in items),
                "product_url": (self.url(item_id) for item_id in ids),
                "source": (self.source for _ in items),
                "maker": (item.maker for item in items),
                "label": (item.label for item in items),
                "series": (item.series for item in items),
            }
        )
        price = pa.array([None if i.price is None else round(i.price) for i in items], pa.int64())
        return text.append_column("price", price).append_column(
            "released_on", pa.array(released, pa.string()).cast(pa.date32())
        )


def _text(columns: dict[str, object]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


@dataclass
class Ratings:
    """The ratings of one block: parallel arrays."""

    user: pa.Array
    item: pa.Array
    stars: pa.Array
    at: pa.Array  # float64 seconds, null where not known


@dataclass
class ReviewFiles:
    """Writes reviews, a million rows per file, and counts them.

    Attributes:
        users, items: every id seen, in order of appearance.
        reviews: rows written.
    """

    folder: DataFolder
    catalogue: Catalogue
    prefix: str
    users: dict[str, None] = field(default_factory=dict)
    items: dict[str, None] = field(default_factory=dict)
    reviews: int = 0

    def write(self, blocks: Iterator[Ratings]) -> None:
        """Write all blocks to review files named ``<prefix>_NNNN``."""
        for number, first in enumerate(blocks, start=1):
            name = self.folder.review_file(f"{self.prefix}_{number:04d}")
            self.folder.write(name, self._file(first, blocks))

    def _file(self, first: Ratings, rest: Iterator[Ratings]) -> Iterator[bytes]:
        yield table_csv(self._lines(first))
        rows = len(first.user)
        while rows < ROWS_PER_FILE and (block := next(rest, None)) is not None:
            rows += len(block.user)
            yield table_csv(self._lines(block), header=False)

    def _lines(self, block: Ratings) -> pa.Table:
        self.reviews += len(block.user)
        users, items = (pc.dictionary_encode(column) for column in (block.user, block.item))
        self.users.update(dict.fromkeys(users.dictionary.to_pylist()))
        self.items.update(dict.fromkeys(items.dictionary.to_pylist()))
        urls = pa.array([self.catalogue.url(item) for item in items.dictionary.to_pylist()])
        seconds = pc.cast(pc.floor(block.at), pa.int64())
        return pa.table(
            {
                "product_url": urls.take(items.indices),
                "reviewer_id": block.user,
                "stars": block.stars,
                "reviewed_at": pc.cast(seconds, pa.timestamp("s")),
            }
        )


def split_year(title: str) -> tuple[str, int | None]:
    """Split ``Toy Story (1995)`` into the title and the year."""
    found = re.fullmatch(r"(.*\S)\s*\((\d{4})(?:\s*[-–]\s*\d{0,4})?\)\s*", title)
    return (found[1].strip(), int(found[2])) if found else (title.strip(), None)


def raise_low_stars(stars: pa.Array) -> tuple[pa.Array, int]:
    """Return stars with those below 1 raised to 1, the minimum of the reviews' contract."""
    values = stars.to_numpy(zero_copy_only=False)
    low = values < 1.0
    return pa.array(np.where(low, 1.0, values)), int(low.sum())
