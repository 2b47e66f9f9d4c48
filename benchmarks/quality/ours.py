"""Our row, the whole way: dbt, `two-tower train`, ONNX, halfvec, `recommend_videos` in Postgres."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np
import psycopg
from scipy import sparse

from benchmarks.quality.exchange import DEPTH, NOBODY, Answer, Ints
from benchmarks.quality.problem import Case
from benchmarks.quality.scratch import Scratch
from benchmarks.quality.split import Split
from two_tower.database import embedded
from two_tower.serving.recommender import Recommender

USERS_A_QUERY = 100
LISTS = """
select asked.place, array_agg(found.video_id order by found.rank)
from unnest(%s::text[]) with ordinality as asked (user_id, place)
cross join lateral public.recommend_videos(asked.user_id, %s) as found
group by asked.place
"""


def release(project: Scratch, split: Split, strategy: str = "random") -> float:
    """Take a project with the training reviews alone to a release; return the seconds of training.

    Nothing is held out from it once more: var ``valid_fraction`` is 0.
    """
    split.write(project.settings.path(project.settings.data_dir))
    project.two_tower("load")
    project.dbt(
        "build",
        "--exclude-resource-type",
        "unit_test",
        valid_fraction=0,
        split_strategy=strategy,
        split_seed=split.seed,
    )
    seconds = project.two_tower("train").seconds
    for step in ("export", "embed", "release"):
        project.two_tower(step)
    return seconds


def answer(project: Scratch, case: Case, train_seconds: float) -> Answer:
    """Ask the database for everybody's lists."""
    problem = case.problem
    users = [case.user_ids[row] for row in problem.asked]
    among = np.zeros((0, DEPTH), dtype=np.int64)
    if problem.among.any():
        whole = recommend(project, users, case.video_ids, len(case.video_ids))
        among = np.stack([_only(row, problem.among) for row in whole])
    return Answer(
        lists=recommend(project, users, case.video_ids, DEPTH),
        among=among,
        newcomers=_newcomers(project, problem.newcomers, case.video_ids),
        train_seconds=train_seconds,
    )


def recommend(
    project: Scratch, user_ids: Sequence[str], video_ids: Sequence[str], depth: int
) -> Ints:
    """Return what ``recommend_videos(user, depth)`` gives, as item numbers ``[users, depth]``."""
    number = {uuid.UUID(video_id): place for place, video_id in enumerate(video_ids)}
    lists = np.full((len(user_ids), depth), NOBODY, dtype=np.int64)
    with psycopg.connect(embedded.url(project.settings)) as connection:
        for start in range(0, len(user_ids), USERS_A_QUERY):
            part = list(user_ids[start : start + USERS_A_QUERY])
            for place, found in connection.execute(LISTS, (part, depth)):
                lists[start + place - 1, : len(found)] = [number[video] for video in found]
    return lists


def _newcomers(project: Scratch, likes: sparse.csr_matrix, video_ids: Sequence[str]) -> Ints:
    """Return what people get who name these likes: ONNX, then a search by their vector."""
    number = {video_id: place for place, video_id in enumerate(video_ids)}
    lists = np.full((likes.shape[0], DEPTH), NOBODY, dtype=np.int64)
    if likes.shape[0]:
        with Recommender(project.settings) as recommender:
            for row in range(likes.shape[0]):
                liked = likes.indices[likes.indptr[row] : likes.indptr[row + 1]]
                found = recommender.recommend_for_likes([video_ids[i] for i in liked], DEPTH)
                lists[row, : len(found)] = [number[video.video_id] for video in found]
    return lists


def _only(row: Ints, among: np.ndarray) -> Ints:
    """Return the first ``DEPTH`` of a list that are among some videos."""
    kept = row[(row != NOBODY) & among[row]][:DEPTH]
    return np.pad(kept, (0, DEPTH - len(kept)), constant_values=NOBODY)
