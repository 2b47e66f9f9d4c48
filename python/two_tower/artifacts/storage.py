"""One interface to a folder or a bucket: writes whole files, returns whole verified files."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec

from two_tower.core.errors import FullError, InputError, TwoTowerError, UnavailableError

CHUNK_BYTES = 1 << 20
# Cached copies: two files of each of four versions, so that a rollback needs no download.
CACHED_FILES = 8


class CorruptFileError(TwoTowerError):
    """A stored file is not the one that its description confirms."""


def sha256_of(source: Path | bytes) -> str:
    """Return the SHA-256 of a local file or of some bytes, in hexadecimal."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def look(head: bytes) -> str:
    """Guess from the first bytes what a file is that is not the expected one."""
    if not head:
        return "it is empty"
    if head.lstrip()[:1] == b"<":
        return "it begins like an HTML page, as proxies and login pages send in place of a file"
    return "it is truncated or damaged"


class Storage:
    """The files below one URL, read and written whole.

    Readers see a write in full or not at all: it is a rename in a folder, one upload in a bucket.

    Args:
        url: an absolute folder or any fsspec URL.
        options: fsspec storage options, such as key, secret and endpoint_url.
        cache_dir: the local folder for verified copies.

    Raises:
        InputError: the URL's protocol is unknown or its driver is not installed.
    """

    def __init__(self, url: str, options: dict[str, Any], cache_dir: Path) -> None:
        self.cache_dir = cache_dir
        self.url = _without_user(url)
        try:
            self.fs, self.root = fsspec.core.url_to_fs(url, **options)
        except (ImportError, ValueError) as error:
            raise InputError(
                f"cannot open the registry at {self.url}: {error}",
                "set TWO_TOWER_REGISTRY_URL to a folder or a URL such as s3://bucket/prefix"
                " (s3 needs: pip install 'two-tower[s3]')",
            ) from error
        self.is_local = "file" in _protocols(self.fs)

    def path(self, name: str) -> str:
        """Return the full path of a file."""
        return f"{self.root}/{name}"

    def names(self) -> list[str]:
        """Return the names of all files, sorted; none where the folder does not exist yet."""
        with self._access("list"):
            self.fs.invalidate_cache()
            try:
                entries = self.fs.ls(self.root, detail=False)
            except FileNotFoundError:
                return []
        return sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in entries)

    def read(self, name: str) -> bytes:
        """Return a small file whole.

        Raises:
            FileNotFoundError: there is none.
            UnavailableError: the storage did not answer.
        """
        with self._access(name):
            self.fs.invalidate_cache()
            return bytes(self.fs.cat_file(self.path(name)))

    def write(self, name: str, source: Path | bytes) -> None:
        """Store a local file or some bytes under ``name``, replacing what was there."""
        try:
            with self._access(name):
                if self.is_local:
                    self._write_local(Path(self.path(name)), source)
                elif isinstance(source, bytes):
                    self.fs.pipe_file(self.path(name), source)
                else:
                    self.fs.put_file(str(source), self.path(name))
        except FileNotFoundError as error:
            raise InputError(
                f"the registry at {self.url} has no such bucket or folder: {error}",
                "create it, or fix TWO_TOWER_REGISTRY_URL",
            ) from error

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        with self._access(name):
            try:
                self.fs.rm_file(self.path(name))
            except FileNotFoundError:
                return

    def fetch(self, name: str, sha256: str) -> Path:
        """Return a local copy of a file whose content has this SHA-256.

        The copy is named after its content, so a publisher never changes it under a reader; one
        that is there already is verified again before it is used.

        Raises:
            CorruptFileError: the file is missing or its content is another.
            UnavailableError: the storage did not answer.
        """
        cached = self.cache_dir / f"{sha256}{Path(name).suffix}"
        if cached.is_file() and sha256_of(cached) == sha256:
            os.utime(cached)
            return cached
        self.cache_dir.mkdir(parents=True, exist_ok=True)
        with temporary_beside(cached) as part:
            try:
                with self._access(name):
                    self.fs.invalidate_cache()
                    self.fs.get_file(self.path(name), str(part))
            except FileNotFoundError as error:
                raise CorruptFileError(f"{self.url}/{name} does not exist") from error
            found = sha256_of(part)
            if found != sha256:
                with part.open("rb") as file:
                    head = file.read(64)
                raise CorruptFileError(
                    f"{self.url}/{name} has sha256 {found[:12]}…, expected {sha256[:12]}…"
                    f" ({part.stat().st_size} bytes): {look(head)}"
                )
            part.replace(cached)
        self._prune()
        return cached

    def _prune(self) -> None:
        """Remove the oldest copies, and nothing else: a cache folder may hold other things."""
        copies = []
        for file in self.cache_dir.glob("[0-9a-f]" * 64 + "*"):
            with suppress(FileNotFoundError):  # another process removes them as well
                copies.append((file.stat().st_mtime, file))
        for _, old in sorted(copies)[:-CACHED_FILES]:
            old.unlink(missing_ok=True)

    @staticmethod
    def _write_local(target: Path, source: Path | bytes) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(target) as part:
            with part.open("wb") as file:
                if isinstance(source, bytes):
                    file.write(source)
                else:
                    with source.open("rb") as content:
                        shutil.copyfileobj(content, file, CHUNK_BYTES)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)

    @contextmanager
    def _access(self, what: str) -> Iterator[None]:
        """Turn the errors of the drivers into ours, which say where and what."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError) as error:
            raise InputError(
                f"the registry at {self.url} refuses access ({what}): {error}",
                "check TWO_TOWER_REGISTRY_OPTIONS (key, secret, …), or who may write there",
            ) from error
        except Exception as error:  # each driver has exceptions of its own
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise FullError(
                    f"no space left for the registry at {self.url} ({what})",
                    "make room, then run this again: the latest model is whole, as it was",
                ) from error
            if _is_refused(error) or (isinstance(error, OSError) and error.errno == errno.EROFS):
                raise InputError(
                    f"the registry at {self.url} refuses the request ({what}): {error}",
                    "check TWO_TOWER_REGISTRY_URL and TWO_TOWER_REGISTRY_OPTIONS",
                ) from error
            raise UnavailableError(
                f"the registry at {self.url} did not answer ({what}): {error}",
                "check TWO_TOWER_REGISTRY_URL, TWO_TOWER_REGISTRY_OPTIONS and the network",
            ) from error


def _is_refused(error: BaseException | None) -> bool:
    """Return whether the status of a response says that the same request would fail again.

    Follows ``__cause__`` only: the ``__context__`` of a lost connection may be a missing file.
    """
    while error is not None:
        response = getattr(error, "response", None)  # botocore's
        if isinstance(response, dict):
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            # S3 answers 400 to a request whose body came too late: that is worth a retry.
            is_late = response.get("Error", {}).get("Code") == "RequestTimeout"
            return 400 <= status < 500 and status not in (408, 409, 425, 429) and not is_late
        error = error.__cause__
    return False


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """Yield a path beside ``target`` to write to and rename; it is removed if it still exists."""
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    part = Path(name)
    part.chmod(0o644)  # mkstemp makes it private; other users read these files too
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1]).geturl() if "@" in url else url


def user_cache_dir() -> Path:
    """Return the folder for verified copies when there is no project around."""
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "two-tower"
