import subprocess
import sys

import pytest
import torch

from two_tower.training.optimizer import Adam


def steps(parameters, optimiser, count):
    rng = torch.Generator().manual_seed(1)
    for number in range(count):
        for each in parameters:
            each.grad = torch.randn(each.shape, generator=rng)
        optimiser(0.01 / (1 + number))


def parameters():
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(size, generator=rng).requires_grad_() for size in ((5, 3), (3,))]


def test_steps_are_those_of_torch():
    ours, theirs = parameters(), parameters()
    peer = torch.optim.Adam(theirs, fused=True)

    def step(rate):
        peer.param_groups[0]["lr"] = rate
        peer.step()

    steps(ours, Adam(ours).step, 20)
    steps(theirs, step, 20)
    assert not torch.equal(ours[0], parameters()[0])
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize("longest", [0.5, 1e6])
def test_gradients_longer_than_that_are_shortened_first(longest):
    ours, theirs = parameters(), parameters()
    adam, peer = Adam(ours), Adam(theirs)

    def step(rate):
        torch.nn.utils.clip_grad_norm_(theirs, longest)
        peer.step(rate)

    steps(ours, lambda rate: adam.step(rate, longest), 5)
    steps(theirs, step, 5)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-7)


def test_a_restored_one_goes_on_as_the_first_would():
    ours, theirs = parameters(), parameters()
    first, second = Adam(ours), Adam(theirs)
    steps(ours, first.step, 3)
    second.restore(first.state())
    for mine, other in zip(ours, theirs, strict=True):
        other.data.copy_(mine.data)
    before = first.means[0].clone()
    steps(theirs, second.step, 2)
    assert torch.equal(first.means[0], before), "they share no state"
    steps(ours, first.step, 2)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.equal(mine, other)


def test_a_step_needs_no_compiler():
    program = """
import sys, torch
from two_tower.training.optimizer import Adam
weight = torch.zeros(2, requires_grad=True)
adam = Adam([weight])
weight.sum().backward()
adam.step(0.1, 1.0)
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
