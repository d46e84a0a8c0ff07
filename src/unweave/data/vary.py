"""New typefaces made of given ones: slanted, narrower, bolder, rounded, outlined, striped, with serifs or a shadow.

A few hundred typefaces teach a model those typefaces; what a typeface is, it learns from thousands. All characters of a new face are
changed alike, by one set of numbers. Ink is (N, 1, 2 S, 2 S) in [0, 1]: twice as fine as the pictures, so that edges come out smooth.
Lengths are in 128ths of a picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

LONGEST = 50 / 64  # a glyph's longest side, of the picture's
INNER = 0.66  # and while it is changed: room for what is added around
LEAST = 0.3  # share of its ink that a change must leave each glyph, else the face goes without it
APART = 0.6  # and of what tells glyphs apart
VERSION = 1  # raise it whenever a picture changes
Random = np.random.Generator


def varied(face: NDArray[np.uint8], random: Random) -> NDArray[np.uint8]:
    """Another typeface: (N, S, S) black 0 on white 255 -> the same, each glyph by the rule (longest side 50 of 64, in the middle)."""
    ink = 1 - torch.from_numpy(face.astype(np.float32)).div(255)[:, None]
    ink = F.interpolate(ink, scale_factor=2, mode="bilinear", align_corners=False)
    ink = fitted(bend(ink, random), INNER)
    for change in (weigh, serif, soften, fill):
        changed = change(ink, random)
        if (changed.mean((1, 2, 3)) > LEAST * ink.mean((1, 2, 3))).all() and apart(changed) > APART * apart(ink):
            ink = changed
    crisp = ((fitted(ink, LONGEST) - 0.5) * 3 + 0.5).clamp(0, 1)
    return ((1 - F.avg_pool2d(crisp, 2)[:, 0]) * 255).round().to(torch.uint8).numpy()


def apart(ink: Tensor) -> float:
    """How far glyphs are from each other, in proportion to their ink: bold ones whose counters close come near to one another."""
    deviation = ((ink * ink).mean(0) - ink.mean(0).square()).clamp(min=0).sqrt()
    return float(deviation.mean() / ink.mean()) if len(ink) > 1 else 1.0


# -- shapes --------------------------------------------------------------------------------------------------------------------


def bend(ink: Tensor, random: Random) -> Tensor:
    """Narrower or wider, and perhaps slanted, tapered, wavy, or of rough edges."""
    side = ink.shape[-1]
    line = torch.linspace(-1, 1, side)
    y, x = (one.expand(len(ink), -1, -1) for one in torch.meshgrid(line, line, indexing="ij"))
    x, y = 1.3 * x, 1.3 * y  # room
    if random.random() < 0.7:
        aspect = float(np.exp(random.uniform(-0.4, 0.4)))
        x, y = x * max(1.0, aspect), y * max(1.0, 1 / aspect)
    across, along = x, y
    if random.random() < 0.45:
        across = across + random.uniform(-0.35, 0.35) * y
    if random.random() < 0.15:
        across = across * (1 + random.uniform(-0.35, 0.35) * y)
    if random.random() < 0.12:
        across = across + random.uniform(0.02, 0.07) * torch.sin(math.pi * (random.uniform(1, 3) * y + random.uniform(0, 2)))
    if random.random() < 0.12:
        along = along + random.uniform(0.02, 0.07) * torch.sin(math.pi * (random.uniform(1, 3) * x + random.uniform(0, 2)))
    if random.random() < 0.25:
        cells = int(random.integers(5, 28))
        far = random.uniform(0.15, 0.45) / cells
        across, along = across + far * noise(ink, cells, random), along + far * noise(ink, cells, random)
    return F.grid_sample(ink, torch.stack([across, along], -1), align_corners=True)


def noise(ink: Tensor, cells: int, random: Random) -> Tensor:
    """Smooth noise, one map a glyph, (N, 2 S, 2 S): normal numbers in `cells` x `cells` places, and cubics between them."""
    some = torch.from_numpy(random.standard_normal((len(ink), 1, cells, cells)).astype(np.float32))
    return F.interpolate(some, size=ink.shape[-2:], mode="bicubic", align_corners=False)[:, 0]


def fitted(ink: Tensor, longest: float) -> Tensor:
    """Each glyph in the middle, its longest side this share of the picture's. Blank ones stay."""
    side, boxes = ink.shape[-1], []
    for one in ink[:, 0] > 0.5:
        rows, columns = (one.any(axis).nonzero() for axis in (1, 0))
        boxes.append([0, side, 0, side] if not len(rows) else [int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1])
    top, bottom, left, right = torch.tensor(boxes, dtype=torch.float32).T
    zoom = torch.maximum(bottom - top, right - left) / (longest * side)
    line = (2 * torch.arange(side) + 1) / side - 1  # by hand: affine_grid takes three times as long as what follows
    x = (zoom[:, None] * line + ((left + right) / side - 1)[:, None])[:, None, :].expand(-1, side, -1)
    y = (zoom[:, None] * line + ((top + bottom) / side - 1)[:, None])[:, :, None].expand(-1, -1, side)
    return F.grid_sample(ink, torch.stack([x, y], -1), align_corners=False)


