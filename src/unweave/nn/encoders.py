"""Encoders: pictures to spatial codes or to vectors."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from unweave.nn.blocks import Double, Halve, Norm, Residual, activation, down, norm


class Encoder(nn.Module):
    """A chain of halving 4x4 convolutions, (N, 3, S, S) -> (N, channels[-1], S / 2^k, S / 2^k), k = len(channels).

    The encoder of the three two-set papers (Press 2019, section 4; Mokady 2020, appendix): norm and LeakyReLU after each
    convolution but the first, which has no norm.
    """

    def __init__(self, channels: Sequence[int], kind: Norm = "batch", inputs: int = 3):
        super().__init__()
        widths = [inputs, *channels]
        steps = [down(i, o, kind if n else "none") for n, (i, o) in enumerate(zip(widths, widths[1:], strict=False))]
        self.body = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class ContextEncoder(nn.Module):
    """A fine map that has seen the whole picture: (N, 3, S, S) -> (N, 48, S / 4, S / 4).

    Each 4x4 square of pixels is moved into 48 channels; a U-Net (Ronneberger et al. 2015) that reaches S / 16 decides, number by
    number, what to keep of them (a gate) and what to put in place of the rest. It starts by keeping nearly all.
    """

    channels = 48

    def __init__(self, width: int):
        super().__init__()
        w = width
        self.first, self.in4, self.out4 = nn.Conv2d(self.channels, 2 * w, 3, 1, 1), Residual(2 * w), Residual(2 * w)
        self.down8, self.mid8, self.out8 = Halve(2 * w, 4 * w), Residual(4 * w), Residual(4 * w)
        self.down16, self.mid16 = Halve(4 * w, 4 * w), Residual(4 * w)
        self.up8, self.up4 = Double(4 * w, 4 * w), Double(4 * w, 2 * w)
        head = nn.Conv2d(2 * w, 2 * self.channels, 1)
        nn.init.constant_(head.bias[: self.channels], 3.0)  # type: ignore[index]
        self.last = nn.Sequential(norm("group", 2 * w), activation(), head)

    def forward(self, x: Tensor) -> Tensor:
        squares = F.pixel_unshuffle(x, 4)
        x4 = self.in4(self.first(squares))
        x8 = self.mid8(self.down8(x4))
        x16 = self.mid16(self.down16(x8))
        x8 = self.out8(x8 + self.up8(x16))
        gate, other = self.last(self.out4(x4 + self.up4(x8))).float().chunk(2, dim=1)
        keep = gate.sigmoid()
        return keep * squares + (1 - keep) * other


class VectorEncoder(nn.Module):
    """Halving residual layers and one linear layer over all cells: (N, 3, size, size) -> (N, code)."""

    def __init__(self, channels: Sequence[int], code: int, size: int, inputs: int = 3):
        super().__init__()
        widths = [inputs, *channels]
        self.body = nn.Sequential(
            *[Halve(i, o, first=not n) for n, (i, o) in enumerate(zip(widths, widths[1:], strict=False))],
            Residual(channels[-1]),
            activation(),
        )
        self.head = nn.Linear((size >> len(channels)) ** 2 * channels[-1], code)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))
