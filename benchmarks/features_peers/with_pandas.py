"""Data and features with pandas: ``python -m benchmarks.features_peers.with_pandas DATA OUT``."""

from __future__ import annotations

import time
from collections.abc import Iterable
from hashlib import md5
from pathlib import Path

import numpy as np
import pandas as pd

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

MONTH = pd.Timedelta(days=30)
TIME = "%Y-%m-%d %H:%M:%S"


def read_reviews(folder: Path) -> pd.DataFrame:
    """Return the accepted rows in the order of files and lines."""
    frames = (
        # A line with too many fields is left out.
        pd.read_csv(path, dtype=str, encoding="utf-8-sig", on_bad_lines="skip")[[*REVIEW_COLUMNS]]
        for path in sorted(folder.glob("dmm_reviews_*.csv"))
    )
    rows = pd.concat(frames, ignore_index=True)
    rows["stars"] = pd.to_numeric(rows["stars"], errors="coerce")
    rows["reviewed_at"] = pd.to_datetime(rows["reviewed_at"], format=TIME, errors="coerce")
    for column in ("product_url", "reviewer_id"):
        rows[column] = rows[column].str.strip()
    kept = rows["stars"].between(1, 5) & (rows["product_url"] != "") & (rows["reviewer_id"] != "")
    kept &= rows["product_url"].notna() & rows["reviewer_id"].notna()
    return rows[kept].rename(columns={"reviewer_id": "user_id"})


