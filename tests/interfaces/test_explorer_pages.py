"""The explorer in a real browser: each page on two real releases, as people use it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from browser import Watched, needs_browser
from conftest import make_settings
from interfaces.explorer_world import FOREIGN, HOSTILE, connect, popular, reader
from interfaces.http_server import SECRET, serving, token
from two_tower.core.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("explorer"), needs_browser]

KEY = "a-key-of-the-explorers-tests"
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# Each language with each width, each width with each colours, each colours with each language.
LOOKS = [
    ("ja-JP", WIDE, "light"),
    ("ja-JP", PHONE, "dark"),
    ("en-GB", WIDE, "dark"),
    ("en-GB", PHONE, "light"),
]
HEADINGS = {
    "person": ("人を探す", "Find a person"),
    "visitor": ("ビジターとして試す", "As a visitor"),
    "video": ("動画を探す", "Find a video"),
    "health": ("健全性", "Health"),
    "releases": ("リリース", "Releases"),
}


@pytest.fixture(scope="module")
def client(released: Settings) -> Iterator[httpx.Client]:
    with serving(released) as client:
        yield client


@pytest.fixture
def url(client: httpx.Client) -> str:
    return str(client.base_url).rstrip("/")


@pytest.fixture
def opened(browser: Browser, url: str) -> Iterator[Watched]:
    """A page in English, which in the end has had no error and asked no other host."""
    watched = Watched(browser, url, locale="en-GB", viewport=WIDE)
    yield watched
    watched.close()
    assert watched.complaints == []


def shown(page: Page, within: str = ".lists") -> list[str]:
    """The ids of a list, from its first row on."""
    rows = page.locator(f"{within} li[data-id]").all()
    return [str(row.get_attribute("data-id")) for row in rows]


def asked(client: httpx.Client, call: str, **arguments: Any) -> list[str]:
    """The ids that the app's call answers."""
    answer = client.post(f"/v1/{call}", json=arguments)
    assert answer.status_code == 200, answer.text
    return [row["video_id"] for row in answer.json()]


@pytest.mark.parametrize(("locale", "viewport", "colours"), LOOKS)
def test_every_page_is_whole_in_either_language_width_and_colours(
    browser: Browser,
    url: str,
    released: Settings,
    locale: str,
    viewport: dict[str, int],
    colours: str,
) -> None:
    watched = Watched(
        browser,
        url,
        locale=locale,
        viewport=viewport,
        color_scheme=colours,
        reduced_motion="reduce",
    )
    person, (hostile, video) = reader(released), popular(released, 2)
    places = [f"#/{name}" for name in HEADINGS]
    places += [f"#/person/{person}", f"#/video/{video}", f"#/video/{hostile}", "#/person/nobody"]
    for place in places:
        page = watched.open(place)
        title = page.locator("h1")
        expect(title).to_have_count(1)
        if place[2:] in HEADINGS:
            expect(title).to_have_text(HEADINGS[place[2:]][locale == "en-GB"])
        else:
            page.locator("button[aria-expanded]").first.click() if "person" in place else None
            watched.settle()
        beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(beyond) == 0, f"{place} is wider than the screen"
        assert watched.violations() == [], place
        assert page.locator("html").get_attribute("lang") == locale[:2]
    watched.close()
    assert watched.complaints == []


def test_titles_are_text(opened: Watched, client: httpx.Client, released: Settings) -> None:
    (hostile,) = popular(released)
    page = opened.open(f"#/video/{hostile}")

    expect(page.locator("h1")).to_have_text(HOSTILE)
    expect(page.get_by_role("link", name="Open its page")).to_have_count(0)  # it is a script
    assert FOREIGN in str(client.get("/v1/popular_videos?limit=1").json())
    page = opened.open("#/visitor")
    page.locator(".tile", has_text="<img").first.click()
    opened.settle()
    assert page.evaluate("window.hacked") is None
    for image in page.locator("img").all():
        assert str(image.get_attribute("src")).startswith(("/thumbnail.svg?", "/explorer/static/"))


