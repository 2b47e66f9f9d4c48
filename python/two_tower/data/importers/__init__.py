"""Import of public data sets as reviews and a catalogue: ``two-tower import FORMAT PATH``."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from two_tower.core.errors import InputError, NotEnoughDataError
from two_tower.core.progress import bar
from two_tower.core.settings import REVIEW_FILES
from two_tower.data.data_folder import DataFolder, table_csv
from two_tower.data.importers.movielens import MovieLens
from two_tower.data.importers.recbole import RecBole
from two_tower.data.importers.target import Catalogue, Item, Ratings, ReviewFiles


@dataclass(frozen=True)
class ImportSummary:
    """The result of an import; ``notes`` tell what was changed or left out."""

    format: str
    reviews: int
    videos: int
    users: int
    tags: int
    performers: int
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list, repr=False)


class Source(Protocol):
    """A data set to import; ``notes`` are complete once the ratings have been read."""

    notes: list[str]

    @property
    def ratings_bytes(self) -> int:
        """Bytes that :meth:`ratings` reads."""

    def catalogue(self) -> Catalogue:
        """Read the items."""

    def ratings(self, advance: Callable[[float], None]) -> Iterator[Ratings]:
        """Yield the ratings in blocks; ``advance`` is called with the bytes read."""


FORMATS: dict[str, Callable[[Path], Source]] = {"movielens": MovieLens, "recbole": RecBole}


def import_dataset(
    format: str, path: Path, out_dir: Path, review_files: str = REVIEW_FILES
) -> ImportSummary:
    """Write a public data set as review and catalogue files.

    Ratings are streamed; memory holds the catalogue and the user ids.

    Args:
        format: a key of :data:`FORMATS`.
        path: the data set's folder.
        out_dir: the data folder; an earlier import in it is replaced.
        review_files: name pattern of the review files, with one ``*``.

    Raises:
        InputError: the format is unknown, a file does not follow it, or ``out_dir`` holds other
            files.
        NotEnoughDataError: there are no ratings.
    """
    if format not in FORMATS:
        raise InputError(f"unknown format {format!r}", f"choose one of {', '.join(FORMATS)}")
    if not path.exists():
        raise InputError(f"{path} does not exist", "give the folder of the unpacked data set")
    source = FORMATS[format](path)
    with DataFolder(out_dir, f"import {format}", review_files) as folder:
        catalogue = source.catalogue()
        reviews = ReviewFiles(folder, catalogue, format)
        with bar(f"import {format}", source.ratings_bytes) as shown:
            reviews.write(source.ratings(shown.advance))
        if not reviews.reviews:
            raise NotEnoughDataError(f"{path} holds no rating", "is the download whole?")
        notes = source.notes + _add_missing(catalogue, reviews)
        tables = catalogue.tables(list(reviews.users))
        for name, table in tables.items():
            folder.write(f"catalogue/{name}.csv", [table_csv(table)])
        files = folder.finish({"reviews": reviews.reviews, "notes": notes})
    return ImportSummary(
        format=format,
        reviews=reviews.reviews,
        videos=len(catalogue.items),
        users=len(reviews.users),
        tags=tables["tags"].num_rows,
        performers=tables["performers"].num_rows,
        notes=notes,
        files=files,
    )


def _add_missing(catalogue: Catalogue, reviews: ReviewFiles) -> list[str]:
    """Add an entry for each item that has ratings but no description."""
    missing = [item for item in reviews.items if item not in catalogue.items]
    catalogue.items.update((item, Item(item)) for item in missing)
    if not missing:
        return []
    return [f"{len(missing)} rated items are not described: their id is their title"]
