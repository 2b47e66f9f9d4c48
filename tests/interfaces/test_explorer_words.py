"""The texts of the explorer's pages: each that a page asks for is there, in both languages."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from two_tower.interfaces.http.explorer import files

JAPANESE = "[ぁ-んァ-ヶ一-龥]"
STATES = {"ok", "warning", "critical"}  # of a check, and of them all
EVENTS = {"click", "view", "like", "dislike", "purchase"}
SOURCES = {"model", "likes", "popular"}


@pytest.fixture(scope="module")
def scripts() -> dict[str, str]:
    folder = resources.files("two_tower.interfaces.http.explorer").joinpath("static")
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    return {name: text for name, text in found.items() if name.endswith(".js")}


@pytest.fixture(scope="module")
def code(scripts: dict[str, str]) -> str:
    """The scripts that ask for texts."""
    return "".join(text for name, text in scripts.items() if not name.startswith("words"))


@pytest.fixture(scope="module")
def words(scripts: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {
        key: (ja, en)
        for name, text in scripts.items()
        if name.startswith("words")
        for key, ja, en in re.findall(r'^  "(.+?)": \["(.*?)", "(.*?)"\],$', text, re.MULTILINE)
    }


def names(script: str, constant: str) -> set[str]:
    """What a constant of a script lists: its strings, or else the keys of its first level."""
    (found,) = re.findall(rf"^const {constant} = (.*?);$", script, re.MULTILINE | re.DOTALL)
    keys = re.findall(r"^  (\w+):", found, re.MULTILINE)
    return set(keys or re.findall(r'"(\w+)"', found))


def filled(scripts: dict[str, str], code: str) -> dict[str, set[str]]:
    """The templates of names in the scripts, and what is filled into each."""
    pages, figures = names(scripts["app.js"], "PAGES"), set(files.read_sql("figures"))
    sliders = set(re.findall(r'\bslider\("(\w+)"', code))
    return {
        "error.${known}": names(scripts["notices.js"], "KNOWN"),
        "page.${name}": pages,
        "page.${page}": pages,
        "tier.${me.tier}": {"visitor", "user", "service"},
        "theme.${one}": names(scripts["app.js"], "THEMES"),
        "shelf.${name}": names(scripts["visitor.js"], "SHELVES"),
        "map.by.${mode}": names(scripts["map.js"], "MODES"),
        "control.${name}": sliders | set(re.findall(r'\bselect\("(\w+)"', code)),
        "control.${name}.what": sliders,
        "source.${name}": SOURCES,
        "source.${name}.what": SOURCES,
        "kind.${row.kind}": EVENTS,
        "state.${check.state}": STATES,
        "health.${state}": STATES,
        "release.${name}": {"serving", "previous", "released", "refused", "published"},
        **{f"figure.${{name}}{end}": figures for end in ("", ".what", ".none")},
        "col.${name}": set(re.findall(r'\bcol\("(\w+)"', code)),
    }


def test_every_text_that_is_named_is_there(code: str, words: dict[str, tuple[str, str]]) -> None:
    assert set(re.findall(r"""\bt\("([\w. ]+)"[,)]""", code)) <= set(words)
    # Chosen of two, or listed: a string with a dot in it is the name of a text.
    assert set(re.findall(r'"([a-z]+(?:\.\w+)+)"', code)) <= set(words)


def test_every_text_whose_name_is_composed_is_there(
    scripts: dict[str, str], code: str, words: dict[str, tuple[str, str]]
) -> None:
    templates = filled(scripts, code)
    # A feature that has no text is shown by its own name, as is what known() is given.
    asked = set(re.findall(r"(?<!known\()`([a-z.]+\.\$\{[^`]+)`", code))
    assert asked == {*templates, "feature.${name}"}
    for template, found in templates.items():
        assert found, template
        wanted = {re.sub(r"\$\{.+?\}", name, template) for name in found}
        assert wanted <= set(words), template


def test_every_text_is_there_in_both_languages(words: dict[str, tuple[str, str]]) -> None:
    for key, (ja, en) in words.items():
        assert set(re.findall(r"\{\w+\}", ja)) == set(re.findall(r"\{\w+\}", en)), key
        is_name = ja.lower() == en.lower() or key == "and"  # as recall@20
        assert is_name or re.search(JAPANESE, ja), key
        assert en, key
        assert not re.search(JAPANESE, en), key
