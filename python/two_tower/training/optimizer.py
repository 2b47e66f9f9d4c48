"""Adam without its class, which imports torch's compiler: two seconds that no step of it needs."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Adam (Kingma and Ba, ICLR 2015) with torch's defaults.

    Args:
        parameters: all that is trained, float32; each has a gradient at every step.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.parameters = list(parameters)
        self.means = [torch.zeros_like(each) for each in self.parameters]
        self.squares = [torch.zeros_like(each) for each in self.parameters]
        self.steps = [torch.zeros((), device=each.device) for each in self.parameters]

    @torch.no_grad()
    def step(self, rate: float, longest: float = math.inf) -> None:
        """Take a step at this learning rate, gradients together no longer than ``longest``."""
        gradients = [each.grad for each in self.parameters if each.grad is not None]
        assert len(gradients) == len(self.parameters)
        length = torch.nn.utils.get_total_norm(gradients)
        adam(
            self.parameters,
            gradients,
            self.means,
            self.squares,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
            grad_scale=(length / longest).clamp_min(1.0),
        )

    def state(self) -> dict[str, list[Tensor]]:
        """Return what :meth:`restore` needs."""
        return {"means": self.means, "squares": self.squares, "steps": self.steps}

    def restore(self, state: dict[str, list[Tensor]]) -> None:
        """Go back to a state."""
        for name, mine in self.state().items():
            for tensor, saved in zip(mine, state[name], strict=True):
                tensor.copy_(saved)
