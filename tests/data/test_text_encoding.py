"""Which encoding a file has, when its bytes are all that says it: generated texts, both ways."""

from __future__ import annotations

import codecs
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from two_tower.core.errors import InputError
from two_tower.data import text_encoding

HIRAGANA = [
    *["とてもおもしろかったです", "なんどもみました", "さいごまであきなかった", "もういちどみたい"],
    *["なになに", "のののの", "まあまあだとおもう", "はなこ", "ひなた", "さくら", "めぐみ", "ゆい"],
]
KANJI = [
    *["青木", "佐藤花子", "渡邊", "髙橋美咲", "齋藤", "濱田", "佐々木", "大阪府在住", "映像作品"],
    *["期待外れ", "最高傑作", "東京都新宿区", "画質不良", "途中退席"],
]
KATAKANA = ["アイドル", "コメディ", "ドキュメンタリー", "サスペンス", "ハイビジョン", "デビュー作"]
HALF_WIDTH = ["ｱｲﾄﾞﾙ", "ｺﾒﾃﾞｨ", "ﾄﾞｷｭﾒﾝﾄ", "ﾀﾅｶ", "ﾔﾏﾀﾞ", "ﾜﾀﾅﾍﾞ", "ﾃｽﾄ", "ｶﾄｳ", "ｽｽﾞｷ"]
SENTENCES = [
    *[
        "この作品は本当に素晴らしかったです。",
        "主演の青木さんの演技が自然で、最後まで飽きずに見られた",
    ],
    *["値段も手頃（１，９８０円）", "途中で寝てしまった…", "「また買いたい」と思います！"],
]
JAPANESE = {
    "hiragana": HIRAGANA,
    "kanji": KANJI,
    "katakana": KATAKANA,
    "half-width": HALF_WIDTH,
    "sentences": SENTENCES,
    "mixed": HIRAGANA + KANJI + KATAKANA + HALF_WIDTH + SENTENCES,
}
OTHERS = {
    "French": ["déçu", "génial", "été", "très bien", "forêt", "naïveté", "çà et là"],
    "German": ["schön", "größer", "Übung", "müde", "Straße", "Mädchen"],
    "Russian": ["фильм", "очень понравился", "спасибо", "сюжет"],
    "Greek": ["πολύ", "καλή ταινία", "ηθοποιοί"],
    "Arabic": ["فيلم رائع", "جدا", "ممثلون"],
    "Thai": ["ภาพยนตร์", "สนุกมาก"],
    "Korean": ["정말 재미있게", "봤습니다", "추천합니다"],
    "Chinese": ["这部电影非常好看", "推荐给大家", "北京", "演员"],
    "emoji": ["😀👍", "🎬", "🔥🔥 good"],
}
# With fewer characters beyond ASCII that are whole, what damaged text was is a guess.
FEW = 10
FILES = 150  # generated for each test

Spoil = Callable[[bytes, random.Random], bytes]


def beyond_ascii(data: bytes) -> list[int]:
    return [place for place, byte in enumerate(data) if byte > 127]


def flipped(data: bytes, maker: random.Random) -> bytes:
    place = maker.choice(beyond_ascii(data))
    return data[:place] + bytes([maker.randrange(128, 256)]) + data[place + 1 :]


def shortened(data: bytes, maker: random.Random) -> bytes:
    place = maker.choice(beyond_ascii(data))
    return data[:place] + data[place + 1 :]


def lengthened(data: bytes, maker: random.Random) -> bytes:
    place = maker.choice(beyond_ascii(data))
    return data[:place] + bytes([maker.randrange(128, 256)]) + data[place:]


