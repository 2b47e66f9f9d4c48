import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from two_tower.core.errors import InputError
from two_tower.data.sample_data import SampleSummary, generate, oracle
from two_tower.data.sample_data.lines import REJECTED
from two_tower.data.sample_data.tastes import draw_reviews, draw_users, review_counts
from two_tower.data.sample_data.world import Components, Size, World, build

REVIEWS = 60_000


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SampleSummary]:
    folder = tmp_path_factory.mktemp("sample")
    return folder, generate(folder, REVIEWS)


@pytest.fixture(scope="module")
def witness() -> tuple[World, oracle.Witness]:
    rng = np.random.default_rng(7)
    world = build(Size.of(REVIEWS), rng)
    users = draw_users(world, review_counts(world, rng), rng)
    return world, oracle.Witness(users, draw_reviews(world, users, rng))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream, restkey="more"))


def all_reviews(folder: Path) -> list[dict[str, str]]:
    files = sorted((folder / "reviews").glob("dmm_reviews_sample_*.csv"))
    return [row for file in files for row in rows_of(file)]


def reason(row: dict[str, str]) -> str | None:
    if "more" in row:
        return "too_many_fields"
    named = {"0": "stars_zero", "6": "stars_six", "five": "stars_word"}
    if row["stars"] in named:
        return named[row["stars"]]
    if not row["reviewer_id"]:
        return "no_reviewer"
    return None if row["product_url"] else "no_url"


def test_the_rows_are_as_many_as_the_summary_says(sample: tuple[Path, SampleSummary]) -> None:
    folder, summary = sample
    rows = all_reviews(folder)
    origin = json.loads((folder / "origin.json").read_text("utf-8"))
    assert summary.reviews == REVIEWS
    assert len(rows) == summary.reviews + summary.dirty_rows == origin["rows"]
    found = Counter(filter(None, map(reason, rows)))
    assert {kind: found[kind] for kind in REJECTED} == {k: origin["dirty"][k] for k in REJECTED}
    withdrawn = sum("/withdrawn/" in row["product_url"] for row in rows)
    assert withdrawn == origin["dirty"]["unknown_url"]


def test_every_clean_review_names_a_video_of_the_catalogue(
    sample: tuple[Path, SampleSummary],
) -> None:
    folder, summary = sample
    urls = {row["product_url"] for row in rows_of(folder / "catalogue/videos.csv")}
    assert len(urls) == summary.videos
    clean = [row for row in all_reviews(folder) if reason(row) is None]
    exact = sum(row["product_url"] in urls for row in clean)
    plain = [
        row["product_url"]
        .strip()
        .split("#")[0]
        .split("?")[0]
        .rstrip("/")
        .replace("http:", "https:")
        for row in clean
        if "/withdrawn/" not in row["product_url"]
    ]
    lowered = {url.lower() for url in urls}
    assert all(url.lower() in lowered for url in plain)
    assert 0.02 < 1 - exact / len(clean) < 0.08  # tracking, case, slash and scheme variants


def test_a_duplicate_has_an_earlier_review_with_other_stars(
    sample: tuple[Path, SampleSummary],
) -> None:
    folder, _ = sample
    origin = json.loads((folder / "origin.json").read_text("utf-8"))
    seen: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for row in all_reviews(folder):
        if reason(row) is None and "/withdrawn/" not in row["product_url"]:
            code = row["product_url"].split("?")[0].split("#")[0].rstrip("/").rsplit("/", 1)[1]
            seen.setdefault((row["reviewer_id"], code), []).append(
                (row["reviewed_at"], row["stars"])
            )
    double = [pair for pair in seen.values() if len(pair) > 1]
    assert len(double) == origin["dirty"]["duplicate"] > 0
    for pair in double:
        assert len({at for at, _ in pair}) == len({stars for _, stars in pair}) == 2


