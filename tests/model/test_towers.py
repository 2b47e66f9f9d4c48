import numpy as np
import pytest
import torch

from two_tower.core.errors import InputError
from two_tower.model.fast_ops import Unit
from two_tower.model.layout import SHRINKAGE, Block, Layout
from two_tower.model.slots import Slots
from two_tower.model.towers import Towers, load_towers, save_towers

LAYOUT = Layout(
    "abc",
    1,
    user=(
        Block(1, "tags", "multi_hot", "tag", 0, 40),
        Block(2, "ratio", "numeric", None, 40, 1),
        Block(3, "nothing_yet", "multi_hot", "performer", 41, 0),
        Block(4, "liked", "history", "video", 41, 300),
    ),
    item=(
        Block(5, "maker", "one_hot", "maker", 0, 30),
        Block(6, "price", "numeric", None, 30, 1),
        Block(7, "own_id", "identity", "video", 31, 300),
    ),
)


def random_slots(tower, rows, seed=0):
    """Rows of 0 to 30 slots; every fifth row is empty."""
    rng = np.random.default_rng(seed)
    width = LAYOUT.feature_dim(tower)
    counts = [0 if row % 5 == 0 else int(rng.integers(1, 30)) for row in range(rows)]
    positions = [np.sort(rng.choice(width, count, replace=False)) for count in counts]
    flat = np.concatenate([*positions, np.empty(0, np.int64)]).astype(np.int64)
    values = np.where(flat == (40 if tower == "user" else 30), 7.5, 1).astype(np.float32)
    return Slots(flat, values, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


@pytest.mark.parametrize("rows", [0, 1, 2, 257])
def test_sparse_and_dense_are_the_same_model(rows):
    towers = Towers(LAYOUT, seed=3)
    dense = towers.dense_module()
    users, items = random_slots("user", rows), random_slots("item", 257 - rows, seed=1)
    user, item = dense(
        torch.from_numpy(LAYOUT.densify("user", users)),
        torch.from_numpy(LAYOUT.densify("item", items)),
    )
    assert user.shape == (rows, 128)
    assert item.shape == (257 - rows, 128)
    torch.testing.assert_close(towers.forward_sparse("user", users), user, atol=1e-5, rtol=0)
    torch.testing.assert_close(towers.forward_sparse("item", items), item, atol=1e-5, rtol=0)
    torch.testing.assert_close(user.norm(dim=1), torch.ones(rows))


def test_blocks_are_divided_by_their_norm_and_histories_by_a_little_more():
    """A numeric value is taken as it is."""
    towers = Towers(LAYOUT)
    weight = towers.towers["user"].weight.detach()
    bias = towers.towers["user"].bias.detach()
    positions = np.array([3, 7, 40, 41, 42, 43, 44, 45], dtype=np.int64)
    slots = Slots(positions, np.array([1, 1, 0.5, 1, 1, 1, 1, 1], np.float32), np.array([0, 8]))
    tags, history = weight[[3, 7]].sum(0) / 2**0.5, weight[41:46].sum(0) / (5 + SHRINKAGE) ** 0.5
    expected = tags + 0.5 * weight[40] + history + bias
    found = towers.forward_sparse("user", slots)[0]
    torch.testing.assert_close(found, expected / expected.norm())


def test_the_less_is_known_of_somebody_the_more_they_are_as_everybody():
    """By how much a history moves a vector, beside what it would as it is: .45 of one review."""
    for reviews, share in ((1, 0.447), (4, 0.707), (96, 0.98)):
        slots = Slots(np.arange(41, 41 + reviews), np.ones(reviews), np.array([0, reviews]))
        found = LAYOUT.weighed("user", slots) / LAYOUT.weighed("user", slots, shrinkage=0)
        np.testing.assert_allclose(found, np.full(reviews, share), atol=1e-3)


def test_slots_of_value_zero_count_as_absent():
    """Training hides a slot by setting its value to zero."""
    towers = Towers(LAYOUT)
    kept = Slots(np.array([1, 50]), np.ones(2, np.float32), np.array([0, 2]))
    hidden = Slots(np.array([1, 50, 60]), np.array([1, 1, 0], np.float32), np.array([0, 3]))
    torch.testing.assert_close(
        towers.forward_sparse("user", kept), towers.forward_sparse("user", hidden)
    )


def test_the_way_back_from_a_unit_vector_is_its_derivative():
    vectors = torch.from_numpy(np.random.default_rng(2).normal(size=(5, 7))).requires_grad_()
    assert torch.autograd.gradcheck(Unit.apply, vectors)


def test_no_row_becomes_nan_even_with_weights_of_zero():
    towers = Towers(LAYOUT)
    for parameter in towers.parameters():
        torch.nn.init.zeros_(parameter)
    vectors = towers.forward_sparse("user", random_slots("user", 7))
    vectors.sum().backward()
    assert bool(torch.isfinite(vectors).all())
    assert all(
        bool(torch.isfinite(p.grad).all()) for p in towers.parameters() if p.grad is not None
    )
    dense = towers.dense_module()(torch.zeros(2, 341), torch.zeros(0, 331))
    assert bool(torch.isfinite(dense[0]).all())


def test_the_seed_decides_the_first_weights_and_leaves_the_global_state_alone():
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one, same, other = Towers(LAYOUT, seed=1), Towers(LAYOUT, seed=1), Towers(LAYOUT, seed=2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.towers["item"].weight, same.towers["item"].weight)
    assert not torch.equal(one.towers["item"].weight, other.towers["item"].weight)


def test_the_file_opens_with_weights_only_and_gives_the_same_towers(tmp_path):
    towers = Towers(LAYOUT, dim=16, seed=4)
    save_towers(tmp_path / "towers.pt", towers)
    assert torch.load(tmp_path / "towers.pt", weights_only=True)["dim"] == 16
    again = load_towers(tmp_path / "towers.pt")
    slots = random_slots("user", 9)
    assert again.layout == LAYOUT
    assert torch.equal(again.forward_sparse("user", slots), towers.forward_sparse("user", slots))


@pytest.mark.parametrize("hidden", [0, 8])
def test_of_former_files_those_without_a_hidden_layer_are_read(tmp_path, hidden):
    towers = Towers(LAYOUT, dim=16, seed=4)
    torch.save({**towers.payload(), "hidden": hidden}, tmp_path / "towers.pt")
    if hidden:
        with pytest.raises(InputError, match="hidden layer"):
            load_towers(tmp_path / "towers.pt")
    else:
        assert load_towers(tmp_path / "towers.pt").dim == 16


def test_a_file_of_before_there_was_shrinkage_gives_the_towers_it_was_written_from(tmp_path):
    towers = Towers(LAYOUT, shrinkage=0)
    payload = towers.payload()
    del payload["shrinkage"]
    torch.save(payload, tmp_path / "towers.pt")
    again, slots = load_towers(tmp_path / "towers.pt"), random_slots("user", 9)
    assert torch.equal(again.forward_sparse("user", slots), towers.forward_sparse("user", slots))
    assert not torch.equal(
        Towers(LAYOUT).forward_sparse("user", slots), towers.forward_sparse("user", slots)
    )


def test_a_file_that_is_not_ours_is_refused(tmp_path):
    torch.save({"format": 99}, tmp_path / "towers.pt")
    with pytest.raises(InputError, match="format 99"):
        load_towers(tmp_path / "towers.pt")
    (tmp_path / "towers.pt").write_bytes(b"no")
    with pytest.raises(InputError, match=r"towers\.pt"):
        load_towers(tmp_path / "towers.pt")
