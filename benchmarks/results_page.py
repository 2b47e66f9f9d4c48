"""docs/results.md, written from the JSON of results/: ``python -m benchmarks.results_page``.

The prose is in results_page.md, the tables are generated here. A test compares the page with both.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results_speed as fast
from benchmarks.harness import ROOT
from benchmarks.markdown import percent, read, share, table
from benchmarks.quality.table import OURS, TITLES
from two_tower.core import metric_names
from two_tower.core.metric_names import ACCURACY

PAGE = ROOT / "docs" / "results.md"
PROSE = Path(__file__).with_suffix(".md")
ACCURACY_TITLES = [metric_names.TITLES[metric] for metric in ACCURACY]
WHOLE = "whole catalogue"
KNOWN = "but for videos that nobody has reviewed"
DATA = {
    "ml-100k": "MovieLens-100k",
    "ml-latest-small": "MovieLens latest-small",
    "filmtrust": "FilmTrust",
    "steam": "Steam",
    "anime": "Anime",
    "retailrocket": "Retailrocket",
    "ml1m": "MovieLens-1M",
    "generated": "Generated data",
}
PROTOCOLS = {
    "random": "a fifth of each user's reviews held out",
    "leave_last_out": "what comes next: each user's last like",
    "cold_users": "new people",
    "cold_items": "new videos",
}
PARTS = {
    "all of it": "all of it, fixed shares",
    "fitted to find likes alone": "fitted to find likes alone",
    "without sessions": "without EASE over sessions",
    "without the trained towers": "without the trained towers",
    "without EASE": "without EASE over users",
    "EASE alone": "EASE over users alone",
    "trained towers, as a map": "trained towers alone, on the sphere",
    "trained towers alone": "trained towers as they are",
    "EASE of half": "all of it, EASE over users for half of the videos",
    "softmax over half": "all of it, the softmax over a sampled half",
    "both of half": "all of it, both by halves",
}
RANKERS = {
    "oracle": "the oracle, which knows every taste",
    "tastes of the posterior": "Bayes' rule",
    "popularity and quality too": "the same, popularity and quality inferred too",
    "linear, 128,000 users": "EASE over users, full rank, of 128,000 users of the same catalogue",
    "linear, 2,000 users": "the same of 2,000 users, which is as many as there are",
}


def seconds(values: Iterable[float | None]) -> str:
    """Return the mean of the seconds that are known."""
    known = [value for value in values if value is not None]
    return f"{np.mean(known):,.1f}" if known else ""


def quality() -> str:
    """Return one table per data set, protocol and view: ours beside the peers."""
    figures = read("quality")["figures"]
    keys = {(f["dataset"], f["protocol"], f["view"]) for f in figures if f["view"] != KNOWN}
    order = (list(DATA), list(PROTOCOLS))
    parts = []
    for key in sorted(keys, key=lambda k: (order[1].index(k[1]), order[0].index(k[0]), k[2])):
        dataset, protocol, view = key
        shown = [f for f in figures if (f["dataset"], f["protocol"], f["view"]) == key]
        known = [
            f for f in figures if (f["dataset"], f["protocol"], f["view"]) == (*key[:2], KNOWN)
        ]
        title = f"### {DATA[dataset]}, {PROTOCOLS[protocol]}"
        parts.append(f"{title}{'' if view == WHOLE else f', {view}'}\n\n{beside(shown, known)}")
    return "\n".join(parts)


def beside(figures: list[dict[str, Any]], known: list[dict[str, Any]]) -> str:
    """Return the table of one data set, protocol and view."""
    models: dict[str, list[dict[str, Any]]] = {}
    for figure in figures:
        models.setdefault(figure["model"], []).append(figure)
    means = {
        name: {metric: float(np.mean([f["metrics"][metric] for f in rows])) for metric in ACCURACY}
        for name, rows in models.items()
    }
    splits = max(len(rows) for name, rows in models.items() if name != OURS)
    whole = [name for name in models if len(models[name]) >= splits and name != "oracle"]
    peers = [name for name in whole if name not in (OURS, "random", "popularity")]

    def row(title: str, name: str, rows: list[dict[str, Any]]) -> list[str]:
        cells = []
        for metric in ACCURACY:
            values = [figure["metrics"][metric] for figure in rows]
            is_best = name in whole and means[name][metric] == max(means[n][metric] for n in whole)
            cell = share(float(np.mean(values)))
            spread = f"\u00a0±{share(float(np.std(values, ddof=1)))}" if values[1:] else ""
            cells.append((f"**{cell}**" if is_best and peers else cell) + spread)
        times = (seconds(f[of] for f in rows) for of in ("train_seconds", "search_seconds"))
        return [title, str(len(rows)), *cells, *times]

    rows = []
    for name in sorted(models, key=lambda model: -means[model]["ndcg@10"]):
        rows.append(row("**two-tower**" if name == OURS else TITLES[name], name, models[name]))
        if name == OURS and known:
            rows.append(row("… without videos that nobody has reviewed", "", known))
    if peers:
        gains = (means[OURS][m] / max(means[peer][m] for peer in peers) - 1 for m in ACCURACY)
        rows.append(["*ahead*", "", *(percent(gain, 1, "+") for gain in gains), "", ""])
    users = sorted({figure["users"] for figure in models[OURS]})
    people = " to ".join(f"{n:,}" for n in sorted({users[0], users[-1]}))
    columns = [f"{people} people", "splits", *ACCURACY_TITLES, "train s", "search s"]
    return table(columns, rows)


def ablation() -> str:
    """Return what each part of the recipe contributes."""
    found = read("ablation")
    rows = (
        [title, *(share(found[name][m]) for m in ACCURACY), share(found[name]["coverage"], 2)]
        for name, title in PARTS.items()
    )
    return table(["model", *ACCURACY_TITLES, "coverage"], rows)


def index() -> str:
    """Return the recall of an index over two factorisations of the same scores."""
    found = {
        name.removeprefix("found at "): values
        for name, values in read("ablation").items()
        if name.startswith("found at ")
    }
    ways = {
        "filled up": "every video filled up to the longest",
        "turned": "**no video longer than 1, users shortest**",
    }
    rows = ([title, *(share(f[way], 2) for f in found.values())] for way, title in ways.items())
    return table(["factors of the same map", *found], rows)


def last_mile() -> str:
    """Return what ONNX, half precision and the index cost."""
    rows = (
        [
            stage["catalogue"],
            f"{stage['videos']:,}",
            stage["stage"],
            share(stage["ndcg"], 4),
            percent(stage["loss"], 2),
            share(stage["recall"]),
            f"{stage['probes']} of {stage['lists']}" if stage["lists"] else "",
            percent(stage["scanned"]) if stage["lists"] else "",
        ]
        for stage in read("last_mile")["stages"]
    )
    columns = ["catalogue", "videos", "lists by", "NDCG@10", "loss", "of the exact 20", "probes"]
    return table([*columns, "read"], rows)


def novelty() -> str:
    """Return what novelty costs."""
    rows = (
        [
            f"{row['power']:g}",
            *(share(row[name]) for name in ("ndcg@10", "recall@20")),
            f"{row['novelty']:.2f}",
            *(share(row[name], 2) for name in ("coverage", "popularity_lift", "diversity")),
        ]
        for row in read("novelty")
    )
    columns = ["`--novelty`", "NDCG@10", "Recall@20", "novelty", "coverage"]
    return table([*columns, "popularity lift", "diversity"], rows)


def ceiling() -> str:
    """Return how much of the oracle's quality can be learned."""
    found = read("ceiling")
    best = found["oracle"]["ndcg@100"]
    rows = (
        [
            title,
            *(share(found[name][metric]) for metric in ACCURACY),
            percent(found[name]["ndcg@100"] / best, 1),
        ]
        for name, title in RANKERS.items()
    )
    return table(["who ranks", *ACCURACY_TITLES, "of the oracle's NDCG@100"], rows)


