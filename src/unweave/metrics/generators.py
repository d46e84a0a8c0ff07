"""How far a generator keeps factors apart: move one number of the code, and see what moves in the picture.

A generator is disentangled if each number of its code moves one thing: where (10, 20, red) becomes (10, 9, red), the rectangle gets another
width and keeps its height and colour. No encoder is asked: pictures are drawn, and the factors are read from the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.codes import Codes
from unweave.metrics import intervals
from unweave.metrics.intervals import Estimate
from unweave.pictures import Sheet

Array = NDArray[np.float64]
STILL = 0.02  # of a factor's range: a number of the code that moves less than this in all moves nothing


@dataclass(frozen=True)
class Moves:
    """What each number of a code moves.

    numbers: their names, as "factors 3". names: of the F factors. moved: (pictures, D, F), how far each factor moves in units of its range;
    NaN where it could not be read from both pictures. shown: (D, 2, 3, S, S), the first picture with each number moved down and up.
    """

    numbers: tuple[str, ...]
    names: tuple[str, ...]
    moved: Array
    shown: Tensor

    @property
    def matrix(self) -> Array:
        """(D, F): the share of each factor in what a number moves. A row sums to 1; that of a number that moves nothing is 0."""
        return _shares(_mean(self.moved))

    @property
    def largest(self) -> Array:
        """(D,): each row's largest share: 1 if the number moves one thing, 1 / F if it moves all alike, 0 if it moves nothing."""
        return self.matrix.max(-1)

    @property
    def mean(self) -> Estimate:
        """The mean of the largest shares of the numbers that move anything (0 if none does), with the interval over pictures."""
        pictures = len(self.moved)

        def statistic(rows: Array) -> Array:
            largest = _shares(_mean(self.moved[rows.astype(np.int64)], axis=-3)).max(-1)
            return largest.sum(-1) / np.maximum(1, (largest > 0).sum(-1))

        # Pictures are drawn by their number, because one that could be read in part only is left out in part only.
        return intervals.bootstrap(np.arange(pictures), statistic, resamples=200)

    @property
    def readable(self) -> float:
        """Share of the moved pictures from which all factors were read."""
        return float(np.mean(~np.isnan(self.moved).any(-1)))

    def sheet(self) -> Sheet:
        """A row for each number: its name and largest share, the first picture with it moved down and up, and its row of the matrix as
        black squares, whose areas are the shares."""
        size = self.shown.shape[-1]
        rows = [[*pair, *(_square(share, size) for share in row)] for pair, row in zip(self.shown, self.matrix)]
        left = [f"{number}:  {share:.2f}" if share else f"{number}:  still" for number, share in zip(self.numbers, self.largest)]
        return Sheet(rows, top=["down", "up", *self.names], left=left)


@torch.no_grad()
def generator_matrix(
    decode: Callable[[Codes], Tensor],
    codes: Codes,
    read: Callable[[Tensor], Array],
    names: Sequence[str],
    which: Sequence[str] = ("factors",),
    batch: int = 128,
) -> Moves:
    """Move each number of the codes `which` by one standard deviation up and down, decode, and read the factors of both pictures.

    decode: codes -> pictures (N, 3, S, S) in [-1, 1]. codes: those of pictures of the data (or sampled ones), at least two; the standard
    deviations are theirs. read: pictures -> factors (N, F) in units of their ranges, NaN where one cannot be read. names: of the F factors.
    What is moved: the mean over pictures of |factor of the upper picture - factor of the lower one|.
    """
    if codes.batch < 2:
        raise ValueError("a standard deviation needs the codes of at least two pictures")
    codes = codes.broadcast()
    numbers, moved, shown = [], [], []
    for name in which:
        spread = codes[name].flatten(1).std(0, correction=0)
        for k, step in enumerate(spread):
            numbers.append(f"{name} {k}")
            low, high = (_shifted(codes, name, k, side * step) for side in (-1, 1))
            seen = [[decode(side.take(slice(at, at + batch))) for at in range(0, codes.batch, batch)] for side in (low, high)]
            below, above = (np.concatenate([read(pictures) for pictures in side]) for side in seen)
            moved.append(np.abs(above - below))
            shown.append(torch.stack([side[0][0].float().cpu() for side in seen]))
    return Moves(tuple(numbers), tuple(names), np.stack(moved, axis=1), torch.stack(shown))


def _shifted(codes: Codes, name: str, k: int, step: Tensor) -> Codes:
    moved = codes[name].clone(memory_format=torch.contiguous_format)
    moved.flatten(1)[:, k] += step
    return codes | Codes(**{name: moved})


def _mean(moved: Array, axis: int = 0) -> Array:
    """The mean over pictures of those that were read; 0 where none was."""
    there = ~np.isnan(moved)
    return np.where(there, moved, 0).sum(axis) / np.maximum(1, there.sum(axis))


def _shares(moved: Array) -> Array:
    whole = moved.sum(-1, keepdims=True)
    return np.where(whole < STILL, 0, moved / np.maximum(whole, STILL))


def _square(share: float, size: int) -> Tensor:
    """A mask (1, size, size): white, with a black square of that share of its area (less a margin)."""
    cell, side = torch.ones(1, size, size), round(float(np.sqrt(share)) * size * 0.9)
    start = (size - side) // 2
    cell[:, start : start + side, start : start + side] = 0
    return cell
