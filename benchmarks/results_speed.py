"""The tables of speed on the page of results."""

from __future__ import annotations

from benchmarks.harness import RESULTS
from benchmarks.markdown import read, share, table


def speed(name: str) -> str:
    """Return seconds, rows a second and memory of each stage."""
    rows = (
        [
            f"{figure['size']:,}",
            figure["stage"],
            f"{figure['seconds']:.4g}",
            f"{figure['rows'] / figure['seconds']:,.0f}",
            f"{figure['peak_mib']:,.0f}" if figure["peak_mib"] else "",
            _escaped(figure["limit"]),
            f"{figure['limit_seconds']:.4g}" if figure["limit_seconds"] else "",
        ]
        for figure in read(name)["figures"]
    )
    return table(["size", "stage", "seconds", "rows/s", "peak MiB", "beside", "its seconds"], rows)


def comparisons(name: str) -> str:
    """Return ours beside each peer and limit, in turns: ratio, spread and what is wanted."""
    rows = (
        [
            f"{row['size']:,}",
            row["ours"],
            _escaped(row["beside"]),
            str(row["runs"]),
            *(f"{row[of]:.3g}" for of in ("seconds", "its seconds", "ratio")),
            f"{row['least']:.3g} to {row['most']:.3g}",
            f"{row['goal']:g}" if row["goal"] else "",
            *(f"{row[of]:,.0f}" if row[of] else "" for of in ("peak MiB", "its peak MiB")),
        ]
        for row in read(name)["comparisons"]
    )
    columns = ["size", "ours", "beside", "runs", "seconds", "its seconds", "ratio", "of the runs"]
    return table([*columns, "wanted", "peak MiB", "its peak MiB"], rows)


def slopes() -> str:
    """Return how each stage grows from one size to the next."""
    rows = (
        [
            _escaped(row["stage"]),
            f"{row['from']:,} to {row['to']:,}",
            f"{row['slope']:.2f}",
            f"{row['n log n']:.2f}",
            "steeper" if row["steeper"] else "",
        ]
        for row in read("stages")["slopes"]
    )
    return table(["stage", "reviews", "slope", "n log n", ""], rows)


def training() -> str:
    """Return training beside its peers; and what is trained, how good it is, how long it takes."""
    if not (RESULTS / "training.json").is_file():
        return "Not measured yet.\n"
    found = read("training")
    rows = [
        *(
            [
                f"{row['size']:,}",
                f"sparse towers, widths {row['user width']:,} and {row['item width']:,}",
                share(row["ndcg@100"]),
                f"{row['reviews/s']:,.0f}",
                f"{row['seconds to 99 %']:.3g} (dense {row['dense, seconds to 99 %']:.3g})",
            ]
            for row in found["towers"]
        ),
        *(
            [f"{row['size']:,}", row["model"], share(row["ndcg@100"]), "", f"{row['seconds']:.3g}"]
            for row in found["models"]
        ),
    ]
    models = table(["size", "model", "NDCG@100 of fold 0", "reviews/s", "seconds"], rows)
    return f"{comparisons('training')}\n{models}"


def serving_calls() -> str:
    """Return the rows, the recall and the queries a second of each call."""
    found = read("serving")
    recalls = {row["call"]: row for row in found["recall"]}
    clients = [name for name in found["queries_per_second"][0] if name != "call"]

    def recall(call: str, of: str) -> str:
        value = recalls.get(call, {}).get(of)
        return "" if value is None else f"{value:.3f}"

    rows = (
        [
            row["call"],
            f"{recalls[row['call']]['rows']:.4g}" if row["call"] in recalls else "",
            recall(row["call"], "recall@20"),
            recall(row["call"], "by hand"),
            *(f"{row[name]:,.0f}" for name in clients),
        ]
        for row in found["queries_per_second"]
    )
    return table(["call", "rows", "recall@20", "by hand", *clients], rows)


def http() -> str:
    """Return requests a second over HTTP, beside calls a second of the database."""
    rows = (
        [
            f"{row['videos']:,}",
            f"`{row['call']}`",
            f"{row['HTTP, requests/s']:,.0f}",
            f"{row['psycopg, calls/s']:,.0f}",
            f"{row['ratio']:.2f}",
            f"{row['server, ms of processor']:.2f}",
        ]
        for row in read("http")["requests"]
    )
    return table(
        [
            "videos",
            "call",
            "HTTP, requests/s",
            "psycopg, calls/s",
            "ratio",
            "server, ms of processor",
        ],
        rows,
    )


def explorer() -> str:
    """Return how soon a list is seen in a browser, and how smoothly the map moves."""
    found = read("explorer")
    (lists,) = (part[0] for name, part in found.items() if name.startswith("a list"))
    rows = [["a list, ms", f"{lists['median']:.0f}", f"{lists['worst']:.0f}", "300 at most"]]
    rows += [
        [
            f"{row['points']:,} points on {row['screen']}, frames a second",
            f"{row['frames a second']:.0f}",
            f"{row['of the slowest 5 %']:.0f}",
            "30 at least",
        ]
        for row in found["the map"]
    ]
    return table(["what", "median or mean", "worst, or slowest 5 %", "wanted"], rows)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\")