def cut(data: bytes, maker: random.Random) -> bytes:
    """Cut a file off somewhere, most of the time within a character."""
    return data[: maker.choice(beyond_ascii(data)[len(beyond_ascii(data)) // 2 :])]


SPOILS: list[Spoil] = [flipped, shortened, lengthened, cut]


def reviews(words: list[str], maker: random.Random) -> str:
    """Return a small review file, few or all of whose ids are such words."""
    share = maker.choice((0.1, 1.0))
    lines = ["product_url,reviewer_id,stars"]
    for _ in range(maker.choice((1, 2, 5, 20, 100))):
        name = maker.choice(words) if maker.random() < share else f"user_{maker.randrange(999)}"
        lines.append(f"https://x/{maker.randrange(99)}/,{name},{maker.randint(1, 5)}")
    return "\n".join([*lines, ""])


def whole(data: bytes, encoding: str) -> int:
    """Return how many characters beyond ASCII can be read."""
    text = data.decode(encoding, text_encoding.ON_DAMAGE)
    return sum(c > "\x7f" and c != text_encoding.DAMAGED for c in text)


def found(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    try:
        return text_encoding.of(path)
    except InputError:
        return "neither"


@pytest.mark.parametrize("kind", JAPANESE)
def test_cp932_is_read_as_cp932_however_short_it_is(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.csv"
    for word in JAPANESE[kind]:
        assert found(path, f"x,{word},5\n".encode("cp932")) == "cp932", word
    for seed in range(FILES):
        data = reviews(JAPANESE[kind], random.Random(seed)).encode("cp932")
        if not data.isascii():
            assert found(path, data) == "cp932", seed


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("kind", JAPANESE)
def test_damaged_cp932_is_never_taken_for_utf_8(tmp_path: Path, kind: str, spoil: Spoil) -> None:
    answers = []
    for seed in range(FILES):
        maker = random.Random(seed)
        data = reviews(JAPANESE[kind], maker).encode("cp932")
        if not data.isascii() and whole(data := spoil(data, maker), "cp932") >= FEW:
            answers.append(found(tmp_path / "x.csv", data))
    assert len(answers) > 50
    assert "utf-8" not in answers
    assert answers.count("neither") <= 0.02 * len(answers)


@pytest.mark.parametrize("spoil", SPOILS)
@pytest.mark.parametrize("kind", [*JAPANESE, *OTHERS])
def test_damaged_utf_8_is_never_taken_for_cp932(tmp_path: Path, kind: str, spoil: Spoil) -> None:
    answers = []
    for seed in range(FILES):
        maker = random.Random(seed)
        data = reviews((JAPANESE | OTHERS)[kind], maker).encode()
        if not data.isascii() and whole(data := spoil(data, maker), "utf-8") >= FEW:
            answers.append(found(tmp_path / "x.csv", data))
    assert len(answers) > 30
    assert set(answers) == {"utf-8"}


@pytest.mark.parametrize("kind", [*JAPANESE, *OTHERS])
def test_utf_8_that_is_cut_off_within_a_character_is_utf_8(tmp_path: Path, kind: str) -> None:
    for word in (JAPANESE | OTHERS)[kind]:
        data = f"x,y\n1,{word}".encode()
        for end in range(4, len(data)):
            assert found(tmp_path / "x.csv", data[:end]) == "utf-8"


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1252", OTHERS["French"] + OTHERS["German"]),
        ("euc_jp", HIRAGANA + KANJI + SENTENCES),
        ("gbk", OTHERS["Chinese"]),
        ("cp949", OTHERS["Korean"]),
        ("cp1251", OTHERS["Russian"]),
        ("cp1253", OTHERS["Greek"]),
        ("cp1256", OTHERS["Arabic"]),
        ("cp874", OTHERS["Thai"]),
    ],
)
def test_another_encoding_is_refused_and_not_read_as_something_else(
    tmp_path: Path, encoding: str, words: list[str]
) -> None:
    path = tmp_path / "x.csv"
    maker = random.Random(7)
    lines = [f"https://x/{i},{maker.choice(words)},5" for i in range(50)]
    path.write_bytes(
        "\n".join(["product_url,reviewer_id,stars", *lines]).encode(encoding, "ignore")
    )
    with pytest.raises(InputError, match="neither UTF-8 nor CP932") as caught:
        text_encoding.of(path)
    assert caught.value.hint == "save it as UTF-8"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"", "utf-8"),
        (b"product_url\n", "utf-8"),
        (codecs.BOM_UTF8 + "青木\n".encode() + b"\xff", "utf-8-sig"),
        ("a,b\n青木".encode("utf-16"), "utf-16"),
        ("a,b\n青木".encode("utf-16")[:-1], "utf-16"),
        ("product_url,reviewer_id,stars,at\n青木".encode("utf-16-le"), "utf-16-le"),
        ("product_url,reviewer_id,stars,at\n青木".encode("utf-16-be")[:-1], "utf-16-be"),
    ],
)
def test_marks_and_zeros_tell_the_rest(tmp_path: Path, data: bytes, encoding: str) -> None:
    assert found(tmp_path / "x.csv", data) == encoding


@pytest.mark.parametrize("kind", [*JAPANESE, *OTHERS])
def test_utf_8_that_was_joined_to_cp932_is_found_line_by_line(kind: str) -> None:
    words = (JAPANESE | OTHERS)[kind]
    read = [f"x,{word}".encode().decode("cp932", text_encoding.ON_DAMAGE) for word in words]
    for word, line in zip(words, text_encoding.checked_cp932(read), strict=True):
        # Characters of two bytes, as é, are half-width kana as well, and cannot be told from them.
        assert text_encoding.DAMAGED in line or max(word) < "\u0800", word
    ours = [f"x,{word}" for word in JAPANESE.get(kind, HIRAGANA)]
    assert text_encoding.checked_cp932(ours) == ours


@pytest.mark.parametrize(
    "data",
    [
        b"x,\xe3\x81\xaf\xe3\xfc\x81\xaa\xe3\x81\x93,5\n",
        b"x,\xe3\x81\xaa\xe3\xfc\x81\xab\xe3\x81\xaa\xe3\x81\xab,5\n",
    ],
    ids=["three letters", "four letters"],
)
def test_a_short_word_of_damaged_utf_8_is_utf_8(tmp_path: Path, data: bytes) -> None:
    assert found(tmp_path / "x.csv", data) == "utf-8"
