import random
import re
from datetime import date, datetime
from pathlib import Path
from unicodedata import normalize

import pyarrow as pa
import pytest

from two_tower.core.errors import InputError
from two_tower.data import csv_reader, delivered_files, review_files
from two_tower.data.csv_reader import Lines
from two_tower.data.parsing import day, moment, moment_column, stars

HEADER = ["product_url", "reviewer_id", "stars", "reviewed_at"]
LATEST = datetime(2030, 1, 1)

URLS = [
    "https://x/1",
    " https://x/2 ",
    "",
    "  ",
    "\u3000",
    "動画",
    "\ufeffhttps://x/3",
    "か\u3099",
    "x" * 2000,
    "x" * 2001,
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
    "\ufeffu1",
    "u1\u200b",
    "\u2067か\u3099\u2069",
    "\u200b",
    "lost\ufffd",
    "???",
    "1.23457E+14",
    "12345.0",
    "NULL",
    "\\N",
    " nan ",
    "None-such",
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
    "\ufeff4",
    "NULL",
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
    "2024080112",
    "20240801112",
    "1700101800000",
    "1700101800000.25",
    "1700101800",
    "4102444800",
    "2030-01-01",
    "2030-01-01T00:00:01",
    "2999-12-31",
    "2024-08-01112",
    "2024-08-01x10:00",
    "0000-00-00",
    "0000-00-00 00:00:00",
    "NULL",
    "2024-08-01 10:00:00 UTC",
    "2024-08-01 10:00:00.123456 UTC",
    "2024-08-01 10:00:00 +0900",
    "2024-08-01t10:00:00z",
    "2024-W31-4",
    "2024-08-01T10:00:00.1Z",
    "9999-12-31T23:59:59-09:00",
    "2024-08-01T10",
    "soon",
    "２０２４-08-01",
    "2024-08-01T10:00:00.250-03:30",
]
ODD_MOMENTS.append("2024/08/01 9:05")


def read_text(
    path: Path, data: bytes, encoding: str = "utf-8", latest: datetime = LATEST
) -> review_files.ReviewBatch:
    """Return all rows of a file with this content as one batch."""
    path.write_bytes(data)
    batches = list(review_files.read(path, encoding, lambda _: None, latest))
    return review_files.ReviewBatch(
        pa.concat_batches([batch.reviews for batch in batches]),
        pa.concat_batches([batch.rejected for batch in batches]),
        {},
    )


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
    by_column = review_files._plain_batch(HEADER, block, LATEST)
    one_by_one = review_files._batch(HEADER, block.rows(range(len(block.lines))), [], LATEST)
    assert as_rows(by_column) == as_rows(one_by_one)
    assert by_column.respelled == one_by_one.respelled


@pytest.mark.parametrize("beside", ["2024-07-31", "2024-07-31T12:00:00+09:00"])
@pytest.mark.parametrize("text", MOMENTS + ODD_MOMENTS)
def test_a_column_of_moments_is_never_sure_of_something_else(text: str, beside: str) -> None:
    moments, is_sure = moment_column(pa.array([text, beside]))
    if is_sure[0] and text:
        assert moments.to_pylist() == [moment(text), moment(beside)]


