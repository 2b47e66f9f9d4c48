"""Data and features with polars: ``python -m benchmarks.features_peers.with_polars DATA OUT``."""

from __future__ import annotations

import math
import time
from pathlib import Path

import polars as pl
import polars_hash as plh

from benchmarks.features_peers.rules import (
    FOLDS,
    LIKED,
    MOST_HISTORY,
    MOST_PREFERRED,
    PREFERRED,
    REVIEW_COLUMNS,
    SEED,
    STANDING,
    VALID_FRACTION,
    VOCABULARIES,
    folders,
    page,
    title_tokens,
)

TIME = "%Y-%m-%d %H:%M:%S"
MONTH = pl.duration(days=30)
NO_TEXTS = pl.lit([], pl.List(pl.String))


def read_reviews(folder: Path) -> pl.DataFrame:
    """Return the accepted rows in the order of files and lines."""
    scans = []
    for path in sorted(folder.glob("dmm_reviews_*.csv")):
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline().strip().split(",")
        scan = pl.scan_csv(
            path,
            has_header=False,
            skip_rows=1,
            schema=dict.fromkeys([*header, "surplus"], pl.String),
            quote_char=None,
            missing_columns="insert",
            truncate_ragged_lines=True,
        )
        scans.append(scan.filter(pl.col("surplus").is_null()).select(REVIEW_COLUMNS))
    stars = pl.col("stars").cast(pl.Float64, strict=False)
    return (
        pl.concat(scans)
        .with_columns(
            stars,
            pl.col("product_url", "reviewer_id").str.strip_chars(),
            pl.col("reviewed_at").str.to_datetime(TIME, time_unit="us", strict=False),
        )
        .filter(
            pl.col("stars").is_between(1, 5),
            pl.col("product_url").str.len_bytes() > 0,
            pl.col("reviewer_id").str.len_bytes() > 0,
        )
        .rename({"reviewer_id": "user_id"})
        .collect(engine="streaming")
    )


def read_catalogue(folder: Path) -> dict[str, pl.DataFrame]:
    """Return the catalogue's tables; of the videos of a page the first."""
    names = ("videos", "video_tags", "video_performers", "users")
    found = {name: pl.read_csv(folder / f"{name}.csv", infer_schema=False) for name in names}
    found["videos"] = (
        found["videos"]
        .rename({"id": "video_id"})
        .with_columns(
            pl.col("price").cast(pl.Float64),
            pl.col("product_url").map_elements(page, pl.String).alias("page"),
            pl.col("released_on").str.slice(0, 4).alias("release_year"),
        )
        .sort("video_id")
        .unique("page", keep="first", maintain_order=True)
        .with_row_index("video")
    )
    found["users"] = found["users"].select(
        pl.col("id").alias("user_id"), pl.col("signed_up_at").str.to_datetime(TIME, time_unit="us")
    )
    return found


def tokens_of_titles(videos: pl.DataFrame) -> pl.DataFrame:
    """Return a row a video and token with the token's rarity, in thousandths."""
    titles = [title_tokens(title) if title else set() for title in videos["title"]]
    rows = pl.DataFrame(
        {"video": videos["video"], "token": [sorted(each) for each in titles]},
        schema_overrides={"token": pl.List(pl.String)},
    ).explode("token")
    size = videos["title"].count()
    counts = (
        rows.drop_nulls()
        .group_by("token")
        .len()
        .filter((pl.col("len") >= 2) & (pl.col("len") < size))
    )
    rarity = (1000 * (math.log(size) - pl.col("len").cast(pl.Float64).log())).round().cast(pl.Int64)
    return rows.join(counts.select("token", rarity.alias("amount")), on="token")


def latest_reviews(reviews: pl.DataFrame, videos: pl.DataFrame, as_of: object) -> pl.DataFrame:
    """Return the latest review of each user and video; ``user`` and ``video`` are numbers."""
    urls = reviews.select(pl.col("product_url").unique())
    urls = urls.with_columns(pl.col("product_url").map_elements(page, pl.String).alias("page"))
    known = urls.join(videos.select("page", "video", "video_id"), on="page")
    return (
        reviews.lazy()
        .join(known.lazy().drop("page"), on="product_url", maintain_order="left")
        .drop("product_url")
        .with_columns(
            pl.col("reviewed_at").fill_null(as_of).alias("occurred_at"),
            pl.col("user_id").rank("dense").cast(pl.UInt32).alias("user"),
        )
        .sort("occurred_at", maintain_order=True)
        .unique(["user", "video"], keep="last")
        .collect()
    )


def draw(text: pl.Expr) -> pl.Expr:
    """Return a number in [0, 1) that depends only on the text."""
    digest = plh.concat_str(pl.lit(f"{SEED}:"), text).nchash.md5()
    return digest.str.slice(0, 8).str.to_integer(base=16, dtype=pl.Int64) / 2**32


