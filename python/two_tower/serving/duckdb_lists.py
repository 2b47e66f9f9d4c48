"""An app's lists on DuckDB: the macros of the release, and ONNX for users without a vector.

DuckDB has three of the calls, without their options: what an analyst tries out, not what a site
reads. On Postgres the database does all of this itself, by the vectors of slots.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import duckdb
import numpy as np
from numpy.typing import NDArray

from two_tower.artifacts.onnx_encoder import Encoder
from two_tower.artifacts.registry import Registry
from two_tower.core.errors import InputError, NotEnoughDataError, UnavailableError
from two_tower.core.settings import Settings
from two_tower.data.text_values import clean
from two_tower.database.releases import serving_version
from two_tower.database.warehouse import open_warehouse
from two_tower.model.layout import PAST_KINDS
from two_tower.serving.calls import Call
from two_tower.serving.embed import NORM_TOLERANCE

logger = logging.getLogger("two_tower")

T = TypeVar("T")
Row = dict[str, Any]

# Nothing has been built or released yet.
MISSING = (duckdb.CatalogException, duckdb.BinderException)
# Searches per question: another is made when a release came in between. The last one is returned
# whatever happened, so that a question ends.
MAX_SEARCHES = 3
# The calls there are, and their arguments.
KNOWN = {
    "recommend_videos": {"p_user_id", "p_limit", "p_exclude_seen"},
    "recommend_for_likes": {"p_video_ids", "p_limit", "p_exclude_seen"},
    "similar_videos": {"p_video_id", "p_limit"},
}


class DuckDBLists:
    """One connection to the target's file, for one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._stack = ExitStack()
        self._warehouse = self._stack.enter_context(open_warehouse(settings))
        self._registry = Registry(settings)
        self._encoders: dict[str, Encoder | None] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def run(self, call: Call[T]) -> T:
        """Return the answer to a call.

        Raises:
            InputError: DuckDB has no such call, or not with these arguments.
            NotEnoughDataError: there is no video yet.
        """
        known = KNOWN.get(call.function)
        if known is None:
            raise InputError(
                f"DuckDB has no {call.function}",
                f"it has {', '.join(KNOWN)}; Postgres has them all",
            )
        unknown = sorted(name.removeprefix("p_") for name in set(call.arguments) - known)
        if unknown:
            raise InputError(
                f"{call.function} on DuckDB knows no {', '.join(unknown)}",
                "Postgres knows them all",
            )
        given, limit = call.arguments, call.arguments["p_limit"]
        with self._lock:
            if call.function == "recommend_videos":
                rows = self._for_user(given["p_user_id"], limit, given["p_exclude_seen"])
            elif call.function == "recommend_for_likes":
                rows = self._for_likes(given["p_video_ids"], limit, given["p_exclude_seen"])
            else:
                rows = self._found("similar_videos(?, p_limit := ?)", given["p_video_id"], limit)
            if not rows and limit > 0:
                rows = self._popular(limit)
        return call.read(rows)

    def _for_user(self, user_id: str, limit: int, exclude_seen: bool) -> list[Row]:
        user_id = clean(user_id)
        if not self._has_vector(user_id):
            seen = self._seen(user_id) if exclude_seen else []
            found = self._encoded(lambda encoder: self._encode_user(encoder, user_id), limit, seen)
            if found is not None:
                return found
        return self._found(
            "recommend_videos(?, p_limit := ?, p_exclude_seen := ?)", user_id, limit, exclude_seen
        )

    def _for_likes(self, liked: list[uuid.UUID], limit: int, exclude_seen: bool) -> list[Row]:
        left_out = liked if exclude_seen else []
        found = self._encoded(lambda encoder: self._encode_likes(encoder, liked), limit, left_out)
        if found is None:
            return self._nearest(None, limit, left_out)
        return [row | {"source": "likes"} if row["source"] == "model" else row for row in found]

    def _found(self, function: str, *params: Any) -> list[Row]:
        return self._rows(f"select * from public.{function}", *params)

    def _popular(self, limit: int) -> list[Row]:
        """Return popular videos, of a database where nothing was released.

        Raises:
            NotEnoughDataError: there is no video yet.
        """
        rows = self._rows(
            "select p.video_id, p.score, p.popularity_rank as rank, 'popular' as source,"
            " null as release_id, v.title, v.thumbnail_url, v.product_url"
            " from two_tower.popularity as p left join two_tower.videos as v using (video_id)"
            f" order by p.popularity_rank limit {limit}"
        )
        if not rows:
            raise NotEnoughDataError(
                "there is no video to recommend", "load a catalogue and reviews, then run dbt build"
            )
        return rows

    def _encoded(
        self,
        encode: Callable[[Encoder], NDArray[np.float32] | None],
        limit: int,
        exclude: list[uuid.UUID],
    ) -> list[Row] | None:
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
    ) -> list[Row]:
        """Search by a vector, float32 ``[128]``; without one, popularity answers."""
        # In half precision, as the stored vectors are.
        query: Any = None if vector is None else vector.astype(np.float16).tolist()
        return self._found(
            "recommend_for_vector(?, p_limit := ?, p_exclude := ?)", query, limit, exclude
        )

    def _rows(self, sql: str, *params: Any) -> list[Row]:
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
                encoder.layout.slots(
                    "user",
                    np.asarray(feature_ids),
                    np.asarray(indices),
                    np.asarray(values),
                    np.array([0, len(feature_ids)]),
                ),
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