@pytest.mark.parametrize("fraction", ["", ":59", ":59.123", ":59.123456"])
@pytest.mark.parametrize("zone", ["", "Z", "+09:00"])
def test_every_length_of_a_plain_time_is_read_in_its_zone(fraction: str, zone: str) -> None:
    text = f"2024-07-31 12:34{fraction}{zone}"
    moments, is_sure = moment_column(pa.array([text]))
    assert (moments.to_pylist(), is_sure.tolist()) == ([moment(text)], [True])


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("block", [61, 4 << 20])
def test_no_row_is_lost_and_each_is_where_its_line_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, block: int
) -> None:
    monkeypatch.setattr(delivered_files, "BLOCK", block)
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
            assert row["reviewer_id"].replace('"', "") in normalize("NFC", line)
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
        ("999999999", datetime(2001, 9, 9, 1, 46, 39)),
        ("1700101800000", datetime(2023, 11, 16, 2, 30)),
        ("1700101800125", datetime(2023, 11, 16, 2, 30, 0, 125000)),
        ("2024-08-01 10:00:00 UTC", datetime(2024, 8, 1, 10)),
        ("2024-08-01 10:00:00.5 UTC", datetime(2024, 8, 1, 10, 0, 0, 500000)),
        ("2024-08-01 10:00:00 +0900", datetime(2024, 8, 1, 1)),
        ("2024-08-01t10:00:00z", datetime(2024, 8, 1, 10)),
        ("2024-08-01T10:00:00.123456789Z", datetime(2024, 8, 1, 10, 0, 0, 123456)),
    ],
)
def test_moments_become_utc(text: str, expected: datetime) -> None:
    assert moment(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *["2024-08-01 10:00:00 JST", "2024-08-01 UTC+9", "UTC"],
        *["2024", "202408", "20240230", "202408011", "20240801112", "202408011200"],
        *["17001018000000", "1700101800000000", "45505", "-1722470400", "2024-08-01112"],
        *["2024-08-01x10:00", "12/31/2024", "1.7e9"],
    ],
)
def test_digits_that_are_no_day_and_no_moment_are_neither(text: str) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(text)}|out of range"):
        moment(text)


@pytest.mark.parametrize("offset", ["", "Z", "+09:00", "-11:00", "+14:00"])
def test_a_day_is_the_one_that_is_written_whatever_its_offset(offset: str) -> None:
    for time in ("00:00:00", "23:59:59"):
        assert day(f"2024-01-01T{time}{offset}") == date(2024, 1, 1)
    assert day("2024/1/1 0:00") == day("20240101") == day("2024-01-01") == date(2024, 1, 1)
    with pytest.raises(ValueError, match="1704067200"):
        day("1704067200")


def test_a_review_of_tomorrow_is_taken_and_one_of_later_rejected(tmp_path: Path) -> None:
    rows = ["u1,5,2029-12-31", "u2,5,2030-01-02", "u3,5,2034-01-01T00:00:00+09:00", '"u4",5,']
    text = "\n".join([",".join(HEADER), *(f"https://x/1,{row}" for row in rows)])
    batch = read_text(tmp_path / "x.csv", text.encode())
    assert batch.reviews.column("reviewer_id").to_pylist() == ["u1", "u4"]
    assert [(row["line"], row["reason"]) for row in batch.rejected.to_pylist()] == [
        (3, "reviewed_at is in the future"),
        (4, "reviewed_at is in the future"),
    ]


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


def test_a_header_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("stars,Stars\n")
    with pytest.raises(InputError, match="names stars twice"):
        csv_reader.CsvFile(path, "utf-8", frozenset())


@pytest.mark.parametrize("above", ["", "\n\n", "sep=,\n"])
def test_a_name_that_a_cell_broke_costs_no_row(tmp_path: Path, above: str) -> None:
    text = above + 'product_url,reviewer_id,"comment\n\n(""free"")",stars\nhttps://x/1,u1,ok,5\n'
    batch = read_text(tmp_path / "x.csv", text.encode())
    assert batch.reviews.column("reviewer_id").to_pylist() == ["u1"]
    assert batch.reviews.column("line").to_pylist() == [above.count("\n") + 4]
    assert batch.rejected.num_rows == 0


def test_a_header_whose_quote_is_never_closed_is_refused(tmp_path: Path) -> None:
    text = 'product_url,reviewer_id,stars,"comment\n' + "https://x/1,u1,5,ok\n" * 20
    with pytest.raises(InputError, match="line 1: the header cannot be read"):
        read_text(tmp_path / "x.csv", text.encode())


