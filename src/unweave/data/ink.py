"""Ink on paper, such as photographed handwriting: cut out and placed as the built-in glyphs are, which a model of letters expects."""

import torch
from torch import Tensor

from unweave.data.feed import to_float
from unweave.data.fonts import placed
from unweave.pictures import to_image

LEAST = 0.2  # difference of ink and paper, in [0, 2]: fainter pictures are blank
SHADE = 0.15  # share of that difference that paper may be off by
WHITE = 0.996  # and beyond: as a decoder or a scanner writes white
SURE = 0.3  # beyond it is ink for certain: the letter's box is drawn around what is


def tidied(squares: Tensor) -> Tensor:
    """Pictures of ink on paper, as the built-in glyphs: cut out, longest side 50 of 64, black on white.

    (N, 3, S, S) in [-1, 1] -> the same. A picture darker than not is taken for light ink on dark paper. Blank ones stay as they are.
    """
    out = squares.clone()
    for i, picture in enumerate(squares.cpu()):
        grey = picture.mean(0)
        if grey.min() >= WHITE:
            continue
        grey = unpadded(grey)
        paper = paper_of(grey)
        far = (grey - paper).abs()
        if far.max() <= LEAST:
            continue
        full = float(grey[far > 0.7 * far.max()].mean()) - paper  # ink is as dark in the shade as in the light
        full = full.sign() * full.abs().clamp(min=LEAST / 2)
        level = ((grey - paper) / full - SHADE).div(0.9 - SHADE).clamp(0, 1)
        if not (level > SURE).any():
            continue
        rows, columns = ((level > SURE).any(axis).nonzero() for axis in (1, 0))  # specks and shadows are no part of the letter
        top, left = (max(0, int(where[0]) - 1) for where in (rows, columns))
        drawn = placed(to_image(level[None, top : int(rows[-1]) + 2, left : int(columns[-1]) + 2]), squares.shape[-1])
        out[i] = to_float(torch.from_numpy(drawn.copy())).to(out)
    return out


def unpadded(grey: Tensor) -> Tensor:
    """Without the white bars of `--fit pad`, which are no paper: (S, S) -> (H, W). They are left and right, or above and below."""
    (top, bottom), (left, right) = ((int(line[0]), int(line[-1]) + 1) for line in ((grey < WHITE).any(axis).nonzero() for axis in (1, 0)))
    upright = top == 0 and bottom == grey.shape[0] and left > 0 and right < grey.shape[1]
    across = left == 0 and right == grey.shape[1] and top > 0 and bottom < grey.shape[0]
    return grey[top:bottom, left:right] if upright or across else grey


def paper_of(grey: Tensor) -> Tensor:
    """What the paper would be without ink, (H, W): a surface of second order through all that is no ink, for light is uneven."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side, dtype=torch.float64) for side in grey.shape), indexing="ij")
    terms = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y], -1).flatten(0, 1)
    level = grey.double().flatten()
    paper = level.median().expand_as(level)
    for _ in range(3):
        far = (level - paper).abs()
        kept = far <= max(0.4 * float(far.max()), 0.02)
        if kept.sum() < len(level) // 4:
            break
        paper = terms @ torch.linalg.lstsq(terms[kept], level[kept, None]).solution[:, 0]
    return paper.view_as(grey).to(grey)
