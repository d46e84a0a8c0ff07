"""Halving convolutions as one matrix product: the 4x4 patches that one of stride 2 reads, as rows, and their sum back into a map.

For small maps of many channels a processor multiplies these rows several times as fast as it convolves, backward above all. Rows list
pixels, then channels, so that they are copied from a channels-last map in long runs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def patches(x: Tensor) -> Tensor:
    """The patches of a map, with a border of zeros: (N, C, 2H, 2W) -> (N H W, 16 C), in the order of (4, 4, C). Any derivative exists."""
    return _Patches.apply(x)


def summed(rows: Tensor, n: int, height: int, width: int) -> Tensor:
    """The transpose of `patches`: (N H W, 16 C) -> (N, C, 2H, 2W), where patches overlap added up. height, width: H and W."""
    return _Summed.apply(rows, n, height, width)


class _Patches(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        ctx.shape = n, height // 2, width // 2
        padded = x.new_zeros(n, height + 2, width + 2, channels)
        padded[:, 1:-1, 1:-1] = x.permute(0, 2, 3, 1)
        return padded.unfold(1, 4, 2).unfold(2, 4, 2).permute(0, 1, 2, 4, 5, 3).reshape(-1, 16 * channels)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return summed(gradients[0], *ctx.shape)


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, n: int, height: int, width: int) -> Tensor:
        channels = rows.shape[1] // 16
        parts = rows.view(n, height, width, 4, 4, channels)
        padded = rows.new_zeros(n, 2 * height + 2, 2 * width + 2, channels)
        for y in (0, 2):
            for x in (0, 2):  # the quarters of patches: of one kind no two overlap
                quarter = padded[:, y : y + 2 * height, x : x + 2 * width].unflatten(2, (width, 2)).unflatten(1, (height, 2))
                quarter += parts[:, :, :, y : y + 2, x : x + 2].transpose(2, 3)
        return padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return patches(gradients[0]), None, None, None
