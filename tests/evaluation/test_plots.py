"""Plots by what can be read in them."""

import re

from two_tower.evaluation import plots

ROWS = [
    {"power": 0, "ndcg@10": 0.40, "novelty": 2.0, "coverage": 0.2, "popularity_lift": 0.9},
    {"power": 0.25, "ndcg@10": 0.38, "novelty": 2.8, "coverage": 0.4, "popularity_lift": 0.5},
    {"power": 1, "ndcg@10": 0.30, "novelty": 4.1, "coverage": 0.6, "popularity_lift": 0.1},
]


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_a_trade_off_names_its_points() -> None:
    found = texts(plots.trade_off("novelty", ROWS))
    for label in ("0", "0.25", "1"):
        assert found.count(label) >= 3, label
    for label in ("NDCG@10", "Novelty (bits)", "Coverage", "Popularity lift"):
        assert label in found


def test_a_bar_with_an_interval_has_a_line_over_it() -> None:
    plain = plots.bars("x", ["a"], {"ours": [0.5]})
    whiskered = plots.bars("x", ["a"], {"ours": [0.5]}, intervals={"ours": [(0.4, 0.6)]})
    assert "LineCollection" not in plain
    assert whiskered.count("LineCollection") == 1
    assert ".50" in texts(whiskered)  # the figure of the bar, not of the line


def test_panels_stand_three_in_a_row() -> None:
    values = {f"metric {number}": [0.1, None] for number in range(4)}
    svg = plots.panels("beyond", values, ["ours", "theirs"])
    assert [text for text in texts(svg) if text.startswith("metric")] == list(values)
    assert svg.count('id="axes_') == 4
