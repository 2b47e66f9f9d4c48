"""The metrics: what pages call them, and by which two models are compared."""

from __future__ import annotations

# How well lists find held-out likes; all other metrics are of the lists themselves.
ACCURACY = ("recall@20", "recall@50", "ndcg@10", "ndcg@100", "mrr")
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
    "popularity_lift": "popularity lift",
    "diversity": "diversity",
    "calibration": "calibration",
}
# A release is compared with the one that serves by these (models/serving/serving_checks.sql).
COMPARED = ("ndcg@10", "recall@20")