# -- strokes -------------------------------------------------------------------------------------------------------------------


def thicker(ink: Tensor, by: int) -> Tensor:
    """All ink reaches `by` 128ths further (thinner, where that is negative), in squares and crosses in turn, which is nearly round."""
    if by < 0:
        return 1 - thicker(1 - ink, -by)
    for step in range(max(1, round(by * ink.shape[-1] / 128)) if by else 0):
        level = _beside(ink, 3)
        ink = _beside(level, 2) if step % 2 else torch.maximum(level, _beside(ink, 2))
    return ink


def longer(ink: Tensor, across: int, along: int) -> Tensor:
    """Ink reaches so many 128ths further to the sides, and up and down."""
    for axis, by in ((3, across), (2, along)):
        for _ in range(round(by * ink.shape[-1] / 128)):
            ink = _beside(ink, axis)
    return ink


def _beside(ink: Tensor, axis: int) -> Tensor:
    """Each place's largest of itself and its two neighbours along an axis: a tenth of what max_pool2d takes for it on a processor."""
    out, last = ink.clone(), ink.shape[axis] - 1
    for to, of in ((0, 1), (1, 0)):
        here, there = out.narrow(axis, to, last), ink.narrow(axis, of, last)
        torch.maximum(here, there, out=here)
    return out


def weigh(ink: Tensor, random: Random) -> Tensor:
    """Bolder or lighter, or upright and level strokes of another weight each."""
    kind = random.random()
    if kind < 0.3:
        return thicker(ink, int(random.integers(1, 6)))
    if kind < 0.5:
        return thicker(ink, -int(random.integers(1, 4)))
    if kind < 0.7:
        by = int(random.integers(2, 6))
        heavy = longer(ink, *((by, 0) if random.random() < 0.5 else (0, by)))
        return thicker(heavy, -int(random.integers(0, 3)))
    return ink


def serif(ink: Tensor, random: Random) -> Tensor:
    """Now and then strokes get feet: at the top and the bottom of a glyph ink reaches further to the sides."""
    if random.random() > 0.2:
        return ink
    side, height, reach = ink.shape[-1], int(random.integers(3, 9)), int(random.integers(3, 9))
    wide, out = longer(ink, reach, 0), ink.clone()
    band = max(1, round(height * side / 128))
    for i, one in enumerate(ink[:, 0] > 0.5):
        rows = one.any(1).nonzero()
        if len(rows):
            first, last = int(rows[0]), int(rows[-1]) + 1
            out[i, :, first : first + band], out[i, :, last - band : last] = (
                wide[i, :, first : first + band], wide[i, :, last - band : last]
            )  # fmt: skip
    return out


def soften(ink: Tensor, random: Random) -> Tensor:
    """Now and then corners are rounded: a blur, and a threshold."""
    if random.random() > 0.2:
        return ink
    reach = round(random.uniform(2, 6) * ink.shape[-1] / 128)
    blurred = ink
    for _ in range(2):
        blurred = F.avg_pool2d(blurred, 2 * reach + 1, 1, reach)
    return ((blurred - random.uniform(0.35, 0.5)) * 5 + 0.5).clamp(0, 1)


# -- what strokes are filled with ----------------------------------------------------------------------------------------------


def fill(ink: Tensor, random: Random) -> Tensor:
    """One time in two: an outline, an inner line, a halo, stripes, dots, a shadow, cuts, squares, blotches."""
    return ink if random.random() < 0.5 else FILLS[int(random.integers(len(FILLS)))](ink, random).clamp(0, 1)


