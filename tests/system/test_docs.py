"""The documentation: its links, its site, and what of it is written by programs."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from benchmarks import results_page

from conftest import PROJECT_DIR
from system.test_rooms import MAY_IMPORT

OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "models/features/README.md")
PAGES = sorted(
    page.relative_to(PROJECT_DIR)
    for page in [
        *(PROJECT_DIR / name for name in OUTSIDE),
        PROJECT_DIR / "benchmarks/README.md",
        *(PROJECT_DIR / "docs").rglob("*.md"),
        *(PROJECT_DIR / "examples").rglob("*.md"),
        *(PROJECT_DIR / "clients").rglob("*.md"),
    ]
    if "node_modules" not in page.parts
)
# Decisions and versions name what was there in their time.
TODAYS = [p for p in PAGES if p.parent.name != "adr" and p.name != "CHANGELOG.md"]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
# A file of the package as pages name it: below its top, or below the project's.
NAMED = re.compile(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|sql|yml|md))`")


def prose(page: Path) -> str:
    """A page without what is typed and what is printed."""
    text = (PROJECT_DIR / page).read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    dead = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = ((PROJECT_DIR / page).parent / path).resolve() if path else PROJECT_DIR / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", TODAYS, ids=str)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    places = [PROJECT_DIR / place for place in ("", "python/two_tower", "tests", page.parent)]
    named = NAMED.findall(prose(page))
    made = ("runs/", "artifacts/", "data/")

    assert [
        n for n in named if not n.startswith(made) and not any((p / n).exists() for p in places)
    ] == []


def test_every_page_says_in_its_first_line_which_question_it_answers() -> None:
    for page in (PROJECT_DIR / "docs").glob("*.md"):
        title, question, *_ = page.read_text(encoding="utf-8").splitlines()
        assert title.startswith("# "), page.name
        assert "?" in question, page.name


def test_the_readme_is_a_screen_and_a_half() -> None:
    assert len((PROJECT_DIR / "README.md").read_text(encoding="utf-8").splitlines()) <= 90


def test_the_page_of_results_is_what_the_program_writes() -> None:
    """After a measurement: `python -m benchmarks.results_page`."""
    assert results_page.PAGE.read_text(encoding="utf-8") == results_page.page()


def test_the_pictures_are_what_the_program_draws() -> None:
    """After a change: `python docs/pictures/draw.py`."""
    folder = PROJECT_DIR / "docs/pictures"
    program = runpy.run_path(str(folder / "draw.py"))
    drawn = {f"{draw.__name__}.svg": draw().svg() for draw in program["PICTURES"]}
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.svg")} == drawn


def test_the_picture_of_the_wings_has_the_arrows_that_are_allowed() -> None:
    wings = runpy.run_path(str(PROJECT_DIR / "docs/pictures/draw.py"))["WINGS"]
    assert {name: set(of.split()) for name, of in wings.items()} == {
        name: set(of.split()) for name, of in MAY_IMPORT.items()
    }


def test_every_decision_is_in_the_index_with_a_status() -> None:
    folder = PROJECT_DIR / "docs/adr"
    rows = re.findall(
        r"^\| (\d+) \| \[.+\]\((\S+)\) \| (?:accepted|superseded by \d+)",
        (folder / "README.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    assert [name for _, name in rows] == sorted(path.name for path in folder.glob("0*.md"))
    assert all(int(name[:4]) == int(number) for number, name in rows)


def build(project: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as `make docs` does."""
    makefile = (PROJECT_DIR / "Makefile").read_text(encoding="utf-8")
    (options,) = re.findall(r"\$\(BIN\)/mkdocs (build [^&\n]*)", makefile)
    command = [sys.executable, "-m", "mkdocs", *options.split(), "--site-dir", str(folder)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(PROJECT_DIR, folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_a_dead_link_and_a_dead_anchor_fail_the_build(tmp_path: Path) -> None:
    copied = [*PAGES, Path("mkdocs.yml"), Path("benchmarks/results/novelty.svg")]
    copied += [p.relative_to(PROJECT_DIR) for p in (PROJECT_DIR / "docs").rglob("*.*")]
    for path in copied:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT_DIR / path, tmp_path / path)
    page = tmp_path / "docs/glossary.md"
    whole = page.read_text(encoding="utf-8")
    for link, told in (("gone.md", "gone.md"), ("recipe.md#gone", "'#gone'")):
        page.write_text(f"{whole}\n[a link]({link})\n", encoding="utf-8")

        built = build(tmp_path, tmp_path / "site")

        assert built.returncode != 0
        assert told in built.stderr


def test_the_site_is_built_without_a_warning(site: Path) -> None:
    assert (site / "index.html").exists()
    assert (site / "adr/0022-wings.html").exists()


def test_no_page_of_the_site_loads_anything_from_another_host(site: Path) -> None:
    loads = re.compile(
        r"<(?:script|img|iframe)[^>]+src=\"?(https?:)?//|<link[^>]+href=\"?(https?:)?//"
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        assert not loads.search(page.read_text(encoding="utf-8")), page.name
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\"?(https?:)?//", style.read_text(encoding="utf-8")), style.name
