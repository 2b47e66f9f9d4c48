"""Load the review files and the catalogue into the raw tables: ``two-tower load``.

Each review file is loaded in one transaction with its row in ``raw.review_files``. An interrupted
load leaves whole files, and the next one skips them. A file with unchanged content is not read
again; a changed file replaces its own rows. The rows of a file that is no longer there stay.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from two_tower.core import progress
from two_tower.core.background import ahead
from two_tower.core.errors import InputError
from two_tower.core.settings import Settings
from two_tower.data import (
    catalogue_files,
    delivered_files,
    review_files,
    review_folder,
    suppression,
    text_encoding,
    text_values,
)
from two_tower.data.csv_reader import NOT_TEXT, RULES, CsvFile
from two_tower.database import bulk_insert, ddl
from two_tower.database.warehouse import Warehouse

CLOCK_TOLERANCE = timedelta(days=1)
"""Reviews up to this far in the future are accepted: time zones span a day, clocks err."""


@dataclass(frozen=True)
class LoadSummary:
    """The result of :func:`load`. Unchanged files are not among its rows."""

    files: int
    """The number of review files in the folder."""
    files_unchanged: int
    rows_read: int
    """The rows of the files that were read: loaded and rejected ones."""
    rows_loaded: int
    rows_rejected: int
    rejected_by_reason: dict[str, int]
    catalogue: dict[str, int]
    """Rows per catalogue table; empty if the folder has no catalogue."""
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass
class _Tally:
    unchanged: int = 0
    loaded: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)
    contents: dict[str, Path] = field(default_factory=dict)
    """The first file of each content, by its hash."""

    def warn_of_copy(self, path: Path, sha256: str) -> None:
        """Warn if a file with rows has the same content as another file."""
        first = self.contents.setdefault(sha256, path)
        if first != path:
            self.warn(f"{path} has the same content as {first}: one of them is too many")

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        progress.warn(text)


def load(settings: Settings, warehouse: Warehouse) -> LoadSummary:
    """Load every review file and catalogue file that is new or has changed.

    Raises:
        InputError: some files cannot be loaded; the message names all of them. Their former rows
            stay, and the other files are loaded.
    """
    started = time.monotonic()
    ddl.ensure_all(warehouse)
    tally = _Tally()
    faults: list[InputError] = []
    catalogue: dict[str, int] = {}
    try:
        catalogue = catalogue_files.load(settings.catalogue_dir, warehouse, tally.warn)
        if not catalogue:
            tally.warn(
                f"no catalogue in {settings.catalogue_dir}: the videos are those in the schema"
                " that the dbt var catalogue_schema names"
            )
    except InputError as error:
        faults.append(error)
    rows = warehouse.fetch("select file, rules from raw.review_files")
    logged = {str(row["file"]): int(row["rules"]) for row in rows}
    paths = review_folder.files(settings, logged, tally.warn)
    for name in logged.keys() - paths.keys():
        if logged[name] < RULES:
            _clean_stored(warehouse, name)
    faults += _load_reviews(settings, warehouse, paths, tally)
    if faults:
        raise _together(faults)
    rejected = tally.reasons.total()
    return LoadSummary(
        files=len(paths),
        files_unchanged=tally.unchanged,
        rows_read=tally.loaded + rejected,
        rows_loaded=tally.loaded,
        rows_rejected=rejected,
        rejected_by_reason=dict(tally.reasons.most_common()),
        catalogue=catalogue,
        seconds=round(time.monotonic() - started, 3),
        warnings=tuple(tally.warnings),
    )


def _clean_stored(warehouse: Warehouse, file: str) -> None:
    """Normalise the stored ids of a file that is no longer there, by the current rules."""
    cleaned = text_values.sql(warehouse.dialect, "reviewer_id")
    with warehouse.transaction():
        warehouse.execute(
            f"update raw.reviews set reviewer_id = {cleaned} where file = ?"
            f" and reviewer_id <> {cleaned} and {cleaned} <> ''",
            (file,),
        )
        warehouse.execute("update raw.review_files set rules = ? where file = ?", (RULES, file))


def _load_reviews(
    settings: Settings, warehouse: Warehouse, paths: dict[str, Path], tally: _Tally
) -> list[InputError]:
    faults = []
    loaded_before = tally.loaded
    total = sum(path.stat().st_size for path in paths.values())
    with progress.bar("reviews", total) as bar:
        for file, path in paths.items():
            try:
                _load_file(warehouse, file, path, tally, bar)
            except InputError as error:
                faults.append(error)
            except FileNotFoundError:
                faults.append(InputError(f"{path} was removed while it was read", "load again"))
    if tally.loaded > loaded_before:
        warehouse.execute("analyze raw.reviews")
    return faults


def _load_file(
    warehouse: Warehouse, file: str, path: Path, tally: _Tally, bar: progress.Bar
) -> None:
    before, started = path.stat(), time.monotonic()
    sha256 = delivered_files.sha256(path)
    loaded, decimal_ids, reasons, respelled = 0, 0, Counter[str](), dict[str, str]()
    with warehouse.transaction():
        bulk_insert.hold_off_others(warehouse, "raw.review_files")
        known = warehouse.fetch(
            "select sha256, rules, rows_read from raw.review_files where file = ?", (file,)
        )
        if known and (known[0]["sha256"], known[0]["rules"]) == (sha256, RULES):
            tally.unchanged += 1
            if known[0]["rows_read"]:
                tally.warn_of_copy(path, sha256)
            bar.advance(before.st_size)
            return
        encoding = text_encoding.of(path)
        if encoding == "cp932":
            tally.warn(text_encoding.READ_AS_CP932.format(path))
        if not CsvFile(path, encoding, single_line=frozenset()).header:
            kept = (
                "; what was loaded from it before stays" if known and known[0]["rows_read"] else ""
            )
            tally.warn(f"{path} is empty{kept}")
            if kept:
                return
        if known:
            warehouse.execute("delete from raw.reviews where file = ?", (file,))
            warehouse.execute("delete from raw.rejected_reviews where file = ?", (file,))
        latest = datetime.now(UTC).replace(tzinfo=None) + CLOCK_TOLERANCE
        # Postgres takes a block while the next one is parsed.
        for batch in ahead(review_files.read(path, encoding, bar.advance, latest)):
            bulk_insert.append(warehouse, "raw.reviews", _with_file(batch.reviews, file))
            bulk_insert.append(warehouse, "raw.rejected_reviews", _with_file(batch.rejected, file))
            loaded += batch.reviews.num_rows
            reasons.update(batch.rejected.column("reason").to_pylist())
            respelled |= batch.respelled
            decimal_ids += batch.decimal_ids()
            bar.note(f"{loaded / max(time.monotonic() - started, 0.001):,.0f} rows/s")
        if reasons[NOT_TEXT]:
            tally.warn(
                f"{path} is damaged: {reasons[NOT_TEXT]:,} of its rows hold bytes that are no"
                f" {encoding.upper().removesuffix('-SIG')}, and are rejected"
            )
        if decimal_ids:
            tally.warn(
                f"{path}: {decimal_ids:,} reviews are by ids such as 12345.0: were numbers exported"
                " as decimals? The app's 12345 is somebody else"
            )
        suppression.recognise(warehouse, respelled)
        withheld = suppression.withhold_reviews(warehouse, file)
        loaded -= withheld
        reasons.update({suppression.REASON: withheld} if withheld else {})
        after = path.stat()
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise InputError(f"{path} changed while it was read", "load it once it is complete")
        _log(warehouse, file, sha256, encoding, loaded, reasons.total())
    tally.loaded += loaded
    tally.reasons += reasons
    if loaded + reasons.total():
        tally.warn_of_copy(path, sha256)


def _log(
    warehouse: Warehouse, file: str, sha256: str, encoding: str, loaded: int, rejected: int
) -> None:
    warehouse.execute(
        "insert into raw.review_files"
        " (file, sha256, encoding, rows_read, rows_loaded, rows_rejected, loaded_at, rules)"
        " values (?, ?, ?, ?, ?, ?, current_timestamp at time zone 'UTC', ?)"
        " on conflict (file) do update set sha256 = excluded.sha256, encoding = excluded.encoding,"
        " rows_read = excluded.rows_read, rows_loaded = excluded.rows_loaded,"
        " rows_rejected = excluded.rows_rejected, loaded_at = excluded.loaded_at,"
        " rules = excluded.rules",
        (file, sha256, encoding, loaded + rejected, loaded, rejected, RULES),
    )


def _with_file(batch: pa.RecordBatch, file: str) -> pa.RecordBatch:
    return batch.append_column("file", pa.repeat(file, batch.num_rows))


def _together(faults: list[InputError]) -> InputError:
    if len(faults) == 1:
        return faults[0]
    lines = [f"{error} ({error.hint})" if error.hint else str(error) for error in faults]
    return InputError(
        "\n".join([f"{len(faults)} files were not loaded:", *lines]), "fix them and load again"
    )
