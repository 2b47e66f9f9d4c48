"""Output for people: tables on stdout, errors and headings on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from two_tower.core.metric_names import TITLES
from two_tower.core.output import short
from two_tower.core.progress import console as stderr

if TYPE_CHECKING:
    from two_tower.core.checks import Check
    from two_tower.evaluation.compare_runs import Comparison
    from two_tower.evaluation.evaluate import EvaluationResult
    from two_tower.operations.grants import Grant
    from two_tower.operations.monitor import Verdict
    from two_tower.operations.protocols import ProtocolResult
    from two_tower.serving.answers import Recommendation
    from two_tower.serving.versions import Version

stdout = Console()
NO_ROLES = (
    "The var serving_roles names no role: nobody but the owner may call. In dbt_project.yml set"
    " serving_roles: {anon: visitor, authenticated: user, service_role: service}, with the names of"
    " your app's roles, then type two-tower grants (docs/app.md)."
)


def heading(text: str) -> None:
    """Announce a step."""
    stderr.print(f"\n[bold]{escape(text)}[/bold]")


def error(message: str, hint: str) -> None:
    """Print an error, and what to do about it."""
    stderr.print(f"[bold red]error:[/bold red] {escape(message)}", highlight=False, soft_wrap=True)
    if hint:
        stderr.print(f"  [cyan]→[/cyan] {escape(hint)}", highlight=False, soft_wrap=True)


def notice(message: str, hint: str) -> None:
    """Print a remark on a command that succeeded, and what to do about it."""
    stderr.print(escape(message), highlight=False, soft_wrap=True)
    if hint:
        stderr.print(f"  [cyan]→[/cyan] {escape(hint)}", highlight=False, soft_wrap=True)


def summary(title: str, values: Mapping[str, Any]) -> None:
    """Print a result as names and values; its warnings were printed when they arose.

    Values are neither cut nor wrapped, so that paths and URLs can be copied.
    """
    shown = {
        name.replace("_", " "): _text(value).split("\n")
        for name, value in values.items()
        if name != "warnings" or not isinstance(value, list)
    }
    width = max(map(len, shown), default=0)
    stdout.print(f"\n[bold]{escape(title)}[/bold]")
    for name, (first, *others) in shown.items():
        for begin, line in ((name, first), *(("", other) for other in others)):
            stdout.out(f" {begin:<{width}}  {line}", highlight=False)


def verdicts(found: Sequence[Verdict]) -> None:
    """Print the verdicts for a monitor: a summary line, then one line per check."""
    state = max(verdict.state for verdict in found)
    named = ", ".join(v.check for v in found if v.state) or f"{len(found)} checks"
    stdout.out(f"two-tower {state.name}: {named}", highlight=False)
    for verdict in found:
        stdout.out(
            f" {verdict.state.name:<9} {verdict.check:<9} {verdict.message}", highlight=False
        )


def brief(values: Mapping[str, Any]) -> None:
    """Print the scalar values of a result in one paragraph on stderr."""
    shown = {k: v for k, v in values.items() if not isinstance(v, dict | list) and v is not None}
    text = " · ".join(f"{name.replace('_', ' ')} {_text(value)}" for name, value in shown.items())
    stderr.print(f"  [dim]{escape(text)}[/dim]", highlight=False, soft_wrap=True)


def videos(title: str, rows: Iterable[Recommendation]) -> None:
    """Print a list of recommendations."""
    table = _table(escape(title))
    table.add_column("rank", justify="right")
    table.add_column("score", justify="right")
    table.add_column("title", overflow="fold")
    table.add_column("video_id", no_wrap=True)
    for row in rows:
        table.add_row(str(row.rank), f"{row.score:.4f}", escape(row.title or ""), str(row.video_id))
    stdout.print(table)


def releases(rows: Iterable[Version]) -> None:
    """Print the versions, the serving one in bold."""
    table = _table("Versions")
    for name in ("version", "state", "NDCG@10", "Recall@20", "released (UTC)", "kept", "note"):
        table.add_column(
            name,
            justify="right" if "@" in name else "left",
            no_wrap=name in ("version", "state"),
            overflow="fold",
        )
    for row in rows:
        figures = (row.metrics.get(name) for name in ("ndcg@10", "recall@20"))
        failed = f"failed {len(row.failed_checks)} checks" if row.failed_checks else ""
        table.add_row(
            row.version,
            row.state,
            *("–" if figure is None else f"{figure:.4f}" for figure in figures),
            f"{row.released_at:%m-%d %H:%M}" if row.released_at else "–",
            ("latest" if row.is_latest else "yes") if row.is_in_registry else "no",
            escape(row.note or failed),
            style="bold" if row.state == "serving" else None,
        )
    stdout.print(table)


STATE_STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def checks(rows: Sequence[Check]) -> None:
    """Print the doctor's checks, and below them each fix on one line, so that it can be copied."""
    table = _table("Checks", show_header=False)
    for _ in ("name", "state", "found"):
        table.add_column(overflow="fold")
    for row in rows:
        state = f"[{STATE_STYLES[row.state]}]{row.state}[/]"
        table.add_row(row.name, state, escape(row.found))
    stdout.print(table)
    for row in (row for row in rows if row.fix):
        text = f"[{STATE_STYLES[row.state]}]{row.name}[/] [cyan]→[/cyan] {escape(row.fix)}"
        stdout.print(text, highlight=False, soft_wrap=True)


