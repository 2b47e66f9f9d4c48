"""Plots as inline SVG, with the colours and the font of the page around them.

Matplotlib draws with placeholder colours, which are then replaced by CSS variables, so that one
drawing fits light and dark pages.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from two_tower.core.output import short

TEXT, GRID = "#010101", "#020202"
SERIES = ("#030303", "#040404", "#050505", "#070707")
MARK = "#060606"
VARIABLES = {
    TEXT: "var(--muted)",
    GRID: "var(--line)",
    SERIES[0]: "var(--first)",
    SERIES[1]: "var(--second)",
    SERIES[2]: "var(--third)",
    SERIES[3]: "var(--fourth)",
    MARK: "var(--text)",
}
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.titlecolor": TEXT,
    "axes.titlesize": 10,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.bottom": False,
    "ytick.left": False,
    "legend.frameon": False,
}

Values = Sequence[float | None]
Bounds = Sequence[tuple[float, float] | None]
PANELS_A_ROW = 3


def bars(
    name: str,
    labels: Sequence[str],
    series: Mapping[str, Values],
    marks: Values = (),
    intervals: Mapping[str, Bounds] | None = None,
) -> str:
    """Draw grouped bars with their values above them.

    Args:
        name: name of the plot; makes the ids inside the SVG unique on a page.
        labels: labels of the groups.
        series: values of each series, one per group; None leaves a gap.
        marks: a ceiling drawn over each group; None draws none.
        intervals: lower and upper bounds of each series, drawn as whiskers on its bars.
    """
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        drawing = Figure(figsize=(8, 3), layout="constrained")
        axes = drawing.subplots()
        width = 0.8 / len(series)
        places = np.arange(len(labels))
        for number, (title, values) in enumerate(series.items()):
            at = places - 0.4 + width * (number + 0.5)
            heights = _floats(values)
            axes.bar(at, heights, width * 0.9, label=title, color=SERIES[number])
            tops = _whiskers(axes, at, heights, (intervals or {}).get(title, ()))
            _figures(axes, at, heights, tops)
        ceilings = _floats(marks)
        if len(ceilings) and not np.isnan(ceilings).all():
            axes.hlines(
                ceilings, places - 0.42, places + 0.42, color=MARK, linestyle=":", label="oracle"
            )
        axes.set_xticks(places, labels)
        axes.set_ylim(bottom=0)
        axes.margins(y=0.12)
        drawing.legend(loc="outside upper left", ncols=len(series) + 1)
        return _svg(drawing)


def panels(name: str, values: Mapping[str, Values], labels: Sequence[str]) -> str:
    """Draw panels, three in a row, each with one bar per label."""
    rows = -(-len(values) // PANELS_A_ROW)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        drawing = Figure(figsize=(8, 2.2 * rows), layout="constrained")
        places = drawing.subplots(rows, min(len(values), PANELS_A_ROW), squeeze=False).ravel()
        for axes in places[len(values) :]:
            axes.remove()
        for axes, (title, heights) in zip(places, values.items(), strict=False):
            found = _floats(heights)
            names = [label.replace(" ", "\n") for label in labels]
            axes.bar(names, found, 0.6, color=SERIES[: len(labels)])
            _figures(axes, np.arange(len(labels)), found, found)
            axes.axhline(0, color=GRID)
            axes.margins(y=0.15)
            axes.set_title(title, loc="left")
        return _svg(drawing)


def curves(name: str, values: Mapping[str, Sequence[float]]) -> str:
    """Draw panels side by side, each with one line over the epochs and its best point marked."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        drawing = Figure(figsize=(8, 2.4), layout="constrained")
        for axes, (title, line) in zip(
            np.atleast_1d(drawing.subplots(1, len(values))), values.items(), strict=True
        ):
            epochs = np.arange(1, len(line) + 1)
            axes.plot(epochs, line, color=SERIES[0], linewidth=2)
            best = int(np.argmin(line) if title == "loss" else np.argmax(line))
            axes.plot(epochs[best], line[best], "o", color=SERIES[0])
            axes.annotate(
                f"{line[best]:.4g}",
                (epochs[best], line[best]),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
            )
            axes.margins(y=0.2)
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.set_title(title, loc="left")
            axes.set_xlabel("epoch")
        return _svg(drawing)


def trade_off(name: str, rows: Sequence[Mapping[str, float]]) -> str:
    """Draw NDCG@10 against novelty, coverage and popularity lift.

    Args:
        name: name of the plot.
        rows: the points, ordered by ``power``, which labels them: ``power``, ``ndcg@10``,
            ``novelty`` in bits, ``coverage``, ``popularity_lift``.
    """
    panes = {
        "novelty": "Novelty (bits)",
        "coverage": "Coverage",
        "popularity_lift": "Popularity lift",
    }
    accuracy = [row["ndcg@10"] for row in rows]
    with matplotlib.rc_context({**STYLE, "axes.grid.axis": "both", "svg.hashsalt": name}):
        drawing = Figure(figsize=(8, 3), layout="constrained")
        places = drawing.subplots(1, len(panes), sharey=True)
        for axes, (metric, title) in zip(places, panes.items(), strict=True):
            axes.plot([row[metric] for row in rows], accuracy, "o-", color=SERIES[0], linewidth=2)
            for row in rows:
                axes.annotate(
                    f"{row['power']:g}",
                    (row[metric], row["ndcg@10"]),
                    xytext=(5, 5),
                    textcoords="offset points",
                    fontsize=8,
                )
            axes.margins(0.15)
            axes.set_xlabel(title)
        places[0].set_ylabel("NDCG@10")
        return _svg(drawing)


def _whiskers(axes: Axes, places: np.ndarray, heights: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Draw a line from each lower to each upper bound; return the tops of bars and lines."""
    tops = heights.copy()
    for number, pair in enumerate(bounds):
        if pair is not None:
            axes.vlines(places[number], *pair, color=MARK, linewidth=1)
            tops[number] = max(tops[number], pair[1])
    return tops


def _figures(axes: Axes, places: np.ndarray, heights: np.ndarray, tops: np.ndarray) -> None:
    """Write each height above its bar's top, or below a negative bar."""
    for place, height, top in zip(places, heights, tops, strict=True):
        if not np.isnan(height):
            text = short(f"{height:.{2 if abs(height) >= 0.1 else 3}f}")
            above = height >= 0
            axes.annotate(
                text,
                (place, top if above else height),
                xytext=(0, 2 if above else -2),
                textcoords="offset points",
                ha="center",
                va="bottom" if above else "top",
                fontsize=8,
            )


def _floats(values: Values) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _svg(drawing: Figure) -> str:
    """Return the drawing as an ``<svg>`` element, with the page's colours and font."""
    drawing.patch.set_alpha(0)
    for axes in drawing.axes:
        axes.patch.set_alpha(0)
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r"font: ([^;']*?)px '[^']*'(, [^;\"]*)?", r"font: \1px var(--font)", text)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    return re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 width="100%"', text, count=1)