def split(reviews: pl.DataFrame) -> pl.DataFrame:
    """Hold out a fifth of each user's reviews, by draw; fold the others."""
    place = pl.int_range(pl.len()).over("user")
    size = pl.len().over("user")
    users = reviews.select(pl.col("user", "user_id").unique(maintain_order=True))
    users = users.with_columns(draw(pl.col("user_id")).alias("rounding"))
    sorted_ = (
        reviews.with_columns(
            draw(plh.concat_str(pl.col("user_id"), pl.lit(":"), pl.col("video_id"))).alias("draw")
        )
        .join(users.drop("user_id"), on="user")
        .sort("user", "draw", "video")
        .drop("draw")
    )
    held = pl.min_horizontal(size - 1, (size * VALID_FRACTION + pl.col("rounding")).floor())
    return (
        sorted_.with_columns(place.alias("place"), held.cast(pl.Int64).alias("held"))
        .with_columns((pl.col("place") < pl.col("held")).alias("is_held"))
        .with_columns(
            pl.when("is_held").then(pl.lit("valid")).otherwise(pl.lit("train")).alias("split"),
            pl.when(~pl.col("is_held"))
            .then((pl.col("place") - pl.col("held")) % FOLDS)
            .cast(pl.Int16)
            .alias("fold"),
        )
        .drop("place", "held", "is_held", "rounding")
    )


def vocabulary(name: str, tokens: pl.Series) -> pl.DataFrame:
    """Number the tokens, the most frequent first."""
    least, most = VOCABULARIES[name]
    return (
        tokens.drop_nulls()
        .alias("token")
        .to_frame()
        .group_by("token")
        .len()
        .filter(pl.col("len") >= least)
        .sort(["len", "token"], descending=[True, False])
        .head(most)
        .select("token", pl.int_range(pl.len(), dtype=pl.Int32).alias("index"))
    )


def user_features(
    events: pl.LazyFrame, people: pl.DataFrame, tokens: pl.DataFrame, as_of: object
) -> pl.DataFrame:
    """Return the features of all people from these events, newest first in each history."""
    liked = pl.col("stars") >= LIKED
    recent = pl.col("occurred_at") > pl.lit(as_of) - MONTH
    ids = pl.col("video_id")
    activity = (
        events.sort(["user", "occurred_at", "video"], descending=[False, True, False])
        .group_by("user")
        .agg(
            pl.col("occurred_at").last().alias("first_event_at"),
            recent.sum().alias("recent"),
            (recent & liked).sum().cast(pl.Int64).alias("like_count_30d"),
            ids.filter(liked).head(MOST_HISTORY).alias("liked_video_ids"),
            ids.head(MOST_HISTORY).alias("reviewed_video_ids"),
            ((pl.col("stars") / 5) ** 2).head(MOST_HISTORY).alias("review_relevances"),
        )
    )
    names = tokens.unique("number").sort("number")["token"]
    standings = (
        events.filter(liked)
        .select("user", "video")
        .join(tokens.lazy().select("video", "number", "kind", "amount"), on="video")
        .group_by("user", "number")
        .agg(pl.col("kind").first(), pl.col("amount").sum())
        .with_columns((pl.col("number") - pl.col("amount") * STANDING).alias("standing"))
        .group_by("user")
        .agg(
            pl.col("standing")
            .filter(pl.col("kind") == kind)
            .bottom_k(MOST_PREFERRED)
            .sort()
            .alias(feature)
            for kind, feature in PREFERRED.items()
        )
        .collect(engine="streaming")
    )
    for feature in PREFERRED.values():
        numbers = standings.select("user", pl.col(feature)).explode(feature).drop_nulls()
        lists = (
            numbers.with_columns(names.gather(numbers[feature] % STANDING))
            .group_by("user", maintain_order=True)
            .agg(pl.col("token"))
            .rename({"token": feature})
        )
        standings = standings.drop(feature).join(lists, on="user", how="left")
    since = pl.coalesce("signed_up_at", "first_event_at", pl.lit(as_of))
    return (
        people.lazy()
        .join(activity, on="user", how="left")
        .join(standings.lazy(), on="user", how="left")
        .select(
            "user_id",
            "preferred_tag_ids",
            pl.col("like_count_30d").fill_null(0),
            (pl.lit(as_of) - since).dt.total_days().clip(0).alias("signup_days"),
            (pl.col("like_count_30d") / pl.when(pl.col("recent") > 0).then("recent"))
            .fill_null(0.0)
            .alias("positive_ratio_30d"),
            pl.col("liked_video_ids", "reviewed_video_ids").fill_null(NO_TEXTS),
            pl.col("review_relevances").fill_null(pl.lit([], pl.List(pl.Float64))),
            pl.col("preferred_makers", "preferred_release_years", "preferred_title_tokens"),
        )
        .with_columns(pl.col(*PREFERRED.values()).fill_null(NO_TEXTS))
        .collect()
    )


