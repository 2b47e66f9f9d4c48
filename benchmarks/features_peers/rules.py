"""What both peers need of the rules: constants, the page of a URL, the tokens of a title.

The rules as far as generated data need them: its files are UTF-8 without quotes, and its URLs have
nothing encoded. Pages and tokens are asked of distinct values only, of which there are few.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

REVIEW_COLUMNS = ("product_url", "reviewer_id", "stars", "reviewed_at")
LIKED = 4
SEED = "two-tower"
VALID_FRACTION = 0.2
FOLDS = 10
MOST_PREFERRED = 20
MOST_HISTORY = 1000
# From how many occurrences on a token has an index, and how many tokens have one.
VOCABULARIES = {
    "source": (1, 100),
    "maker": (2, 5_000),
    "label": (2, 5_000),
    "series": (2, 10_000),
    "tag": (2, 5_000),
    "performer": (2, 20_000),
    "video": (1, 100_000),
    "release_year": (2, 200),
    "title_token": (2, 10_000),
}
PREFERRED = {
    "tag": "preferred_tag_ids",
    "maker": "preferred_makers",
    "release_year": "preferred_release_years",
    "title_token": "preferred_title_tokens",
}
# Falling amount, then rising token number, as one integer: the last bits are the number's.
STANDING = 1 << 30

TRACKING = re.compile(r"(utm_.*|i3_ref|i3_ord|gclid|fbclid|yclid|msclkid|dmmref|ref|_ga)")
RUNS = re.compile(r"[0-9]+|[\u3005-\u3007\u3041-\u30ff\u3400-\u9fff]+|[a-zß-ɏ]+")


def page(url: str) -> str:
    """Return the page that a URL names: without scheme, fragment, tracking and trailing slashes."""
    parts = urlsplit(url.strip())
    query = [(k, v) for k, v in parse_qsl(parts.query, True) if not TRACKING.fullmatch(k)]
    asked = "?" + urlencode(query) if query else ""
    return parts.netloc.lower() + parts.path.rstrip("/") + asked


def title_tokens(title: str) -> set[str]:
    """Return numbers, words, and pairs of characters where a script has no spaces."""
    found: set[str] = set()
    for run in RUNS.findall(unicodedata.normalize("NFKC", title.replace("'", "")).lower()):
        if run[0].isdigit():
            found.add(run.lstrip("0") or "0")
        elif run[0] >= "\u3005":
            found |= {run[i : i + 2] for i in range(max(len(run) - 1, 1))}
        else:
            found.add(run)
    return found


def folders() -> tuple[Path, Path]:
    """Return the data folder and the folder for the tables, as given on the command line."""
    data, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    return data, out
