"""What a registry keeps on this machine, and which errors of its storage are worth trying again."""

from hashlib import sha256
from pathlib import Path

import pytest

from two_tower.artifacts.storage import CACHED_FILES, Storage
from two_tower.core.errors import InputError, UnavailableError


def test_the_cache_keeps_its_newest_copies_and_all_that_is_not_its_own(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "ml-100k").mkdir(parents=True)
    storage = Storage(str(tmp_path / "registry"), {}, cache)
    for number in range(CACHED_FILES + 2):
        content = bytes([number])
        storage.write(f"{number}.bin", content)
        storage.fetch(f"{number}.bin", sha256(content).hexdigest())
    assert (cache / "ml-100k").is_dir()
    assert len(list(cache.iterdir())) == CACHED_FILES + 1


class AnsweredError(OSError):
    """As the driver of a bucket raises it, with what the server answered."""

    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(f"status {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}, "Error": {"Code": code}}


def raised(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Exception]:
    """Return what becomes of a driver's error."""
    storage = Storage(str(tmp_path), {}, tmp_path / "cache")

    def fail(path: str) -> bytes:
        raise error

    monkeypatch.setattr(storage.fs, "cat_file", fail)
    with pytest.raises((InputError, UnavailableError)) as found:
        storage.read("name")
    return found.type


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "InvalidRequest", InputError),
        (400, "RequestTimeout", UnavailableError),
        (409, "OperationAborted", UnavailableError),
        (429, "", UnavailableError),
        (503, "SlowDown", UnavailableError),
    ],
)
def test_only_what_a_server_refuses_for_good_is_not_worth_trying_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    expected: type[Exception],
) -> None:
    error = OSError("translated")
    error.__cause__ = AnsweredError(status, code)
    assert raised(error, tmp_path, monkeypatch) is expected


def test_a_connection_that_is_lost_after_a_missing_file_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = OSError("connection lost")
    error.__context__ = AnsweredError(404)
    assert raised(error, tmp_path, monkeypatch) is UnavailableError
