import numpy as np
import pytest
import torch
from test_ensemble import data  # noqa: F401  a fixture

from two_tower.training.data.dataset import VALIDATION_FOLD
from two_tower.training.data.validation import LEAST_GAIN, Lists, least_gain


@pytest.mark.parametrize("few", [1, 3])
def test_of_people_with_few_likes_no_more_is_seen(data, few):  # noqa: F811
    """Each keeps so many of their likes, and nothing else; some videos are in no history."""
    seen = []

    def encode(slots):
        seen.append(slots)
        return torch.zeros(len(slots), 1)

    Lists(encode, data, data.validation, few)
    part = data.read(data.validation)
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


def test_the_metrics_are_those_of_lists_ranked_one_by_one(data):  # noqa: F811
    """Of the known videos but the user's other reviews; the fold's likes are to be found."""
    rng = np.random.default_rng(5)
    users, videos = (rng.normal(size=(n, 6)) for n in (len(data.validation), len(data.items)))
    known = rng.random(len(videos)) < 0.9
    lists = Lists(lambda _: torch.from_numpy(users), data, data.validation)
    found = lists.measure(torch.from_numpy(videos), known)
    part = data.read(data.validation)
    held = part.folds == VALIDATION_FOLD
    sums = dict.fromkeys(found, 0.0)
    for row, user in enumerate(users):
        shown = set(part.items[(part.rows == row) & ~held].tolist())
        likes = set(part.items[(part.rows == row) & held & part.liked].tolist())
        order = np.argsort(-(videos @ user)).tolist()
        hits = [item in likes for item in order if known[item] and item not in shown]
        for depth in (10, 100):
            discounts = 1 / np.log2(np.arange(2, depth + 2))
            gain = (np.array(hits[:depth]) * discounts[: len(hits[:depth])]).sum()
            sums[f"ndcg@{depth}"] += gain / discounts[: len(likes)].sum()
        sums["recall@20"] += sum(hits[:20]) / min(20, len(likes))
    assert found == pytest.approx({name: total / len(users) for name, total in sums.items()})
    assert all(0 < value < 1 for value in found.values())


def test_chance_falls_with_the_root_of_many_users():
    assert [least_gain(users) for users in (0, 20, 1_000)] == [LEAST_GAIN] * 3
    assert least_gain(4_000) == LEAST_GAIN / 2
