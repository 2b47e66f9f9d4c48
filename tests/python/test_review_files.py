import random
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from two_tower import csv_files, review_files
from two_tower.csv_files import Lines
from two_tower.errors import InputError
from two_tower.review_values import moment, moment_column, stars

HEADER = ["product_url", "reviewer_id", "stars", "reviewed_at"]

URLS = [
    "https://x/1",
    " https://x/2 ",
    "",
    "  ",
    "\u3000",
    "動画",
    '"q"',
    '"a,b"',
    '"a""b"',
    '"a\nb"',
]
REVIEWERS = [
    "u1",
    " u2\t",
    "",
    "青木",
    "\u3000",
    "\x1f",
    "x" * 501,
    "x" * 500,
    "nu\0l",
    'st"ray',
    '"',
]
STARS = [
    "1",
    "5",
    "4.5",
    " 3 ",
    "0.99",
    "5.01",
    "nan",
    "inf",
    "",
    "五",
    "5",
    "1_0",
    "+2",
    "1e0",
    '"4"',
]
MOMENTS = ["", " ", "2024-08-01", "2024-08-01T10:00:00Z", "2024-08-01 10:00"]
ODD_MOMENTS = [
    "2024-02-30",
    "0001-01-01",
    "0000-01-01",
    "2024-08-01T10:00:00+09:00",
    "2024-08-01T10:00:00+0900",
    "2024/8/1",
    "1722470400",
    "1722470400.5",
    "2024-08-01T10:00:00.123456",
    "2024-08-01T24:00",
    "2024-08-01T10:00:60",
    "20240801",
    "2024-W31-4",
    "2024-08-01T10:00:00.1Z",
    "9999-12-31T23:59:59-09:00",
    "2024-08-01T10",
    "soon",
    "２０２４-08-01",
    "2024-08-01T10:00:00.250-03:30",
]
ODD_MOMENTS.append("2024/08/01 9:05")


def random_row(maker: random.Random) -> str:
    fields = [maker.choice(values) for values in (URLS, REVIEWERS, STARS, MOMENTS + ODD_MOMENTS)]
    if maker.random() < 0.5:  # mostly good rows
        fields = ["https://x/9", "u9", "4", maker.choice(MOMENTS)]
    width = maker.choices((4, 3, 5, 1), (20, 1, 1, 1))[0]
    return ",".join([*fields, ""][:width])


def as_rows(batch: review_files.ReviewBatch) -> tuple[list[tuple[object, ...]], list[object]]:
    accepted = sorted(tuple(row.values()) for row in batch.reviews.to_pylist())
    return accepted, batch.rejected.to_pylist()  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(100))
def test_columns_give_what_single_rows_give(seed: int) -> None:
    maker = random.Random(seed)
    # Few rows: one day that does not exist sends the whole block to the single rows.
    lines = [random_row(maker) for _ in range(maker.choice((1, 3, 30)))]
    lines = [line for line in lines if '"' not in line and "\0" not in line and "\n" not in line]
    block = Lines(2, [*lines, "", " "])
    by_column = review_files._plain_batch(HEADER, block)
    one_by_one = review_files._batch(HEADER, block.rows(range(len(block.lines))), [])
    assert as_rows(by_column) == as_rows(one_by_one)


@pytest.mark.parametrize("text", MOMENTS + ODD_MOMENTS)
def test_a_column_of_moments_is_never_sure_of_something_else(text: str) -> None:
    moments, is_sure = moment_column(pa.array([text]))
    if is_sure[0] and text:
        assert moments.to_pylist() == [moment(text)]


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("block", [61, 4 << 20])
def test_no_row_is_lost_and_each_is_where_its_line_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, block: int
) -> None:
    monkeypatch.setattr(csv_files, "BLOCK", block)
    maker = random.Random(seed)
    newline = maker.choice(("\n", "\r\n", "\r"))
    rows = [random_row(maker) for _ in range(40)]
    path = tmp_path / "x.csv"
    path.write_bytes(newline.join([",".join(HEADER), *rows]).encode())
    physical = path.read_bytes().decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")
    covered: list[int] = []
    for batch in review_files.read(path, "utf-8", lambda _: None):
        for row in batch.reviews.to_pylist():
            line = physical[row["line"] - 1].replace("\0", "").replace('"', "")
            assert row["reviewer_id"].replace('"', "") in line
            covered.append(row["line"])
        for row in batch.rejected.to_pylist():
            text = row["row_text"].split("\n")
            start = row["line"] - 1
            shown = [line.replace("\0", "␀") for line in physical[start : start + len(text)]]
            assert shown == text
            covered += range(row["line"], row["line"] + len(text))
    expected = {n for n, x in enumerate(physical, 1) if n > 1 and x.replace("\0", "").strip()}
    assert len(covered) == len(set(covered))
    assert set(covered) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-08-01T10:00:00+09:00", datetime(2024, 8, 1, 1)),
        ("2024/8/1 9:05", datetime(2024, 8, 1, 9, 5)),
        ("1722470400.5", datetime(2024, 8, 1, 0, 0, 0, 500000)),
        ("20240801", datetime(2024, 8, 1)),
    ],
)
def test_moments_become_utc(text: str, expected: datetime) -> None:
    assert moment(text) == expected


def test_stars_are_numbers_from_1_to_5() -> None:
    assert [stars(x) for x in ("1", "4.5", "5", "0", "6", "nan", "1_0")] == [
        *[1.0, 4.5, 5.0],
        *[None] * 4,
    ]


def test_an_unclosed_quote_costs_one_row_and_a_long_quoted_text_none(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    good = "https://x/1,u1,5,\n"
    body = '"' + "\n".join(["行"] * 150) + '"\n'
    path.write_text(
        "product_url,reviewer_id,stars,body\n" + f"https://x/1,u1,5,{body}"
        '"https://x/2,u1,5,\n' + good * 500 + 'https://x/3,u1,5,"never closed\n' + good * 3
    )
    batches = list(review_files.read(path, "utf-8", lambda _: None))
    rejected = [row for batch in batches for row in batch.rejected.to_pylist()]
    assert [(row["line"], row["reason"]) for row in rejected] == [
        (152, "a quote is not closed"),
        (653, "a quote is not closed"),
    ]
    assert sum(batch.reviews.num_rows for batch in batches) == 504


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xef\xbb\xbfproduct_url\n\xff", "byte 15 .* is not valid UTF-8"),
        ("a,b\n動".encode("utf-16")[:-1], "byte 10 .* is not valid UTF-16-LE"),
        (b"product_url\n\x81\x20\xff\xff", "byte 12 .* is not valid UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        csv_files.encoding(path)


def test_a_header_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("stars,Stars\n")
    with pytest.raises(InputError, match="names stars twice"):
        csv_files.CsvFile(path, "utf-8", frozenset())


def test_arrow_and_python_trim_the_same_characters() -> None:
    characters = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000]
    trimmed = pc.utf8_trim_whitespace(pa.array(characters)).to_pylist()
    assert trimmed == [character.strip() for character in characters]
