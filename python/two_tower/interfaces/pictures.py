"""Pictures of videos that have none to show: a poster drawn from the title and the maker.

The same title and maker always give the same SVG. It loads nothing, runs nothing, and holds no text
that is not escaped.
"""

from __future__ import annotations

import base64
import hashlib
import html
import unicodedata
from urllib.parse import parse_qs, urlsplit

WIDTH, HEIGHT = 320, 180
# Where the server draws one: `/thumbnail.svg?maker=…&title=…`, as in the sample data.
PATH = "/thumbnail.svg"
LINE, LINES = 9.0, 2  # a line's length in full-width characters, and how many there are
FONTS = "'Hiragino Sans','Yu Gothic','Noto Sans CJK JP','Noto Sans JP',system-ui,sans-serif"


def poster(title: str, maker: str = "") -> str:
    """Return an SVG of 320 x 180.

    Args:
        title: of the video; two lines of it are shown.
        maker: gives the hue, so that videos of one maker look alike; shown in small type.
    """
    hue = _number(maker or title) % 360
    seed = _number(title)
    lines = _wrapped(title)
    top = HEIGHT - 34 - 36 * (len(lines) - 1)
    texts = "".join(
        f'<text x="20" y="{top + 36 * place}" font-size="30" font-weight="700">'
        f"{html.escape(line)}</text>"
        for place, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' width="{WIDTH}" height="{HEIGHT}" role="img">'
        '<defs><linearGradient id="g" x1="0" y1="0" x2="1" y2="1">'
        f'<stop offset="0" stop-color="hsl({hue},52%,46%)"/>'
        f'<stop offset="1" stop-color="hsl({(hue + 40) % 360},58%,24%)"/></linearGradient>'
        '<linearGradient id="s" x1="0" y1="0" x2="0" y2="1">'
        '<stop offset=".35" stop-color="#000" stop-opacity="0"/>'
        '<stop offset="1" stop-color="#000" stop-opacity=".55"/></linearGradient></defs>'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#g)"/>{_scene(seed, hue)}'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="url(#s)"/>'
        f'<g fill="#fff" font-family="{FONTS}">'
        f'<text x="20" y="34" font-size="15" opacity=".85">{html.escape(_cut(maker, 18))}</text>'
        f"{texts}</g></svg>"
    )


def of_url(url: str | None, title: str | None) -> str:
    """Return a picture's address for a page that this server did not send, as a notebook is.

    Args:
        url: a video's `thumbnail_url`. What is neither of the web nor drawn here is not used.
        title: of the video, to draw one from where it has no picture.
    """
    url = url or ""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme in ("http", "https") and parts.netloc:
        return url
    named = parse_qs(parts.query) if not parts.scheme and parts.path == PATH else {}
    drawn = poster((named.get("title") or [title or ""])[0], (named.get("maker") or [""])[0])
    return "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()


def _scene(seed: int, hue: int) -> str:
    """Return a few large shapes: hills, discs or rays."""
    kind, a, b, c = seed % 3, seed >> 8 & 255, seed >> 16 & 255, seed >> 24 & 255
    light = f"hsl({(hue + 60 + a % 60) % 360},75%,70%)"
    if kind == 0:
        far, near = 60 + a % 50, 100 + b % 40
        return (
            f'<circle cx="{40 + c}" cy="{30 + a % 40}" r="{18 + b % 16}" fill="{light}"'
            ' opacity=".75"/>'
            f'<path d="M0 {far}L{60 + b % 60} {far - 40}L{150 + c % 50} {far + 20}'
            f'L{240 + a % 40} {far - 30}L320 {far + 10}V180H0Z" fill="#000" opacity=".18"/>'
            f'<path d="M0 {near}Q{80 + c % 60} {near - 50} 170 {near}T320 {near - 20}V180H0Z"'
            ' fill="#000" opacity=".22"/>'
        )
    if kind == 1:
        discs = ((a, b, 70), (c, a, 46), (b, c, 28))
        return "".join(
            f'<circle cx="{60 + x}" cy="{y % 120}" r="{r}" fill="{light}" opacity=".28"/>'
            for x, y, r in discs
        )
    x, y = 40 + a, 20 + b % 60
    rays = "".join(
        f'<path d="M{x} {y}L{int(x + 400 * dx)} {int(y + 400 * dy)}L{int(x + 400 * ex)}'
        f' {int(y + 400 * ey)}Z" fill="{light}" opacity=".22"/>'
        for dx, dy, ex, ey in ((1, 0.2, 1, 0.5), (0.3, 1, -0.1, 1), (-1, 0.4, -1, 0.9))
    )
    return f'{rays}<circle cx="{x}" cy="{y}" r="{14 + c % 20}" fill="{light}" opacity=".8"/>'


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:4], "big")


def _wrapped(title: str) -> list[str]:
    """Return the lines of a title; the last ends in … where there is more."""
    rest = _plain(title)
    lines: list[str] = []
    while rest and len(lines) < LINES:
        is_last = len(lines) == LINES - 1
        line = _cut(rest, LINE) if is_last else _begin(rest, LINE)
        lines.append(line.strip())
        rest = rest[len(line) :].lstrip()
    return lines


def _cut(text: str, width: float) -> str:
    text = _plain(text)
    begun = _begin(text, width)
    return begun if begun == text else _begin(text, width - 1) + "…"


def _begin(text: str, width: float) -> str:
    """Return as much of a text as fits; a Latin word is not broken unless it fills the line."""
    used, end = 0.0, 0
    for character in text:
        used += 1 if unicodedata.east_asian_width(character) in "WFA" else 0.55
        if used > width:
            break
        end += 1
    if end < len(text) and text[end].isascii() and " " in text[:end].strip():
        end = text[:end].rstrip().rfind(" ") + 1 or end
    return text[:end]


def _plain(text: str) -> str:
    """Return a text of one line: XML has no place for control characters and lone surrogates."""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Cn") else c for c in text[:400])
    return " ".join(kept.split())
