"""Random stickers: shapes laid over pictures, so that a network can learn to see what is behind them.

A denoising autoencoder's corruption (Vincent et al. 2008) with the structure of things that people wear: rings, bars and patches
in one colour, opaque or see-through, alone or as a mirrored pair.
"""

from __future__ import annotations

import torch
from torch import Tensor


def stickers(pictures: Tensor, generator: torch.Generator, shapes: int = 3) -> tuple[Tensor, Tensor]:
    """Each picture under one to `shapes` random superellipses, outlined or filled.

    pictures: (N, 3, S, S) in [-1, 1]; the generator is on the CPU. -> pictures with stickers, (N, 3, S, S), and what they cover,
    (N, 1, S, S) in [0, 1].
    """
    n, _, size, _ = pictures.shape

    def draw(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(n, *shape, 1, 1, generator=generator).to(pictures) * (high - low) + low

    at = torch.linspace(-1, 1, size, device=pictures.device, dtype=pictures.dtype)
    y, x = at.view(1, size, 1), at.view(1, 1, size)
    middle = draw(low=-0.35, high=0.35)  # of the mirrored pairs
    colour = draw(3, low=-1, high=1) * draw(1, low=0.3, high=1.0)
    covered = torch.zeros(n, 1, size, size, dtype=pictures.dtype, device=pictures.device)
    out = pictures
    for k in range(shapes):
        paired = draw() < 0.6
        cx, cy = draw(low=-0.6, high=0.6), draw(low=-0.6, high=0.6)
        apart = draw(low=0.1, high=0.35)
        dx = torch.where(paired, (x - middle).abs() - apart, x - cx)
        slope = draw(low=-0.3, high=0.3)
        dy = y - cy - slope * dx
        a, b = draw(low=0.06, high=0.32), draw(low=0.03, high=0.28)
        power = draw(low=1.6, high=6.0)
        r = ((dx / a).abs() ** power + (dy / b).abs() ** power + 1e-8) ** (1 / power)
        reach = torch.minimum(a, b)
        distance = (r - 1) * reach * size / 2  # pixels outside the outline
        width = draw(low=0.6, high=4.0)
        ring = (width / 2 + 0.5 - distance.abs()).clamp(0, 1)
        fill = (0.5 - distance).clamp(0, 1) * torch.where(draw() < 0.5, draw(low=0.3, high=0.9), torch.zeros_like(a))
        alpha = torch.where(draw() < 0.2, (0.5 - distance).clamp(0, 1), torch.maximum(ring, torch.zeros_like(ring))).unsqueeze(1)
        fill = fill.unsqueeze(1)
        if k:  # the first is always there
            there = (draw() < 0.5).to(pictures).unsqueeze(1)
            alpha, fill = alpha * there, fill * there
        tint = draw(3, low=-1, high=1)
        out = out * (1 - fill) + tint * fill
        out = out * (1 - alpha) + colour * alpha
        covered = torch.maximum(covered, torch.maximum(alpha, (fill > 0).to(fill)))
    return out, covered