def grants(rows: Sequence[Grant]) -> None:
    """Print a table of calls and tables by role, and below it what no tier gives."""
    roles = dict.fromkeys((row.role, row.tier) for row in rows if row.tier is not None)
    table = _table("Grants")
    table.add_column("", no_wrap=True)  # a name that is broken cannot be searched for
    for role, tier in roles:
        table.add_column(f"{escape(role)} [dim]{tier}[/dim]", overflow="fold")
    may = {(row.object, row.role): row for row in rows if row.tier is not None}
    for name in sorted({row.object for row in rows if row.tier is not None}):
        cells = []
        for role, _ in roles:
            row = may.get((name, role))
            said = "yes" if row and row.is_allowed else "no"
            wrong = row is not None and row.is_allowed != row.is_wanted
            cells.append(f"[bold red]{said}[/] !" if wrong else said)
        table.add_row(escape(name), *cells)
    if roles:
        stdout.print(table)
    else:
        stdout.print(NO_ROLES, highlight=False, soft_wrap=True)
    for row in (row for row in rows if row.undo):
        text = f"{row.role} may use {row.object}, by no tier: {row.undo}"
        stdout.print(escape(text), highlight=False, soft_wrap=True)


def evaluation(result: EvaluationResult) -> None:
    """Print the metrics of each model with their 95 % intervals, and where the report is."""
    title = f"{result.version} · {result.split} split · {result.users:,} held-out users"
    _figures(title, result.metrics, lambda *at: _bounds(result.intervals, *at))
    stdout.print(f"report: {result.report}", highlight=False, soft_wrap=True)


def protocol(result: ProtocolResult) -> None:
    """Print the metrics of each run and, for several runs, mean and standard deviation."""
    for run in result.runs:
        evaluation(run)
    if len(result.runs) > 1:

        def spread(model: str, name: str, metric: str) -> str:
            value = result.spread[model][name].get(metric)
            return "" if value is None else f"± {value:.3f}"

        title = f"mean of {len(result.runs)} splits ± standard deviation"
        _figures(title, result.mean, spread)


def comparison(result: Comparison) -> None:
    """Print the differences between two runs, one table per slice."""
    stdout.print(f"second: {result.second}, against first: {result.first}", highlight=False)
    for name in dict.fromkeys(row.slice for row in result.differences):
        rows = {row.metric: row for row in result.differences if row.slice == name}
        table = _table(f"{name} · {result.split} split, seed {result.split_seed}")
        table.add_column("", no_wrap=True)
        for title in ("first", "second", "second - first", "95 %", "p"):
            table.add_column(title, justify="right", overflow="fold")
        shown = ((rows[name], label) for name, label in TITLES.items() if name in rows)
        for row, label in shown:
            table.add_row(
                label,
                f"{row.first:.4f}",
                f"{row.second:.4f}",
                f"{row.difference:+.4f}",
                escape(f"[{row.lower:+.4f}, {row.upper:+.4f}]"),
                f"{row.p_value:.4f}",
            )
        stdout.print(table)


def _figures(
    title: str,
    metrics: Mapping[str, Mapping[str, Mapping[str, float | None]]],
    beside: Callable[[str, str, str], str],
) -> None:
    """Print one table per ranking, slices left out: rows are metrics, columns are models."""
    from two_tower.evaluation.ranking import (  # imports torch, which is loaded by now
        OVERALL,
        SLICES,
    )

    names = next(iter(metrics.values()))
    gap = " " if len(metrics) < 4 else "\n"  # of four models, figure and interval fit no line of 80
    for name in (name for name in names if name == OVERALL or name not in SLICES):
        table = _table(escape(title if name == OVERALL else f"{title} · {name}"))
        table.add_column("", no_wrap=True)
        for model in metrics:
            table.add_column(model, overflow="fold")
        for metric, label in TITLES.items():
            found = [
                "–"
                if (value := slices[name].get(metric)) is None
                else f"{value:.3f}{gap}[dim]{escape(beside(model, name, metric))}[/dim]"
                for model, slices in metrics.items()
            ]
            table.add_row(label, *found)
        stdout.print(table)


def _bounds(intervals: Mapping[str, Any], model: str, name: str, metric: str) -> str:
    found = intervals[model][name].get(metric)
    if found is None:
        return ""
    lower, upper = (short(f"{bound:.{3 if abs(bound) < 1 else 2}f}") for bound in found)
    return f"[{lower}, {upper}]"


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
