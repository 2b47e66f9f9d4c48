"""The folder of the review files: which files are read, and warnings about the others."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from two_tower.core.settings import Settings
from two_tower.data import data_folder, delivered_files


def files(
    settings: Settings, logged: Iterable[str], warn: Callable[[str], None]
) -> dict[str, Path]:
    """Return the review files in order, by the names under which their rows are stored.

    A name is the path below the data folder, without ``.gz``.

    Args:
        settings: the project.
        logged: the names of the files whose rows are in the database.
        warn: called with each warning: a file that is not read, or looks wrong.

    Raises:
        InputError: the folder cannot be read.
    """
    pattern = Path(settings.reviews_glob)
    delivery = delivered_files.find(
        pattern.parent,
        lambda name: fnmatchcase(name, pattern.name.lower()),
        f"{pattern.name}, also .csv.gz",
    )
    paths = {_key(settings, pattern.parent / name): path for name, path in delivery.files.items()}
    for text in [*delivery.passed_over, *_beside(settings.path(settings.data_dir))]:
        warn(text)
    if not paths:
        warn(
            f"no file matches {settings.reviews_glob}: put review files there,"
            " or try two-tower sample-data"
        )
    names = {*logged, *paths}
    for name in sorted(names - paths.keys()):
        warn(
            f"{name} is no longer there; its rows stay. To remove them:"
            f" put back a file of that name with its header alone, and load"
        )
    origin, written = data_folder.filled_by(settings.path(settings.data_dir))
    generated = names & written
    if generated and names - generated:
        warn(
            f"TWO DATA SETS ARE MIXED: your own reviews, and those that `two-tower {origin}` wrote,"
            f" {', '.join(sorted(generated))}. To remove the latter: cut these files down to their"
            " header line, load, then delete them (and put your own catalogue in place of theirs)"
        )
    return paths


def _beside(data_dir: Path) -> list[str]:
    """Return a warning for each CSV file in the data folder itself."""
    found = delivered_files.find(data_dir, lambda _: True, "")
    return [
        f"{path} is passed over: reviews belong in {data_dir / 'reviews'}, the catalogue in"
        f" {data_dir / 'catalogue'}"
        for name, path in found.files.items()
        if name.lower().endswith(".csv")
    ]


def _key(settings: Settings, path: Path) -> str:
    """Return the name under which a file's rows are stored: its path below the data folder."""
    return path.relative_to(settings.path(settings.data_dir)).as_posix()
