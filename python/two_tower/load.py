"""Load the review files and the catalogue into the raw tables: ``two-tower load``.

Each review file is one transaction with its row in ``raw.review_files``, so a run that is cut
short leaves whole files, and the next run goes on behind them. A file of the same content is not
read again; a changed one replaces its own rows. The rows of a file that is no longer in the folder
stay.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from two_tower import bulk, catalogue_files, csv_files, forgotten, progress, review_files, tables
from two_tower.errors import InputError
from two_tower.settings import Settings
from two_tower.warehouse import Warehouse

SAMPLE_PREFIX = "dmm_reviews_sample_"


@dataclass(frozen=True)
class LoadSummary:
    """What one run of :func:`load` did. Files that had not changed add no rows to it."""

    files: int
    """Review files in the folder."""
    files_unchanged: int
    rows_read: int
    """Rows of the files that were read: loaded and rejected ones together."""
    rows_loaded: int
    rows_rejected: int
    rejected_by_reason: dict[str, int]
    catalogue: dict[str, int]
    """Rows in each catalogue table; empty where the folder has no catalogue."""
    seconds: float
    warnings: tuple[str, ...] = ()


@dataclass
class _Tally:
    unchanged: int = 0
    loaded: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        progress.console.print(f"warning: {text}", soft_wrap=True, markup=False, highlight=False)


def load(settings: Settings, warehouse: Warehouse) -> LoadSummary:
    """Load every review file and catalogue file that is new or has changed.

    Raises:
        InputError: files that cannot be loaded, all of them named; what was in the tables from them
            before is still there, and the other files are loaded.
    """
    started = time.monotonic()
    tables.ensure_all(warehouse)
    tally = _Tally()
    faults: list[InputError] = []
    catalogue: dict[str, int] = {}
    try:
        catalogue = catalogue_files.load(settings.catalogue_dir, warehouse)
        if not catalogue:
            tally.warn(
                f"no catalogue in {settings.catalogue_dir}: the videos are those in the schema"
                " that the dbt var catalogue_schema names"
            )
    except InputError as error:
        faults.append(error)
    paths = _review_paths(settings, warehouse, tally)
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


def _review_paths(settings: Settings, warehouse: Warehouse, tally: _Tally) -> list[Path]:
    """Return the review files in order, with a warning about what looks wrong in the folder."""
    pattern = Path(settings.reviews_glob)
    paths = sorted(path for path in pattern.parent.glob(pattern.name) if path.is_file())
    if not paths:
        tally.warn(
            f"no file matches {settings.reviews_glob}: put review files there,"
            " or try two-tower sample-data"
        )
    logged = {str(row["file"]) for row in warehouse.fetch("select file from raw.review_files")}
    present = {_key(settings, path) for path in paths}
    for name in sorted(logged - present):
        tally.warn(
            f"{name} is no longer there; its rows stay. To remove them:"
            f" put back a file of that name with its header alone, and load"
        )
    sample = {name for name in logged | present if Path(name).name.startswith(SAMPLE_PREFIX)}
    if sample and (logged | present) - sample:
        tally.warn(
            f"SAMPLE DATA IS MIXED WITH REAL REVIEWS: {', '.join(sorted(sample))}. To remove it:"
            " cut these files down to their header line, load, then delete them (and put your own"
            " catalogue in place of the sample's)"
        )
    return paths


def _load_reviews(
    settings: Settings, warehouse: Warehouse, paths: list[Path], tally: _Tally
) -> list[InputError]:
    faults = []
    loaded_before = tally.loaded
    total = sum(path.stat().st_size for path in paths)
    with progress.bar("reviews", total) as bar:
        for path in paths:
            try:
                _load_file(settings, warehouse, path, tally, bar)
            except InputError as error:
                faults.append(error)
    if tally.loaded > loaded_before:
        warehouse.execute("analyze raw.reviews")
    return faults


def _load_file(
    settings: Settings, warehouse: Warehouse, path: Path, tally: _Tally, bar: progress.Bar
) -> None:
    file, before = _key(settings, path), path.stat()
    sha256 = csv_files.sha256(path)
    loaded, reasons, started = 0, Counter[str](), time.monotonic()
    with warehouse.transaction():
        bulk.hold_off_others(warehouse, "raw.review_files")
        known = warehouse.fetch("select sha256 from raw.review_files where file = ?", (file,))
        if known == [{"sha256": sha256}]:
            tally.unchanged += 1
            bar.advance(before.st_size)
            return
        encoding = csv_files.encoding(path)
        if encoding == "cp932":
            tally.warn(f"{path} is not UTF-8: it is read as CP932 (Shift_JIS)")
        if before.st_size == 0:
            tally.warn(f"{path} is empty")
        if known:
            warehouse.execute("delete from raw.reviews where file = ?", (file,))
            warehouse.execute("delete from raw.rejected_reviews where file = ?", (file,))
        for batch in review_files.read(path, encoding, bar.advance):
            bulk.append(warehouse, "raw.reviews", _with_file(batch.reviews, file))
            bulk.append(warehouse, "raw.rejected_reviews", _with_file(batch.rejected, file))
            loaded += batch.reviews.num_rows
            reasons.update(batch.rejected.column("reason").to_pylist())
            bar.note(f"{loaded / max(time.monotonic() - started, 0.001):,.0f} rows/s")
        withheld = forgotten.withhold_reviews(warehouse, file)
        loaded -= withheld
        reasons.update({forgotten.REASON: withheld} if withheld else {})
        after = path.stat()
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise InputError(f"{path} changed while it was read", "load it once it is complete")
        _log(warehouse, file, sha256, encoding, loaded, reasons.total())
    tally.loaded += loaded
    tally.reasons += reasons


def _log(
    warehouse: Warehouse, file: str, sha256: str, encoding: str, loaded: int, rejected: int
) -> None:
    warehouse.execute(
        "insert into raw.review_files"
        " (file, sha256, encoding, rows_read, rows_loaded, rows_rejected, loaded_at)"
        " values (?, ?, ?, ?, ?, ?, current_timestamp at time zone 'UTC')"
        " on conflict (file) do update set sha256 = excluded.sha256, encoding = excluded.encoding,"
        " rows_read = excluded.rows_read, rows_loaded = excluded.rows_loaded,"
        " rows_rejected = excluded.rows_rejected, loaded_at = excluded.loaded_at",
        (file, sha256, encoding, loaded + rejected, loaded, rejected),
    )


def _with_file(batch: pa.RecordBatch, file: str) -> pa.RecordBatch:
    return batch.append_column("file", pa.repeat(file, batch.num_rows))


def _key(settings: Settings, path: Path) -> str:
    """Return the name under which a file's rows are kept: its path below the data folder."""
    return path.relative_to(settings.path(settings.data_dir)).as_posix()


def _together(faults: list[InputError]) -> InputError:
    if len(faults) == 1:
        return faults[0]
    lines = [f"{error} ({error.hint})" if error.hint else str(error) for error in faults]
    return InputError(
        "\n".join([f"{len(faults)} files were not loaded:", *lines]), "mend them and load again"
    )
