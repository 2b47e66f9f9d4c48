"""What of a video counts as its content, and what as the tastes it speaks to."""

import numpy as np

from two_tower.evaluation.held_out import content_blocks, taste_blocks, tokens
from two_tower.model.layout import Layout

KEYS = ("feature_id", "tower", "feature", "kind", "position", "vocabulary", "width")
LAYOUT = Layout.from_rows(
    [
        dict(zip(KEYS, row, strict=True))
        for row in (
            (1, "user", "leanings", "multi_hot", 0, "theme", 3),
            (2, "user", "past", "history", 1, "video", 9),
            (3, "item", "shop", "one_hot", 0, "shop", 2),
            (4, "item", "themes", "multi_hot", 1, "theme", 3),
            (5, "item", "people", "multi_hot", 2, "person", 4),
            (6, "item", "cost", "numeric", 3, None, 1),
            (7, "item", "itself", "identity", 4, "video", 9),
        )
    ],
    "hash",
    1,
)


def test_content_is_every_token_but_who_the_video_is() -> None:
    assert [block.feature for block in content_blocks(LAYOUT)] == ["shop", "themes", "people"]


def test_tastes_are_what_users_are_described_in_too() -> None:
    assert [block.feature for block in taste_blocks(LAYOUT)] == ["themes"]


def test_tokens_are_ones_at_the_slots_of_their_blocks() -> None:
    ids, indices = np.array([3, 4, 4, 6, 7, 5]), np.array([1, 0, 2, 0, 8, 3])
    values = np.array([1, 1, 1, 7.5, 1, 1], dtype=np.float32)
    slots = LAYOUT.slots("item", ids, indices, values, np.array([0, 5, 5, 6]))
    found = tokens(slots, content_blocks(LAYOUT), LAYOUT).toarray()
    assert found.shape == (3, LAYOUT.feature_dim("item"))
    # shop 1 · themes 0 and 2; no slot at all; person 3
    assert [np.flatnonzero(row).tolist() for row in found] == [[1, 2, 4], [], [8]]
    assert set(found.ravel().tolist()) == {0.0, 1.0}
    tastes = tokens(slots, taste_blocks(LAYOUT), LAYOUT).toarray()
    assert [np.flatnonzero(row).tolist() for row in tastes] == [[2, 4], [], []]