def test_a_person_is_found_by_the_beginning_of_their_id(
    opened: Watched, released: Settings
) -> None:
    person = reader(released)
    page = opened.open("#/person")
    page.get_by_label("Reviewer id").fill(person[:-1])
    page.get_by_role("link", name=person, exact=True).first.click()
    opened.settle()

    expect(page.locator("h1")).to_have_text(person)
    page.get_by_label("Reviewer id").fill("no such person")
    expect(page.get_by_text("No id begins with")).to_be_visible()


def test_a_persons_list_is_the_apps_and_its_controls_act_at_once(
    opened: Watched, client: httpx.Client, released: Settings
) -> None:
    person = reader(released)
    asks = {"user_id": person, "limit": 20}
    page = opened.open(f"#/person/{person}")
    plain = asked(client, "recommend_videos", **asks)
    assert shown(page) == plain

    page.get_by_label("Diversity").fill("0.8")
    page.wait_for_timeout(200)
    opened.settle()
    diverse = asked(client, "recommend_videos", **asks, diversity=0.8)
    assert shown(page) == diverse != plain
    page.get_by_label("Most per maker").select_option("1")
    page.get_by_label("Include what was seen").check()
    page.wait_for_timeout(200)
    opened.settle()
    capped = {"diversity": 0.8, "exclude_seen": False, "filter": {"max_per_maker": 1}}
    assert shown(page) == asked(client, "recommend_videos", **asks, **capped)


def test_what_was_chosen_last_is_shown_though_it_is_answered_first(
    opened: Watched, client: httpx.Client, released: Settings
) -> None:
    person = reader(released)
    page = opened.open(f"#/person/{person}")
    waits: list[Route] = []
    page.route("**/v1/recommend_videos", lambda route: waits.append(route))
    for place, value in enumerate(("0.3", "0.9")):
        page.get_by_label("Diversity").fill(value)
        while len(waits) == place:
            page.wait_for_timeout(20)
    for route in reversed(waits):
        route.continue_()
        page.wait_for_timeout(200)
    opened.settle()

    last = asked(client, "recommend_videos", user_id=person, limit=20, diversity=0.9)
    assert shown(page) == last
    assert last != asked(client, "recommend_videos", user_id=person, limit=20, diversity=0.3)


def test_the_first_list_is_asked_for_once_and_before_it_is_known_who_asks(
    opened: Watched, released: Settings
) -> None:
    page, person = opened.page, reader(released)
    order: list[str] = []
    held: list[Route] = []
    page.on("request", lambda request: order.append(request.url.rsplit("/", 1)[-1]))
    page.route("**/explorer/api/me", lambda route: held.append(route))
    page.goto(f"{opened.url}/#/person/{person}")
    page.wait_for_timeout(1000)
    assert order.count("recommend_videos") == len(held) == 1
    held[0].continue_()
    page.locator(".lists li[data-id]").first.wait_for()
    opened.settle()
    assert order.count("recommend_videos") == 1


def test_the_bars_of_a_reason_add_up_to_the_score(opened: Watched, released: Settings) -> None:
    page = opened.open(f"#/person/{reader(released)}")
    row = page.locator(".lists li[data-id]").nth(2)
    score = float(row.locator(".score .figure").inner_text())
    row.get_by_role("button", name="Why").click()
    opened.settle()

    rows = row.locator("[data-share]").all()
    shares = [float(str(one.get_attribute("data-share"))) for one in rows]
    total = float(str(row.locator("[data-sum]").get_attribute("data-sum")))
    assert len(shares) > 3
    assert sum(shares) == pytest.approx(total)
    assert total == pytest.approx(score, abs=0.002)
    # Each bar begins where the one before it ends.
    boxes = [one.bounding_box() for one in row.locator("tbody .part").all()]
    ends = 0.0
    for share, box in zip(shares, boxes, strict=True):
        assert box is not None
        begins, other = (box["x"], box["x"] + box["width"])[:: 1 if share > 0 else -1]
        assert not ends or begins == pytest.approx(ends, abs=3)
        ends = other


