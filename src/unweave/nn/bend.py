"""Pictures that show the same thing in a slightly other shape: moved, sheared, resized, with thicker or thinner strokes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bent(x: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the pictures thickened or thinned by a pixel or two of 64, all moved, resized, sheared and turned a little.

    x: (N, C, S, S) in [-1, 1]; the generator is on the CPU. -> the same shape; what comes in from outside repeats the edge.
    """
    n, size = len(x), x.shape[-1]

    def draw(*shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator).to(x) * 2 - 1

    reach = 2 * max(1, round(size / 64)) + 1
    bright, dark = F.max_pool2d(x, reach, 1, reach // 2), -F.max_pool2d(-x, reach, 1, reach // 2)
    kind, amount = draw(1, 1, 1), draw(1, 1, 1).abs()
    x = torch.where(kind < -0.5, torch.lerp(x, bright, amount), torch.where(kind > 0.5, torch.lerp(x, dark, amount), x))
    place = torch.zeros(n, 2, 3).to(x)
    place[:, 0, 0], place[:, 1, 1] = 1 + 0.15 * draw(), 1 + 0.15 * draw()
    place[:, 0, 1], place[:, 1, 0] = 0.15 * draw(), 0.06 * draw()
    place[:, :, 2] = 0.06 * draw(2)
    return F.grid_sample(x, F.affine_grid(place, list(x.shape), align_corners=False), padding_mode="border", align_corners=False)
