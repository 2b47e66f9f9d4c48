"""Data parallel: the gradient of a batch that a group shares is that of the whole batch."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from two_tower.training.group import ALONE, Group


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> list[Group]:
    """Two processes, here threads that meet at each sum."""
    barrier, held = threading.Barrier(2), []

    def all_reduce(tensor: torch.Tensor) -> None:
        held.append(tensor.clone())
        barrier.wait(10)
        total = sum(held)
        barrier.wait(10)
        held.clear()
        tensor.copy_(total)
        barrier.wait(10)

    monkeypatch.setattr(torch.distributed, "all_reduce", all_reduce)
    return [Group(0, 2), Group(1, 2)]


def averaged(group: Group, rows: torch.Tensor, targets: torch.Tensor) -> tuple[object, ...]:
    """Fit a line to this process's share of some rows; return its gradient, loss and reviews."""
    weight = torch.ones(3, requires_grad=True)
    mine = torch.from_numpy(group.share(np.arange(len(rows))))
    loss = torch.tensor(0.0)
    if len(mine):
        loss = ((rows[mine] @ weight - targets[mine]) ** 2).mean()
        loss.backward()
    found = group.averaged([weight], loss.item(), float(len(mine)), len(mine))
    return weight.grad, *found


@pytest.mark.parametrize("rows", [5, 1])  # of one row the other process has none
def test_shares_of_a_batch_have_the_gradient_of_the_batch(two: list[Group], rows: int) -> None:
    rng = torch.Generator().manual_seed(1)
    batch, targets = torch.randn(rows, 3, generator=rng), torch.randn(rows, generator=rng)
    gradient, loss, reviews = averaged(ALONE, batch, targets)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda group: averaged(group, batch, targets), two))
    for other, its_loss, its_reviews in found:
        torch.testing.assert_close(other, gradient)
        assert its_loss == pytest.approx(loss)
        assert its_reviews == reviews == rows


def test_each_process_has_its_users_and_its_own_chance(two: list[Group]) -> None:
    rows = np.arange(7)
    assert sorted(np.concatenate([each.share(rows) for each in two])) == rows.tolist()
    first, second = (each.own(np.random.default_rng(1)).random(4) for each in two)
    assert not np.array_equal(first, second)
    again = two[0].own(np.random.default_rng(1)).random(4)
    assert np.array_equal(first, again)
    assert np.array_equal(ALONE.share(rows), rows)
