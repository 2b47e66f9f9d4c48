"""Metrics for Prometheus, as a file for node_exporter's textfile collector.

Times are seconds since 1970. A rule computes an age as ``time() - …``, which stays right if the
file is not written for days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest, write_to_textfile
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from two_tower import __version__
from two_tower.core.errors import InputError
from two_tower.operations.health import Health, Run
from two_tower.operations.run_history import STATES

STDOUT = "-"


class _Metrics(Collector):
    def __init__(self, metrics: Iterable[Metric]) -> None:
        self.metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def write(place: str, health: Health | None) -> None:
    """Write the metrics atomically.

    Args:
        place: a file that ends in ``.prom``, or ``-`` for stdout.
        health: of the project; None if it could not be read: then ``two_tower_up`` is 0.

    Raises:
        InputError: the file cannot be written, or node_exporter would not read it.
    """
    registry = CollectorRegistry()
    registry.register(_Metrics(_metrics(health)))
    if place == STDOUT:
        print(generate_latest(registry).decode(), end="")
        return
    if not place.endswith(".prom"):
        raise InputError(f"{place} does not end in .prom", "node_exporter reads no other files")
    try:
        write_to_textfile(place, registry)
    except OSError as error:
        raise InputError(
            f"{place} cannot be written: {error.strerror}",
            "name a file in node_exporter's --collector.textfile.directory, writable by this user",
        ) from error


def _metrics(health: Health | None) -> Iterator[Metric]:
    yield _gauge("up", "Whether the database and the registry answered.", health is not None)
    build = [((__version__,), 1)]
    yield _labelled("build_info", "The version of the package.", ["version"], build)
    if health is None:
        return
    yield _gauge("answers", "Whether recommend_videos has an answer.", health.answers)
    yield from _release(health)
    yield from _runs(health.runs)
    rows = [((name,), count) for name, count in health.rows.items()]
    yield _labelled("rows", "Rows of a table.", ["table"], rows)
    if health.rejected_share is not None:
        told = "Share of the rows of all review files that were rejected."
        yield _gauge("rejected_share", told, health.rejected_share)
    if health.drifted is not None:
        told = "Measures of drift beyond their threshold since the serving release."
        yield _gauge("drifted", told, health.drifted)


def _release(health: Health) -> Iterator[Metric]:
    if health.released_at is None or health.serving_version is None:
        return
    version = [((health.serving_version,), 1)]
    yield _labelled("release_info", "The version that serves.", ["version"], version)
    told = "When the version that serves was released."
    yield _gauge("release_timestamp_seconds", told, _seconds(health.released_at))
    told = "Whether the version that serves is the registry's latest."
    yield _gauge("release_is_latest", told, health.latest_version == health.serving_version)
    if health.index_recall is not None:
        told = "recall@20 of the search, measured at the release."
        yield _gauge("index_recall", told, health.index_recall)
        is_whole = health.index in ("whole", "none")
        yield _gauge("index_whole", "Whether the index is there, if it is to be.", is_whole)
    told = "Of the version that serves, on held-out reviews."
    quality = [((name,), value) for name, value in health.metrics.items()]
    yield _labelled("quality", told, ["metric"], quality)


def _runs(runs: Sequence[Run]) -> Iterator[Metric]:
    told = "1 for the state of the newest run of a kind."
    states = [((run.steps, state), run.state == state) for run in runs for state in STATES]
    yield _labelled("last_run_state", told, ["steps", "state"], states)
    told = "When the newest run of a kind began."
    started = [((run.steps,), _seconds(run.started_at)) for run in runs]
    yield _labelled("last_run_start_timestamp_seconds", told, ["steps"], started)
    told = "When a run of a kind last ended well."
    done = [((run.steps,), _seconds(run.done_at)) for run in runs if run.done_at is not None]
    yield _labelled("last_run_success_timestamp_seconds", told, ["steps"], done)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"two_tower_{name}", told, value=float(value))


def _labelled(
    name: str, told: str, labels: list[str], values: Iterable[tuple[Sequence[str], float]]
) -> Metric:
    family = GaugeMetricFamily(f"two_tower_{name}", told, labels=labels)
    for texts, value in values:
        family.add_metric(texts, float(value))
    return family


def _seconds(moment: datetime) -> float:
    return moment.replace(tzinfo=UTC).timestamp()
