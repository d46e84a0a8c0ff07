"""Networks of attribute editing: an encoder to a coarse map, decoders that attributes steer, a critic and a reader of attributes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave.nn.blocks import SLOPE, DoublingConv, Halve, ModulatedDouble, ModulatedResidual, Norm, Residual, activation, down, norm, up


class ResidualEncoder(nn.Module):
    """Halving residual layers, then `blocks` that keep the size: (N, 3, S, S) -> (N, code, S / 2^k, S / 2^k), k = len(channels).

    The code of each picture is scaled to mean 0 and variance 1, so that a critic cannot be outrun by making it small.
    """

    def __init__(self, channels: Sequence[int], code: int, blocks: int = 0):
        super().__init__()
        widths = [3, *channels]
        self.body = nn.Sequential(
            *[Halve(i, o, first=not n) for n, (i, o) in enumerate(zip(widths, widths[1:], strict=False))],
            *[Residual(channels[-1]) for _ in range(blocks)],
            norm("group", channels[-1]), activation(), nn.Conv2d(channels[-1], code, 1), nn.GroupNorm(1, code, affine=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class SteeredDecoder(nn.Module):
    """A map and a vector to a picture: (N, code, S, S), (N, vector) -> (N, 3, S * 2^k, S * 2^k), k = len(channels), before the tanh.

    The vector steers every norm. The shortcuts and the last layer see numbers that no norm has touched, so that colours stay absolute.
    """

    def __init__(self, code: int, channels: Sequence[int], vector: int):
        super().__init__()
        self.first = nn.Conv2d(code, channels[0], 1)
        self.coarse = ModulatedResidual(channels[0], vector)
        self.doubles = nn.ModuleList(ModulatedDouble(i, o, vector) for i, o in zip(channels, channels[1:], strict=False))
        self.fine = ModulatedResidual(channels[1], vector)
        self.last = nn.Sequential(nn.Conv2d(channels[-1], 12, 3, 1, 1), nn.PixelShuffle(2))

    def forward(self, code: Tensor, vector: Tensor) -> Tensor:
        h = self.coarse(self.first(code), vector)
        for n, double in enumerate(self.doubles):
            h = double(h, vector)
            h = self.fine(h, vector) if n == 0 else h
        return self.last(F.leaky_relu(h, SLOPE))


class PlanesDecoder(nn.Module):
    """The published decoder: transposed 4x4 convolutions, each of which also reads the attributes as constant planes.

    (N, code, S, S), (N, vector) -> (N, 3, S * 2^k, S * 2^k), k = len(channels) + 1, before the tanh. BatchNorm and ReLU (Lample et al.
    2017, section 3.3).
    """

    def __init__(self, code: int, channels: Sequence[int], vector: int):
        super().__init__()
        widths = [code, *channels]
        self.steps = nn.ModuleList(
            nn.Sequential(DoublingConv(i + vector, o, bias=False), norm("batch", o), activation("relu")) for i, o in zip(widths, channels)
        )
        self.last = up(channels[-1] + vector, 3, last=True)

    def forward(self, code: Tensor, vector: Tensor) -> Tensor:
        h = code
        for step in self.steps:
            h = step(torch.cat([h, vector[:, :, None, None].expand(-1, -1, *h.shape[2:])], 1))
        # The same sums, apart: where three channels come out, what the planes add costs less than to lay them beside a large map.
        conv, inputs = self.last[0], h.shape[1]
        assert isinstance(conv, DoublingConv)
        planes = torch.eye(vector.shape[1]).to(h)[:, :, None, None].expand(-1, -1, *h.shape[2:])
        told = F.conv_transpose2d(planes, conv.weight[inputs:], None, 2, 1)
        drawn = F.conv_transpose2d(h, conv.weight[:inputs], conv.bias, 2, 1)
        return drawn + (vector @ told.flatten(1)).view_as(drawn)


class LatentCritic(nn.Module):
    """Reads classes from a code: (N, code, cells, cells) -> (N, outputs).

    Convolutions of stride 2 down to one cell, then two linear layers, dropout behind each but the last (Lample et al. 2017, section 3.3).
    """

    def __init__(self, code: int, cells: int, outputs: int, width: int = 512, dropout: float = 0.3, kind: Norm = "batch"):
        super().__init__()
        steps: list[nn.Module] = []
        inputs = code
        while cells > 1:
            steps += [down(inputs, width, kind), nn.Dropout(dropout)]
            inputs, cells = width, cells // 2
        self.body = nn.Sequential(
            *steps, nn.Flatten(), nn.Linear(inputs, width), activation(), nn.Dropout(dropout), nn.Linear(width, outputs)
        )

    def forward(self, code: Tensor) -> Tensor:
        return self.body(code)


class Reader(nn.Module):
    """Reads attributes from pictures: (N, 3, S, S) -> (N, outputs) logits, wherever in the picture they are.

    Each output looks at places of its own choice: a mean over the last map would drown a mouth in its surroundings.
    """

    def __init__(self, outputs: int, width: int = 24):
        super().__init__()
        w = width
        self.body = nn.Sequential(down(3, w), down(w, 2 * w, "group"), down(2 * w, 4 * w, "group"), Residual(4 * w), activation())
        self.head = nn.Conv2d(4 * w, 2 * outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        where, what = self.head(self.body(x)).float().flatten(2).chunk(2, dim=1)
        return (where.softmax(2) * what).sum(2)
