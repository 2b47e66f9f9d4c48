"""The weekly run on Prefect: the steps of ``two-tower run``, a task each.

``prefect deployment run weekly-two-tower/weekly-two-tower`` (prefect.yaml says how to set that up),
or without a deployment ``python flows/weekly_two_tower.py``. Nothing is decided here: what is done,
and in which order, is :mod:`two_tower.pipeline`'s.
"""

from datetime import UTC, datetime

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from two_tower import pipeline, run_report
from two_tower.settings import Settings


@task(cache_policy=NO_CACHE)
def run_step(name: str, version: str | None, as_of: datetime) -> pipeline.Summary:
    """Run one step. It reads its settings itself, which keeps secrets out of Prefect's database."""
    return pipeline.run_step(name, Settings(as_of=as_of), version)


@flow(name="weekly-two-tower")
def weekly_two_tower() -> str | None:
    """Run every step in order and leave a report as an artifact, also of a run that failed.

    Returns:
        The version of the model that the run made.
    """
    as_of = datetime.now(UTC).replace(microsecond=0)
    version: str | None = None
    summaries: dict[str, pipeline.Summary] = {}
    try:
        for step in pipeline.STEPS:
            run = run_step.with_options(name=step.name, description=step.title)
            summaries[step.name] = run(step.name, version, as_of)
            version = summaries[step.name].get("version", version)
    finally:
        report = run_report.as_markdown(summaries)
        create_markdown_artifact(report, key="weekly-two-tower", description="Steps of the run")
    return version


if __name__ == "__main__":
    weekly_two_tower()
