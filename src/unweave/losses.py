"""Losses: pure functions of tensors and networks, one paper equation each. All return scalars; pictures are (N, C, H, W)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Critic = Callable[[Tensor], Tensor]


def absolute(x: Tensor, target: Tensor) -> Tensor:
    """Mean |x - target| (L1)."""
    return F.l1_loss(x.float(), target.float())


def squared(x: Tensor, target: Tensor) -> Tensor:
    """Mean (x - target)^2."""
    return F.mse_loss(x.float(), target.float())


def squared_inside(x: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean (x - target)^2 over what a mask (N, 1, H, W) in [0, 1] covers; small masks count as much as large ones."""
    error = (x.float() - target.float()).square().sum(1, keepdim=True)
    return (error * mask).sum() / (x.shape[1] * mask.sum() + 1)


def zero(code: Tensor) -> Tensor:
    """Mean |code|: this set has nothing to say here (Benaim et al. 2019, the zero loss)."""
    return code.float().abs().mean()


def tell_apart(logits_a: Tensor, logits_b: Tensor) -> Tensor:
    """The critic's side: cross-entropy of set a as 0 and set b as 1, the mean of both (Press et al. 2019, eq. 5)."""
    a, b = logits_a.float(), logits_b.float()
    return (F.softplus(a).mean() + F.softplus(-b).mean()) / 2


def domain_confusion(critic: Critic, code_a: Tensor, code_b: Tensor) -> Tensor:
    """The encoder's side: both codes are pushed towards the label of a, the set without the part (Press et al. 2019, eq. 4).

    One-sided on purpose: flipped labels would pay the encoder for writing the set into the code the other way round.
    """
    a, b = critic(code_a).float(), critic(code_b).float()
    return (F.softplus(a).mean() + F.softplus(b).mean()) / 2