def test_a_like_is_recorded_and_moves_the_list(
    opened: Watched, client: httpx.Client, released: Settings
) -> None:
    person = f"new-{uuid.uuid4()}"
    page = opened.open(f"#/person/{person}")
    expect(page.get_by_text("The model does not know this person yet")).to_be_visible()
    before = shown(page)
    page.locator(".lists li[data-id]").nth(4).get_by_role("button", name="Like").click()
    expect(page.locator(f'.lists li[data-id="{before[4]}"]')).to_have_count(0)
    opened.settle()

    assert shown(page) == asked(client, "recommend_videos", user_id=person, limit=20) != before
    expect(page.locator(".lists .move").first).to_be_visible()
    expect(page.locator("aside").get_by_text("like", exact=True)).to_be_visible()
    with connect(released) as connection:
        (event,) = connection.execute(
            "select kind, video_id::text as video from two_tower.events where user_id = %s",
            (person,),
        ).fetchall()
    assert event == {"kind": "like", "video": before[4]}


def test_two_releases_are_side_by_side_with_the_moves_between_them(
    opened: Watched, client: httpx.Client, released: Settings
) -> None:
    person = reader(released)
    page = opened.open(f"#/person/{person}")
    page.get_by_role("button", name="Two releases").click()
    page.wait_for_selector(".two")
    opened.settle()

    sides = [shown(page, f".two section:nth-child({place})") for place in (1, 2)]
    found = client.post("/explorer/api/two_lists", json={"user_id": person}).json()
    assert sides == [
        [video["video_id"] for video in found[name]["videos"]] for name in ("previous", "serving")
    ]
    for place, video in enumerate(sides[1]):
        row = page.locator(f'.two section:nth-child(2) li[data-id="{video}"]')
        mark = row.locator(".move .unseen")
        if video not in sides[0]:
            expect(row.locator(".new")).to_be_visible()
        elif (by := sides[0].index(video) - place) != 0:
            expect(mark).to_have_text(f"{'up' if by > 0 else 'down'} by {abs(by)}")
        else:
            expect(mark).to_have_text("unmoved")


def shows(page: Page, ids: list[str]) -> None:
    """Wait until a page shows these videos in this order: a list follows its click."""
    for _ in range(100):
        if shown(page) == ids:
            return
        page.wait_for_timeout(50)
    assert shown(page) == ids


def test_a_visitors_likes_make_a_list_and_leave_nothing(
    opened: Watched, client: httpx.Client, released: Settings
) -> None:
    def events() -> Any:
        with connect(released) as connection:
            return connection.execute("select count(*) as n from two_tower.events").fetchone()

    before = events()
    page = opened.open("#/visitor")
    liked = asked(client, "popular_videos", limit=24)
    page.locator(".tile").nth(3).click()
    page.locator(".tile").nth(7).click()
    opened.settle()
    likes = {"video_ids": [liked[3], liked[7]], "limit": 12}
    shows(page, asked(client, "recommend_for_likes", **likes))

    page.locator(".tile").nth(3).click()  # not liked after all
    opened.settle()
    shows(page, asked(client, "recommend_for_likes", video_ids=[liked[7]], limit=12))
    page.get_by_role("button", name="New", exact=True).click()
    opened.settle()
    assert page.locator(".tile").count() == len(asked(client, "new_videos", limit=24))
    page.get_by_role("button", name="Clear").click()
    expect(page.get_by_text("Nothing is picked yet")).to_be_visible()
    assert events() == before


