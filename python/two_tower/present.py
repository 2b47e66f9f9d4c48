"""What people see: tables on stdout, errors and headings on stderr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from two_tower.progress import console as stderr

if TYPE_CHECKING:
    from two_tower.evaluate import EvaluationResult
    from two_tower.recommend import TitledRecommendation

stdout = Console()

METRICS = {
    "recall@20": "R@20",
    "recall@50": "R@50",
    "ndcg@10": "NDCG@10",
    "ndcg@100": "NDCG@100",
    "mrr": "MRR",
    "coverage": "coverage",
    "popularity_lift": "lift",
}


def heading(text: str) -> None:
    """Announce a step."""
    stderr.print(f"\n[bold]{escape(text)}[/bold]")


def error(message: str, hint: str) -> None:
    """Print an error and its mend."""
    stderr.print(f"[bold red]error:[/bold red] {escape(message)}", highlight=False, soft_wrap=True)
    if hint:
        stderr.print(f"  [cyan]→[/cyan] {escape(hint)}", highlight=False, soft_wrap=True)


def summary(title: str, values: Mapping[str, Any]) -> None:
    """Print a result as a table of names and values; its warnings were shown when they arose."""
    table = _table(title, show_header=False)
    for name, value in values.items():
        if name != "warnings" or not isinstance(value, list):
            table.add_row(name.replace("_", " "), escape(_text(value)))
    stdout.print(table)


def brief(values: Mapping[str, Any]) -> None:
    """Print a result's plain values in one paragraph on stderr."""
    shown = {k: v for k, v in values.items() if not isinstance(v, dict | list) and v is not None}
    text = " · ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in shown.items())
    stderr.print(f"  [dim]{escape(text)}[/dim]", highlight=False, soft_wrap=True)


def videos(title: str, rows: Iterable[TitledRecommendation]) -> None:
    """Print recommendations with their titles."""
    table = _table(escape(title))
    table.add_column("rank", justify="right")
    table.add_column("score", justify="right")
    table.add_column("title", overflow="fold")
    table.add_column("video_id", no_wrap=True)
    for row in rows:
        table.add_row(str(row.rank), f"{row.score:.4f}", escape(row.title or ""), str(row.video_id))
    stdout.print(table)


def evaluation(result: EvaluationResult) -> None:
    """Print the overall metrics of each model, and where the report is."""
    table = _table(f"{result.users} held-out users")
    table.add_column("model", no_wrap=True)
    for title in METRICS.values():
        table.add_column(title, justify="right", no_wrap=True)
    for model, slices in result.metrics.items():
        overall = slices["overall"]
        table.add_row(model, *(f"{overall[metric]:.4f}" for metric in METRICS))
    stdout.print(table)
    stdout.print(f"report: {result.report}", highlight=False, soft_wrap=True)


def _table(title: str, show_header: bool = True) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        show_header=show_header,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )


def _text(value: Any) -> str:
    if value is None or value in ({}, []):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "\n".join(_text(item) for item in value)
    return str(value)
