"""Promises to other programs that no other test spells out. The whole list: docs/contracts.md."""

import dataclasses
import inspect
import re
from pathlib import Path

import two_tower
from two_tower.artifacts.load_model import Model
from two_tower.core.settings import Settings
from two_tower.core.train_config import DIM, TrainConfig
from two_tower.data.review_files import OPTIONAL, REQUIRED
from two_tower.serving.answers import Recommendation

PROJECT_DIR = Path(__file__).resolve().parents[2]


def test_every_test_that_the_page_names_exists() -> None:
    page = (PROJECT_DIR / "docs/contracts.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 30
    models = (PROJECT_DIR / "models").rglob("*.yml")
    unit_tests = "".join(path.read_text(encoding="utf-8") for path in models)
    for row in rows:
        named = re.findall(r"`([^`]+)`", row.split(" | ")[2])
        assert named, row
        for name in named:
            file, _, test = name.partition("::")
            if test:
                source = (PROJECT_DIR / "tests" / file).read_text(encoding="utf-8")
                assert f"def {test}(" in source, name
            elif name.startswith("assert_"):
                assert (PROJECT_DIR / f"tests/dbt/singular/{name}.sql").exists(), name
            else:
                assert re.search(rf"\b{name}\b", unit_tests), name


def test_review_files_have_the_promised_names_and_columns() -> None:
    assert Settings(_env_file=None).reviews_glob.endswith("/reviews/dmm_reviews_*.csv")  # type: ignore[call-arg]
    assert REQUIRED == ("product_url", "reviewer_id", "stars")
    assert OPTIONAL == "reviewed_at"


def test_a_positive_has_three_negatives_unless_told_otherwise() -> None:
    assert TrainConfig().negatives == 3
    assert TrainConfig(negatives=5).negatives == 5


def test_vectors_have_128_dimensions_in_training_and_in_the_database() -> None:
    assert TrainConfig().dim == DIM == 128


def test_the_model_api_takes_features_by_name_and_by_place() -> None:
    for encode in (Model.encode_user, Model.encode_item):
        assert list(inspect.signature(encode).parameters) == ["self", "features"]
    assert next(iter(inspect.signature(two_tower.load_model).parameters)) == "source"


def test_a_recommendation_is_video_score_and_rank() -> None:
    # What came later is behind them.
    fields = [(field.name, field.type) for field in dataclasses.fields(Recommendation)][:3]
    assert fields == [("video_id", "str"), ("score", "float"), ("rank", "int")]