def test_what_was_kept_from_a_spreadsheet_is_the_value(tmp_path: Path) -> None:
    """Programs write ="00123" so that no zero is lost, in each column or in some."""
    rows = [
        'https://x/1,="00123",5,2024-01-01',
        '="https://x/1", ="00124" ,="4",="2024-01-01"',
        '"https://x/1","=""00125""",5,2024-01-01',
        '="https://x/1",="",5,2024-01-01',
        'https://x/1,="a"&"b",5,2024-01-01',
        "https://x/1,=,5,2024-01-01",
    ]
    header = ",".join(f'="{name}"' for name in HEADER)
    batch = read_text(tmp_path / "x.csv", "\n".join([header, *rows]).encode())
    assert batch.reviews.column("reviewer_id").to_pylist() == [
        *["00123", "00124", "00125"],
        *['="a"&"b"', "="],
    ]
    assert batch.reviews.column("stars").to_pylist() == [5, 4, 5, 5, 5]
    assert set(batch.reviews.column("product_url").to_pylist()) == {"https://x/1"}
    assert [row["reason"] for row in batch.rejected.to_pylist()] == ["reviewer_id is empty"]


def test_a_space_behind_a_comma_does_not_make_a_quote_part_of_a_value(tmp_path: Path) -> None:
    data = b'product_url, "reviewer_id", stars\n"https://x/1", "u,1", 5\nhttps://x/2, u2, "4"\n'
    batch = read_text(tmp_path / "x.csv", data)
    assert batch.reviews.column("reviewer_id").to_pylist() == ["u,1", "u2"]
    assert batch.rejected.num_rows == 0


@pytest.mark.parametrize("marks", [1, 2, 3])
@pytest.mark.parametrize("quote", ["", '"'])
def test_byte_order_marks_are_no_part_of_a_name_or_a_value(
    tmp_path: Path, marks: int, quote: str
) -> None:
    row = f"{quote}https://x/1{quote},u1,5\n"
    header = f"{quote}product_url{quote},reviewer_id,stars\n"
    # As files are that `cat` joined: the header again, behind a mark of its own.
    text = "\ufeff" * marks + header + row + "\ufeff" * marks + row + "\ufeff" + header + row
    batch = read_text(tmp_path / "x.csv", text.encode())
    assert batch.reviews.column("product_url").to_pylist() == ["https://x/1"] * 3
    assert [row["line"] for row in batch.rejected.to_pylist()] == [4]


