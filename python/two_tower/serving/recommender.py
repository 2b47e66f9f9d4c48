"""Recommendations for an application: the database's functions, and ONNX for new users.

The first of these that can answers: the stored vector of the serving release; the model of that
release, by ONNX, for a user without a vector; popularity. An answer is empty only if there are no
videos.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
import psycopg
from numpy.typing import NDArray

from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.core.errors import InputError, NotEnoughDataError, UnavailableError
from two_tower.core.settings import Settings
from two_tower.data.text_values import clean
from two_tower.database.releases import serving_version
from two_tower.database.warehouse import open_warehouse
from two_tower.model.layout import PAST_KINDS
from two_tower.serving.embed import NORM_TOLERANCE

logger = logging.getLogger("two_tower")

# Nothing has been built or released yet, or this role may not read it.
MISSING = (
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.InsufficientPrivilege,
    duckdb.CatalogException,
    duckdb.BinderException,
)
# Searches per question: another is made when a release came in between. The last one is returned
# whatever happened, so that a question ends.
MAX_SEARCHES = 3
COLUMNS = "cast(video_id as text) as video_id, score, rank"


@dataclass(frozen=True)
class Recommendation:
    """One video. ``score`` is the cosine to the query, or its popularity if that answered."""

    video_id: str
    score: float
    rank: int


@dataclass(frozen=True)
class TitledRecommendation(Recommendation):
    """A recommendation with what a page shows of it."""

    title: str | None
    thumbnail_url: str | None
    product_url: str | None


class Recommender:
    """Recommends from the target's database. Use it as a context manager, in one thread."""

    def __init__(self, settings: Settings) -> None:
        self._stack = ExitStack()
        self._warehouse = self._stack.enter_context(open_warehouse(settings, for_app=True))
        self._registry = Registry(settings)
        self._encoders: dict[str, Encoder | None] = {}

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database connection."""
        self._stack.close()

    def recommend(
        self, user_id: str, limit: int = 20, exclude_seen: bool = True
    ) -> list[Recommendation]:
        """Return the best videos for a user, known or not.

        Args:
            user_id: a reviewer_id.
            limit: largest number of videos.
            exclude_seen: leave out the videos that the user has reviewed.

        Raises:
            NotEnoughDataError: there is no video yet.
        """
        user_id = clean(user_id)
        if not self._has_vector(user_id):
            seen = self._seen(user_id) if exclude_seen else []
            found = self._encoded(lambda encoder: self._encode_user(encoder, user_id), limit, seen)
            if found is not None:
                return found
        return self._call(
            "recommend_videos(?, p_limit := ?, p_exclude_seen := ?)", user_id, limit, exclude_seen
        )

    def recommend_for_likes(
        self, video_ids: Sequence[str], limit: int = 20
    ) -> list[Recommendation]:
        """Return the best videos for somebody who likes these and is in no table.

        Raises:
            InputError: an id is no UUID.
            NotEnoughDataError: there is no video yet.
        """
        liked = [_uuid(video_id) for video_id in video_ids]
        found = self._encoded(lambda encoder: self._encode_likes(encoder, liked), limit, liked)
        return self._nearest(None, limit, liked) if found is None else found

    def similar(self, video_id: str, limit: int = 20) -> list[Recommendation]:
        """Return the videos nearest to one, without it.

        Raises:
            InputError: the id is no UUID.
            NotEnoughDataError: there is no video yet.
        """
        return self._call("similar_videos(?, p_limit := ?)", _uuid(video_id), limit)

    def with_titles(self, rows: Iterable[Recommendation]) -> list[TitledRecommendation]:
        """Add what a page shows: title, thumbnail_url and product_url."""
        rows = list(rows)
        marks = ", ".join("?" for _ in rows)
        videos = self._rows(
            "select cast(video_id as text) as video_id, title, thumbnail_url, product_url"
            f" from two_tower.videos where video_id in ({marks or 'null'})",
            *(uuid.UUID(row.video_id) for row in rows),
        )
        found = {video.pop("video_id"): video for video in videos}
        unknown = {"title": None, "thumbnail_url": None, "product_url": None}
        return [
            TitledRecommendation(
                row.video_id, row.score, row.rank, **found.get(row.video_id, unknown)
            )
            for row in rows
        ]

    def _call(self, function: str, *params: Any) -> list[Recommendation]:
        rows = self._rows(f"select {COLUMNS} from public.{function} order by rank", *params)
        if not rows:
            limit = params[1]
            rows = self._rows(
                "select cast(video_id as text) as video_id, score, popularity_rank as rank"
                f" from two_tower.popularity order by popularity_rank limit {int(limit)}"
            )
            if not rows and limit > 0:
                raise NotEnoughDataError(
                    "there is no video to recommend",
                    "load a catalogue and reviews, then run dbt build",
                )
        return [Recommendation(row["video_id"], float(row["score"]), row["rank"]) for row in rows]

    def _encoded(
        self,
        encode: Callable[[Encoder], NDArray[np.float32] | None],
        limit: int,
        exclude: list[uuid.UUID],
    ) -> list[Recommendation] | None:
        """Search by a vector of the serving model; ``None`` if it cannot give one.

        After a release in between, a vector of one model was compared with videos of another: the
        search is repeated if the serving version has changed.
        """
        rows = None
        for _ in range(MAX_SEARCHES):
            encoder = self._encoder()
            vector = None if encoder is None else encode(encoder)
            if encoder is None or vector is None:
                return None
            rows = self._nearest(vector, limit, exclude)
            if self._serving_version() == encoder.version:
                break
        return rows

    def _nearest(
        self, vector: NDArray[np.float32] | None, limit: int, exclude: list[uuid.UUID]
    ) -> list[Recommendation]:
        """Search by a vector, float32 ``[128]``; without one, popularity answers."""
        # In half precision, as the stored vectors are.
        query: Any = None if vector is None else vector.astype(np.float16).tolist()
        if query is not None and self._warehouse.dialect == "postgres":
            query = str(query)
        return self._call(
            "recommend_for_vector(?, p_limit := ?, p_exclude := ?)", query, limit, exclude
        )

    def _rows(self, sql: str, *params: Any) -> list[dict[str, Any]]:
        """Run a query; a relation that does not exist yet has no rows."""
        try:
            return self._warehouse.fetch(sql, params)
        except MISSING as error:
            logger.debug("%s", error)
            return []

    def _has_vector(self, user_id: str) -> bool:
        sql = "select 1 as found from public.user_embeddings where user_id = ?"
        return bool(self._rows(sql, user_id))

    def _seen(self, user_id: str) -> list[uuid.UUID]:
        sql = "select item_id from two_tower.interactions where user_id = ?"
        return [row["item_id"] for row in self._rows(sql, user_id)]

    def _encode_user(self, encoder: Encoder, user_id: str) -> NDArray[np.float32] | None:
        rows = self._rows(
            'select feature_ids, indices, "values" from two_tower.user_feature_slots'
            " where user_id = ?",
            user_id,
        )
        if not rows or not rows[0]["feature_ids"] or not self._is_of_layout(encoder):
            return None
        row = rows[0]
        return self._encode(encoder, row["feature_ids"], row["indices"], row["values"])

    def _is_of_layout(self, encoder: Encoder) -> bool:
        """Return whether today's features are those that the model reads."""
        rows = self._rows("select layout_hash from two_tower.feature_layout limit 1")
        if not rows or rows[0]["layout_hash"] == encoder.layout.layout_hash:
            return True
        logger.warning(
            "model %s, which is serving, reads input schema %s, and the features have another one"
            " now: popularity answers until a model is trained on them",
            encoder.version,
            encoder.layout.input_schema_version,
        )
        return False

    def _encode_likes(self, encoder: Encoder, liked: list[uuid.UUID]) -> NDArray[np.float32] | None:
        if not liked:
            return None
        feature_ids: list[int] = []
        indices: list[int] = []
        marks = ", ".join("?" for _ in liked)
        for block in encoder.layout.user:
            if block.kind in PAST_KINDS and block.vocabulary is not None:
                rows = self._rows(
                    f'select "index" from two_tower.vocab_{block.vocabulary}'
                    f" where token in ({marks})",
                    *(str(video_id) for video_id in liked),
                )
                feature_ids += [block.feature_id] * len(rows)
                indices += [row["index"] for row in rows]
        return self._encode(encoder, feature_ids, indices, [1.0] * len(indices))

    def _encode(
        self,
        encoder: Encoder,
        feature_ids: Sequence[int],
        indices: Sequence[int],
        values: Sequence[float],
    ) -> NDArray[np.float32] | None:
        """Return a user's vector, float32 ``[128]``; ``None`` if the model gives none."""
        if not feature_ids:
            return None
        try:
            vector: NDArray[np.float32] = encoder.encode(
                "user",
                np.asarray(feature_ids),
                np.asarray(indices),
                np.asarray(values),
                np.array([0, len(feature_ids)]),
            )[0]
        except Exception as error:
            logger.warning("model %s cannot encode: %s", encoder.version, error)
            self._encoders[encoder.version] = None
            return None
        is_unit = bool(abs(np.linalg.norm(vector) - 1) < NORM_TOLERANCE)
        return vector if is_unit else None

    def _serving_version(self) -> str | None:
        try:
            return serving_version(self._warehouse)
        except MISSING as error:
            logger.debug("%s", error)
            return None

    def _encoder(self) -> Encoder | None:
        """Return the model of the served vectors: other versions have other vector spaces."""
        version = self._serving_version()
        if version is None:
            return None
        if version not in self._encoders:
            try:
                self._encoders[version] = Encoder(self._registry.fetch(version))
            except UnavailableError as error:  # maybe only now: the next question asks again
                logger.warning("model %s cannot be fetched: %s", version, error)
                return None
            except Exception as error:
                # The file is damaged in some way: popularity still answers.
                logger.warning("model %s cannot be used: %s", version, error)
                self._encoders[version] = None
        return self._encoders[version]


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(clean(text))
    except ValueError as error:
        raise InputError(f"{text!r} is no video id", "a video id is a UUID") from error
