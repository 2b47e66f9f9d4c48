"""Ours and the peers on the same splits, each at its own best.

    make bench-quality                                        # everything: an hour or more
    python -m benchmarks.quality --datasets ml-100k --protocols random --seeds 1 --peers ease ials
    python -m benchmarks.quality --datasets data/raw --protocols random      # on your own data

Our lists come out of ``recommend_videos`` in Postgres, after dbt, training, ONNX and halfvec. Peers
run in .venv-peers on the same training reviews. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.harness import ROOT, result_file
from benchmarks.quality import data, lists, ours, problem, table
from benchmarks.quality.exchange import Answer, load_answers
from benchmarks.quality.problem import Case
from benchmarks.quality.protocols import NEWCOMER_LIKES, PROTOCOLS, WARM_PEERS
from benchmarks.quality.scratch import Scratch, postgres, scratch_folder
from benchmarks.quality.split import split
from benchmarks.quality.table import OURS, Figure
from two_tower.core.errors import InputError
from two_tower.interfaces.failures import guarded

PEERS = sorted({*WARM_PEERS, *(peer for p in PROTOCOLS.values() for peer in p.peers)})
WHOLE = "whole catalogue"
# What a model reaches that has no new videos to show: the price of showing them.
KNOWN = "but for videos that nobody has reviewed"


def main() -> None:
    """Measure what the command line asks for; after each split what there is so far is kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--datasets",
        nargs="+",
        type=data.named,
        default=data.DATASETS,
        help=f"of {', '.join(data.DATASETS)} (all by default), or a data folder of your own",
    )
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--seeds", type=int, default=3, help="splits of each protocol")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    arguments = parser.parse_args()
    needs_peers = arguments.peers or "ml-latest-small" in arguments.datasets
    if needs_peers and not data.PEERS_PYTHON.exists():
        raise InputError(f"{data.PEERS_PYTHON} does not exist", "make bench-quality makes it")
    figures: list[Figure] = []
    for dataset in arguments.datasets:
        with scratch_folder() as folder:
            (folder / "source").mkdir()
            source = Scratch(folder / "source", "duckdb")
            data.write(dataset, source)
            source.two_tower("load")
            for protocol in arguments.protocols:
                for number in range(1, arguments.seeds + 1):
                    seed = f"quality-{number}"
                    figures += measure(source, Path(dataset).name, protocol, seed, arguments.peers)
                    table.save(result_file("quality.json"), figures)
    table.show(figures, {name: protocol.title for name, protocol in PROTOCOLS.items()})
    print(f"written to {result_file('quality.json').relative_to(ROOT)}")


def measure(source: Scratch, dataset: str, name: str, seed: str, wanted: list[str]) -> list[Figure]:
    """Split, go the whole way, let the peers answer, and return the figures of all."""
    print(f"{dataset}, {name}, {seed}", flush=True)
    protocol = PROTOCOLS[name]
    cut = split(source, name, seed)
    protocol.refuse_other(name, cut)
    with postgres(source.folder.parent / "ours") as project:
        seconds = ours.release(project, cut, protocol.strategy)
        case = problem.read(project, cut, protocol)
        answers = {OURS: ours.answer(project, case, seconds)}
    peers = [peer for peer in protocol.peers if peer in wanted]
    if peers:
        answers |= ask_peers(case, peers, source.folder.parent)
    figures = [
        Figure(
            dataset,
            name,
            view,
            seed,
            model,
            users,
            metrics,
            answer.train_seconds,
            answer.search_seconds if model != OURS else None,
            answer.parameters,
            answer.validation,
        )
        for model, answer in answers.items()
        for view, users, metrics in views(case, answer, model == OURS and name == "random")
    ]
    oracle = data.oracle(source)
    if oracle and name == "random":
        figures.append(Figure(dataset, name, WHOLE, seed, data.ORACLE, 0, oracle))
    return figures


def ask_peers(case: Case, peers: list[str], folder: Path) -> dict[str, Answer]:
    """Let the peers answer in their own environment."""
    asked, answered = folder / "problem.npz", folder / "answers.npz"
    case.problem.save(asked)
    command = [
        str(data.PEERS_PYTHON),
        "-m",
        "benchmarks.quality.peers",
        str(asked),
        str(answered),
        *peers,
    ]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "python")]),
        # implicit asks for it, and a second thread only costs on iALS's small systems.
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(command, cwd=ROOT, env=env, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed with exit code {done.returncode}")
    return load_answers(answered)


def views(case: Case, answer: Answer, of_known: bool) -> list[tuple[str, int, dict[str, float]]]:
    """Return the name, users and metrics of each view that the answer has lists for."""
    found = []
    if len(answer.lists):
        found.append((WHOLE, len(answer.lists), lists.means(answer.lists, case.targets)))
    if of_known:
        unreviewed = np.setdiff1d(np.arange(case.targets.shape[1]), case.problem.items)
        known = lists.without(answer.lists, unreviewed)
        found.append((KNOWN, len(known), lists.means(known, case.targets)))
    if len(answer.among):
        metrics = lists.means(answer.among, case.targets)
        found.append(("cold videos among themselves", len(answer.among), metrics))
    if len(answer.newcomers):
        for count in NEWCOMER_LIKES:
            rows = case.newcomer_likes == count
            targets = case.newcomer_targets[rows]
            metrics = lists.means(answer.newcomers[rows], targets)
            found.append((f"knowing {count} of their likes", int(rows.sum()), metrics))
    return found


if __name__ == "__main__":
    guarded(main)
