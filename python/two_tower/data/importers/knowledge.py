"""Freebase triples of a film: cast, director, production company, series and sequels.

They become performers, maker, label and series. Entities have opaque ids (``m.0fc1zx``) and keep
them, but a series is named by the title of its first film.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from two_tower.core.errors import InputError
from two_tower.data.importers.atomic import atomic_columns, read_atomic
from two_tower.data.importers.target import Catalogue

# Relation -> role, and whether the film is the head of the triple (else it is the tail).
RELATIONS = {
    "film.film.actor": ("performer", True),
    "film.actor.film": ("performer", False),
    "film.film.directed_by": ("maker", True),
    "film.director.film": ("maker", False),
    "film.film.production_companies": ("label", True),
    "film.production_company.films": ("label", False),
    "film.film.film_series": ("series", True),
    "film.film_series.films_in_series": ("series", False),
    "film.film.sequel": ("sequel", True),
    "film.film.prequel": ("sequel", True),
}


def add_knowledge(catalogue: Catalogue, inter: Path) -> list[str]:
    """Add what ``NAME.kg`` says about the items that ``NAME.link`` links; return notes.

    A film gets one maker, one label and one series: the first in the file.
    """
    linked = _links(inter.with_suffix(".link"))
    by_entity = {entity: item for item, entity in linked if item in catalogue.items}
    families = _Families()
    added = dict.fromkeys(("performer", "maker", "label", "series"), 0)
    for head, relation, tail in _triples(inter.with_suffix(".kg")):
        role, film_first = RELATIONS[relation]
        film, other = (head, tail) if film_first else (tail, head)
        if role == "sequel":
            families.join(film, other)
        elif film in by_entity:
            item = catalogue.items[by_entity[film]]
            if role == "performer":
                added[role] += other not in item.performers
                item.performers.setdefault(other, other)
            elif getattr(item, role) is None:
                added[role] += 1
                setattr(item, role, other)
    added["series"] += _name_series(catalogue, by_entity, families)
    return [
        f"knowledge graph: {len(by_entity)} of {len(catalogue.items)} items linked; "
        + ", ".join(f"{count} {role}s" for role, count in added.items() if role != "series")
        + f", {added['series']} films in a series",
        "people and companies have no names in these files: their entity ids stand for them",
    ]


class _Families:
    """Connected components of films that follow one another (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def join(self, one: str, other: str) -> None:
        self._parent[self.root(one)] = self.root(other)

    def root(self, film: str) -> str:
        parent = self._parent.setdefault(film, film)
        while parent != film:
            self._parent[film] = self._parent[parent]
            film, parent = parent, self._parent[parent]
        return film

    def groups(self, films: Iterable[str]) -> list[list[str]]:
        found: dict[str, list[str]] = {}
        for film in films:
            if film in self._parent:
                found.setdefault(self.root(film), []).append(film)
        return list(found.values())


def _name_series(catalogue: Catalogue, by_entity: dict[str, str], families: _Families) -> int:
    """Name each family of two or more items by its earliest title; return the items in one."""
    count = 0
    for group in families.groups(by_entity):
        items = [catalogue.items[by_entity[film]] for film in group]
        if len(items) < 2:
            continue
        name = min(items, key=lambda item: (item.year or 9999, item.title)).title
        for item in items:
            count += item.series is None
            item.series = item.series or name
    return count


def _links(path: Path) -> Iterator[tuple[str, str]]:
    _require(path, ("item_id", "entity_id"))
    for block in read_atomic(path):
        yield from zip(
            block.text("item_id").to_pylist(), block.text("entity_id").to_pylist(), strict=True
        )


def _triples(path: Path) -> Iterator[tuple[str, str, str]]:
    """Stream the triples whose relation is one of ``RELATIONS``."""
    names = ("head_id", "relation_id", "tail_id")
    _require(path, names)
    wanted = pa.array(list(RELATIONS))
    for block in read_atomic(path):
        kept = block.columns.filter(pc.is_in(block.text("relation_id"), wanted))
        yield from zip(*(kept.column(name).to_pylist() for name in names), strict=True)


def _require(path: Path, names: tuple[str, ...]) -> None:
    columns = atomic_columns(path)
    missing = [name for name in names if name not in columns]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]}: found {', '.join(columns)}",
            f"its header names {', '.join(f'{name}:token' for name in names)}",
        )
