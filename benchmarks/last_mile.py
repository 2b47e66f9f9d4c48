"""What half precision, ONNX and the index cost, end to end through ``recommend_videos``.

    python -m benchmarks.last_mile                  # MovieLens-100k, and 3k, 30k and 300k videos
    python -m benchmarks.last_mile --sizes 3000     # a generated catalogue in some minutes

Each size is split, trained and released end to end. The same users' lists are then made four times:
by brute force over PyTorch's float32 vectors, over ONNX's, over the half-precision vectors that the
database serves, and by ``recommend_videos`` at the stored probes. NDCG@10 is against held-out
likes, recall@20 against the first of the four. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy import sparse

from benchmarks.harness import ROOT, result_file
from benchmarks.quality import data, lists, ours, problem
from benchmarks.quality.exchange import DEPTH, NOBODY, Ints
from benchmarks.quality.problem import Case
from benchmarks.quality.protocols import PROTOCOLS
from benchmarks.quality.scratch import Scratch, postgres, scratch_folder
from benchmarks.quality.split import split
from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.artifacts.runs import find_run
from two_tower.data.sample_data import generate
from two_tower.database import embedded
from two_tower.database.releases import last_releases
from two_tower.database.warehouse import Warehouse, open_warehouse
from two_tower.interfaces.failures import guarded
from two_tower.model.feature_rows import slots
from two_tower.model.layout import Tower
from two_tower.model.slots import Ragged
from two_tower.model.towers import load_towers

Vectors = NDArray[np.float32]
# Reviews of a generated catalogue: the generator's own proportion would take 2 billion for 300,000.
REVIEWS = {3_000: 240_000, 30_000: 1_000_000, 300_000: 3_000_000}
# Reviews per video, for a catalogue of another size.
REVIEWS_A_VIDEO = 10
SMALL = "ml-100k"
USERS = 2_000
PAGE = 20
# Users whose searches are measured for how much of the index they read.
INDEX_USERS = 200
# Scores in memory at once: 64 MB of float32.
SCORE_CELLS = 16_000_000
# The largest loss of NDCG@10, and the largest share of the index that may be read.
MAX_LOSS, MAX_SCANNED = 0.01, 0.2

EXPLAIN = """
explain (analyze, buffers, format json)
select v.video_id from public.video_embeddings as v
order by v.embedding <=> (select u.embedding from public.user_embeddings as u where u.user_id = %s)
limit %s
"""
SLOTS: dict[Tower, str] = {
    "user": 'select user_id as id, feature_ids, indices, "values" from two_tower.user_feature_slots'
    " order by user_id",
    "item": 'select cast(video_id as text) as id, feature_ids, indices, "values"'
    " from two_tower.item_feature_slots order by item_number",
}
SERVED: dict[Tower, str] = {
    "user": "select user_id as id, embedding::real[] as vector from public.user_embeddings",
    "item": "select video_id::text as id, embedding::real[] as vector from public.video_embeddings",
}


@dataclass(frozen=True)
class Stage:
    """One way to make the lists.

    Attributes:
        catalogue: name of the catalogue.
        videos, users: number of videos ranked, and of users they are ranked for.
        stage: name of the stage.
        ndcg: NDCG@10 against held-out likes.
        loss: the share of the first stage's NDCG@10 that is lost; negative for a gain.
        recall: recall of the first stage's top 20.
        lists, probes: of the index, if the stage uses one; no probes: exact search is stored.
        scanned: the share of the index's pages that searches for 20 read.
    """

    catalogue: str
    videos: int
    users: int
    stage: str
    ndcg: float
    loss: float
    recall: float
    lists: int | None = None
    probes: int | None = None
    scanned: float | None = None


def main() -> None:
    """Measure the sizes given on the command line; results are saved after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=_size,
        default=[SMALL, *map(str, REVIEWS)],
        help=f"{SMALL}, or a number of videos",
    )
    stages: list[Stage] = []
    for name in parser.parse_args().sizes:
        stages += run(name)
        save(result_file("last_mile.json"), stages)
    show(stages)
    print(f"written to {result_file('last_mile.json').relative_to(ROOT)}")