def test_a_video_has_its_neighbours_its_people_and_its_place(
    opened: Watched, client: httpx.Client, released: Settings
) -> None:
    video = popular(released, 2)[1]
    page = opened.open(f"#/video/{video}")
    assert shown(page) == asked(client, "similar_videos", video_id=video, limit=12)

    with connect(released) as connection:
        likes = connection.execute(
            "select count(*) as n from two_tower.interactions where item_id = %s and label = 1",
            (video,),
        ).fetchone()
    assert likes is not None
    assert page.locator("aside tbody tr").count() == min(20, int(str(likes["n"])))
    page.wait_for_selector("canvas")
    marked = page.evaluate(
        "document.querySelector('canvas').closest('section').plane.marked.length"
    )
    assert marked == 13  # the video and its neighbours


def test_an_address_of_nothing_says_so_or_is_corrected(opened: Watched) -> None:
    page = opened.open("#/persons/r00000001")
    expect(page.locator("h1")).to_have_text("Find a person")
    assert page.evaluate("location.hash") == "#/person"
    opened.open("#/person/%E0%A4")
    expect(page.locator("h1")).to_have_text("%E0%A4")
    for video in ("an-id", uuid.uuid4()):
        opened.open(f"#/video/{video}")
        expect(page.locator(".empty")).to_contain_text(f"No video has this id{video}")
        expect(page.get_by_label("Title", exact=True)).to_be_visible()
    told = [opened.complaints.pop() for _ in range(len(opened.complaints))]
    assert all("status of 422" in text or "status of 404" in text for text in told), told


def test_a_long_history_says_what_is_not_shown(opened: Watched, released: Settings) -> None:
    person = str(uuid.uuid4())
    with connect(released) as connection:
        connection.execute(
            "insert into two_tower.events (user_id, video_id, kind)"
            " select %s, video_id, 'view' from two_tower.videos limit 130",
            (person,),
        )
    page = opened.open(f"#/person/{person}")
    history = page.get_by_label("History")
    expect(history.get_by_text("The latest 120 of 130.")).to_be_visible()
    history.get_by_role("button", name="Show 108 more").click()
    expect(history.locator(".card")).to_have_count(120)


