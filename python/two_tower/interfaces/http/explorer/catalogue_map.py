"""The catalogue as a plane: the two directions in which the released vectors differ most.

Computed by the first request after a release, a refresh or a build, and kept until the next: a
release, for which the app waits, does not get slower by a picture that few look at.
"""

from __future__ import annotations

import json
import threading
from hashlib import blake2b
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from two_tower.core.train_config import DIM
from two_tower.database import sessions
from two_tower.interfaces.http.explorer.files import read_sql

POINTS = 100_000  # the most popular ones of a larger catalogue
UNKNOWN = 65_535  # days, of a video without a date
EDGE = 0.001  # share of the points beyond each edge: one far away would press all others together
SECONDS = 120
# A row of binary COPY: the number of columns, then the length and the bytes of each.
ROW = np.dtype(
    [
        *(("columns", ">i2"), ("id_length", ">i4"), ("id", "V16")),
        *(("vector_length", ">i4"), ("dim", ">i2"), ("unused", ">i2"), ("vector", ">f2", (DIM,))),
        *(("maker_length", ">i4"), ("maker", ">i2"), ("tag_length", ">i4"), ("tag", ">i2")),
        *(("age_length", ">i4"), ("age", ">i4")),
    ]
)
HEAD = 19  # the signature, flags and an empty extension


class CatalogueMap:
    """The map of what serves; one thread computes it, others wait for it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._state = read_sql("queries")["map_state"].encode()
        self._lock = threading.Lock()
        self._made: tuple[Any, str, bytes] | None = None

    def read(self) -> tuple[str, bytes]:
        """Return a tag of the map, and its bytes (see :func:`pack`).

        Raises:
            psycopg.Error: the database does not answer, or has no release.
        """
        with self._lock, sessions.connect(self._dsn, for_app=True) as connection:
            state = connection.execute(self._state).fetchone()
            if self._made is None or self._made[0] != state:
                body = _make(connection)
                # Of the bytes: the states of two databases may be alike.
                tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
                self._made = state, tag, body
            return self._made[1:]


def _make(connection: psycopg.Connection[Any]) -> bytes:
    sql = read_sql("queries")
    with connection.transaction():
        connection.execute(f"set local statement_timeout = '{SECONDS}s'".encode())
        makers = connection.execute(sql["map_makers"].encode()).fetchall()
        tags = connection.execute(sql["map_tags"].encode()).fetchall()
        named = {"makers": [row[0] for row in makers], "tags": [row[0] for row in tags]}
        values = {**named, "points": POINTS}
        # COPY takes no parameters from a server.
        with (
            psycopg.ClientCursor(connection) as cursor,
            cursor.copy(sql["map_points"].encode(), values) as copy,
        ):
            body = b"".join(copy)
    rows = np.frombuffer(body[HEAD:-2], ROW)
    return pack(rows, [row[1] for row in makers], [row[1] for row in tags])


def pack(rows: NDArray[Any], makers: list[str], tags: list[str]) -> bytes:
    """Return the map as the page reads it, little-endian.

    A uint32 with the length of the JSON after it, then a column after the other: x and y (uint16, 0
    to 65,535), age (uint16, days before the newest), maker and tag (uint8, from 1 in the order of
    the JSON's), ids (16 bytes each).
    """
    vectors = rows["vector"].astype(np.float32)
    places, explained = project(vectors)
    ages = np.where(rows["age"] < 0, UNKNOWN, np.minimum(rows["age"], UNKNOWN - 1))
    dated = ages[ages < UNKNOWN]
    about = {
        "count": len(rows),
        "explained": round(explained, 4),
        "makers": makers,
        "tags": tags,
        "age_half": int(max(1, np.median(dated))) if len(dated) else 1,
    }
    # Spaces to a multiple of four: typed arrays begin there.
    head = json.dumps(about).encode()
    head += b" " * (-len(head) % 4)
    columns = [
        *(places[:, 0].astype("<u2"), places[:, 1].astype("<u2"), ages.astype("<u2")),
        *(rows["maker"].astype("u1"), rows["tag"].astype("u1")),
    ]
    parts = [len(head).to_bytes(4, "little"), head, *(column.tobytes() for column in columns)]
    return b"".join([*parts, rows["id"].tobytes()])


def project(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float64], float]:
    """Return the first two principal components, ``[rows, 2]`` of 0 to 65,535, and their share.

    Args:
        vectors: ``[rows, dim]``.

    Returns:
        the places, of one scale in both directions, and the share of the variance in them.
    """
    if not len(vectors):
        return np.zeros((0, 2)), 0.0
    centred = vectors - vectors.mean(axis=0)
    values, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    axes = directions[:, ::-1][:, :2]
    # An eigenvector has no sign of its own: without one a map would be mirrored at each release.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    places = centred @ axes
    low, high = np.quantile(places, [EDGE, 1 - EDGE], axis=0)
    half = max(float((high - low).max()) / 2, 1e-9) * 1.02
    scaled = (places - (low + high) / 2) / half * 32_767 + 32_767
    total = float(values.sum())
    return np.clip(scaled, 0, 65_535), float(values[-2:].sum() / total) if total > 0 else 0.0
