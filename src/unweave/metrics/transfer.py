"""Measures of edits against the true picture, one number for each picture.

Everywhere: pictures are (N, C, S, S) in [-1, 1], masks (N, S, S) bool. Differences are given in steps of an 8-bit picture (0-255), so that
"outside_change 1" reads: on average one grey level.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 127.5  # one unit of [-1, 1] in steps of an 8-bit picture
BLOCK = 8


def dilate(masks: Tensor, by: int = 2) -> Tensor:
    """Each mask grown by `by` pixels in every direction (a square neighbourhood). (N, S, S) bool -> (N, S, S) bool."""
    return F.max_pool2d(masks[:, None].float(), 2 * by + 1, stride=1, padding=by)[:, 0] > 0


def box(masks: Tensor) -> Tensor:
    """The smallest upright rectangle around each mask, filled; empty for an empty mask. (N, S, S) bool -> (N, S, S) bool."""

    def span(line: Tensor) -> Tensor:  # from the first to the last True
        return (line.cumsum(-1) > 0) & (line.flip(-1).cumsum(-1).flip(-1) > 0)

    return span(masks.any(2))[:, :, None] & span(masks.any(1))[:, None, :]


def difference(x: Tensor, y: Tensor) -> Tensor:
    """Mean over channels of |x - y| at each pixel, in 8-bit steps. Two (N, C, S, S) -> (N, S, S) in [0, 255]."""
    return (x - y).abs().mean(1) * LEVELS


def inside(change: Tensor, region: Tensor) -> Tensor:
    """Mean of (N, S, S) numbers inside each picture's region (N, S, S) bool -> (N,); NaN where a region is empty."""
    weight = region.float()
    count = weight.sum((1, 2))
    return torch.where(count > 0, (change * weight).sum((1, 2)) / count.clamp(min=1), torch.nan)


def worst_block(change: Tensor, region: Tensor, side: int = BLOCK) -> Tensor:
    """The largest mean over any side x side block of the numbers outside a region; pixels of the region count as unchanged.

    change: (N, S, S); region: (N, S, S) bool, what may change. -> (N,). Blocks start at every pixel, so that none is missed between two.
    """
    outside = change * (~region).float()
    return F.avg_pool2d(outside[:, None], side, stride=1).flatten(1).max(1).values


def nearest_part(made: Tensor, candidates: Tensor, masks: Tensor) -> Tensor:
    """Which of K candidate pictures is nearest (L1) to the made one inside the box of the true mask.

    made: (N, C, S, S). candidates: (N, K, C, S, S), the same face with K donors' parts, the right one first. masks: (N, S, S) bool, of the
    right one. -> (N,) index; 0 is right. Equal distances count as wrong: the right one is found only if it is strictly nearest.
    """
    window = box(masks)[:, None].float()
    distance = ((made[:, None] - candidates).abs().mean(2) * window).sum((2, 3))
    others = distance[:, 1:].min(1)
    return torch.where(distance[:, 0] < others.values, 0, others.indices + 1)


@torch.no_grad()
def seen(judge: Callable[[Tensor], Tensor], pictures: Tensor, batch: int = 128) -> Tensor:
    """Whether the judge sees the part: its probability is above one half. (N, C, S, S) -> (N,) bool."""
    return torch.cat([judge(chunk) for chunk in pictures.split(batch)]) > 0.5
