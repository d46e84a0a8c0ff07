"""Random disturbances of pictures that a network must see through: things stuck on them, pieces of others, a shift of the whole."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

Soiled = tuple[Tensor, Tensor, Tensor]  # pictures with something on them; where that is, 0 to 1; what lies behind it


def shifted(pictures: Tensor, generator: torch.Generator, reach: float = 1 / 6) -> Tensor:
    """Each picture moved by up to `reach` of its side along both axes, edges repeated: (N, C, S, S) -> the same. Generator on the CPU."""
    n, channels, size, _ = pictures.shape
    most = round(reach * size)
    padded = F.pad(pictures, (most,) * 4, mode="replicate")
    start = torch.randint(0, 2 * most + 1, (2, n, 1), generator=generator).to(pictures.device)
    rows, columns = start + torch.arange(size, device=pictures.device)
    each, channel = (torch.arange(k, device=pictures.device) for k in (n, channels))
    return padded[each[:, None, None, None], channel[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def stickers(
    pictures: Tensor, generator: torch.Generator, shapes: int = 3, bare: float = 0.0, patches: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Each picture under one to `shapes` random superellipses, outlined or filled; the first share `bare` of them has none.

    patches: share of the shapes that are filled with a piece of another of the pictures, from another place.

    A denoising autoencoder's corruption (Vincent et al. 2008) with the structure of things that people wear: rings, bars and patches
    in one colour, opaque or see-through, alone or as a mirrored pair.

    pictures: (N, 3, S, S) in [-1, 1]; the generator is on the CPU. -> pictures with stickers, (N, 3, S, S), and what they cover,
    (N, 1, S, S) in [0, 1].
    """
    n, _, size, _ = pictures.shape

    def draw(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(n, *shape, 1, 1, generator=generator).to(pictures) * (high - low) + low

    at = torch.linspace(-1, 1, size, device=pictures.device, dtype=pictures.dtype)
    y, x = at.view(1, size, 1), at.view(1, 1, size)
    middle = draw(low=-0.35, high=0.35)  # where mirrored pairs are mirrored
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
        power = draw(low=1.6, high=6.0)  # 2 is an ellipse, 6 nearly a rectangle
        distance = _outside(dx, dy, a, b, power) * size / 2  # in pixels
        width, soft = draw(low=0.6, high=4.0), draw(low=1.0, high=2.0)  # soft: pixels over which an edge fades
        inside = (0.5 - distance / soft).clamp(0, 1)
        outline = ((width / 2 - distance.abs()) / soft + 0.5).clamp(0, 1)
        glass = inside * torch.where(draw() < 0.5, draw(low=0.3, high=0.9), torch.zeros_like(a))
        solid = torch.where(draw() < 0.2, inside, outline)
        patch = torch.zeros_like(a)
        if patches:
            patch = (draw() < patches).to(a)
            glass, solid = glass * (1 - patch), solid * (1 - patch) + inside * patch
        solid, glass = solid.unsqueeze(1), glass.unsqueeze(1)
        if k:  # the first is always there
            there = (draw() < 0.5).to(pictures).unsqueeze(1)
            solid, glass = solid * there, glass * there
        tint = draw(3, low=-1, high=1)
        shade = (draw(low=-0.4, high=0.4) * dx + draw(low=-0.4, high=0.4) * dy).unsqueeze(1)  # lighter to one side, as in a photograph
        out = out * (1 - glass) + (tint + shade).clamp(-1, 1) * glass
        paint = (colour + shade).clamp(-1, 1)
        if patches:
            paint = torch.lerp(paint, shifted(pictures.roll(k + 1, 0), generator, reach=1 / 4), patch.unsqueeze(1))
        out = out * (1 - solid) + paint * solid
        covered = torch.maximum(covered, torch.maximum(solid, (glass > 0).to(glass)))
    none = int(bare * n)
    return torch.cat([pictures[:none], out[none:]]), torch.cat([0 * covered[:none], covered[none:]])


def grafts(
    pictures: Tensor, pieces: Tensor, generator: torch.Generator, shapes: int = 2, foreign: float = 0.5, spared: Tensor | None = None
) -> Soiled:
    """Soft-edged pieces of other pictures in the same place: in the first share `foreign` of set b's, in the rest of one another's.

    What lies behind is the picture itself, but a piece of its own kind belongs to it. Edges, sizes and places are alike, and half of the
    pieces take on the colours around them: nothing tells a piece of b from one of a but what only b shows. So a network that must give
    back what lies behind learns to find that, in pictures of any kind, without a label. Cut and paste: Remez et al. 2018, CutMix (Yun
    et al. 2019).

    Where set a shows something of its own that b lacks, a piece of b would teach to draw it on b: there, `spared` (N, 1, S, S) in [0, 1],
    no piece is put.

    pictures, pieces: (N, 3, S, S) in [-1, 1], sets a and b; the generator is on the CPU. -> pictures with pieces in them, (N, 3, S, S);
    where those of b are, (N, 1, S, S) in [0, 1]; what lies behind, (N, 3, S, S).
    """
    n, _, size, _ = pictures.shape

    def draw(low: float, high: float) -> Tensor:
        return torch.rand(n, 1, 1, 1, generator=generator).to(pictures) * (high - low) + low

    at = torch.linspace(-1, 1, size, device=pictures.device, dtype=pictures.dtype)
    y, x = at.view(1, 1, size, 1), at.view(1, 1, 1, size)
    where = torch.zeros_like(pictures[:, :1])
    for k in range(shapes):
        dx, slope = x - draw(-0.75, 0.75), draw(-0.3, 0.3)
        dy = y - draw(-0.75, 0.75) - slope * dx
        a, b = draw(math.log(0.08), math.log(0.7)).exp(), draw(math.log(0.08), math.log(0.5)).exp()
        power, soft = draw(1.6, 6.0), draw(0.0, math.log(size / 5)).exp()  # soft: pixels over which an edge fades
        shape = (0.5 - _outside(dx, dy, a, b, power) * size / 2 / soft).clamp(0, 1)
        where = torch.maximum(where, shape if not k else shape * (draw(0, 1) < 0.5))
    if spared is not None:
        where = where * (1 - spared)
    theirs = round(foreign * n)
    piece = torch.cat([pieces[:theirs], pictures.roll(1, 0)[theirs:]])
    piece = (piece + (draw(0, 1) < 0.5) * (_coarse(pictures) - _coarse(piece))).clamp(-1, 1)
    out = torch.lerp(pictures, piece, where)
    return out, torch.cat([where[:theirs], 0 * where[theirs:]]), torch.cat([pictures[:theirs], out[theirs:]])


def disturbed(
    pictures: Tensor,
    pieces: Tensor,
    generator: torch.Generator,
    grafted: float,
    bare: float = 0.0,
    patches: float = 0.0,
    spared: Tensor | None = None,
) -> Soiled:
    """The first share `grafted` of the pictures with `grafts` of `pieces`, outside of what is `spared`, the rest with `stickers`.

    -> the pictures, where something does not belong, and what lies behind it, as of `grafts`."""
    few = round(grafted * len(pictures))
    stuck, covered = stickers(pictures[few:], generator, bare=bare, patches=patches)
    if not few:
        return stuck, covered, pictures
    first = grafts(pictures[:few], pieces[:few], generator, spared=None if spared is None else spared[:few])
    return tuple(torch.cat(pair) for pair in zip(first, (stuck, covered, pictures[few:]), strict=True))  # type: ignore[return-value]


def _outside(dx: Tensor, dy: Tensor, a: Tensor, b: Tensor, power: Tensor) -> Tensor:
    """Nearly how far a place is outside the superellipse of half axes a and b around (0, 0); inside less than 0."""
    r = ((dx / a).abs() ** power + (dy / b).abs() ** power + 1e-8) ** (1 / power)
    return (r - 1) * torch.minimum(a, b)


def lent(pictures: Tensor, others: Tensor, where: Tensor, colours: Tensor) -> Tensor:
    """Every second picture with another's piece as its own, in the colours of its new place: nothing that does not belong.

    pictures, others, and colours, whose coarse colours the pieces take: (N, C, S, S) in [-1, 1]; where: (N, 1, S, S) in [0, 1]."""
    piece = (others + _coarse(colours) - _coarse(others)).clamp(-1, 1)
    second = (torch.arange(len(pictures), device=pictures.device) % 2 == 1).view(-1, 1, 1, 1)
    return pictures + second * where * (piece - pictures)


def _coarse(pictures: Tensor) -> Tensor:
    """What is left when details smaller than an eighth of the side are smoothed away."""
    cells = F.adaptive_avg_pool2d(pictures, 8)
    return F.interpolate(cells, size=pictures.shape[-2:], mode="bilinear", align_corners=False)
