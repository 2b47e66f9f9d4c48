"""`two_tower.show`: what a notebook makes of a list."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

import two_tower
from postgres_server import PostgresServer
from serving.app_world import make_app, video
from two_tower.core.errors import InputError
from two_tower.recommend import BecauseRow, Recommendation, Recommender

FIRST = Recommendation(
    "v1", 0.5, 1, "model", 7, "夏の海", "https://img.example/1.jpg", "https://shop.example/1"
)
NO_PICTURES = (
    *("javascript:alert(1)", "data:text/html,x", "/thumbnail.svg?title=a&maker=b"),
    *("//x/y.jpg", "http://[", "ftp://x/y.jpg"),
)
DRAWN = "data:image/svg+xml;base64,"


class Elements(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str, name: str) -> list[str | None]:
        return [attrs.get(name) for found, attrs in self.tags if found == tag]


def shown(recommendations: object) -> Elements:
    return Elements(two_tower.show(recommendations)._repr_html_())  # type: ignore[arg-type]


def test_a_list_is_a_table_with_pictures() -> None:
    page = shown([FIRST])
    assert page.of("img", "src") == ["https://img.example/1.jpg"]
    assert page.of("img", "referrerpolicy") == ["no-referrer"]
    assert page.of("a", "href") == ["https://shop.example/1"]
    assert page.text[5:] == ["1", "夏の海", "0.500", "model"]
    assert repr(two_tower.show([FIRST])) == "  1   0.500  夏の海"


@pytest.mark.parametrize("url", [None, "", *NO_PICTURES])
def test_a_video_without_a_picture_on_the_web_has_a_drawn_one(url: str | None) -> None:
    row = Recommendation("v1", 0.5, 1, "model", 7, "t", url, "javascript:alert(1)")
    page = shown([row])
    (source,) = page.of("img", "src")
    assert str(source).startswith(DRAWN)
    assert page.of("a", "href") == []


@given(st.text(), st.text(), st.text())
def test_nothing_in_a_list_becomes_html(title: str, url: str, source: str) -> None:
    hostile = f"<script>{title}</script>\"'><img src=x onerror=alert(1)>"
    row = Recommendation(hostile, 0.5, 1, source + hostile, 7, hostile, url, "https://" + hostile)
    page = shown([row])
    assert {tag for tag, _ in page.tags} == {
        *("table", "thead", "tbody", "tr", "th", "td", "img", "a"),
    }
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert len(page.of("img", "src")) == 1


def test_rows_and_batches_have_a_heading_each() -> None:
    because = [BecauseRow("v0", "<b>", [FIRST]), BecauseRow("v9", None, [FIRST])]
    assert [text for text in shown(because).text if text.startswith("Because")] == [
        "Because of <b>",
        "Because of v9",
    ]
    assert [text for text in shown({"u1": [FIRST]}).text if text.startswith("For")] == ["For u1"]
    assert shown([]).text == ["no videos"]


@pytest.mark.parametrize("given", [["v1"], [1], 5, "text"])
def test_what_is_no_list_of_videos_is_refused(given: object) -> None:
    with pytest.raises(InputError, match="show"):
        shown(given)


def test_it_shows_what_a_recommender_answers(postgres_server: PostgresServer) -> None:
    dsn = make_app(postgres_server, "notebook", slots=True)
    with Recommender(database_url=dsn) as recommender:
        one = recommender.recommend("user_1", limit=3)
        batch = recommender.recommend_batch(["user_1", "user_2"], limit=2)
        likes = recommender.recommend_for_likes([str(video(3))], limit=4)
    assert shown(one).of("img", "src") == [row.thumbnail_url for row in one]
    assert len(shown(batch).of("img", "src")) == 4
    assert len(shown(likes).of("img", "src")) == 4


def test_it_loads_neither_torch_nor_dbt() -> None:
    code = (
        "import sys, two_tower; two_tower.show([])\n"
        "print({'torch', 'dbt', 'fastapi', 'psycopg'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