def published() -> str:
    """Return the published splits, the best recall first."""
    rows = (
        [
            name,
            row["model"],
            f"{row['recall']:.4f}",
            f"{row['ndcg']:.4f}",
            f"{row['train_seconds']:.0f}" if row["train_seconds"] else "",
            row["source"],
        ]
        for name, models in read("published").items()
        for row in sorted(models, key=lambda row: -row["recall"])
    )
    return table(["data", "model", "recall", "NDCG", "train s", "source"], rows)


def people() -> str:
    """Return a row a size of the site."""
    rows = []
    for site in read("people")["sizes"]:
        sizes = [f"{site[name]:,}" for name in ("people", "videos", "reviews")]
        quality = [share(site["ndcg@100"]), percent(site["of the oracle"], 1)]
        times = [f"{site['steps'][name]['seconds']:,.0f}" for name in ("load", "build", "train")]
        rest = sum(site["steps"][name]["seconds"] for name in ("export", "embed", "release"))
        memory = f"{max(step['peak_mib'] for step in site['steps'].values()):,.0f}"
        rows.append([*sizes, *quality, *times, f"{rest:,.0f}", memory])
    columns = ["people", "videos", "reviews", "NDCG@100", "of the oracle's", "load s", "build s"]
    return table([*columns, "train s", "export to release s", "peak MiB"], rows)


def growth() -> str:
    """Return what each run adds."""
    found = read("growth")["bytes_a_run"]
    sizes = sorted(found.items(), key=lambda row: -row[1])
    rows = ([f"`{name}`", f"{size / 1000:,.0f}"] for name, size in sizes if size > 1000)
    return table(["what", "kB a run"], rows)


def page() -> str:
    """Return the whole page."""
    return PROSE.read_text(encoding="utf-8").format(
        **{part.__name__: part() for part in (quality, ablation, index, last_mile, novelty)},
        **{part.__name__: part() for part in (ceiling, published, people)},
        **{
            part.__name__: part() for part in (growth, fast.serving_calls, fast.http, fast.explorer)
        },
        **{part.__name__: part() for part in (fast.slopes, fast.training)},
        **{f"{name}_pairs": fast.comparisons(name) for name in ("features", "stages")},
        **{name: fast.speed(name) for name in ("stages", "serving", "scale")},
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