def test_the_shape_is_like_the_real_thing(sample: tuple[Path, SampleSummary]) -> None:
    folder, summary = sample
    clean = [row for row in all_reviews(folder) if reason(row) is None]
    liked = np.mean([int(row["stars"]) >= 4 for row in clean])
    assert 0.55 < liked < 0.65
    assert 0.02 < np.mean([not row["reviewed_at"] for row in clean]) < 0.04
    per_user = Counter(row["reviewer_id"] for row in clean)
    assert len(per_user) == summary.reviewers
    assert min(per_user.values()) >= 3
    assert max(per_user.values()) > 8 * np.median(list(per_user.values()))
    per_code = Counter(row["product_url"].split("-")[-1][:6] for row in clean)
    cold = summary.videos - sum(f"{number:06d}" in per_code for number in range(summary.videos))
    assert 0.04 < cold / summary.videos < 0.11


def test_odd_files_are_there(sample: tuple[Path, SampleSummary]) -> None:
    folder, _ = sample
    files = [path.read_bytes() for path in sorted((folder / "reviews").glob("*.csv"))]
    assert sum(content.startswith(b"\xef\xbb\xbf") for content in files) == 1
    assert sum(b"\r\n" in content for content in files) == 1
    assert sum(content.startswith(b"review_id,") for content in files) == 1
    titles = [row["title"] for row in rows_of(folder / "catalogue/videos.csv")]
    assert any('"' in title for title in titles)
    assert any("," in title for title in titles)


def test_the_catalogue_refers_to_itself(sample: tuple[Path, SampleSummary]) -> None:
    folder = sample[0] / "catalogue"
    videos = {row["id"] for row in rows_of(folder / "videos.csv")}
    tags = {row["id"] for row in rows_of(folder / "tags.csv")}
    performers = {row["id"] for row in rows_of(folder / "performers.csv")}
    assert len(videos) == sample[1].videos
    for row in rows_of(folder / "video_tags.csv"):
        assert row["video_id"] in videos
        assert row["tag_id"] in tags
    for row in rows_of(folder / "video_performers.csv"):
        assert row["video_id"] in videos
        assert row["performer_id"] in performers
    reviewers = {row["reviewer_id"] for row in all_reviews(sample[0])} - {""}
    assert reviewers < {row["id"] for row in rows_of(folder / "users.csv")}


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    one, two, other = (generate(tmp_path / n, 2_000, s) for n, s in (("a", 1), ("b", 1), ("c", 2)))
    for left, right in zip(one.files, two.files, strict=True):
        assert Path(left).read_bytes() == Path(right).read_bytes(), left
    assert Path(one.files[-3]).read_bytes() != Path(other.files[-3]).read_bytes()


def test_a_smaller_sample_replaces_a_larger_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("two_tower.data.sample_data.ROWS_PER_FILE", 500)
    assert len(generate(tmp_path, 5_000).files) == 10 + 7
    (tmp_path / "reviews/dmm_reviews_sample_0007.csv.part").write_text("cut short")
    summary = generate(tmp_path, 400)
    found = {
        str(path) for part in ("reviews", "catalogue") for path in (tmp_path / part).glob("*.csv")
    }
    assert found == {file for file in summary.files if not file.endswith("oracle.json")}


def test_files_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "reviews/dmm_reviews_mine.csv"
    own.parent.mkdir()
    own.write_text("mine")
    with pytest.raises(InputError, match=r"dmm_reviews_mine\.csv was not written by"):
        generate(tmp_path, 400)
    assert own.read_text() == "mine"
    assert not (tmp_path / "catalogue").exists()


def test_too_few_reviews_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="10 reviews are too few"):
        generate(tmp_path, 10)


