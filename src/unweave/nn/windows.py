"""Square windows of pictures, placed around what a map marks: the same thing, wherever and however large it stands in the picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WIDE = 2.6  # half a side, in standard deviations of what is marked: a bar of even width ends at 1.7
DOUBT = 0.3  # a mark below this counts as none
FEW = 8.0  # pixels: that many marks weigh as much as the prior, the middle half of the picture


def around(marks: Tensor) -> Tensor:
    """The window around what is marked: marks (N, 1, S, S) in [0, 1] -> centre x, y and half side, (N, 3), the picture being [-1, 1].

    Mean and standard deviation of the marked places; where little is marked, nearly the whole picture.
    """
    weight = (marks.float() - DOUBT).clamp(min=0).squeeze(1)
    size = marks.shape[-1]
    at = (torch.arange(size, device=marks.device) + 0.5) * 2 / size - 1
    total = weight.sum((1, 2)) + FEW
    found = []
    for line in (weight.sum(1), weight.sum(2)):  # along x, along y
        middle = (line * at).sum(1) / total
        spread = (line * (at - middle[:, None]).square()).sum(1) + FEW * 0.4**2
        found.append((middle, (spread / total).sqrt()))
    (x, wide), (y, high) = found
    return torch.stack([x, y, WIDE * torch.maximum(wide, high)], dim=1)


def window(pictures: Tensor, place: Tensor, size: int) -> Tensor:
    """What stands in a window, drawn at one size: (N, C, S, S) and places (N, 3) as of `around` -> (N, C, size, size). Edges repeat."""
    x, y, half = place.to(pictures).unbind(1)
    nothing = torch.zeros_like(x)
    affine = torch.stack([torch.stack([half, nothing, x], dim=1), torch.stack([nothing, half, y], dim=1)], dim=1)
    grid = F.affine_grid(affine, [len(pictures), pictures.shape[1], size, size], align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False, padding_mode="border")


def marked(x: Tensor, marks: Tensor, unsteady: Tensor | float = 1.0) -> Tensor:
    """What stands in the window around the marks, and the marks: (N, C, S, S), (N, 1, S, S) in [0, 1] -> (N, C + 1, S, S).

    unsteady: factors of the window's place and size, (N, 3) near 1, to train on windows that are a little off.
    """
    return window(torch.cat([x, marks], dim=1), around(marks) * unsteady, x.shape[-1])
