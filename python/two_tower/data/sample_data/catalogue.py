"""The catalogue of the sample as Arrow tables: entity numbers of the world become names."""

import uuid
from urllib.parse import urlencode

import numpy as np
import pyarrow as pa

from two_tower.data.sample_data import words
from two_tower.data.sample_data.world import Ints, World

SITE = "https://video.example.com"
SOURCES = ["digital", "monthly", "rental", "live"]
LETTERS = "abcdefghjkmnprstuvwx"
THUMBNAILS = "/thumbnail.svg"  # `two-tower serve` draws them
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, SITE)


def product_urls(world: World) -> list[str]:
    """Return each video's canonical product URL."""
    return [
        f"{SITE}/{SOURCES[source]}/detail/{LETTERS[maker % 20]}{maker:03d}-{video:06d}"
        for video, (source, maker) in enumerate(
            zip(world.source.tolist(), world.maker.tolist(), strict=True)
        )
    ]


def tables(world: World, urls: list[str], rng: np.random.Generator) -> dict[str, pa.Table]:
    """Return every catalogue table but ``users``, by name."""
    ids = np.array([str(uuid.uuid5(NAMESPACE, url)) for url in urls])
    tag_video, tag = _video_tags(world, rng)
    tag_names = _tag_names(world)
    performers = np.arange(world.size.performers)
    return {
        "videos": _videos(world, ids, urls, rng),
        "tags": pa.table({"id": _ids("t", np.arange(len(tag_names))), "name": tag_names}),
        "video_tags": pa.table({"video_id": ids[tag_video], "tag_id": _ids("t", tag)}),
        "performers": pa.table(
            {"id": _ids("p", performers), "name": [_performer(p) for p in performers.tolist()]}
        ),
        "video_performers": pa.table(
            {"video_id": ids[world.performer_video], "performer_id": _ids("p", world.performer)}
        ),
    }


def _ids(prefix: str, numbers: Ints) -> list[str]:
    return [f"{prefix}{number:05d}" for number in numbers.tolist()]


def _performer(number: int) -> str:
    family = words.FAMILY_NAMES[number % len(words.FAMILY_NAMES)]
    # The given name shifts with each round of family names: 2,500 different names.
    turn = number // len(words.FAMILY_NAMES)
    return f"{family} {words.GIVEN_NAMES[(number * 7 + turn) % len(words.GIVEN_NAMES)]}"


def maker_name(maker: int) -> str:
    """Return the name of a maker."""
    stem = words.MAKER_STEMS[maker % len(words.MAKER_STEMS)]
    turn = maker // len(words.MAKER_STEMS)
    ending = words.MAKER_ENDINGS[(maker + turn) % len(words.MAKER_ENDINGS)]
    place = turn // len(words.MAKER_ENDINGS)
    return f"{words.PLACES[place % len(words.PLACES)] if place else ''}{stem}{ending}"


def _videos(world: World, ids: np.ndarray, urls: list[str], rng: np.random.Generator) -> pa.Table:
    price = pa.array(world.price, pa.int64(), mask=rng.random(len(ids)) < 0.01)
    released = pa.array(world.released_at.astype("datetime64[s]").astype("datetime64[D]"))
    titles = _titles(world, rng)
    makers = [maker_name(maker) for maker in world.maker.tolist()]
    thumbnails = [
        f"{THUMBNAILS}?{urlencode({'maker': maker, 'title': title})}"
        for maker, title in zip(makers, titles, strict=True)
    ]
    return pa.table(
        {
            "id": ids,
            "title": titles,
            "thumbnail_url": thumbnails,
            "product_url": urls,
            "source": [SOURCES[source] for source in world.source.tolist()],
            "maker": makers,
            "label": [_label(label) for label in world.label.tolist()],
            "series": [_series(world, series) for series in world.series.tolist()],
            "price": price,
            "released_on": released,
        }
    )


def _label(label: int) -> str | None:
    if label < 0:
        return None
    return f"{maker_name(label // 3)} {words.LABEL_ENDINGS[label % 3]}"


def _series(world: World, series: int) -> str | None:
    if series < 0:
        return None
    return f"{words.PLACES[series % 30]}{words.FORMATS[series // 30 % 16]}シリーズ{series:04d}"


def _titles(world: World, rng: np.random.Generator) -> list[str]:
    n = world.size.videos
    place, form, style = (rng.integers(0, k, n).tolist() for k in (30, 16, 20))
    topic = rng.integers(0, 6, n).tolist()
    genre = world.niche_genre[world.niche].tolist()
    titles = []
    for video in range(n):
        where, what = words.PLACES[place[video]], words.GENRE_TAGS[genre[video]][topic[video]]
        title = f"{where}の{what}{words.FORMATS[form[video]]} 第{video + 1}回"
        if style[video] == 0:
            title = f'"{what}"{words.FORMATS[form[video]]}, {where}編 第{video + 1}回'
        elif style[video] == 1:
            title = f"「{where}」と『{what}』 vol.{video + 1}, 特別版"
        titles.append(title)
    return titles


def _tag_names(world: World) -> list[str]:
    """Return genres, general tags, the tags of each genre, then two tags of each niche."""
    names = [*words.GENRES, *words.GENERAL_TAGS]
    names += [name for group in words.GENRE_TAGS for name in group]
    for niche, genre in enumerate(world.niche_genre.tolist()):
        turn = niche // len(words.GENRES)
        place = words.PLACES[(niche * 3 + turn) % len(words.PLACES)]
        names += [f"{place}の{words.GENRES[genre]}{turn or ''}", f"{place}発{turn or ''}{genre}"]
    return names


def _video_tags(world: World, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return sorted pairs: each video's genre, up to two tags of its niche and a few others."""
    n = world.size.videos
    genres, general = len(words.GENRES), len(words.GENERAL_TAGS)
    genre = world.niche_genre[world.niche]
    first_niche_tag = genres + general + 6 * genres
    candidates = [
        (genre, 1.0),
        (first_niche_tag + 2 * world.niche, 0.85),
        (first_niche_tag + 2 * world.niche + 1, 0.5),
        (genres + general + 6 * genre + rng.integers(0, 6, n), 0.9),
        (genres + general + 6 * genre + rng.integers(0, 6, n), 0.4),
        (genres + rng.integers(0, general, n), 0.7),
        (genres + rng.integers(0, general, n), 0.3),
    ]
    kept = [rng.random(n) < share for _, share in candidates]
    video = np.concatenate([np.flatnonzero(rows) for rows in kept])
    tag = np.concatenate([tags[rows] for (tags, _), rows in zip(candidates, kept, strict=True)])
    width = first_niche_tag + 2 * world.size.niches
    pairs = np.unique(video * width + tag)
    return pairs // width, pairs % width
