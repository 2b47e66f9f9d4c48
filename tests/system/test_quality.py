"""The logic of benchmarks/quality: metrics of lists, choosing hyper-parameters, the exchange."""

from argparse import ArgumentTypeError
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from benchmarks import last_mile
from benchmarks.quality import data, lists, ours, table
from benchmarks.quality.exchange import (
    DEPTH,
    NOBODY,
    Answer,
    Problem,
    load_answers,
    save_answers,
)
from benchmarks.quality.peers import ease, ials, simple
from benchmarks.quality.peers.base import Peer
from benchmarks.quality.peers.search import answer, best, choose
from benchmarks.quality.problem import held_out_likes, newcomers
from benchmarks.quality.protocols import PROTOCOLS
from benchmarks.quality.scratch import Scratch
from benchmarks.quality.split import Split
from scipy import sparse

from two_tower.core.errors import InputError


def _csr(rows: list[list[int]], width: int) -> sparse.csr_matrix:
    dense = np.zeros((len(rows), width), dtype=np.float32)
    for row, columns in enumerate(rows):
        dense[row, columns] = 1
    return sparse.csr_matrix(dense)


@pytest.fixture
def problem() -> Problem:
    """Two groups of users, each liking the videos of one half of twenty."""
    rng = np.random.default_rng(0)
    wanted = [(user, item) for user in range(40) for item in range(20) if rng.random() < 0.6]
    users, items = np.array(wanted, dtype=np.int64).T
    nothing = np.zeros(20, dtype=np.bool_)
    features = np.repeat(np.eye(2, dtype=np.float32), 10, axis=0)
    liked = (users % 2) == (items // 10)
    return Problem(
        users=users,
        items=items,
        liked=liked,
        relevances=np.where(liked, 1.0, 0.25).astype(np.float32),
        validation=rng.random(len(users)) < 0.2,
        shape=(40, 20),
        item_features=sparse.csr_matrix(features),
        is_tag=np.array([True, False]),
        asked=np.arange(0, 40, 3, dtype=np.int64),
        among=nothing,
        validation_among=nothing,
        newcomers=_csr([[0], [10, 11]], 20),
    )


def test_metrics_of_lists_by_hand() -> None:
    ranked = np.array([[4, 0, 1, NOBODY], [3, 2, 1, 0]], dtype=np.int64)
    values = lists.per_user(ranked, _csr([[0, 1], [4]], 5))
    assert values["recall@20"].tolist() == [1.0, 0.0]
    assert values["mrr"].tolist() == [0.5, 0.0]
    gained, ideal = 1 / np.log2(3) + 1 / np.log2(4), 1 + 1 / np.log2(3)
    assert values["ndcg@10"] == pytest.approx([gained / ideal, 0])
    assert lists.means(ranked, _csr([[0, 1], [4]], 5))["coverage@20"] == 1.0


def test_a_missing_place_is_no_hit_on_the_last_video_of_the_row_before() -> None:
    ranked = np.array([[0, NOBODY], [NOBODY, NOBODY]], dtype=np.int64)
    assert not lists.hits_of(ranked, _csr([[4], [0]], 5)).any()


def test_without_items_what_comes_behind_moves_up() -> None:
    ranked = np.array([[4, 2, 0, 1], [2, 3, NOBODY, NOBODY]])
    found = lists.without(ranked, np.array([2, 4]))
    assert found.tolist() == [[0, 1, NOBODY, NOBODY], [3, NOBODY, NOBODY, NOBODY]]


def test_overlap_counts_the_reference_s_places() -> None:
    reference = np.array([[0, 1, 2], [3, NOBODY, NOBODY]])
    assert lists.overlap(np.array([[2, 0, 9], [3, 4, 5]]), reference, 3) == 3 / 4


def test_seen_videos_and_others_than_the_ranked_are_in_no_list() -> None:
    scores = np.arange(5, dtype=np.float32)[None].repeat(2, axis=0)
    found = best(scores, _csr([[4], []], 5), np.array([True, True, False, True, True]))
    assert found.shape == (2, DEPTH)
    assert found[0, :4].tolist() == [3, 1, 0, NOBODY]
    assert found[1, :5].tolist() == [4, 3, 1, 0, NOBODY]


def test_a_problem_comes_back_as_it_was_written(problem: Problem, tmp_path: Path) -> None:
    problem.save(tmp_path / "problem.npz")
    back = Problem.load(tmp_path / "problem.npz")
    for name in ("users", "items", "liked", "relevances", "validation", "is_tag", "asked", "among"):
        assert np.array_equal(getattr(back, name), getattr(problem, name))
    assert back.shape == problem.shape
    assert (back.item_features != problem.item_features).nnz == 0
    assert (back.newcomers != problem.newcomers).nnz == 0


def test_answers_come_back_as_they_were_written(tmp_path: Path) -> None:
    shown = np.arange(DEPTH)[None]
    nobody = np.zeros((0, DEPTH), dtype=np.int64)
    given = Answer(shown, nobody, shown[:, ::-1], 1.5, 2.5, {"penalty": 300}, 0.25)
    save_answers(tmp_path / "answers.npz", {"ease": given, "als": replace(given, validation=None)})
    back = load_answers(tmp_path / "answers.npz")
    assert list(back) == ["ease", "als"]
    assert np.array_equal(back["ease"].newcomers, given.newcomers)
    assert (back["ease"].parameters, back["ease"].validation) == ({"penalty": 300}, 0.25)
    assert back["als"].validation is None


def test_the_choice_is_fitted_without_the_reviews_it_is_measured_on(problem: Problem) -> None:
    withheld = problem.validation.sum()
    sizes: list[int] = []

    def fit(given: Problem, boost: float) -> Any:
        sizes.append(len(given.users))
        return simple.SameForAll(boost * np.arange(20, dtype=np.float32))

    answer(Peer(fit, {"boost": (-1.0, 1.0)}), problem)
    whole = len(problem.users)
    assert sizes == [whole - withheld, whole - withheld, whole]


def test_the_choice_is_the_best_of_the_grid_on_the_withheld_likes(problem: Problem) -> None:
    target = int(problem.items[problem.validation & problem.liked][0])

    def fit(given: Problem, shown: int) -> Any:
        return simple.SameForAll((np.arange(20) == shown).astype(np.float32))

    withheld = replace(problem, validation=problem.validation & (problem.items == target))
    other = (target + 1) % 20
    assert choose(Peer(fit, {"shown": (other, target)}), withheld).parameters == {"shown": target}


def test_the_withheld_cold_videos_are_ranked_among_themselves(problem: Problem) -> None:
    cold = np.arange(20) >= 18
    withheld = replace(problem, validation=cold[problem.items], validation_among=cold)
    # Two videos are ranked, so everybody's are found, whatever the scores.
    assert (
        choose(
            Peer(simple.content_knn, {"idf": (False,), "own_norm": (False, True)}), withheld
        ).value
        == 1
    )


@pytest.mark.parametrize("dislike", [0.0, 0.4])
def test_ease_with_all_inputs_is_a_ridge_without_the_own_columns(
    problem: Problem, dislike: float
) -> None:
    model = ease.ease_all(problem, 3.0, 5.0, feature_weight=2.0, dislike=dislike)
    likes = problem.likes().toarray().astype(np.float64)
    inputs = np.hstack([likes, problem.reviews().toarray()])
    sides = np.sqrt(2.0) * problem.item_features.toarray().T
    rows = np.vstack([inputs, np.hstack([sides, np.zeros_like(sides)])])
    reviews = problem.reviews().toarray()
    wanted = np.vstack([likes + dislike * (reviews - likes), sides])
    item, strength = 7, np.repeat([3.0, 5.0], 20)
    kept = np.setdiff1d(np.arange(40), [item, 20 + item])
    gram = rows[:, kept].T @ rows[:, kept] + np.diag(strength[kept])
    weights = np.linalg.solve(gram, rows[:, kept].T @ wanted[:, item])
    assert model.weights[kept, item] == pytest.approx(weights, abs=1e-4)
    assert not model.weights[[item, 20 + item], item].any()


@pytest.mark.parametrize("graded", [False, True])
def test_ials_rows_are_where_the_gradient_is_zero(problem: Problem, graded: bool) -> None:
    found = problem.found(graded)
    items = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    alpha0, penalty = 0.2, 0.1
    users = ials.solve(found, items, alpha0, penalty)
    dense, scores = found.toarray(), users @ items.T
    strength = penalty * ((dense > 0).sum(axis=1) + alpha0 * 20)
    gradient = (dense * (scores - 1) + alpha0 * scores) @ items + strength[:, None] * users
    assert np.abs(gradient).max() < 1e-3


def test_every_peer_of_a_few_lines_finds_the_users_own_half(problem: Problem) -> None:
    halves = problem.asked % 2
    for peer in (
        Peer(simple.item_knn, {"graded": (False, True), "neighbours": (20,), "shrink": (0,)}),
        Peer(simple.content_knn, {"idf": (False,), "own_norm": (True,)}),
        Peer(ease.ease, {"graded": (False, True), "penalty": (5,)}),
    ):
        first = answer(peer, problem).lists[:, 0]
        assert (first // 10 == halves).mean() > 0.9


def test_cold_lists_keep_their_order() -> None:
    among = np.array([False, True, True, False])
    assert ours._only(np.array([3, 2, 0, 1, NOBODY]), among)[:3].tolist() == [2, 1, NOBODY]


def _split(held_users: list[str], held_items: list[str]) -> Split:
    texts = [
        np.array(values, dtype=object)
        for values in (["u", "v"], ["a", "b"], held_users, held_items)
    ]
    liked, places = np.ones(len(held_users), dtype=bool), np.full(len(held_users), -1)
    return Split(pa.table({}), *texts, liked, places, Path("catalogue"), "s")


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("random", _split(["u"], ["b"]), _split(["w"], ["b"])),
        ("cold_items", _split(["u"], ["c"]), _split(["u"], ["b"])),
        ("cold_users", _split(["w"], ["a"]), _split(["u"], ["b"])),
        ("leave_last_out", _split(["u", "v"], ["b", "a"]), _split(["u", "u"], ["b", "c"])),
    ],
)
def test_a_split_of_another_kind_is_refused(name: str, good: Split, bad: Split) -> None:
    PROTOCOLS[name].refuse_other(name, good)
    with pytest.raises(InputError, match=name):
        PROTOCOLS[name].refuse_other(name, bad)


