"""What a folder of delivered files holds, and what the files are."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path

import pytest

from two_tower.core.errors import InputError
from two_tower.data import delivered_files

TEXT = b"product_url,reviewer_id,stars\nhttps://x/1,u1,5\n"


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("[Content_Types].xml" if name == "xlsx" else name, "<Types/>")
    return content.getvalue()


NO_CSV = {
    "an Excel workbook": zipped("xlsx"),
    "an OpenDocument spreadsheet": (
        b"PK\x03\x04mimetypeapplication/vnd.oasis.opendocument.spreadsheet"
    ),
    "a zip archive": zipped("dmm_reviews_1.csv"),
    "a gzip file": gzip.compress(gzip.compress(TEXT)),
    "a bzip2 file": b"BZh91AY&SY",
    "an xz file": b"\xfd7zXZ\0\0\4",
    "a zstd file": b"(\xb5/\xfd\4",
    "a parquet file": b"PAR1\x15\4",
    "a PDF document": b"%PDF-1.7\n",
    "an HTML page": b"\xef\xbb\xbf\n<!DOCTYPE html><html>404</html>",
    "an XML document": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "JSON": b'{\n  "product_url": 1}',
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
}


@pytest.mark.parametrize("what", NO_CSV)
def test_what_is_no_csv_file_is_said_to_be_what_it_is(tmp_path: Path, what: str) -> None:
    path = tmp_path / "dmm_reviews_1.csv"
    path.write_bytes(NO_CSV[what])
    with pytest.raises(InputError, match=f"dmm_reviews_1.csv is {what}.*, not CSV") as caught:
        delivered_files.sha256(path)
    assert caught.value.hint


def test_packed_and_plain_are_the_same_content(tmp_path: Path) -> None:
    names = ("1.csv", "1.csv.gz", "2.csv.gz", "3.csv")
    plain, packed, joined, misnamed = (tmp_path / name for name in names)
    plain.write_bytes(TEXT)
    packed.write_bytes(gzip.compress(TEXT))
    misnamed.write_bytes(gzip.compress(TEXT))
    joined.write_bytes(gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:]))
    for path in (packed, joined, misnamed):
        assert delivered_files.sha256(path) == delivered_files.sha256(plain)


@pytest.mark.parametrize("size", [61, 4 << 20])
def test_progress_counts_the_bytes_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(delivered_files, "BLOCK", size)
    for name, data in {"1.csv": TEXT * 500, "1.csv.gz": gzip.compress(TEXT * 500)}.items():
        (tmp_path / name).write_bytes(data)
        steps: list[int] = []
        content = b"".join(delivered_files.blocks(tmp_path / name, steps.append))
        assert content == TEXT * 500
        assert sum(steps) == len(data)


@pytest.mark.parametrize("spoil", [slice(None, 30), slice(None, -4), slice(0, 12)])
def test_a_gzip_file_that_is_cut_off_is_refused_whole(tmp_path: Path, spoil: slice) -> None:
    path = tmp_path / "1.csv.gz"
    path.write_bytes(gzip.compress(os.urandom(9999).hex().encode())[spoil])
    with pytest.raises(InputError, match=r"1\.csv\.gz is a damaged gzip file") as caught:
        delivered_files.sha256(path)
    assert "copy it again" in caught.value.hint


def test_a_file_that_is_gone_or_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.csv cannot be read: No such file"):
        delivered_files.sha256(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        delivered_files.sha256(tmp_path)


def test_what_is_passed_over_is_named_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    assert delivered_files.find(folder, lambda _: True, "") == delivered_files.Delivery()
    (folder / "2024.csv").mkdir(parents=True)
    for name, data in {
        "a.csv": TEXT,
        "a.csv.gz": gzip.compress(TEXT),
        "B.CSV": TEXT,
        "c.Csv.GZ": gzip.compress(TEXT),
        "notes.txt": b"hello",
        "old.zip": NO_CSV["a zip archive"],
        ".DS_Store": b"\0",
        "._a.csv": b"\0",
    }.items():
        (folder / name).write_bytes(data)
    (folder / "dead.csv").symlink_to(tmp_path / "nowhere.csv")
    (folder / "linked.csv").symlink_to(folder / "a.csv")
    os.mkfifo(folder / "pipe.csv")
    found = delivered_files.find(folder, lambda name: name.endswith(".csv"), "*.csv")
    assert found.files == {
        "B.CSV": folder / "B.CSV",
        "a.csv": folder / "a.csv",
        "c.Csv": folder / "c.Csv.GZ",
        "linked.csv": folder / "linked.csv",
    }
    assert found.passed_over == [
        f"{folder}/{text}"
        for text in (
            "2024.csv is passed over: a folder; files in it are not read",
            "a.csv.gz is passed over: a.csv is there",
            f"dead.csv is passed over: a link to {tmp_path}/nowhere.csv, which is not there",
            "notes.txt is passed over: the names that are read are *.csv",
            "old.zip is passed over: it is a zip archive (unpack it; .csv.gz is read as it is)",
            "pipe.csv is passed over: no regular file",
        )
    ]
