"""The copies of a registry's files that a machine keeps."""

from hashlib import sha256
from pathlib import Path

from two_tower.storage import CACHED_FILES, Storage


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
