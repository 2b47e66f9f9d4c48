"""Our lists beside published tables, on their split: everything by default, through Postgres.

    python -m benchmarks.quality.published --gowalla FOLDER --beauty FILE

FOLDER holds ``train.txt`` and ``test.txt``, a user and their places a line, as NGCF's authors
publish Gowalla (Wang et al., SIGIR 2019); FILE has a user and their purchases in order a line, as
the authors of S3-Rec publish Amazon Beauty (Zhou et al., CIKM 2020): the last one is held out, and
the whole catalogue is ranked. Nothing else of the training file is held out from us: the published
models were chosen with it. Neither is part of this project.

Recall@k is hits by all held-out videos, as in those tables, not by the smaller of these and k.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks.harness import result_file
from benchmarks.quality import scratch
from benchmarks.quality.scratch import Scratch
from two_tower.database import embedded

USERS_A_QUERY = 200
LISTS = """
select asked.user_id, array_agg(found.product_url order by found.rank)
from unnest(%s::text[]) as asked (user_id)
cross join lateral public.recommend_videos(asked.user_id, %s) as found
group by asked.user_id
"""
Baskets = dict[str, list[str]]  # user -> videos, in the file's order


@dataclass(frozen=True)
class Row:
    """A model's figures on a set."""

    model: str
    recall: float
    ndcg: float
    source: str
    train_seconds: float | None = None


@dataclass(frozen=True)
class Set:
    """A data set in its published split.

    Attributes:
        name: of the set.
        k: length of the lists.
        train: each user's videos to train on.
        held: each user's videos to find.
        ordered: whether a user's videos are in the order of time.
        published: what others reached, with the source.
    """

    name: str
    k: int
    train: Baskets
    held: Baskets
    ordered: bool
    published: tuple[Row, ...]


def gowalla(folder: Path) -> Set:
    """Read Gowalla as NGCF and LightGCN split it."""
    published = (
        Row("NGCF", 0.1569, 0.1327, "He et al., SIGIR 2020"),
        Row("LightGCN", 0.1830, 0.1554, "He et al., SIGIR 2020"),
        Row("BSPM", 0.1920, 0.1597, "Choi et al., SIGIR 2023"),
    )
    parts = [_baskets(folder / f"{name}.txt") for name in ("train", "test")]
    return Set("Gowalla", 20, *parts, ordered=False, published=published)


def beauty(path: Path) -> Set:
    """Read Amazon Beauty; each user's last purchase is held out."""
    published = (Row("TIGER", 0.0648, 0.0384, "Rajput et al., NeurIPS 2023"),)
    whole = _baskets(path)
    train = {user: videos[:-1] for user, videos in whole.items()}
    held = {user: videos[-1:] for user, videos in whole.items()}
    return Set("Amazon Beauty", 10, train, held, ordered=True, published=published)


def _baskets(path: Path) -> Baskets:
    lines = (line.split() for line in path.read_text("utf-8").splitlines())
    return {user: videos for user, *videos in lines if videos}


def ours(found: Set, project: Scratch) -> Row:
    """Import, build, train, release, and ask Postgres for everybody's lists."""
    folder = project.folder / "set"
    folder.mkdir()
    with (folder / "set.inter").open("w", encoding="utf-8") as file:
        moment = "\ttimestamp:float" if found.ordered else ""
        file.write(f"user_id:token\titem_id:token{moment}\n")
        for user, videos in found.train.items():
            for place, video in enumerate(videos):
                # Of the order alone something is known: a day each.
                moment = f"\t{10**9 + 86_400 * place}" if found.ordered else ""
                file.write(f"u{user}\tv{video}{moment}\n")
    project.two_tower("import", "recbole", str(folder))
    project.two_tower("load")
    strategy = "temporal" if found.ordered else "random"
    kinds = ("--exclude-resource-type", "unit_test")
    project.dbt("build", *kinds, valid_fraction=0, split_strategy=strategy)
    seconds = project.two_tower("train").seconds
    for step in ("export", "embed", "release"):
        project.two_tower(step)
    return Row("two-tower", *measure(found, project), "measured here", seconds)


def measure(found: Set, project: Scratch) -> tuple[float, float]:
    """Return recall and NDCG of the first k of everybody's list."""
    discounts = 1 / np.log2(np.arange(2, found.k + 2))
    recall = ndcg = 0.0
    asked = sorted(user for user in found.held if user in found.train)
    with psycopg.connect(embedded.url(project.settings)) as connection:
        for start in range(0, len(asked), USERS_A_QUERY):
            users = asked[start : start + USERS_A_QUERY]
            rows = connection.execute(LISTS, ([f"u{user}" for user in users], found.k))
            for user, urls in rows:
                held = set(found.held[user[1:]])
                hits = [unquote(url.rsplit("/", 1)[1])[1:] in held for url in urls]
                recall += sum(hits) / len(held)
                best = discounts[: min(len(held), found.k)].sum()
                ndcg += float(discounts[: len(hits)][hits].sum() / best)
    return recall / len(asked), ndcg / len(asked)


def show(found: Set, rows: list[Row]) -> None:
    """Print a set's table."""
    table = Table(title=found.name)
    for column in ("model", f"Recall@{found.k}", f"NDCG@{found.k}", "train s", "source"):
        table.add_column(column)
    for row in sorted(rows, key=lambda row: -row.recall):
        seconds = "" if row.train_seconds is None else f"{row.train_seconds:.0f}"
        table.add_row(row.model, f"{row.recall:.4f}", f"{row.ndcg:.4f}", seconds, row.source)
    Console(width=120).print(table)


def main() -> None:
    """Measure the sets whose files are given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gowalla", type=Path, help="folder with train.txt and test.txt")
    parser.add_argument("--beauty", type=Path, help="file of sequences")
    arguments = parser.parse_args()
    given = ((gowalla, arguments.gowalla), (beauty, arguments.beauty))
    sets = [read(path) for read, path in given if path]
    if not sets:
        parser.error("give --gowalla, --beauty or both")
    figures = {}
    for found in sets:
        with scratch.scratch_folder() as folder, scratch.postgres(folder / "ours") as project:
            rows = [*found.published, ours(found, project)]
        show(found, rows)
        figures[found.name] = [asdict(row) for row in rows]
    path = result_file("published.json")
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**before, **figures}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
