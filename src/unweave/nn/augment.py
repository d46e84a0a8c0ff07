"""Augmentation that does not leak into what a generator draws: real and drawn pictures are changed alike before the critic sees them.

Karras, Aittala, Hellsten, Laine, Lehtinen, Aila: Training Generative Adversarial Networks with Limited Data, NeurIPS 2020. As long as most
pictures are left alone, a generator must draw the unchanged ones for both sides to look alike. Of the published changes: moving, scaling,
turning, brightness, contrast, saturation. Mirroring is not among them: it would be learned from pictures whose sides differ.
All is tensor arithmetic with derivatives of any order.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MOVE = 0.125  # largest shift, share of the side
SCALE, COLOUR = 0.2, 0.2  # standard deviations, octaves of scale and amounts of brightness
CONTRAST, SATURATION = 0.5, 1.0  # standard deviations, octaves


def augmented(x: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """(N, C, S, S) in about [-1, 1] -> the same; each picture has each change with probability `strength`. generator: on the CPU."""
    if strength <= 0:
        return x
    n, colours = x.shape[:2]

    def some(numbers: Tensor, rest: float = 0.0, chance: float = strength) -> Tensor:
        """These numbers for some of the pictures, `rest` for the others."""
        return torch.where(torch.rand(n, generator=generator) < chance, numbers, torch.full((n,), rest)).to(x)

    def normal() -> Tensor:
        return torch.randn(n, generator=generator)

    def even(most: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * most

    size = some(2 ** (SCALE * normal()), 1.0)
    turn = some(even(math.pi), chance=1 - math.sqrt(1 - min(strength, 1.0)))  # as published: upright stays the most frequent
    right, below = some(even(2 * MOVE)), some(even(2 * MOVE))
    cos, sin = turn.cos() / size, turn.sin() / size
    matrix = torch.stack([torch.stack([cos, sin, right], 1), torch.stack([-sin, cos, below], 1)], 1)  # from places in the result
    x = sampled(x, matrix)

    x = x + some(COLOUR * normal())[:, None, None, None]
    x = x * some(2 ** (CONTRAST * normal()), 1.0)[:, None, None, None]
    if colours == 3:
        grey = x.mean(1, keepdim=True)
        x = grey + (x - grey) * some(2 ** (SATURATION * normal()), 1.0)[:, None, None, None]
    return x


def sampled(x: Tensor, matrix: Tensor) -> Tensor:
    """The picture read at other places, between its pixels by straight lines; beyond its edges it is mirrored.

    x: (N, C, H, W). matrix: (N, 2, 3), from places (x, y, 1) of the result to places of the picture, both -1..1 from edge to edge.
    `grid_sample` does the same and has no second derivative; this has: the picture is gathered at four neighbours.
    """
    n, colours, height, width = x.shape
    ys, xs = (torch.arange(side, device=x.device).add(0.5).mul(2 / side).sub(1) for side in (height, width))
    by_x, by_y, moved = (part[:, :, None, None] for part in matrix.float().unbind(2))  # no matmul: autocast would round the places
    there = by_x * xs + by_y * ys[:, None] + moved
    column, row = (mirrored((there[:, i] + 1) * side / 2 - 0.5, side) for i, side in enumerate((width, height)))
    left, top = column.floor().clamp_max(max(width - 2, 0)), row.floor().clamp_max(max(height - 2, 0))
    across, down = (column - left)[:, None], (row - top)[:, None]
    flat, corner = x.flatten(2), (top * width + left).long().flatten(1)

    def at(step: int) -> Tensor:
        return flat.gather(2, (corner + step)[:, None].expand(-1, colours, -1)).view(n, colours, height, width)

    upper = at(0) * (1 - across) + at(1) * across
    lower = at(width) * (1 - across) + at(width + 1) * across
    return upper * (1 - down) + lower * down


def mirrored(place: Tensor, side: int) -> Tensor:
    """Places beyond 0..side - 1 folded back into it."""
    most = side - 1
    folded = place.remainder(2 * most)
    return torch.minimum(folded, 2 * most - folded)
