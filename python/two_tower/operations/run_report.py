"""A run in a table: what each step took and what it counted."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from two_tower.operations.pipeline import STEPS, Step, Summary


def as_markdown(summaries: Mapping[str, Summary], steps: Sequence[Step] = STEPS) -> str:
    """Return a Markdown table of all steps, in their order, and what they warned of.

    Args:
        summaries: what :func:`two_tower.operations.pipeline.run_step` returned, by step name; a
            step that has none is shown as not done.
        steps: those of the run.
    """
    version = next((s["version"] for s in summaries.values() if s.get("version")), "none yet")
    lines = [f"Model version: {version}", "", "| step | seconds | counts |", "| --- | ---: | --- |"]
    for step in steps:
        summary = summaries.get(step.name)
        if summary is None:
            lines.append(f"| {step.name} | | not done |")
            continue
        counts = ", ".join(f"{name} {value:,}" for name, value in _counts(summary))
        lines.append(f"| {step.name} | {summary['seconds']:.1f} | {counts} |")
    total = sum(summary["seconds"] for summary in summaries.values())
    lines += [f"| **all** | **{total:.1f}** | |"]
    warnings = [text for summary in summaries.values() for text in summary.get("warnings", [])]
    return "\n".join([*lines, *(f"\nwarning: {text}" for text in warnings)])


def _counts(summary: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the whole numbers; other figures have a report of their own."""
    for name, value in summary.items():
        if isinstance(value, int) and not isinstance(value, bool):
            yield name.replace("_", " "), value
