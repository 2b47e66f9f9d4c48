import numpy as np
import pytest
import torch
from test_blend import data  # noqa: F401  a fixture

from two_tower.dataset import VALIDATION_FOLD
from two_tower.validation import LEAST_GAIN, Lists, least_gain


@pytest.mark.parametrize("few", [1, 3])
def test_of_people_with_few_likes_no_more_is_seen(data, few):  # noqa: F811
    """Each keeps so many of their likes, and nothing else; some videos are in no history."""
    seen = []

    def encode(slots):
        seen.append(slots)
        return torch.zeros(len(slots), 1)

    Lists(encode, data, data.validation, few)
    part = data.users.read(data.validation)
    held = part.folds == VALIDATION_FOLD
    likes = np.bincount(part.rows[part.liked & ~held], minlength=len(part))
    assert likes.max() > few
    slots = seen[0]
    block = next(each for each in data.layout.user if each.kind == "history")
    place = slots.positions - block.offset
    inside = (place >= 0) & (place < block.width) & (slots.values != 0)
    found = np.bincount(slots.rows[inside], minlength=len(part))
    assert (found <= few).all()
    assert np.median(found[likes >= few]) == few
    past = part.liked & ~held
    shown = set(zip(slots.rows[inside], place[inside], strict=True))
    assert shown <= set(zip(part.rows[past], data.items.identity[part.items[past]], strict=True))


def test_chance_falls_with_the_root_of_many_users():
    assert [least_gain(users) for users in (0, 20, 1_000)] == [LEAST_GAIN] * 3
    assert least_gain(4_000) == LEAST_GAIN / 2
