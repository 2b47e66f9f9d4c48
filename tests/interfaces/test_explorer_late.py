"""Answers that come late: a page shows the one to what was asked last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from browser import Watched, needs_browser
from interfaces.explorer_world import popular, reader
from interfaces.http_server import serving
from two_tower.core.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("explorer"), needs_browser]


@pytest.fixture(scope="module")
def client(released: Settings) -> Iterator[httpx.Client]:
    with serving(released) as client:
        yield client


@pytest.fixture
def opened(browser: Browser, client: httpx.Client) -> Iterator[Watched]:
    watched = Watched(browser, str(client.base_url).rstrip("/"), locale="en-GB")
    yield watched
    watched.close()
    # What a browser says of the answers that a test refuses.
    assert all("status of 504" in text for text in watched.complaints), watched.complaints


class Held:
    """The next request for a path waits until the test lets it be answered."""

    def __init__(self, page: Page, path: str) -> None:
        self._page = page
        self._pattern = f"**{path}*"
        self._routes: list[Route] = []
        page.route(self._pattern, self._routes.append, times=1)

    def wait(self) -> None:
        """Return once it has been asked for."""
        for _ in range(1_500):
            if self._routes:
                return
            self._page.wait_for_timeout(20)
        raise AssertionError(f"nobody asked for {self._pattern}")

    def answer(self, **answer: Any) -> None:
        """Answer it, by default as the server does, and let the page read that."""
        (route,) = self._routes
        with self._page.expect_response(route.request.url):
            if answer:
                route.fulfill(**answer)
            else:
                route.continue_()
        self._page.wait_for_timeout(200)


LATE = {"status": 504, "json": {"code": "57014", "message": "it took too long"}}


@pytest.mark.parametrize("late", [{}, LATE], ids=["answer", "error"])
def test_a_search_of_people_shows_what_was_typed_last(
    opened: Watched, released: Settings, late: dict[str, Any]
) -> None:
    person = reader(released)
    page = opened.open("#/person")
    held = Held(page, "/explorer/api/people")
    page.get_by_label("Reviewer id").fill(person[:1])
    held.wait()
    page.get_by_label("Reviewer id").fill("no such person")
    expect(page.locator(".found")).to_contain_text("No id begins with")
    held.answer(**late)
    expect(page.locator(".found")).to_contain_text("No id begins with")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_search_that_is_cleared_stays_empty(opened: Watched, released: Settings) -> None:
    page = opened.open("#/person")
    held = Held(page, "/explorer/api/people")
    page.get_by_label("Reviewer id").fill(reader(released)[:1])
    held.wait()
    page.get_by_label("Reviewer id").fill("")
    page.wait_for_timeout(400)  # what is typed is looked for after a pause
    held.answer()
    expect(page.locator(".found")).to_be_empty()


@pytest.mark.parametrize("late", [{}, LATE], ids=["answer", "error"])
def test_a_search_of_videos_shows_what_was_typed_last(
    opened: Watched, released: Settings, late: dict[str, Any]
) -> None:
    page = opened.open("#/video")
    held = Held(page, "/explorer/api/videos")
    field = page.get_by_role("searchbox")
    field.fill(popular(released, 2)[1])
    held.wait()
    field.fill("no such title")
    found = page.locator(".found")
    expect(found).to_contain_text("no such title")
    held.answer(**late)
    expect(found).to_contain_text("no such title")
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("late", [{}, LATE], ids=["answer", "error"])
def test_a_shelf_shows_what_was_picked_last(
    opened: Watched, client: httpx.Client, late: dict[str, Any]
) -> None:
    page = opened.open("#/visitor")
    held = Held(page, "/v1/trending_videos")
    page.get_by_role("button", name="Trending", exact=True).click()
    held.wait()
    page.get_by_role("button", name="New", exact=True).click()
    titles = [row["title"] for row in client.get("/v1/new_videos?limit=24").json()]
    shown = page.locator(".tile .title")
    expect(shown).to_have_text(titles)
    held.answer(**late)
    expect(shown).to_have_text(titles)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_list_of_likes_outlives_the_error_of_a_former_one(opened: Watched) -> None:
    page = opened.open("#/visitor")
    held = Held(page, "/v1/recommend_for_likes")
    page.locator(".tile").nth(3).click()
    held.wait()
    page.locator(".tile").nth(7).click()
    expect(page.locator(".lists li[data-id]")).to_have_count(12)
    held.answer(**LATE)
    expect(page.locator(".lists li[data-id]")).to_have_count(12)


def test_a_persons_list_outlives_the_error_of_a_former_one(
    opened: Watched, released: Settings
) -> None:
    page = opened.open(f"#/person/{reader(released)}")
    rows = page.locator(".lists li[data-id]")
    held = Held(page, "/v1/recommend_videos")
    page.locator("[data-control=include_seen]").check()
    held.wait()
    page.locator("[data-control=include_seen]").uncheck()
    expect(page.locator(".lists")).to_have_attribute("aria-busy", "false")
    held.answer(**LATE)
    expect(rows).to_have_count(20)
    expect(page.locator(".lists")).to_have_attribute("aria-busy", "false")
