"""What MkDocs does not do by itself: pages outside docs/, and links to them.

Named in mkdocs.yml under `hooks`. A link to a file that is no page of the site becomes the file's
path, since the site may be read where there is no checkout.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# Where a file of the project is in the site. README.md is no page: docs/index.md is the start.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples/README.md": "examples.md",
    "clients/typescript/README.md": "typescript.md",
    "examples/typescript/README.md": "typescript-examples.md",
    "models/features/README.md": "features.md",
    "benchmarks/results/novelty.svg": "pictures/novelty.svg",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for source, target in PAGES.items():
        content = (Path(config.docs_dir).parent / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page at what the site calls their files."""
    root = Path(config.docs_dir).parent
    places = {target: source for source, target in PAGES.items()}
    here = places.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def link(found: re.Match[str]) -> str:
        image, text, path, anchor = found.groups(default="")
        source = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
        target = PAGES.get(source, source.removeprefix("docs/"))
        if source in PAGES or (root / "docs" / target).is_file():
            written = posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")
            return f"{image}[{text}]({written}{anchor})"
        if source in ("README.md", "docs/adr"):
            target = "index.md" if source == "README.md" else "adr/README.md"
            written = posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")
            return f"{image}[{text}]({written}{anchor})"
        if (root / source).exists():
            return f"{text} (`{source}`)" if text.strip("`") != source else f"`{source}`"
        return found[0]

    return LINK.sub(link, markdown)
