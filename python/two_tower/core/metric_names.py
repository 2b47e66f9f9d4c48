"""The metrics: what pages call them, and by which two models are compared."""

from __future__ import annotations

# In the order in which pages show them.
TITLES = {
    "recall@20": "Recall@20",
    "recall@50": "Recall@50",
    "ndcg@10": "NDCG@10",
    "ndcg@100": "NDCG@100",
    "mrr": "MRR",
    "coverage": "coverage",
    "gini": "Gini",
    "novelty": "novelty",
    "popularity_lift": "lift",
    "diversity": "diversity",
    "calibration": "calibration",
}
# A release is compared with the one that serves by these (models/serving/serving_checks.sql).
COMPARED = ("ndcg@10", "recall@20")