@pytest.mark.parametrize("line", ["sep=,", '"sep=,"', "SEP=,", "sep=,,,"])
def test_a_first_line_that_names_the_comma_is_skipped(tmp_path: Path, line: str) -> None:
    data = f"{line}\r\nproduct_url,reviewer_id,stars\r\nhttps://x/1,u1,5\r\n".encode()
    batch = read_text(tmp_path / "x.csv", data)
    assert batch.reviews.column("line").to_pylist() == [3]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("product_url;reviewer_id;stars\nhttps://x/1;u1;4,5\n", "semicolons"),
        ("product_url\treviewer_id\tstars\n", "tabs"),
        ("sep=;\nproduct_url;reviewer_id;stars\n", "semicolons"),
        ("sep=\t\nproduct_url\treviewer_id\tstars\n", "tabs"),
    ],
)
def test_another_separator_is_named(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(InputError, match=f"x.csv: its columns are separated by {name}") as caught:
        read_text(tmp_path / "x.csv", text.encode())
    assert "commas" in caught.value.hint


def test_a_line_of_bytes_that_are_no_text_is_rejected_and_no_other(tmp_path: Path) -> None:
    rows = ["https://x/1,青木,5", "https://x/1,白石,4", '"https://x/1","黒田",3', "https://x/1,u,2"]
    lines = ["product_url,reviewer_id,stars", *rows]
    data = "\n".join(lines).encode().replace("白".encode(), b"\xe7\x99")
    batch = read_text(tmp_path / "x.csv", data.replace("黒".encode(), b"\xff"))
    assert batch.reviews.column("reviewer_id").to_pylist() == ["青木", "u"]
    assert batch.rejected.to_pylist() == [
        {"line": 3, "reason": csv_reader.NOT_TEXT, "row_text": "https://x/1,\ufffd石,4"},
        {"line": 4, "reason": csv_reader.NOT_TEXT, "row_text": '"https://x/1","\ufffd田",3'},
    ]


def test_lines_of_utf_8_in_a_file_of_cp932_are_rejected(tmp_path: Path) -> None:
    rows = ["https://x/1,青木,5", "https://x/1,渡辺,4", "https://x/1,ﾃｽﾄ,4", "https://x/1,u,3"]
    data = b"product_url,reviewer_id,stars\n" + "\n".join(rows).encode("cp932")
    batch = read_text(tmp_path / "x.csv", data + "\nhttps://x/1,鈴木,2\n".encode(), "cp932")
    assert batch.reviews.column("reviewer_id").to_pylist() == ["青木", "渡辺", "ﾃｽﾄ", "u"]
    assert [(row["line"], row["reason"]) for row in batch.rejected.to_pylist()] == [
        (6, csv_reader.NOT_TEXT)
    ]


def test_the_end_of_file_of_old_windows_is_a_blank_line(tmp_path: Path) -> None:
    for data in (
        b"https://x/1,u1,5\r\n\x1a",
        b"https://x/1,u1,5\x1a",
        b'https://x/1,"u1",5\n\x1a\n',
    ):
        batch = read_text(tmp_path / "x.csv", b"product_url,reviewer_id,stars\r\n" + data)
        assert batch.reviews.column("stars").to_pylist() == [5]
        assert batch.rejected.num_rows == 0


@pytest.mark.parametrize("quote", ["", '"'])
def test_what_programs_write_for_no_value_is_no_value(tmp_path: Path, quote: str) -> None:
    marks = ["NULL", "null", "\\N", "NaN", "nan", "None", "<NA>", "N/A", "#N/A", "(null)"]
    rows = [f"{quote}https://x/1{quote},{mark},5,2024-01-01" for mark in marks]
    rows += [f"{mark},u,5,2024-01-01" for mark in marks]
    rows += [f"https://x/1,{quote}u{quote},5,{mark}" for mark in (*marks, "0000-00-00 00:00:00")]
    batch = read_text(tmp_path / "x.csv", "\n".join([",".join(HEADER), *rows]).encode())
    assert batch.reviews.column("reviewed_at").to_pylist() == [None] * (len(marks) + 1)
    reasons = ["reviewer_id is empty", "product_url is empty"]
    assert [row["reason"] for row in batch.rejected.to_pylist()] == [
        reason for reason in reasons for _ in marks
    ]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("name", ["青\ufffd", "??", "????????", "1.23457E+14", "9e+15"])
def test_an_id_that_lost_what_told_it_from_others_is_rejected(
    tmp_path: Path, quote: str, name: str
) -> None:
    others = ["?", "who?", "1.5", "E+14", "x1E+14", "1e5"]
    rows = [f"https://x/1,{quote}{text}{quote},5" for text in (name, *others)]
    data = "\n".join(["product_url,reviewer_id,stars", *rows]).encode()
    batch = read_text(tmp_path / "x.csv", data)
    assert batch.reviews.column("reviewer_id").to_pylist() == others
    assert [row["reason"] for row in batch.rejected.to_pylist()] == [review_files.LOST_REVIEWER]


def test_a_row_that_is_one_quoted_field_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / "wrapped.csv"
    rows = ['"https://x/1,u1,5"', '"https://x/2,""u2"",4"', "https://x/3,u3"]
    path.write_text("\n".join(["product_url,reviewer_id,stars", *rows, ""]))

    batch = next(review_files.read(path, "utf-8", lambda _: None))

    reasons = [csv_reader.WRAPPED, csv_reader.WRAPPED, review_files.TOO_FEW]
    assert [row["reason"] for row in batch.rejected.to_pylist()] == reasons
    assert batch.reviews.num_rows == 0

    path.write_text("\n".join(['"product_url,reviewer_id,stars"', *rows]))
    with pytest.raises(InputError, match='line 1: each row is one quoted field: "prod') as caught:
        next(review_files.read(path, "utf-8", lambda _: None))
    assert "as in product_url,reviewer_id,stars" in caught.value.hint
