"""Draws the pictures of the documentation: ``python docs/pictures/draw.py``.

Each picture is boxes and arrows on a sheet of its own colour, so that it can be read whatever the
page's colour is; it turns dark where the reader's system does. A test compares the files with what
is drawn here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parent
STYLE = """
text{font:14px system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#1f2933}
.title{font-weight:600}.small{font-size:12px;fill:#52606d}.sheet{fill:#fff;stroke:#d5dbe1}
.box{fill:#eef2f6;stroke:#9aa5b1}.data{fill:#e3f2ef;stroke:#2a9d8f}.step{fill:#fdf1dc;stroke:#d08c1d}
.area{fill:none;stroke:#9aa5b1;stroke-dasharray:5 4}.line{fill:none;stroke:#52606d;stroke-width:1.5}
.head{fill:#52606d}.dot{fill:#2a9d8f}
@media (prefers-color-scheme:dark){
text{fill:#e6ebf0}.small{fill:#a9b4bf}.sheet{fill:#1b2026;stroke:#39424c}
.box{fill:#2a323b;stroke:#6b7783}.data{fill:#173d3a;stroke:#3fb5a6}
.step{fill:#43351a;stroke:#d9a344}
.area{stroke:#6b7783}.line{stroke:#a9b4bf}.head{fill:#a9b4bf}}
"""


@dataclass
class Picture:
    """A sheet with boxes and arrows; lengths are pixels from the top left.

    Attributes:
        width, height: of the sheet.
        title: for those who cannot see it.
    """

    width: int
    height: int
    title: str
    parts: list[str] = field(default_factory=list)

    def text(self, x: int, y: int, words: str, kind: str = "", anchor: str = "middle") -> None:
        """Write a line of text, `y` its baseline."""
        self.parts.append(
            f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def box(
        self, at: tuple[int, int, int, int], title: str, *lines: str, kind: str = "box"
    ) -> None:
        """Draw a box (x, y, width, height) with a title and smaller lines in its middle."""
        x, y, width, height = at
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" class="{kind}"/>'
        )
        top = y + height // 2 + 5 - 9 * len(lines)
        self.text(x + width // 2, top, title, "title")
        for number, line in enumerate(lines, 1):
            self.text(x + width // 2, top + 18 * number, line, "small")

    def area(self, at: tuple[int, int, int, int], title: str) -> None:
        """Draw a dashed frame around boxes, its title at the top."""
        x, y, width, height = at
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" class="area"/>'
        )
        self.text(x + 12, y + 20, title, "title", "start")

    def arrow(
        self, *points: tuple[int, int], label: str = "", at: tuple[int, int] | None = None
    ) -> None:
        """Draw a line through points with a head at its end, and a label."""
        way = " ".join(f"{x},{y}" for x, y in points)
        self.parts.append(f'<polyline points="{way}" class="line" marker-end="url(#head)"/>')
        if label:
            (x0, y0), (x1, y1) = points[0], points[-1]
            x, y = at or ((x0 + x1) // 2, (y0 + y1) // 2 - 6)
            self.text(x, y, label, "small")

    def svg(self) -> str:
        """Return the file."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style>"
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z" class="head"/></marker>'
            "</defs>"
        )
        sheet = (
            f'<rect x="1" y="1" width="{self.width - 2}" height="{self.height - 2}" rx="12" '
            'class="sheet"/>'
        )
        return "\n".join([head, sheet, *self.parts, "</svg>"]) + "\n"


def answer() -> Picture:
    """Return what goes in and what an app gets: the picture of the README."""
    p = Picture(980, 250, "Reviews and a catalogue go in, an SQL call gets recommendations")
    p.box((20, 35, 190, 70), "reviews", "who, which page, stars", kind="data")
    p.box((20, 145, 190, 70), "catalogue", "videos, tags, performers", kind="data")
    p.area((250, 20, 310, 210), "your Postgres, or DuckDB")
    p.box((275, 55, 260, 45), "dbt: tested features", kind="step")
    p.box((275, 115, 260, 45), "Python: two towers", kind="step")
    p.box((275, 175, 260, 45), "dbt: audit and release", kind="step")
    p.arrow((210, 70), (273, 70))
    p.arrow((210, 180), (232, 180), (232, 85), (273, 85))
    p.arrow((405, 100), (405, 113))
    p.arrow((405, 160), (405, 173))
    p.box((600, 35, 360, 46), "recommend_videos('r00364274', 3)")
    p.arrow((535, 197), (578, 197), (578, 58), (598, 58))
    p.arrow((780, 81), (780, 103))
    p.parts.append('<rect x="600" y="105" width="360" height="115" rx="6" class="data"/>')
    rows = (
        ("video_id", "score", "rank"),
        ("738a8344-047b-57a7-…", "0.3206", "1"),
        ("f898df42-1778-5e32-…", "0.2962", "2"),
        ("ef7d05e6-e498-5c27-…", "0.2866", "3"),
    )
    for number, (video, score, rank) in enumerate(rows):
        kind = "" if number else "small"
        y = 129 + 26 * number
        p.text(620, y, video, kind, "start")
        p.text(840, y, score, kind)
        p.text(915, y, rank, kind)
    return p


def flow() -> Picture:
    """Return the flow of data, with the command of each step."""
    p = Picture(980, 470, "The flow of data, from CSV files to the app")
    p.text(20, 30, "command", "small", "start")
    steps = {"load": 95, "dbt build": 280, "train, evaluate": 465, "export, embed": 625}
    for step, x in (*steps.items(), ("release", 800)):
        p.text(x, 50, step, "title")
    p.box((20, 80, 150, 70), "review CSVs", "data/raw/reviews", kind="data")
    p.box((20, 180, 150, 70), "catalogue", "CSVs, or the app's", "own tables", kind="data")
    p.box((20, 320, 150, 70), "schema raw", "rows, rejected rows,", "file log", kind="data")
    p.arrow((95, 250), (95, 318))
    p.arrow((20, 115), (10, 115), (10, 355), (18, 355))
    p.box((205, 320, 150, 70), "staging, marts", "interactions, splits,", "popularity")
    p.box((205, 180, 150, 70), "features", "vocabularies, layout,", "slots")
    p.arrow((170, 355), (203, 355))
    p.arrow((280, 320), (280, 252))
    p.box((390, 180, 150, 70), "two towers", "runs/VERSION", kind="step")
    p.arrow((355, 215), (388, 215))
    p.box((390, 320, 150, 70), "metrics", "evaluation_metrics,", "report.html")
    p.arrow((465, 250), (465, 318))
    p.box((560, 180, 130, 70), "registry", "ONNX, weights,", "checksums", kind="data")
    p.arrow((540, 215), (558, 215))
    p.box((560, 320, 130, 70), "landing", "vectors that no", "app reads yet", kind="data")
    p.arrow((625, 250), (625, 318))
    p.arrow(
        (280, 180), (280, 165), (548, 165), (548, 335), (558, 335), label="slots", at=(420, 158)
    )
    p.box((725, 320, 150, 70), "audit", "index, recall, gate:", "promotion_checks", kind="step")
    p.arrow((690, 355), (723, 355))
    p.arrow(
        (540, 372), (546, 372), (546, 415), (800, 415), (800, 392), label="figures", at=(670, 430)
    )
    p.box((725, 180, 150, 70), "public", "user_embeddings,", "video_embeddings", kind="data")
    p.arrow((800, 320), (800, 252), label="swap", at=(822, 290))
    p.box((690, 80, 270, 60), "the app", "recommend_videos(), similar_videos()")
    p.arrow((800, 180), (800, 142))
    return p


def recipe() -> Picture:
    """Return the recipe: experts, a sum, the sphere, new videos."""
    p = Picture(980, 430, "The recipe: experts are added up and placed on the sphere")
    p.box((20, 165, 140, 90), "training", "histories, tags,", "makers, years", kind="data")
    experts = (
        ("EASE over users", "what goes together"),
        ("EASE over sessions", "what goes together in a row"),
        ("transitions", "what comes next"),
        ("trained towers", "all features, softmax"),
        ("popularity", "what everybody likes"),
    )
    for number, (name, what) in enumerate(experts):
        y = 20 + 80 * number
        p.box((210, y, 200, 60), name, what, kind="step")
        p.arrow((160, 210), (185, 210), (185, y + 30), (208, y + 30))
        p.arrow((410, y + 30), (435, y + 30), (435, 210), (458, 210))
    p.box((460, 165, 140, 90), "sum", "weights from fold 0,", "rank 127", kind="step")
    p.box(
        (640, 165, 155, 90), "sphere", "no video longer than 1,", "scores as they are", kind="step"
    )
    p.box((825, 165, 135, 90), "128 numbers", "a user, a video;", "cosine ranks", kind="data")
    p.arrow((600, 210), (638, 210))
    p.arrow((795, 210), (823, 210))
    p.box((650, 320, 140, 80), "ridge", "from content to", "vectors", kind="step")
    p.arrow((720, 255), (720, 318))
    p.arrow((790, 360), (892, 360), (892, 257), label="new videos, with a boost", at=(885, 384))
    p.box((460, 320, 140, 80), "content", "cast, tags, maker,", "label, series, year", kind="data")
    p.arrow((600, 360), (648, 360))
    p.box(
        (460, 30, 330, 65),
        "fold 0",
        "held out of the training reviews: each expert",
        "is fitted without it, then again with it",
        kind="box",
    )
    p.arrow((530, 95), (530, 163), label="chooses the weights", at=(600, 134))
    return p


def release() -> Picture:
    """Return a release: which table is which, before, after and after a rollback."""
    p = Picture(980, 560, "A release swaps three pairs of tables in one transaction")
    columns = (
        ("public.…_previous", 200),
        ("public.…  the app reads", 460),
        ("two_tower.…_next", 720),
    )
    for title, x in columns:
        p.text(x + 115, 38, title, "title")
    p.text(20, 38, "user_embeddings,", "small", "start")
    p.text(20, 54, "video_embeddings", "small", "start")
    rows = (
        ("1. before", ("1 March", "8 March", ""), ("data", "data", "")),
        ("2. build and audit", ("1 March", "8 March", "15 March"), ("data", "data", "step")),
        ("3. after the swap", ("8 March", "15 March", ""), ("data", "data", "")),
        ("4. after a rollback", ("15 March", "8 March", ""), ("data", "data", "")),
    )
    for number, (name, versions, kinds) in enumerate(rows):
        y = 75 + 122 * number
        p.text(20, y + 32, name, "title", "start")
        for (_, x), version, kind in zip(columns, versions, kinds, strict=True):
            if version:
                p.box((x, y, 230, 52), f"version of {version}", kind=kind)
    p.arrow((720, 240), (575, 317))
    p.text(700, 285, "rename", "small")
    p.arrow((460, 240), (315, 317))
    p.text(435, 285, "rename", "small")
    p.arrow((200, 240), (150, 285))
    p.text(150, 302, "dropped", "small")
    p.text(960, 270, "a failed check ends here", "small", "end")
    p.arrow((520, 371), (370, 439))
    p.arrow((370, 371), (520, 439))
    p.text(580, 410, "rollback: both exchange their names", "small", "start")
    p.text(
        490, 520, "2 takes minutes and locks nothing; 3 and 4 are one transaction each.", "small"
    )
    p.text(490, 540, "The last row of model_releases says which version serves.", "small")
    return p


def schemas() -> Picture:
    """Return who writes and who reads which schema."""
    p = Picture(980, 400, "Schemas: who writes and who reads")
    schemas = (
        (60, "raw", ("reviews, rejected_reviews,", "review_files, catalogue,", "forgotten_users")),
        (
            370,
            "two_tower",
            ("features, splits, metrics,", "landing, checks, releases,", "functions that swap"),
        ),
        (
            680,
            "public",
            (
                "user_embeddings, video_embeddings,",
                "their _previous,",
                "recommend_videos(), similar_videos()",
            ),
        ),
    )
    for x, name, lines in schemas:
        p.box((x, 155, 250, 95), name, *lines, kind="data")
    writers = (
        (60, "two-tower load", "forget-user"),
        (370, "dbt build, evaluate, embed", "what is derived"),
        (680, "dbt release, refresh, rollback", "in one transaction"),
    )
    p.text(20, 40, "writes", "small", "start")
    p.text(20, 375, "reads", "small", "start")
    for x, name, what in writers:
        p.box((x, 50, 250, 60), name, what, kind="step")
        p.arrow((x + 125, 110), (x + 125, 153))
    readers = (
        (60, "dbt: staging", "the only models on raw"),
        (370, "train, embed, analysts", "the tables of the contract"),
        (680, "the app", "two functions, by grants"),
    )
    for x, name, what in readers:
        p.box((x, 300, 250, 60), name, what)
        p.arrow((x + 125, 250), (x + 125, 298))
    p.arrow((310, 330), (340, 330), (340, 80), (368, 80), label="", at=None)
    p.arrow((620, 180), (650, 180), (650, 80), (678, 80))
    return p


# Which wing may import which: tests/system/test_rooms.py asserts it.
WINGS = {
    "interfaces": "core database data model artifacts evaluation training serving operations",
    "operations": "core database data model artifacts evaluation training serving",
    "serving": "core database data model artifacts training",
    "training": "core database model artifacts evaluation",
    "evaluation": "core database model artifacts",
    "artifacts": "core database model",
    "model": "core database",
    "data": "core database",
    "database": "core",
    "core": "",
}


def wings() -> Picture:
    """Return which wing of the package may import which: all arrows run to the right."""
    p = Picture(980, 460, "The wings of the package: a row imports the columns with a dot")
    names = list(WINGS)
    p.text(40, 70, "imports →", "small", "start")
    for column, name in enumerate(names):
        p.text(188 + 80 * column, 44 + 22 * (column % 2), name, "title")
    for row, name in enumerate(names):
        y = 104 + 35 * row
        p.text(40, y + 5, name, "title", "start")
        for column, other in enumerate(names):
            x = 188 + 80 * column
            if other == name:
                p.parts.append(
                    f'<rect x="{x - 36}" y="{y - 14}" width="72" height="28" rx="6" class="box"/>'
                )
            elif other in WINGS[name].split():
                p.parts.append(f'<circle cx="{x}" cy="{y}" r="7" class="dot"/>')
    return p


PICTURES = (answer, flow, recipe, release, schemas, wings)


if __name__ == "__main__":
    for draw in PICTURES:
        (FOLDER / f"{draw.__name__}.svg").write_text(draw().svg(), encoding="utf-8")
