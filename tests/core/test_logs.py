"""The package's log as JSON: a line a record, with what ``extra`` held."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from two_tower.core import logs, progress


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """The package's logger, as it was afterwards."""
    found = logging.getLogger("two_tower")
    monkeypatch.setattr(sys, "stderr", sys.stderr)  # which a log in JSON wraps
    before = found.handlers[:], found.level, found.propagate
    found.handlers.clear()
    # Else pytest gives it a handler of its own, where a test before was a command.
    found.propagate = True
    yield found
    found.handlers[:], found.propagate = before[0], before[2]
    found.setLevel(before[1])


def test_json_is_one_object_a_line(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json")
    logs.configure("json")  # twice changes nothing
    logger.info("%s done", "load", extra={"step": "load", "summary": {"rows": 3, "名": "夏"}})
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("it broke")

    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "info",
        "logger": "two_tower",
        "message": "load done",
        "step": "load",
        "summary": {"rows": 3, "名": "夏"},
    }
    assert second["level"] == "error"
    assert "ValueError: two\nlines" in second["exception"]


def test_text_is_for_people_and_tells_what_went_wrong_alone(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("text")
    logger.info("load done")
    logger.warning("trying again")
    assert capsys.readouterr().err == "WARNING: trying again\n"


def test_what_others_write_to_stderr_is_json_too(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("json")
    progress.console.print("[bold]1/7  Load[/bold]")
    print("half a li", end="", file=sys.stderr)
    print("ne\n\nand another", file=sys.stderr)

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in lines] == ["1/7  Load", "half a line", "and another"]
    assert {line["logger"] for line in lines} == {"two_tower.stderr"}
