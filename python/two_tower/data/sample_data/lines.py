"""Reviews as CSV lines, with the dirty rows that real exports have."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from two_tower.data.sample_data.catalogue import SITE
from two_tower.data.sample_data.tastes import Reviews
from two_tower.data.sample_data.world import DAY, Ints

HEADER = "product_url,reviewer_id,stars,reviewed_at"
WIDE_HEADER = "review_id,reviewed_at,product_url,stars,reviewer_id"
NO_TIMESTAMP_SHARE = 0.03
URL_VARIANT_SHARE = 0.04
DIRTY_SHARE = 0.01
STARS = pa.array(["1", "2", "3", "4", "5"])
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
        reviews: clean reviews of the file.
        reviewers: id of each user of the chunk, text.
        urls: canonical URL of each video, text.
        style: what is odd about the file.
        rng: draws URL variants, missing timestamps and dirty rows.
    """
    order = np.argsort(reviews.at, kind="stable")
    reviews = Reviews(
        reviews.user[order], reviews.video[order], reviews.at[order], reviews.stars[order]
    )
    has_time = rng.random(len(order)) >= NO_TIMESTAMP_SHARE
    clean = _Fields(
        url=_urls(urls, reviews.video, rng),
        reviewer=reviewers.take(pa.array(reviews.user)),
        stars=STARS.take(pa.array(reviews.stars - 1)),
        at=pc.if_else(pa.array(has_time), _moments(reviews.at), ""),
    )
    kinds, rows = _dirty_rows(len(order), has_time, rng)
    line = pa.concat_arrays(
        [
            clean.lines(style, 1),
            _spoiled(clean, reviews, kinds, rows, rng).lines(style, len(order) + 1),
        ]
    )
    surplus = pa.array(np.concatenate([np.zeros(len(order), bool), kinds == "too_many_fields"]))
    line = pc.replace_with_mask(
        line, surplus, pc.binary_join_element_wise(line.filter(surplus), "as new", "yes", ",")
    )
    place = np.argsort(np.concatenate([np.arange(len(order)), rows + 0.5]), kind="stable")
    return Lines(_join(line.take(pa.array(place)), style), len(place), Counter(kinds.tolist()))


@dataclass(frozen=True)
class _Fields:
    """The fields of some rows, as text."""

    url: pa.Array
    reviewer: pa.Array
    stars: pa.Array
    at: pa.Array

    def lines(self, style: Style, first_id: int) -> pa.Array:
        """Return the rows as lines; ``first_id`` is the first value of the extra column."""
        if not style.wide:
            return pc.binary_join_element_wise(self.url, self.reviewer, self.stars, self.at, ",")
        ids = pc.cast(pa.array(np.arange(len(self.url)) + first_id), pa.string())
        return pc.binary_join_element_wise(ids, self.at, self.url, self.stars, self.reviewer, ",")


def _spoiled(
    clean: _Fields, reviews: Reviews, kinds: np.ndarray, rows: Ints, rng: np.random.Generator
) -> _Fields:
    """Return a dirty version of each clean row, by kind."""
    picked = pa.array(rows)
    url, reviewer = clean.url.take(picked), clean.reviewer.take(picked)
    stars, at = clean.stars.take(picked), clean.at.take(picked)
    # Another rating some days earlier: of two reviews of one video the later one wins.
    again = kinds == "duplicate"
    before = reviews.at[rows[again]] - rng.integers(1, 30, int(again.sum())) * DAY
    at = _replace(at, again, _moments(before))
    stars = _replace(stars, again, STARS.take(pa.array((reviews.stars[rows[again]] + 1) % 5)))
    for kind, value in (("stars_zero", "0"), ("stars_six", "6"), ("stars_word", "five")):
        stars = _replace(stars, kinds == kind, value)
    unknown = kinds == "unknown_url"
    pages = [f"{SITE}/withdrawn/{video:06d}" for video in reviews.video[rows[unknown]].tolist()]
    url = _replace(_replace(url, kinds == "no_url", ""), unknown, pages)
    return _Fields(url, _replace(reviewer, kinds == "no_reviewer", ""), stars, at)


def _moments(seconds: Ints) -> pa.Array:
    return pc.cast(pa.array(seconds.astype("datetime64[s]")), pa.string())


def _dirty_rows(
    clean: int, has_time: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, Ints]:
    """Return the kind of each dirty row and the clean row it is made from."""
    count = max(len(REJECTED) + len(KEPT), round(clean * DIRTY_SHARE))
    kinds = np.array([*REJECTED, *KEPT, "duplicate", "duplicate"])[np.arange(count) % 10]
    rows = rng.integers(0, clean, count)
    # Without a timestamp it would be undefined which of two reviews is the latest.
    again = kinds == "duplicate"
    timed = np.flatnonzero(has_time)
    chosen = rng.permutation(timed)[: int(again.sum())]
    keep = np.ones(count, dtype=bool)
    keep[np.flatnonzero(again)[len(chosen) :]] = False
    rows[np.flatnonzero(again)[: len(chosen)]] = chosen
    return kinds[keep], rows[keep]


def _urls(urls: pa.Array, video: Ints, rng: np.random.Generator) -> pa.Array:
    """Return the URL of each row; some as a variant of the same page."""
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
