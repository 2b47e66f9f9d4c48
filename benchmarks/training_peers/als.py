"""ALS of `implicit`: ``.venv-peers/bin/python -m benchmarks.training_peers.als REVIEWS OUT``.

REVIEWS is a sparse matrix of users and videos, OUT a folder: each fit of the grid leaves its
factors there, and its seconds.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
from implicit.als import AlternatingLeastSquares
from scipy import sparse

FACTORS = 128
ALPHAS = (1, 4)
REGULARIZATIONS = (10, 40)


def main() -> None:
    """Fit every choice."""
    reviews = sparse.load_npz(sys.argv[1]).tocsr()
    out = Path(sys.argv[2])
    found = []
    for number, (alpha, penalty) in enumerate(product(ALPHAS, REGULARIZATIONS)):
        model = AlternatingLeastSquares(
            factors=FACTORS, alpha=alpha, regularization=penalty, random_state=0, num_threads=2
        )
        started = time.perf_counter()
        model.fit(reviews, show_progress=False)
        seconds = time.perf_counter() - started
        np.savez(out / f"als_{number}.npz", users=model.user_factors, items=model.item_factors)
        found.append({"alpha": alpha, "regularization": penalty, "seconds": seconds})
    (out / "als.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
