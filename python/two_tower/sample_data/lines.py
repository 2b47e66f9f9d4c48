"""Reviews as CSV lines, with the dirt that real exports have."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from two_tower.sample_data.tastes import Reviews
from two_tower.sample_data.world import DAY, Ints

HEADER = "product_url,reviewer_id,stars,reviewed_at"
WIDE_HEADER = "review_id,reviewed_at,product_url,stars,reviewer_id"
NO_TIMESTAMP_SHARE = 0.03
URL_VARIANT_SHARE = 0.04
DIRTY_SHARE = 0.01
REJECTED = ("stars_zero", "stars_six", "stars_word", "no_reviewer", "no_url", "too_many_fields")
KEPT = ("unknown_url", "duplicate")


@dataclass(frozen=True)
class Style:
    """What is odd about a file."""

    bom: bool = False
    crlf: bool = False
    wide: bool = False  # an extra column, and another order

    @classmethod
    def of_file(cls, number: int) -> "Style":
        """Return the style of the file with that number: three of every hundred are odd."""
        return cls(bom=number % 100 == 2, crlf=number % 100 == 3, wide=number % 100 == 4)


@dataclass(frozen=True)
class Lines:
    """The bytes of one file and the number of dirty rows of each kind in it."""

    content: memoryview
    rows: int
    dirty: Counter[str]


def build(
    reviews: Reviews, reviewers: pa.Array, urls: pa.Array, style: Style, rng: np.random.Generator
) -> Lines:
    """Lay out one file.

    Args:
        reviews: its clean reviews.
        reviewers: the id of each user of the chunk, text.
        urls: the canonical URL of each video, text.
        style: what is odd about the file.
        rng: draws URL variants, missing timestamps and dirty rows.
    """
    order = np.lexsort((reviews.user, reviews.at))
    reviews = Reviews(*(column[order] for column in _columns(reviews)))
    n = len(reviews.user)
    has_time = rng.random(n) >= NO_TIMESTAMP_SHARE
    kinds, rows = _dirty_rows(reviews, has_time, rng)
    pick = np.concatenate([np.arange(n), rows])
    kind = np.concatenate([np.full(n, ""), kinds])
    at, stars = reviews.at[pick], reviews.stars[pick].astype(str).astype(object)
    again = kind == "duplicate"  # an earlier review of the same video: the later one wins
    at[again] -= rng.integers(1, 30, int(again.sum())) * DAY
    stars[again] = np.char.mod("%d", 1 + (reviews.stars[pick][again] + 1) % 5)
    for name, value in (("stars_zero", "0"), ("stars_six", "6"), ("stars_word", "five")):
        stars[kind == name] = value
    url = _replace(_urls(urls, reviews.video[pick], rng), kind == "no_url", "")
    unknown = kind == "unknown_url"
    url = _replace(
        url, unknown, [f"{_site(urls)}/withdrawn/{i}" for i in reviews.video[pick][unknown]]
    )
    reviewer = _replace(reviewers.take(pa.array(reviews.user[pick])), kind == "no_reviewer", "")
    moment = pc.cast(pa.array(at.astype("datetime64[s]")), pa.string())
    moment = pc.if_else(pa.array(has_time[pick]), moment, "")
    last = _replace(
        moment,
        kind == "too_many_fields",
        pc.binary_join_element_wise(
            moment.filter(pa.array(kind == "too_many_fields")), "as new", "yes", ","
        ),
    )
    stars_text = pa.array(stars, pa.string())
    if style.wide:
        number = pc.cast(pa.array(np.arange(len(pick)) + 1), pa.string())
        line = pc.binary_join_element_wise(number, last, url, stars_text, reviewer, ",")
    else:
        line = pc.binary_join_element_wise(url, reviewer, stars_text, last, ",")
    place = np.argsort(np.concatenate([np.arange(n), rows + 0.5]), kind="stable")
    return Lines(
        content=_join(line.take(pa.array(place)), style),
        rows=len(pick),
        dirty=Counter(kinds.tolist()),
    )


def _columns(reviews: Reviews) -> tuple[Ints, Ints, Ints, Ints]:
    return reviews.user, reviews.video, reviews.at, reviews.stars


def _site(urls: pa.Array) -> str:
    return "/".join(urls[0].as_py().split("/")[:3])


def _dirty_rows(
    reviews: Reviews, has_time: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, Ints]:
    """Return the kind of each dirty row and the clean row it is made from."""
    count = max(len(REJECTED) + len(KEPT), round(len(reviews.user) * DIRTY_SHARE))
    kinds = np.array([*REJECTED, *KEPT, "duplicate", "duplicate"])[np.arange(count) % 10]
    rows = rng.integers(0, len(reviews.user), count)
    # Without a moment of its own it would be open which of two reviews is the latest.
    again = kinds == "duplicate"
    timed = np.unique(np.flatnonzero(has_time))
    chosen = rng.permutation(timed)[: int(again.sum())]
    keep = np.ones(count, dtype=bool)
    keep[np.flatnonzero(again)[len(chosen) :]] = False
    rows[np.flatnonzero(again)[: len(chosen)]] = chosen
    return kinds[keep], rows[keep]


def _urls(urls: pa.Array, video: Ints, rng: np.random.Generator) -> pa.Array:
    """Return the URL of each row; some in a variant that names the same page."""
    found = urls.take(pa.array(video))
    variant = np.flatnonzero(rng.random(len(video)) < URL_VARIANT_SHARE)
    rewritten = [
        _variant(url, int(which))
        for url, which in zip(
            found.take(pa.array(variant)).to_pylist(), rng.integers(0, 6, len(variant)), strict=True
        )
    ]
    mask = np.zeros(len(video), dtype=bool)
    mask[variant] = True
    return _replace(found, mask, rewritten)


def _variant(url: str, which: int) -> str:
    if which == 0:
        return f"{url}/"
    if which == 1:
        return url.replace("https://", "http://")
    if which == 2:
        scheme, rest = url.split("://")
        host, path = rest.split("/", 1)
        return f"{scheme}://{host.upper()}/{path}"
    if which == 3:
        return f"{url}?utm_source=mail&utm_medium=newsletter"
    if which == 4:
        return f"{url}/?i3_ref=list&i3_ord=3"
    return f"  {url}#reviews"


def _replace(values: pa.Array, mask: np.ndarray, with_: object) -> pa.Array:
    replacement = pa.scalar(with_, pa.string()) if isinstance(with_, str) else with_
    if isinstance(replacement, list):
        replacement = pa.array(replacement, pa.string())
    return pc.replace_with_mask(values, pa.array(mask), replacement)


def _join(line: pa.Array, style: Style) -> memoryview:
    newline = "\r\n" if style.crlf else "\n"
    head = ("\ufeff" if style.bom else "") + (WIDE_HEADER if style.wide else HEADER)
    everything = pa.concat_arrays([pa.array([head]), line, pa.array([""])]).cast(pa.large_string())
    rows = pa.LargeListArray.from_arrays(pa.array([0, len(everything)], pa.int64()), everything)
    return memoryview(pc.binary_join(rows, pa.scalar(newline, pa.large_string()))[0].as_buffer())