def test_a_component_is_drawn_as_its_shares_say() -> None:
    world = build(Size.of(REVIEWS), np.random.default_rng(3))
    parts: Components = world.components
    for component in (
        0,
        1 + world.niche[world.popularity.argmax()],
        parts.makers + world.maker[world.popularity.argmax()],
    ):
        videos, shares = parts.distribution(component)
        drawn = parts.draw(np.full(200_000, component), np.random.default_rng(4))
        found = np.bincount(drawn, minlength=world.size.videos)[videos] / 200_000
        assert shares.sum() == pytest.approx(1.0)
        assert found.sum() == pytest.approx(1.0)
        assert np.abs(found - shares).max() < 5e-3


def test_no_video_is_reviewed_twice_by_a_user_or_before_its_release(
    witness: tuple[World, oracle.Witness],
) -> None:
    world, seen = witness
    reviews = seen.reviews
    pairs = reviews.user * world.size.videos + reviews.video
    assert len(np.unique(pairs)) == len(pairs)
    assert (world.released_at[reviews.video] <= reviews.at).all()
    assert (np.bincount(reviews.user) == seen.users.counts).all()


def test_the_oracle_is_a_ceiling_that_a_model_comes_near(
    witness: tuple[World, oracle.Witness],
) -> None:
    world, seen = witness
    reviews = seen.reviews
    liked = reviews.stars >= 4
    likes = np.bincount(reviews.video[liked], minlength=world.size.videos)
    truth = oracle.measure(world, [seen], likes, np.random.default_rng(1))
    best = truth["oracle"]
    popular = truth["popularity"]
    assert isinstance(best, dict)
    assert isinstance(popular, dict)
    assert 0.4 < best["recall@20"] < 0.6
    assert 0.08 < popular["recall@20"] < 0.2
    # EASE (Steck 2019) on the same split.
    held_out = oracle.held_out(seen, np.random.default_rng(1))
    matrix = np.zeros((len(seen.users), world.size.videos), np.float32)
    train = ~held_out
    matrix[reviews.user[train], reviews.video[train]] = np.where(liked[train], 1.0, 0.25)
    inverse = np.linalg.inv(matrix.T @ matrix + 200 * np.eye(world.size.videos, dtype=np.float32))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    scores = matrix @ weights
    starts = np.searchsorted(reviews.user, np.arange(len(seen.users) + 1))
    recalls = []
    for user in range(len(seen.users)):
        rows = slice(starts[user], starts[user + 1])
        target = reviews.video[rows][held_out[rows] & liked[rows]]
        if len(target):
            found = oracle.metrics(scores[user], reviews.video[rows][train[rows]], target)
            recalls.append(found["recall@20"])
    assert len(recalls) == truth["n_users"]
    assert 0.7 * best["recall@20"] < np.mean(recalls) < 0.92 * best["recall@20"]
    assert np.mean(recalls) > 2 * popular["recall@20"]


def test_metrics_match_a_hand_calculation() -> None:
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    metrics = oracle.metrics(score, seen=np.array([0]), target=np.array([3, 1]))
    assert metrics["recall@20"] == 1.0
    assert metrics["mrr"] == 1.0
    assert metrics["ndcg@10"] == pytest.approx((1 + 0.5) / (1 + 1 / np.log2(3)))


def test_inclusion_probabilities_sum_to_the_number_of_draws() -> None:
    chance = np.array([0.5, 0.3, 0.1, 0.06, 0.04, 0.0])
    included = oracle.drawn(chance, 3)
    assert included.sum() == pytest.approx(3.0, abs=1e-4)
    assert included[-1] == 0.0
    rng = np.random.default_rng(5)
    drawn = np.array([rng.choice(6, 3, replace=False, p=chance) for _ in range(4_000)])
    found = np.bincount(drawn.ravel(), minlength=6) / 4_000
    assert np.abs(found - included).max() < 0.06


def test_a_catalogue_larger_than_its_reviews(tmp_path: Path) -> None:
    summary = generate(tmp_path, reviews=2_000, videos=3_000)
    assert (summary.videos, summary.reviews) == (3_000, 2_000)