def test_a_later_run_keeps_the_figures_of_other_protocols(tmp_path: Path) -> None:
    path = tmp_path / "quality.json"
    random, cold = (
        table.Figure("ml-100k", protocol, "whole catalogue", "1", "ease", 9, {"ndcg@10": 0.3})
        for protocol in ("random", "cold_items")
    )
    table.save(path, [random, cold])
    table.save(path, [replace(cold, metrics={"ndcg@10": 0.4})])
    rows = table.json.loads(path.read_text())["figures"]
    assert [(row["protocol"], row["metrics"]["ndcg@10"]) for row in rows] == [
        ("random", 0.3),
        ("cold_items", 0.4),
    ]


def test_brute_force_ranks_the_unseen_by_inner_product() -> None:
    videos = np.eye(3, dtype=np.float32)
    users = np.array([[0.1, 0.5, 0.2], [0.3, 0.2, 0.1]], dtype=np.float32)
    found = last_mile.exact(users, videos, _csr([[1], []], 3))
    assert found[:, :3].tolist() == [[2, 0, NOBODY], [0, 1, 2]]


def test_newcomers_name_a_growing_part_of_the_shown_likes_and_find_the_others() -> None:
    videos = [f"v{number}" for number in range(9)]
    # w is known by five likes, shown in an order of their own; x by one, which is too few.
    cut = _split(["w"] * 7 + ["x"] * 2, [*videos[:7], *videos[7:]])
    cut = replace(cut, held_places=np.array([4, 3, 2, 1, 0, -1, -1, 0, -1]))
    cut = replace(cut, held_liked=np.array([True] * 6 + [False] + [True] * 2))
    given, wanted, counts = newcomers(cut, videos, PROTOCOLS["cold_users"])
    assert counts.tolist() == [1, 3, 5]
    assert [row.indices.tolist() for row in given] == [[4], [2, 3, 4], [0, 1, 2, 3, 4]]
    assert [row.indices.tolist() for row in wanted] == [[5]] * 3