def read_catalogue(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the catalogue's tables; of the videos of a page the first."""
    names = ("videos", "video_tags", "video_performers", "users")
    found = {name: pd.read_csv(folder / f"{name}.csv", dtype=str) for name in names}
    videos = found["videos"].rename(columns={"id": "video_id"}).sort_values("video_id")
    videos["page"] = videos["product_url"].map(page)
    videos["price"] = videos["price"].astype(float)
    videos["release_year"] = videos["released_on"].str[:4]
    videos = videos.drop_duplicates("page").reset_index(drop=True)
    videos["video"] = videos.index
    users = found["users"].rename(columns={"id": "user_id"})
    users["signed_up_at"] = pd.to_datetime(users["signed_up_at"], format=TIME)
    return {**found, "videos": videos, "users": users}


def tokens_of_titles(videos: pd.DataFrame) -> pd.DataFrame:
    """Return a row a video and token with the token's rarity, in thousandths."""
    titles = videos["title"].map(lambda title: sorted(title_tokens(title)), na_action="ignore")
    rows = pd.DataFrame({"video": videos["video"], "token": titles}).explode("token").dropna()
    counts = rows.groupby("token")["video"].transform("size")
    size = videos["title"].notna().sum()
    rows["amount"] = (1000 * np.log(size / counts)).round().astype(np.int64)
    return rows[(counts >= 2) & (counts < size)]


def latest_reviews(reviews: pd.DataFrame, videos: pd.DataFrame) -> pd.DataFrame:
    """Return the latest review of each user and video; ``user`` and ``video`` are numbers."""
    pages = pd.Series({url: page(url) for url in reviews["product_url"].unique()})
    numbers = pages.map(videos.set_index("page")["video"]).dropna().astype(np.int64)
    rows = reviews.assign(video=reviews["product_url"].map(numbers)).dropna(subset=["video"])
    rows = rows.drop(columns="product_url").astype({"video": np.int64})
    rows["user"], _ = pd.factorize(rows["user_id"], sort=True)
    rows["occurred_at"] = rows["reviewed_at"].fillna(reviews["reviewed_at"].max())
    rows["video_id"] = rows["video"].map(videos["video_id"])
    rows = rows.sort_values("occurred_at", kind="stable")
    return rows.drop_duplicates(["user", "video"], keep="last")


def draws(texts: Iterable[str]) -> np.ndarray:
    """Return a number in [0, 1) for each text, which depends only on it."""
    digests = (md5(f"{SEED}:{text}".encode()).hexdigest()[:8] for text in texts)
    return np.fromiter((int(digest, 16) for digest in digests), np.int64) / 2**32


def split(reviews: pd.DataFrame) -> pd.DataFrame:
    """Hold out a fifth of each user's reviews, by draw; fold the others."""
    rows = reviews.assign(draw=draws(reviews["user_id"] + ":" + reviews["video_id"]))
    rows = rows.sort_values(["user", "draw", "video"]).drop(columns="draw")
    users = rows["user_id"].drop_duplicates()
    rounding = rows["user_id"].map(pd.Series(draws(users), index=users.to_numpy()))
    groups = rows.groupby("user")["video"]
    place, size = groups.cumcount(), groups.transform("size")
    held = np.minimum(size - 1, np.floor(size * VALID_FRACTION + rounding))
    is_held = place < held
    rows["split"] = np.where(is_held, "valid", "train")
    rows["fold"] = ((place - held) % FOLDS).where(~is_held).astype("Int16")
    return rows


def vocabulary(name: str, tokens: pd.Series) -> pd.DataFrame:
    """Number the tokens, the most frequent first."""
    least, most = VOCABULARIES[name]
    counts = tokens.dropna().value_counts().rename("n").rename_axis("token").reset_index()
    counts = counts[counts["n"] >= least].sort_values(["n", "token"], ascending=[False, True])
    head = counts.head(most)
    return pd.DataFrame({"token": head["token"].to_numpy(), "index": np.arange(len(head))})


def lists(keys: pd.Series, values: np.ndarray, most: int) -> pd.Series:
    """Return the first values of each key; the keys are sorted."""
    found, starts = np.unique(keys.to_numpy(), return_index=True)
    parts = np.split(values, starts[1:]) if len(found) else []
    return pd.Series([part[:most] for part in parts], index=found, dtype=object)


def preferred(likes: pd.DataFrame, tokens: pd.DataFrame) -> dict[str, pd.Series]:
    """Return each user's tokens of most likes, by the name of the feature."""
    rows = likes[["user", "video"]].merge(tokens[["video", "number", "amount"]], on="video")
    sums = rows.groupby(["user", "number"], sort=False)["amount"].sum().reset_index()
    names = tokens.drop_duplicates("number").sort_values("number")
    sums["standing"] = sums["number"] - sums["amount"] * STANDING
    sums["kind"] = names["kind"].to_numpy()[sums["number"].to_numpy()]
    texts = names["token"].to_numpy()
    found = {}
    for kind, feature in PREFERRED.items():
        mine = sums[sums["kind"] == kind].sort_values(["user", "standing"])
        found[feature] = lists(mine["user"], texts[mine["number"].to_numpy()], MOST_PREFERRED)
    return found


def user_features(
    events: pd.DataFrame, people: pd.DataFrame, tokens: pd.DataFrame, as_of: pd.Timestamp
) -> pd.DataFrame:
    """Return the features of all people from these events, newest first in each history."""
    rows = events.sort_values(["user", "occurred_at", "video"], ascending=[True, False, True])
    liked = rows["stars"] >= LIKED
    recent = rows["occurred_at"] > as_of - MONTH
    ids = rows["video_id"].to_numpy()
    of = people["user"]
    found = pd.DataFrame({"user_id": people["user_id"]})
    recent_likes = of.map((recent & liked).groupby(rows["user"]).sum()).fillna(0)
    found["like_count_30d"] = recent_likes.astype(np.int64)
    recent_reviews = of.map(recent.groupby(rows["user"]).sum()).fillna(0)
    first = of.map(rows.groupby("user")["occurred_at"].min())
    since = people["signed_up_at"].fillna(first).fillna(as_of)
    found["signup_days"] = (as_of - since).dt.days.clip(lower=0)
    found["positive_ratio_30d"] = (recent_likes / recent_reviews.replace(0, np.nan)).fillna(0)
    grades = (rows["stars"].to_numpy() / 5) ** 2
    arrays = {
        "liked_video_ids": lists(rows.loc[liked, "user"], ids[liked.to_numpy()], MOST_HISTORY),
        "reviewed_video_ids": lists(rows["user"], ids, MOST_HISTORY),
        "review_relevances": lists(rows["user"], grades, MOST_HISTORY),
        **preferred(rows[liked], tokens),
    }
    for name, values in arrays.items():
        column = of.map(values)
        found[name] = column.where(column.notna(), pd.Series([[]] * len(found), dtype=object))
    return found


def items_of(catalogue: dict[str, pd.DataFrame], titles: pd.DataFrame) -> pd.DataFrame:
    """Return the features of the videos."""
    items = catalogue["videos"].set_index("video_id")

    def collected(rows: pd.DataFrame, key: str, column: str) -> pd.Series:
        rows = rows[[key, column]].drop_duplicates().sort_values([key, column])
        return lists(rows[key], rows[column].to_numpy(), len(rows))

    tokens = titles.assign(video_id=titles["video"].map(catalogue["videos"]["video_id"]))
    arrays = {
        "tag_ids": collected(catalogue["video_tags"], "video_id", "tag_id"),
        "performer_ids": collected(catalogue["video_performers"], "video_id", "performer_id"),
        "title_tokens": collected(tokens, "video_id", "token"),
    }
    for name, values in arrays.items():
        items[name] = [values.get(video, []) for video in items.index]
    columns = ["source", "maker", "label", "series", "price", "release_year", *arrays]
    return items[columns].reset_index()


def tokens_of_videos(catalogue: dict[str, pd.DataFrame], titles: pd.DataFrame) -> pd.DataFrame:
    """Return a row a video and token of each kind that a user may prefer."""
    videos = catalogue["videos"]
    tags = catalogue["video_tags"].drop_duplicates()
    numbers = pd.Series(videos["video"].to_numpy(), index=videos["video_id"])
    kinds = [
        pd.DataFrame({"video": tags["video_id"].map(numbers), "token": tags["tag_id"]}),
        *(
            videos[["video", kind]].rename(columns={kind: "token"})
            for kind in ("maker", "release_year")
        ),
    ]
    names = ("tag", "maker", "release_year")
    parts = [part.assign(kind=kind, amount=1) for kind, part in zip(names, kinds, strict=True)]
    rows = pd.concat([*parts, titles.assign(kind="title_token")], ignore_index=True).dropna()
    rows = rows.astype({"video": np.int64})
    rows["number"] = rows.groupby(["kind", "token"]).ngroup()
    return rows


def popularity_of(latest: pd.DataFrame, videos: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return the videos by falling popularity."""
    liked = latest["stars"] >= LIKED
    recent = latest["reviewed_at"] > as_of - MONTH
    found = pd.DataFrame({"video_id": videos["video_id"]})
    for name, rows in (
        ("review_count", latest),
        ("like_count", latest[liked]),
        ("like_count_30d", latest[liked & recent]),
    ):
        found[name] = videos["video"].map(rows["video"].value_counts()).fillna(0).astype(np.int64)
    found["score"] = sum(
        0.5 * found[name] / max(found[name].max(), 1) for name in ("like_count", "like_count_30d")
    )
    found = found.sort_values(["score", "video_id"], ascending=[False, True])
    found["popularity_rank"] = np.arange(1, len(found) + 1)
    return found


def users_of(latest: pd.DataFrame, accounts: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Return everybody who has a review or an account."""
    grouped = latest.assign(liked=latest["stars"] >= LIKED).groupby("user_id")
    found = grouped.agg(
        user=("user", "first"),
        first_occurred_at=("occurred_at", "min"),
        first_reviewed_at=("reviewed_at", "min"),
        last_reviewed_at=("reviewed_at", "max"),
        review_count=("user", "size"),
        like_count=("liked", "sum"),
    )
    found = found.merge(accounts[accounts["signed_up_at"] <= as_of], on="user_id", how="outer")
    counts = ["review_count", "like_count"]
    found[counts] = found[counts].fillna(0).astype(np.int64)
    found["signed_up_at"] = found["signed_up_at"].fillna(found["first_occurred_at"])
    return found


def tables(reviews: pd.DataFrame, catalogue: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Return every table by its name."""
    as_of = reviews["reviewed_at"].max()
    videos = catalogue["videos"]
    latest = split(latest_reviews(reviews, videos))
    titles = tokens_of_titles(videos)
    items = items_of(catalogue, titles)
    tokens = tokens_of_videos(catalogue, titles)
    users = users_of(latest, catalogue["users"], as_of)
    people = users[["user_id", "user"]].merge(catalogue["users"], on="user_id", how="left")
    training = latest[latest["split"] == "train"]
    return {
        "interactions": pd.DataFrame(
            {
                "user_id": latest["user_id"],
                "item_id": latest["video_id"],
                "label": (latest["stars"] >= LIKED).astype(np.int16),
                "weight": latest["stars"] / 5,
                "timestamp": latest["reviewed_at"],
            }
        ),
        "interaction_splits": latest[["user_id", "video_id", "split", "fold"]].rename(
            columns={"video_id": "item_id"}
        ),
        "users": users.drop(columns=["user", "first_occurred_at"]),
        "popularity": popularity_of(latest, videos, as_of),
        "item_features": items,
        "user_features": user_features(latest, people, tokens, as_of),
        "training_user_features": user_features(training, people, tokens, as_of),
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
        table.to_parquet(out / f"{name}.parquet", index=False)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
