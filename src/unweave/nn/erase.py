"""Erasure: taking out of a code what a linear reader could tell from it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unweave.schedules import half_life

RIDGE = 1e-3  # of the mean variance, added to each variance: codes of one mean and variance have directions without any
MEMORY = 10_000  # pictures
LEAST = 1e-4  # of the largest share that is told; directions that tell less are left
ROUNDING = 1e-7  # shares below it are round-off: of labels that do not vary


class Eraser(nn.Module):
    """A code without what can be read from it in a straight line: (N, C, S, S) -> the same, uncorrelated with every label.

    No linear reader does better than a constant exactly where a code's covariance with the labels is zero (Belrose et al. 2023, LEACE,
    theorem 3.1). With X = cov(code, labels) and W = X' cov(code)^-1, the map

        code - X (W X)^-1 W (code - mean)

    makes it so, and changes the code least (theorem 4.3). Here cov(code) is a product of one between channels and one between cells (as
    of a matrix normal distribution), so that large maps fit: that leaves the covariance with labels at zero all the same, and changes the
    code a little more. Until the first `follow`, nothing is taken out. It has no parameters: gradients pass through as through any
    linear map.
    """

    mean: Tensor  # first moments: of the code, (C, S * S)
    told: Tensor  # of the labels, (L,)
    joint: Tensor  # second ones: of label and code, (L, C, S * S)
    channels: Tensor  # between channels, mean over cells, (C, C)
    cells: Tensor  # between cells, mean over channels, (S * S, S * S)
    read: Tensor  # (W X)^-1 W, (L, C * S * S)
    taken: Tensor  # X, the same shape

    def __init__(self, channels: int, side: int, labels: int):
        super().__init__()
        cells = side * side
        self.register_buffer("mean", torch.zeros(channels, cells))
        self.register_buffer("told", torch.zeros(labels))
        self.register_buffer("joint", torch.zeros(labels, channels, cells))
        self.register_buffer("channels", torch.zeros(channels, channels))
        self.register_buffer("cells", torch.zeros(cells, cells))
        self.register_buffer("read", torch.zeros(labels, channels * cells))
        self.register_buffer("taken", torch.zeros(labels, channels * cells))

    def forward(self, code: Tensor) -> Tensor:
        """(N, C, S, S) -> (N, C, S, S)"""
        flat = code.flatten(1).float() - self.mean.flatten()
        return code - (flat @ self.read.T @ self.taken).to(code).view_as(code)

    @torch.no_grad()
    def follow(self, code: Tensor, labels: Tensor, step: int) -> None:
        """Learn from codes before erasure, (N, C, S, S), and their labels, (N, L), in this step, counted from 1: the moments are the mean
        over all steps, and later one that forgets half within `MEMORY` pictures, since the codes change.
        """
        x, z = code.flatten(2).float(), labels.float()
        n, channels, cells = x.shape
        rate = max(1 / step, 1 - half_life(MEMORY, n))
        self.mean.lerp_(x.mean(0), rate)
        self.told.lerp_(z.mean(0), rate)
        self.joint.lerp_(torch.einsum("nl,ncp->lcp", z, x) / n, rate)
        self.channels.lerp_(torch.einsum("ncp,ndp->cd", x, x) / (n * cells), rate)
        self.cells.lerp_(torch.einsum("ncp,ncq->pq", x, x) / (n * channels), rate)
        self._solve()

    def _solve(self) -> None:
        """The map from its moments; in doubles on the CPU, since some devices have none."""
        names = (self.mean, self.told, self.joint, self.channels, self.cells)
        mean, told, joint, channels, cells = (moment.cpu().double() for moment in names)
        cross = joint - told[:, None, None] * mean
        channels = _ridged(channels - mean @ mean.T / mean.shape[1])
        cells = _ridged(cells - mean.T @ mean / mean.shape[0])
        weights = torch.linalg.solve(channels, cross)
        weights = torch.linalg.solve(cells, weights.mT).mT
        shares = weights.flatten(1) @ cross.flatten(1).T  # of each label, how much a linear reader tells
        read = torch.linalg.pinv(shares, atol=ROUNDING, rtol=LEAST, hermitian=True) @ weights.flatten(1)
        self.read.copy_(read)
        self.taken.copy_(cross.flatten(1))


def _ridged(moments: Tensor) -> Tensor:
    return moments + (RIDGE * moments.diagonal().mean() + 1e-12) * torch.eye(len(moments), dtype=moments.dtype)