def _size(text: str) -> str:
    """Return the name of a catalogue."""
    if text == SMALL or text.isdigit():
        return text
    raise argparse.ArgumentTypeError(f"{text} is neither {SMALL} nor a number of videos")


def run(name: str) -> list[Stage]:
    """Train, release and measure one catalogue."""
    print(name, flush=True)
    with scratch_folder() as folder:
        (folder / "source").mkdir()
        source = Scratch(folder / "source", "duckdb")
        if name == SMALL:
            data.write(SMALL, source)
        else:
            path = source.settings.path(source.settings.data_dir)
            videos = int(name)
            reviews = REVIEWS.get(videos, REVIEWS_A_VIDEO * videos)
            generate(path, reviews=reviews, videos=videos)
        source.two_tower("load")
        cut = split(source, "random", "last-mile")
        with postgres(folder / "ours") as project:
            ours.release(project, cut)
            return measure(name, project, problem.read(project, cut, PROTOCOLS["random"]))


def measure(name: str, project: Scratch, case: Case) -> list[Stage]:
    """Make the lists of a sample of the held-out users in the four ways."""
    ids = [case.user_ids[row] for row in case.problem.asked]
    sample = np.array(sorted(range(len(ids)), key=lambda n: _hash(ids[n]))[:USERS])
    users, targets = [ids[n] for n in sample], case.targets[sample]
    seen = case.problem.reviews()[case.problem.asked[sample]]
    made = {
        f"{title}, exact": exact(vectors["user"], vectors["item"], seen)
        for title, vectors in encoded(project, users, case.video_ids).items()
    }
    # As an app asks: deeper lists read more of the index.
    made["recommend_videos"] = ours.recommend(project, users, case.video_ids, PAGE)
    reference = next(iter(made.values()))
    best = lists.means(reference, targets)["ndcg@10"]
    with open_warehouse(project.settings) as warehouse:
        index = last_releases(warehouse, 1)[0]
    scanned = 1.0
    if index["probes"]:
        # Four times as many as wanted, as sql/functions/recommend_videos.sql, and the excluded.
        taken = 4 * PAGE + np.diff(seen.indptr)[:INDEX_USERS]
        scanned = share_read(project, users[:INDEX_USERS], taken, index["probes"], index["lists"])
    stages = []
    for stage, found in made.items():
        ndcg = lists.means(found, targets)["ndcg@10"]
        recall = lists.overlap(found, reference, 20)
        figures = (len(case.video_ids), len(users), stage, ndcg, 1 - ndcg / best, recall)
        stages.append(Stage(name, *figures))
    served = {"lists": index["lists"], "probes": index["probes"], "scanned": scanned}
    return [*stages[:-1], Stage(**{**asdict(stages[-1]), **served})]


def share_read(
    project: Scratch, users: Sequence[str], taken: Ints, probes: int, lists: int
) -> float:
    """Return the share of the index's pages that searches of so many rows read, mean over users.

    An iterative scan continues where the probed lists hold too few rows, so the probes alone do not
    tell. Beside the index's pages a scan reads one page of the table per row: these are subtracted.
    """
    shares = []
    with psycopg.connect(embedded.url(project.settings)) as connection:
        connection.execute("set enable_seqscan = off")
        connection.execute("set ivfflat.iterative_scan = 'relaxed_order'")
        for user, rows in zip(users, taken.tolist(), strict=True):
            read = []
            for number in (probes, lists):
                connection.execute(f"set ivfflat.probes = {number}")
                [(plan,)] = connection.execute(EXPLAIN, (user, rows))
                scan = plan[0]["Plan"]["Plans"][-1]
                assert scan["Node Type"] == "Index Scan", scan
                pages = scan["Shared Hit Blocks"] + scan["Shared Read Blocks"]
                read.append(pages - scan["Actual Rows"])
            shares.append(read[0] / read[1])
    return float(np.mean(shares))


