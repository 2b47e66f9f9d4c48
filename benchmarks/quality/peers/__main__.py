"""Answer a problem with the peers: ``.venv-peers/bin/python -m benchmarks.quality.peers``.

    … -m benchmarks.quality.peers problem.npz answers.npz ease ials

The benchmark calls it; what goes in and out is in ``exchange.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.quality.exchange import Problem, save_answers
from benchmarks.quality.peers import ease, ials, libraries, simple
from benchmarks.quality.peers.base import Peer
from benchmarks.quality.peers.search import answer

GRADED = (False, True)
PENALTIES = (50, 100, 200, 300, 500, 800, 1200)
PEERS = {
    "random": Peer(simple.chance),
    "popularity": Peer(simple.popularity),
    "item_knn": Peer(
        simple.item_knn,
        {"graded": GRADED, "neighbours": (50, 100, 200, 400), "shrink": (0, 10, 50)},
    ),
    "content_knn": Peer(simple.content_knn, {"idf": (False, True), "own_norm": (False, True)}),
    "ease": Peer(ease.ease, {"graded": GRADED, "penalty": PENALTIES}),
    "ease_all": Peer(
        ease.ease_all,
        {
            "penalty": (200, 400, 800, 1600),
            "review_penalty": (300, 600, 1200),
            "feature_weight": (0, 3, 10),
            "dislike": (0, 0.4),
        },
    ),
    "ials": Peer(
        ials.ials,
        {"graded": GRADED, "alpha0": (0.03, 0.1, 0.3), "penalty": (0.01, 0.02, 0.04, 0.08, 0.16)},
    ),
    "als": Peer(
        libraries.als,
        {
            "graded": GRADED,
            "factors": (32, 64, 128),
            "alpha": (2, 4, 8),
            "regularization": (10, 20, 40, 80),
        },
    ),
    "bpr": Peer(
        libraries.bpr,
        {
            "factors": (32, 64),
            "learning_rate": (0.01, 0.03),
            "regularization": (0.003, 0.01, 0.03),
            "iterations": (25, 50, 100),
        },
    ),
    "lightfm": Peer(
        libraries.warp,
        {"components": (64, 128), "epochs": (10, 20, 40), "alpha": (1e-4, 1e-3, 3e-3)},
    ),
    "lightfm_features": Peer(
        libraries.warp_features,
        {
            "id_as": ("feature", "half"),
            "components": (64,),
            "epochs": (5, 10, 20),
            "alpha": (1e-5, 1e-4),
        },
    ),
}


def main() -> None:
    """Answer with the peers named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("problem", type=Path)
    parser.add_argument("answers", type=Path)
    parser.add_argument("peers", nargs="+", choices=PEERS)
    arguments = parser.parse_args()
    problem = Problem.load(arguments.problem)
    answers = {}
    for name in arguments.peers:

        def told(text: str, name: str = name) -> None:
            print(f"    {name}: {text}", flush=True)

        answers[name] = answer(PEERS[name], problem, told)
    save_answers(arguments.answers, answers)


if __name__ == "__main__":
    main()
