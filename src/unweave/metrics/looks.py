"""Whether pictures that were drawn in a class have the look of its examples: what few-shot translation can say without knowing the truth.

A model draws what it was trained on. Shown a class of another kind, such as photographs to a model of letters, it still draws its own kind,
and neither its class code nor its reconstruction tells: both are as ordinary as a letter's. The levels of what it draws do.
"""

from __future__ import annotations

import torch
from torch import Tensor

LEVELS = 8  # black to white
# Beyond both is said. funit-glyphs, five examples: letters .12 and .09 at most; photographs .55 and .62 at least, cartoon faces .53, .46
ELSEWHERE, APART = 1 / 3, 1 / 4
MIXED = 0.12  # of tidied pictures, a larger share that is neither ink nor paper is said: handwriting .06 at most, photographs .12 at least
COLOURED = 0.05  # mean spread of the channels, in [0, 2]


def elsewhere(x: Tensor, y: Tensor) -> float:
    """Share of the pixels that would have to go to another of `LEVELS` levels for one collection to be as the other: total variation,
    0 to 1, mean over channels. x: (N, C, S, S), y: (M, C, T, T), in [-1, 1].
    """
    one, other = (_columns(z).add(1).mul(LEVELS / 2).long().clamp(0, LEVELS - 1) for z in (x, y))
    shares = [torch.stack([torch.bincount(c, minlength=LEVELS) / len(c) for c in columns]) for columns in (one, other)]
    return (shares[0] - shares[1]).abs().sum(1).div(2).mean().item()


def apart(x: Tensor, y: Tensor) -> float:
    """How far those pixels would have to change: earth mover's distance of levels, mean over channels, from 0 to 2 (black and white)."""
    at = torch.linspace(0, 1, 257)
    one, other = (torch.quantile(_columns(z), at, dim=1) for z in (x, y))
    return (one - other).abs().mean().item()


def _columns(x: Tensor) -> Tensor:
    """All pixels of each channel, (C, N * S * S)."""
    return x.float().cpu().transpose(0, 1).flatten(1)


def _spread(x: Tensor) -> float:
    return (x.amax(1) - x.amin(1)).mean().item()


def remarks(drawn: Tensor, examples: Tensor, tidy: bool = False) -> list[str]:
    """What is odd about examples and what was drawn in their class, a sentence each; nothing where all is as it should be.

    drawn: (N, 3, S, S), examples: (K, 3, S, S), in [-1, 1]. tidy: the examples have been cut out as ink on paper.
    """
    said, drawn, examples = [], drawn[:64].float(), examples[:64].float()
    if _spread(drawn) == 0 and _spread(examples) > COLOURED:
        said.append("this model draws in grey: the colours of the examples are left out")
        examples = examples.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    if (share := elsewhere(drawn, examples)) > ELSEWHERE and apart(drawn, examples) > APART:
        said.append(
            f"what was drawn does not look like the examples ({share:.0%} of the pixels are of other levels): they are "
            "of another kind than the model was trained on, or it has learned too little" + ("" if tidy else "; ink on paper needs --tidy")
        )
    elif tidy and (mixed := (examples.abs() < 0.8).float().mean().item()) > MIXED:
        said.append(
            f"{mixed:.0%} of the tidied examples is neither ink nor paper: they are no ink on paper, or the light on it is too uneven"
        )
    return said