def tables(reviews: pl.DataFrame, catalogue: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Return every table by its name."""
    as_of = reviews["reviewed_at"].max()
    videos = catalogue["videos"]
    latest = split(latest_reviews(reviews, videos, as_of))
    liked = pl.col("stars") >= LIKED
    recent = pl.col("reviewed_at") > pl.lit(as_of) - MONTH
    titles = tokens_of_titles(videos)
    number = videos.select("video", "video_id")

    def collected(rows: pl.DataFrame, column: str) -> pl.DataFrame:
        return rows.group_by("video_id").agg(pl.col(column).unique().sort())

    items = (
        videos.join(
            collected(catalogue["video_tags"], "tag_id").rename({"tag_id": "tag_ids"}),
            on="video_id",
            how="left",
        )
        .join(
            collected(catalogue["video_performers"], "performer_id").rename(
                {"performer_id": "performer_ids"}
            ),
            on="video_id",
            how="left",
        )
        .join(
            titles.group_by("video").agg(pl.col("token").sort().alias("title_tokens")),
            on="video",
            how="left",
        )
        .select(
            *("video_id", "source", "maker", "label", "series"),
            pl.col("tag_ids", "performer_ids").fill_null(NO_TEXTS),
            *("price", "release_year"),
            pl.col("title_tokens").fill_null(NO_TEXTS),
        )
    )
    kinds = (
        catalogue["video_tags"]
        .unique()
        .join(number, on="video_id")
        .select("video", pl.lit("tag").alias("kind"), pl.col("tag_id").alias("token")),
        *(
            videos.select("video", pl.lit(kind).alias("kind"), pl.col(kind).alias("token"))
            for kind in ("maker", "release_year")
        ),
    )
    tokens = pl.concat(
        [
            *(
                each.drop_nulls().with_columns(pl.lit(1, pl.Int64).alias("amount"))
                for each in kinds
            ),
            titles.select("video", pl.lit("title_token").alias("kind"), "token", "amount"),
        ]
    ).with_columns((pl.struct("kind", "token").rank("dense").cast(pl.Int64) - 1).alias("number"))
    users = (
        latest.group_by("user_id")
        .agg(
            pl.col("user").first(),
            pl.col("occurred_at").min().alias("first_occurred_at"),
            pl.col("reviewed_at").min().alias("first_reviewed_at"),
            pl.col("reviewed_at").max().alias("last_reviewed_at"),
            pl.len().cast(pl.Int64).alias("review_count"),
            liked.sum().cast(pl.Int64).alias("like_count"),
        )
        .join(
            catalogue["users"].filter(pl.col("signed_up_at") <= as_of),
            on="user_id",
            how="full",
            coalesce=True,
        )
        .with_columns(pl.col("review_count", "like_count").fill_null(0))
    )
    people = users.select("user_id", "user").join(catalogue["users"], on="user_id", how="left")
    counts = latest.group_by("video_id").agg(
        pl.len().cast(pl.Int64).alias("review_count"),
        liked.sum().cast(pl.Int64).alias("like_count"),
        (liked & recent).sum().cast(pl.Int64).alias("like_count_30d"),
    )
    popularity = (
        videos.select("video_id")
        .join(counts, on="video_id", how="left")
        .fill_null(0)
        # Columns: by one number polars multiplies with 1 / it, and equal scores no longer are.
        .with_columns(
            pl.max_horizontal(pl.col(name).max(), 1).over(pl.lit(1)).alias(f"most_{name}")
            for name in ("like_count", "like_count_30d")
        )
        .with_columns(
            (
                0.5 * pl.col("like_count") / pl.col("most_like_count")
                + 0.5 * pl.col("like_count_30d") / pl.col("most_like_count_30d")
            ).alias("score")
        )
        .drop("most_like_count", "most_like_count_30d")
        .sort(["score", "video_id"], descending=[True, False])
        .with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias("popularity_rank"))
    )
    training = latest.filter(pl.col("split") == "train")
    return {
        "interactions": latest.select(
            "user_id",
            pl.col("video_id").alias("item_id"),
            liked.cast(pl.Int16).alias("label"),
            (pl.col("stars") / 5).alias("weight"),
            pl.col("reviewed_at").alias("timestamp"),
        ),
        "interaction_splits": latest.select(
            "user_id", pl.col("video_id").alias("item_id"), "split", "fold"
        ),
        "users": users.select(
            "user_id",
            pl.coalesce("signed_up_at", "first_occurred_at").alias("signed_up_at"),
            *("first_reviewed_at", "last_reviewed_at", "review_count", "like_count"),
        ),
        "popularity": popularity,
        "item_features": items,
        "user_features": user_features(latest.lazy(), people, tokens, as_of),
        "training_user_features": user_features(training.lazy(), people, tokens, as_of),
        **{
            f"vocab_{name}": vocabulary(name, items[name])
            for name in ("source", "maker", "label", "series", "release_year")
        },
        "vocab_tag": vocabulary("tag", items["tag_ids"].explode()),
        "vocab_performer": vocabulary("performer", items["performer_ids"].explode()),
        "vocab_title_token": vocabulary("title_token", items["title_tokens"].explode()),
        "vocab_video": vocabulary("video", training["video_id"]),
    }


def main() -> None:
    """Read, make the tables and write them; print the seconds after reading."""
    data, out = folders()
    reviews, catalogue = read_reviews(data / "reviews"), read_catalogue(data / "catalogue")
    started = time.perf_counter()
    for name, table in tables(reviews, catalogue).items():
        table.write_parquet(out / f"{name}.parquet")
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
