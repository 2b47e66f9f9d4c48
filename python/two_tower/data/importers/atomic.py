"""RecBole's atomic files: tab-separated, with a header of ``name:type``."""

from collections.abc import Callable, Iterator
from pathlib import Path

from two_tower.core.errors import InputError
from two_tower.data.importers.blocks import Block, Format, header, read


def atomic_columns(path: Path) -> dict[str, str]:
    """Return the columns of an atomic file and their types.

    Raises:
        InputError: the header is not ``name:type`` throughout.
    """
    columns = {}
    for column in header(path, Format("\t")):
        name, colon, kind = column.rpartition(":")
        if not colon or kind not in ("token", "token_seq", "float", "float_seq"):
            raise InputError(
                f"{path}, line 1: column {column!r} is not written as name:type",
                "an atomic file's header reads like user_id:token<TAB>item_id:token",
            )
        columns[name] = kind
    return columns


def read_atomic(path: Path, advance: Callable[[float], None] = lambda _: None) -> Iterator[Block]:
    """Stream an atomic file; column names lose their types."""
    names = tuple(atomic_columns(path))
    for block in read(path, Format("\t"), advance):
        yield Block(block.path, block.first_line, block.columns.rename_columns(names))