def encoded(
    project: Scratch, users: Sequence[str], videos: Sequence[str]
) -> dict[str, dict[Tower, Vectors]]:
    """Return the vectors of these users and videos: PyTorch's, ONNX's, and the served ones."""
    towers = load_towers(find_run(project.settings) / "towers.pt")
    encoder = Encoder(Registry(project.settings).fetch())
    wanted: dict[Tower, Sequence[str]] = {"user": users, "item": videos}
    out: dict[str, dict[Tower, Vectors]] = {"PyTorch": {}, "ONNX": {}, "half precision": {}}
    with open_warehouse(project.settings) as warehouse:
        for tower, ids in wanted.items():
            table = warehouse.read_arrow(SLOTS[tower]).read_all()
            place = {key: row for row, key in enumerate(table["id"].to_pylist())}
            table = table.take([place[key] for key in ids])
            with torch.no_grad():
                rows = towers.forward_sparse(tower, slots(towers.layout, tower, table))
            out["PyTorch"][tower] = rows.numpy()
            out["ONNX"][tower] = encoder.by_onnx_runtime(tower, slots(encoder.layout, tower, table))
            out["half precision"][tower] = _served(warehouse, tower, ids)
    return out


def exact(users: Vectors, videos: Vectors, seen: sparse.csr_matrix) -> Ints:
    """Return the unseen videos of the highest inner products, int64 ``[users, DEPTH]``.

    Args:
        users: float32 ``[users, 128]``.
        videos: float32 ``[videos, 128]``.
        seen: videos to leave out, ``[users, videos]``.
    """
    depth, step = min(DEPTH, len(videos)), max(1, SCORE_CELLS // len(videos))
    found = np.full((len(users), DEPTH), NOBODY, dtype=np.int64)
    for start in range(0, len(users), step):
        scores = users[start : start + step] @ videos.T
        part = seen[start : start + step]
        rows = np.repeat(np.arange(len(scores)), np.diff(part.indptr))
        scores[rows, part.indices] = -np.inf
        best = torch.from_numpy(scores).topk(depth, dim=1)
        places = np.where(torch.isfinite(best.values).numpy(), best.indices.numpy(), NOBODY)
        found[start : start + step, :depth] = places
    return found


def show(stages: list[Stage]) -> None:
    """Print one row per catalogue and stage."""
    table = Table(title="the price of the last mile", title_justify="left")
    table.caption = (
        "loss: of PyTorch's NDCG@10; recall@20: of PyTorch's exact 20 best; wanted of"
        f" recommend_videos: a loss of at most {MAX_LOSS:.0%}, at most {MAX_SCANNED:.0%} of the"
        " index read"
    )
    for column in ("catalogue", "videos", "users", "lists of"):
        table.add_column(column)
    for column in ("NDCG@10", "loss", "recall@20", "lists", "probes", "index read"):
        table.add_column(column, justify="right")
    for stage in stages:
        table.add_row(
            stage.catalogue,
            f"{stage.videos:,}",
            f"{stage.users:,}",
            stage.stage,
            f"{stage.ndcg:.4f}",
            f"{round(stage.loss, 4) + 0.0:.2%}",
            f"{stage.recall:.4f}",
            "" if stage.lists is None else str(stage.lists),
            "" if stage.scanned is None else str(stage.probes or "exact"),
            "" if stage.scanned is None else f"{stage.scanned:.1%}",
        )
    Console(width=150).print(table)


def save(path: Path, stages: list[Stage]) -> None:
    """Write the stages as JSON; catalogues that were not measured now keep their rows."""
    measured = {stage.catalogue for stage in stages}
    kept: list[dict[str, Any]] = []
    if path.exists():
        before = json.loads(path.read_text("utf-8"))["stages"]
        kept = [row for row in before if row["catalogue"] not in measured]
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    content = {
        "command": "python -m benchmarks.last_mile",
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "stages": [*kept, *({**asdict(stage), "measured_at": moment} for stage in stages)],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _served(warehouse: Warehouse, tower: Tower, ids: Sequence[str]) -> Vectors:
    table = warehouse.read_arrow(SERVED[tower]).read_all()
    vectors = Ragged.of(table["vector"], np.float32).values.reshape(table.num_rows, -1)
    place = {key: row for row, key in enumerate(table["id"].to_pylist())}
    return vectors[[place[key] for key in ids]]


def _hash(user_id: str) -> str:
    return hashlib.md5(f"last-mile:{user_id}".encode()).hexdigest()


if __name__ == "__main__":
    guarded(main)