def outline(ink: Tensor, random: Random) -> Tensor:
    wide = int(random.integers(2, 5))
    return thicker(ink, wide) - ink if random.random() < 0.5 else ink - thicker(ink, -wide)


def ring(ink: Tensor, random: Random) -> Tensor:
    gap, wide = int(random.integers(2, 5)), int(random.integers(2, 4))
    return thicker(ink, gap + wide) - thicker(ink, gap) + (ink if random.random() < 0.6 else ink - thicker(ink, -wide))


def inline(ink: Tensor, random: Random) -> Tensor:
    ink, gap = thicker(ink, int(random.integers(2, 5))), int(random.integers(2, 4))
    return ink - thicker(ink, -gap) + thicker(ink, -gap - int(random.integers(2, 4)))


def halo(ink: Tensor, random: Random) -> Tensor:
    return thicker(ink, int(random.integers(6, 11))) - ink


def pattern(ink: Tensor, random: Random) -> Tensor:
    """Stripes in any direction, or checks and dots; perhaps with an edge around, perhaps on one half alone."""
    side = ink.shape[-1]
    line = torch.arange(side) * (128 / side)
    y, x = torch.meshgrid(line, line, indexing="ij")
    turn = float(random.choice([0, 0.5, 0.25, 0.75, random.uniform(0, 1)])) * math.pi
    period, level = random.uniform(6, 16), random.uniform(-0.5, 0.4)
    waves = torch.sin((x * math.cos(turn) + y * math.sin(turn)) * 2 * math.pi / period)
    if random.random() < 0.35:
        waves = waves * torch.sin((y * math.cos(turn) - x * math.sin(turn)) * 2 * math.pi / period)
    shown = ((waves - level) * 4 + 0.5).clamp(0, 1).expand_as(ink)
    if random.random() < 0.25:
        half = (y > 64) if random.random() < 0.5 else (y < 64)
        shown = torch.where(half, shown, torch.ones_like(shown))
    ink = thicker(ink, int(random.integers(0, 4)))
    edge = ink - thicker(ink, -2) if random.random() < 0.5 else torch.zeros_like(ink)
    return torch.maximum(ink * shown, edge)


def shadow(ink: Tensor, random: Random) -> Tensor:
    """A body behind each glyph, to one side; the glyph itself is full, or an outline."""
    turn, far = random.uniform(0, 2 * math.pi), int(random.integers(5, 13))
    scale, body = ink.shape[-1] / 128, ink
    for step in range(1, far + 1):
        move = round(step * math.sin(turn) * scale), round(step * math.cos(turn) * scale)
        body = torch.maximum(body, torch.roll(ink, move, (2, 3)))
    gap = thicker(ink, int(random.integers(0, 3)))
    return body * (1 - gap) + (ink if random.random() < 0.4 else ink - thicker(ink, -2))


def cut(ink: Tensor, random: Random) -> Tensor:
    """One to three white bars across."""
    side, out, axis = ink.shape[-1], ink.clone(), 2 if random.random() < 0.7 else 3
    for _ in range(int(random.integers(1, 4))):
        start, wide = int(random.uniform(0.25, 0.7) * side), max(1, round(random.uniform(2, 6) * side / 128))
        out.narrow(axis, start, wide).zero_()
    return out


def squares(ink: Tensor, random: Random) -> Tensor:
    """As if of large pixels."""
    cell = round(random.uniform(4, 9) * ink.shape[-1] / 128)
    small = (F.avg_pool2d(ink, cell, ceil_mode=True) > random.uniform(0.3, 0.5)).float()
    return F.interpolate(small, scale_factor=cell, mode="nearest")[..., : ink.shape[-2], : ink.shape[-1]]


def blotches(ink: Tensor, random: Random) -> Tensor:
    """Worn: ink is missing in places."""
    some = noise(ink, int(random.integers(10, 32)), random)[:, None]
    return ink * ((random.uniform(0.3, 0.9) - some) * 4).clamp(0, 1)


FILLS: tuple[Callable[[Tensor, Random], Tensor], ...] = (
    outline, outline, ring, inline, halo, pattern, pattern, shadow, cut, squares, blotches,
)  # fmt: skip
