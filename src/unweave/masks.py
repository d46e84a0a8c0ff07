"""Masks: where an edit changes a picture, how a soft mask becomes a binary one without the truth, how it is compared with it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from unweave.errors import UserError

BINS = 256
REGION = (0.15, 0.3)  # of the greatest difference between two drawings: from where on an attribute shows, and surely does
FAINT = 0.2  # in units of [-1, 1]: a greatest difference below this counts as this, or what is faint would show everywhere
FLOOR = 0.1  # a mask that nowhere reaches this is empty, however its faint values are spread


def otsu(values: Tensor) -> float:
    """The threshold that splits numbers in [0, 1] into two groups of largest between-class variance.

    values: any shape. Formula: w0 w1 (m0 - m1)^2 over the 255 inner edges of a 256-bin histogram; where many edges are equally good (a gap
    between the groups) their middle is taken. Source: Otsu, A threshold selection method from gray-level histograms, 1979.
    """
    histogram = torch.histc(values.detach().float().flatten(), BINS, 0.0, 1.0).double()
    centres = (torch.arange(BINS, dtype=torch.double) + 0.5) / BINS
    below, sum_below = histogram.cumsum(0)[:-1], (histogram * centres).cumsum(0)[:-1]
    above, sum_above = histogram.sum() - below, (histogram * centres).sum() - sum_below
    between = below * above * (sum_below / below.clamp(min=1) - sum_above / above.clamp(min=1)) ** 2
    best = torch.nonzero(between >= between.max() * (1 - 1e-9)).flatten().double()
    return float((best.mean() + 1) / BINS)


def automatic_threshold(masks: Tensor) -> Tensor:
    """One threshold for each picture, by Otsu on that picture's own mask values; at least 0.1, so that an empty mask stays empty.

    masks: (N, 1, S, S) or (N, S, S) in [0, 1] -> (N,). A picture's threshold depends on no other picture, and on no truth.
    """
    return torch.tensor([max(FLOOR, otsu(mask)) for mask in masks], dtype=torch.float32, device=masks.device)


def binary(masks: Tensor, threshold: float | str = "auto") -> Tensor:
    """Soft masks as bool masks of the same shape. threshold: "auto", or a number in [0, 1]: pixels above it belong to the part.

    masks: (N, 1, S, S) or (N, S, S) in [0, 1]. Raises UserError for another word or a number outside [0, 1].
    """
    if threshold == "auto":
        edges = automatic_threshold(masks)
        return masks > edges.view(-1, *[1] * (masks.dim() - 1)).to(masks)
    try:
        number = float(threshold)
    except ValueError:
        number = float("nan")
    if not 0 <= number <= 1:
        raise UserError(f"A threshold is auto, soft or a number from 0 to 1, not {threshold!r}.")
    return masks > number


def painted(logits: Tensor, raw: Tensor, onto: Tensor) -> Tensor:
    """z(onto) = m * raw + (1 - m) * onto, m = sigmoid(logits): a part laid over pictures (Mokady et al. 2020).

    logits: (N, 1, S, S). raw, onto: (N, C, S, S) -> (N, C, S, S).
    """
    return onto + logits.sigmoid() * (raw - onto)


@torch.no_grad()
def visible(logits: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """A soft mask where it changes what is seen: sigmoid(logits) times 4 |after - before| of the channel that changes most, at most 1.

    logits: (N, 1, S, S). before, after: (N, C, S, S) in [-1, 1] -> (N, 1, S, S) in [0, 1], without gradients.
    """
    return logits.sigmoid() * (4 * (after - before).abs().amax(1, keepdim=True)).clamp(max=1)


def region(least: Tensor, most: Tensor) -> Tensor:
    """A soft mask of where an attribute shows: what differs between a drawing without it and one with all of it.

    least, most: (N, C, S, S) in [-1, 1] -> (N, 1, S, S) in [0, 1]. Their difference, averaged over 5x5 pixels and set against
    the greatest in the picture, counts from REGION[0] of that on, fully from REGION[1]; a pixel wider all round, with soft edges.
    Averaged: a decoder moves thin lines everywhere by a little. Wider: the picture's own lines reach beyond its blurred drawing.
    """
    low, high = REGION
    change = _around((most.float() - least.float()).abs().mean(1, keepdim=True), 2)
    change = change / change.amax((2, 3), keepdim=True).clamp(min=FAINT)
    return _around(F.max_pool2d(((change - low) / (high - low)).clamp(0, 1), 3, 1, 1), 1)


def _around(x: Tensor, reach: int) -> Tensor:
    """Means over squares of 2 reach + 1 pixels, of those that lie inside."""
    return F.avg_pool2d(x, 2 * reach + 1, 1, reach, count_include_pad=False)


def changed(drawn: Tensor, without: Tensor) -> Tensor:
    """Where a part is, by what goes with it: sqrt |with - without|, mean over channels.

    drawn, without: (N, C, S, S) in [-1, 1] -> (N, 1, S, S) in [0, 1]; a full unit counts as sure. Of models that draw whole pictures both
    should be drawings: what they fail to draw is then no change. The square root, because a part is strong here and faint there (a frame
    and its lens), and a threshold half way to the strong would lose the faint.
    """
    return (drawn.float() - without.float()).abs().mean(1, keepdim=True).clamp(max=1).sqrt()


def iou(masks: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of each picture's two masks: |m and t| / |m or t|, in [0, 1]; 1 where both are empty.

    masks, truth: (N, S, S) or (N, 1, S, S), bool -> (N,).
    """
    mine, true = masks.flatten(1), truth.flatten(1)
    union = (mine | true).sum(1)
    return torch.where(union > 0, (mine & true).sum(1) / union.clamp(min=1), 1.0)