def test_the_map_is_moved_by_keys_and_by_the_mouse(opened: Watched) -> None:
    page = opened.open("#/video")
    canvas = page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    middle = page.locator(".beside ol a")
    expect(middle.first).to_be_visible()
    first = middle.first.inner_text()

    canvas.focus()
    for key in ("+", "+", "ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    expect(middle.first).not_to_have_text(first)
    page.keyboard.press("0")
    expect(middle.first).to_have_text(first)
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.wheel(0, -300)
    page.mouse.down()
    page.mouse.move(box["x"] + 420, box["y"] + 260, steps=5)
    page.mouse.up()
    expect(middle.first).not_to_have_text(first)
    page.get_by_role("button", name="Show everything").click()
    expect(middle.first).to_have_text(first)
    page.get_by_role("button", name="Newness").click()
    expect(page.locator(".legend")).to_contain_text("No date")
    canvas.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(first)


def test_each_figure_shows_what_was_found_and_hands_out_its_sql(
    opened: Watched, released: Settings
) -> None:
    opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = opened.open("#/health")
    figures = page.locator("[data-figure]")
    assert figures.count() == 10
    for figure in figures.all():
        assert figure.locator(".rows tbody tr, .chart, .empty").count() > 0
        figure.locator(".sql summary").click()
        figure.get_by_role("button", name="Copy SQL").click()
        expect(figure.get_by_role("button", name="Copied")).to_be_visible()
        with connect(released) as connection:
            connection.execute(page.evaluate("navigator.clipboard.readText()"))
    expect(page.locator("[data-figure=quality] .whisker")).to_have_count(4)
    expect(page.locator(".verdict li")).to_have_count(7)
    drift = page.locator("[data-figure=drift] .scroll")
    assert drift.evaluate("table => table.scrollWidth - table.clientWidth") == 0


def test_who_has_no_key_sees_what_a_visitor_may(browser: Browser, released: Settings) -> None:
    with behind_a_key(released) as url:
        watched = Watched(browser, url, locale="en-GB", viewport=WIDE)
        page = watched.open("#/person")
        pages = page.locator("nav a")
        expect(pages).to_have_text(["Visitor", "Video"])
        expect(page.locator("h1")).to_have_text("As a visitor")
        page = watched.open(f"#/video/{popular(released, 2)[1]}")
        assert len(shown(page)) == 12
        assert page.locator("canvas, aside, [role=search]").count() == 0

        enter(page, "a key that nobody has")
        expect(page.get_by_role("alert")).to_contain_text("A key is needed")
        (refused,) = watched.complaints  # what a browser says of each
        assert "401" in refused
        watched.complaints.clear()
        enter(page, KEY)
        expect(pages).to_have_text(["Person", "Visitor", "Video", "Health", "Releases"])
        # For this tab alone.
        kept = "[Object.values(sessionStorage), Object.values(localStorage), document.cookie]"
        assert page.evaluate(kept) == [[KEY], [], ""]
        other = watched.context.new_page()
        other.goto(f"{url}/#/person")
        expect(other.locator("nav a")).to_have_text(["Visitor", "Video"])
        # Enter takes the key that was typed, though one is kept that could be forgotten.
        page.get_by_role("button", name="As a service").click()
        page.get_by_label("API key or JWT").fill(token(reader(released)))
        page.keyboard.press("Enter")
        expect(pages).to_have_text(["Person", "Visitor", "Video"])
        page.get_by_role("button", name="As yourself").click()
        page.get_by_role("button", name="Forget it").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        expect(pages).to_have_text(["Visitor", "Video"])
        assert page.evaluate("sessionStorage.length") == 0
        watched.close()
        assert watched.complaints == []


def test_who_is_signed_in_sees_their_own_list(browser: Browser, released: Settings) -> None:
    person = reader(released)
    with behind_a_key(released) as url:
        watched = Watched(browser, url, locale="en-GB", viewport=WIDE)
        page = watched.open("")
        enter(page, token(person))
        expect(page.locator("nav a")).to_have_text(["Person", "Visitor", "Video"])
        page = watched.open("#/person/somebody-else")
        expect(page.locator("h1")).to_have_text("Recommended for you")
        mine = httpx.get(
            f"{url}/v1/recommend_for_me", headers={"Authorization": f"Bearer {token(person)}"}
        ).json()
        assert shown(page) == [video["video_id"] for video in mine]
        page.get_by_role("button", name="Why").first.click()
        watched.settle()
        assert page.locator("[data-sum]").count() == 1
        assert page.locator("aside, [data-control=maker]").count() == 0
        watched.close()
        assert watched.complaints == []


def test_a_release_is_rolled_back_once_and_after_a_question(
    opened: Watched, released: Settings
) -> None:
    def serves() -> list[Any]:
        with connect(released) as connection:
            rows = connection.execute(
                "select version from two_tower.model_releases order by release_id desc limit 2"
            ).fetchall()
        return [row["version"] for row in rows]

    after, before = serves()
    page = opened.open("#/releases")
    expect(page.locator(".serving .h1")).to_have_text(after)
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert serves() == [after, before]

    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator(".serving .h1")).to_have_text(before)
    assert serves() == [before, after]
    expect(page.get_by_text("was put back already")).to_be_visible()
    expect(page.get_by_role("button", name="Roll back")).to_have_count(0)


def enter(page: Page, key: str) -> None:
    page.locator(".tools button").click()
    page.get_by_label("API key or JWT").fill(key)
    page.get_by_role("button", name="Use it").click()
    page.wait_for_load_state("networkidle")


@contextmanager
def behind_a_key(released: Settings) -> Iterator[str]:
    """Serve to whoever has a key or a token; yields the URL."""
    settings = make_settings(
        "postgres", database_url=released.database_url, api_keys=(KEY,), jwt_secret=SECRET
    )
    with serving(settings) as client:
        yield str(client.base_url).rstrip("/")
