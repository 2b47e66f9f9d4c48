"""recommend_videos() beside the bare pgvector query, at 100k and 1M clustered vectors.

    python -m benchmarks.retrieval                    # 100k and 1M videos
    python -m benchmarks.retrieval --sizes 20000

The vectors are generated (clusters of unequal size, users between clusters) and released the way the
project releases a model's. Prints the median and 95th percentile of both, with recall@20 against
exact search.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import psycopg

from benchmarks.harness import BIN, ROOT, Figure, report, scratch_environment, timed
from two_tower import embedded
from two_tower.settings import Settings

DIM = 128
QUERIES = 200
K = 20


def clustered(
    rng: np.random.Generator, centres: np.ndarray, rows: int, spread: float
) -> np.ndarray:
    """Return ``[rows, 128]`` float32 unit vectors around centres picked with long-tailed sizes."""
    weights = 1.0 / np.arange(1, len(centres) + 1) ** 0.5
    picked = rng.choice(len(centres), rows, p=weights / weights.sum())
    noise = rng.standard_normal((rows, DIM), dtype=np.float32) * np.float32(spread / DIM**0.5)
    vectors = centres[picked] + noise
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
