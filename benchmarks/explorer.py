"""How soon the explorer shows a list, and how smoothly its map moves, in a real browser.

    python -m benchmarks.explorer                                  # what `make demo` makes
    python -m benchmarks.explorer --reviews 1000 --loads 2 --points 2000 --seconds 0.3

A list: from the click on a person's address, nothing cached, to the first row on the screen; each
load is a browser profile of its own, and a list of somebody else. The map: clustered points in
place of a catalogue's, which the page's own code draws while it is moved and zoomed; a frame counts
from one to the next. Beside them the budgets, 300 ms and 30 frames a second. Needs Debian's
`chromium`; without a GPU the browser draws by the same cores that serve.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from playwright.sync_api import Browser, Page, Route, sync_playwright

from benchmarks.harness import report
from benchmarks.http import served
from benchmarks.quality.scratch import Scratch, postgres, scratch_folder
from two_tower.core.train_config import DIM
from two_tower.database.warehouse import open_warehouse
from two_tower.interfaces.http.explorer.catalogue_map import ROW, pack

LIST_BUDGET, FRAME_BUDGET = 300.0, 30.0  # ms; frames a second
SCREENS = {"1280 x 900": (1280, 900), "390 x 844": (390, 844)}
# The moment at which the first row is on the screen: the frame after it is in the document.
WATCH = """
new MutationObserver((_, watching) => {
  if (!document.querySelector(".lists li[data-id]")) return;
  watching.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.shownAt = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
# Moves and zooms by a little at every frame; returns the milliseconds between frames, and of each
# drawing.
MOVE = """
(seconds) => new Promise((done) => {
  const { plane } = document.querySelector("canvas").closest("section");
  const [frames, drawn] = [[], []];
  const draw = plane.draw.bind(plane);
  plane.draw = () => {
    const from = performance.now();
    draw();
    drawn.push(performance.now() - from);
  };
  let last = performance.now();
  const end = last + 1000 * seconds;
  const frame = (now) => {
    frames.push(now - last);
    last = now;
    plane.pan(6 * Math.sin(now / 300), 4 * Math.cos(now / 500));
    plane.zoomBy(1 + 0.01 * Math.sin(now / 700));
    if (now < end) requestAnimationFrame(frame);
    else done([frames.slice(1), drawn]);
  };
  requestAnimationFrame(frame);
})
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield the system's browser, without a window."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        raise SystemExit("chromium is not installed: apt-get install chromium")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-proxy-server", *sandbox]
        )
        try:
            yield browser
        finally:
            browser.close()


def first_list(browser: Browser, url: str, people: list[str]) -> dict[str, object]:
    """Return how long a list takes to be seen, over some people."""
    found = []
    for person in people:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.add_init_script(WATCH)
        page.goto(f"{url}/#/person/{person}")
        page.locator(".lists li[data-id]").first.wait_for()
        page.wait_for_load_state("networkidle")
        found.append(float(page.evaluate("window.shownAt")))
        context.close()
    return {
        "of": "first list, ms",
        "median": statistics.median(found),
        "worst": max(found),
        "budget": LIST_BUDGET,
        "n": len(found),
    }


def clustered(points: int) -> bytes:
    """Return the map of a catalogue of so many videos around 40 centres, as the server sends it."""
    generator = np.random.default_rng(1)
    rows = np.zeros(points, ROW)
    centres = generator.standard_normal((40, DIM))
    vectors = centres[generator.integers(40, size=points)]
    vectors = vectors + 0.6 * generator.standard_normal((points, DIM))
    rows["vector"] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    rows["maker"], rows["tag"] = generator.integers(9, size=(2, points))
    rows["age"] = generator.integers(3000, size=points)
    rows["id"] = np.frombuffer(generator.bytes(16 * points), "V16")
    return pack(rows, [f"maker {n}" for n in range(8)], [f"tag {n}" for n in range(8)])


def frames(browser: Browser, url: str, points: int, seconds: float) -> list[dict[str, object]]:
    """Return the frames a second of the map while it is moved, on each screen."""
    started = time.perf_counter()
    body = clustered(points)
    packed = time.perf_counter() - started

    def answer(route: Route) -> None:
        route.fulfill(body=body, content_type="application/octet-stream")

    found: list[dict[str, object]] = []
    for name, (width, height) in SCREENS.items():
        context = browser.new_context(viewport={"width": width, "height": height})
        page: Page = context.new_page()
        page.route("**/explorer/api/map", answer)
        page.goto(f"{url}/#/video")
        page.locator("canvas").scroll_into_view_if_needed()
        page.wait_for_load_state("networkidle")
        between, drawn = page.evaluate(MOVE, seconds)
        slow = sorted(between)[int(0.95 * (len(between) - 1))]
        found.append(
            {
                "screen": name,
                "points": points,
                "frames a second": 1000 * len(between) / sum(between),
                "of the slowest 5 %": 1000 / slow,
                "budget": FRAME_BUDGET,
                "ms of drawing": statistics.median(drawn),
            }
        )
        context.close()
    print(f"{points:,} points: {len(body):,} bytes, made up and packed in {packed:.2f} s")
    return found


def some_people(project: Scratch, count: int) -> list[str]:
    """Return people with reviews, the same ones each time."""
    with open_warehouse(project.settings) as warehouse:
        rows = warehouse.fetch(
            "select user_id from two_tower.users order by md5(user_id) limit ?", (count,)
        )
    return [str(row["user_id"]) for row in rows]


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reviews", type=int, default=60_000)
    parser.add_argument("--loads", type=int, default=20, help="how often a list is opened")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="that the map is moved")
    given = parser.parse_args()
    with scratch_folder() as folder, postgres(folder / "p") as project:
        project.two_tower("sample-data", "--reviews", str(given.reviews))
        project.two_tower("run")
        people = some_people(project, given.loads)
        with served(project.folder) as (port, _), chromium() as browser:
            url = f"http://127.0.0.1:{port}"
            lists = [first_list(browser, url, people)]
            maps = frames(browser, url, given.points, given.seconds)
    report("explorer", [], **{f"a list, {given.reviews:,} reviews": lists, "the map": maps})


if __name__ == "__main__":
    main()