def test_only_likes_of_users_who_train_are_targets() -> None:
    cut = _split(["u", "u", "w"], ["c", "d", "c"])
    cut = replace(cut, held_liked=np.array([True, False, True]))
    found, asked = held_out_likes(cut, ["u", "v"], ["a", "b", "c", "d"])
    assert asked.tolist() == [0]
    assert found.toarray().tolist() == [[0, 0, 1, 0]]


def test_the_second_project_s_review_file_holds_the_training_reviews_alone(tmp_path: Path) -> None:
    rows = {"product_url": ["p"], "reviewer_id": ["u"], "stars": [4.0], "reviewed_at": [None]}
    (tmp_path / "catalogue").mkdir()
    cut = replace(_split(["u"], ["b"]), training=pa.table(rows), catalogue=tmp_path / "catalogue")
    cut.write(tmp_path / "raw")
    (file,) = (tmp_path / "raw" / "reviews").glob("dmm_reviews_*.csv")
    assert file.read_text().splitlines() == [
        '"product_url","reviewer_id","stars","reviewed_at"',
        '"p","u",4,',
    ]


def test_a_data_folder_is_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    for part in ("reviews", "catalogue"):
        (own / part).mkdir(parents=True)
    (own / "reviews" / "dmm_reviews_1.csv").write_text("product_url\n")
    assert [data.named(name) for name in ("ml-100k", str(own))] == ["ml-100k", str(own)]
    with pytest.raises(ArgumentTypeError, match=r"ml-100k.*and no data folder: it has no reviews/"):
        data.named(str(tmp_path))
    with pytest.raises(ArgumentTypeError, match="rename the folder"):
        data.named(str(tmp_path / "ml-100k"))
    monkeypatch.chdir(own)
    assert data.named(".") == str(own)
    project = Scratch(tmp_path / "scratch", "duckdb")
    data.write(str(own), project)
    (file,) = Path(project.settings.data_dir, "reviews").iterdir()
    assert file.read_text() == "product_url\n"
