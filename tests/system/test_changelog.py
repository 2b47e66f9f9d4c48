"""The changelog, the package's version and the upgrade page say the same."""

from __future__ import annotations

import re
from pathlib import Path

import two_tower

PROJECT_DIR = Path(__file__).resolve().parents[2]
CHANGELOG = (PROJECT_DIR / "CHANGELOG.md").read_text(encoding="utf-8")
HEADING = re.compile(r"^## (\d+\.\d+\.\d+) \((\d{4}-\d{2}-\d{2}), ([0-9a-f]{7,})\)$", re.MULTILINE)


def parts() -> dict[str, str]:
    """What each version changes."""
    texts = re.split(r"^## (\S+).*$", CHANGELOG, flags=re.MULTILINE)[1:]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])


def test_every_version_has_its_day_and_the_commit_that_it_ends_with() -> None:
    found = HEADING.findall(CHANGELOG)

    assert [name for name, _, _ in found] == [name for name in parts() if name != "Unreleased"]
    assert found == sorted(found, key=lambda each: number(each[0]), reverse=True)
    assert [day for _, day, _ in found] == sorted((day for _, day, _ in found), reverse=True)
    assert all(text.strip() for text in parts().values())


def test_the_package_is_of_the_newest_version_or_on_the_way_to_the_next() -> None:
    newest = next(name for name in parts() if name != "Unreleased")
    if "Unreleased" in parts():
        assert two_tower.__version__.endswith(".dev0")
        assert number(two_tower.__version__) > number(newest)
    else:
        assert two_tower.__version__ == newest


def test_the_upgrade_page_lists_the_versions_that_need_a_new_training() -> None:
    page = (PROJECT_DIR / "docs/upgrade.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if "**train anew**" in line]

    named = re.findall(r"\d+\.\d+\.\d+", row.split("|")[1])

    coming = two_tower.__version__.removesuffix(".dev0")
    names = {name: coming if name == "Unreleased" else name for name in parts()}
    needed = [names[name] for name, text in parts().items() if "**Train anew.**" in text]
    assert named == sorted(needed, key=number)
