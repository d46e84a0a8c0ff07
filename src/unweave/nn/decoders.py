"""Decoders: codes to pictures. All end without an activation: the method squashes (tanh for colour, sigmoid for a mask)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from unweave.nn.blocks import (
    SLOPE,
    Double,
    Halve,
    ModulatedDouble,
    ModulatedResidual,
    Modulation,
    Norm,
    Residual,
    activation,
    doubled,
    norm,
    up,
)


class Decoder(nn.Module):
    """A chain of doubling transposed 4x4 convolutions: (N, inputs, S, S) -> (N, outputs, S * 2^k, S * 2^k), k = len(channels) + 1.

    The decoder of the two-set papers; norm and activation after each but the last.
    """

    def __init__(
        self, inputs: int, channels: Sequence[int], outputs: int = 3, kind: Norm = "batch", act: Literal["leaky", "relu"] = "leaky"
    ):
        super().__init__()
        steps = [up(i, o, kind, act=act) for i, o in zip([inputs, *channels], channels)]
        self.body = nn.Sequential(*steps, up(channels[-1], outputs, last=True))

    def forward(self, code: Tensor) -> Tensor:
        return self.body(code)


class ResidualDecoder(nn.Module):
    """Residual blocks on the code's grid, then doublings: (N, code, S, S) -> (N, outputs, S * 2^k, S * 2^k), k = len(channels).

    channels: widths from coarse to fine. No norm stands before the last layers: it would forget how bright and how coloured the whole is.
    The last doubling repeats pixels, as a transposed convolution leaves a checkerboard.
    """

    def __init__(self, code: int, channels: Sequence[int], outputs: int = 3, blocks: int = 1):
        super().__init__()
        steps = [Double(i, o) for i, o in zip(channels, channels[1:], strict=False)]
        self.body = nn.Sequential(nn.Conv2d(code, channels[0], 1), *[Residual(channels[0]) for _ in range(blocks)], *steps)
        self.shape, self.colour = nn.Conv2d(channels[-1], outputs, 3, 1, 1), nn.Conv2d(channels[-1], outputs, 1)

    def forward(self, code: Tensor) -> Tensor:
        h = self.body(code)
        edges = doubled(F.leaky_relu(h, SLOPE), self.shape)
        return edges + F.interpolate(self.colour(h), scale_factor=2, mode="bilinear")  # straight through: colours are learned soon


class VectorDecoder(nn.Module):
    """A linear layer onto a small grid, then a `ResidualDecoder`: (N, code) -> (N, outputs, size, size)."""

    def __init__(self, code: int, channels: Sequence[int], size: int, outputs: int = 3):
        super().__init__()
        side = size >> len(channels)
        self.shape = (channels[0], side, side)
        self.first = nn.Linear(code, channels[0] * side * side)
        self.body = ResidualDecoder(channels[0], channels, outputs)

    def forward(self, code: Tensor) -> Tensor:
        return self.body(self.first(code).unflatten(1, self.shape))


class SquaresDecoder(nn.Module):
    """A `ContextEncoder`'s map to a picture: (N, 48, S / 4, S / 4) -> (N, 3, S, S). Starts as the exact inverse of moving squares."""

    def __init__(self, width: int):
        super().__init__()
        last = nn.Conv2d(2 * width, 48, 1, bias=False)
        nn.init.zeros_(last.weight)
        self.body = nn.Sequential(nn.Conv2d(48, 2 * width, 1), Residual(2 * width), norm("group", 2 * width), activation(), last)

    def forward(self, code: Tensor) -> Tensor:
        return F.pixel_shuffle(code + self.body(code), 4)


class ContextPainter(nn.Module):
    """Draws a part on a fine map: (N, 48, S / 4, S / 4) and a vector (N, V) -> (N, outputs, S, S).

    The map says where (it is read at S / 4 and S / 8), the vector says what (it steers every norm). blur: pixels over which the map's
    picture is averaged first, a divisor of S, if any: else it may read off a blur that something was taken away there.
    """

    def __init__(self, vector: int, width: int, outputs: int = 4, blur: int = 0):
        super().__init__()
        w, self.blur = width, blur
        self.first = nn.Conv2d(48, 2 * w, 3, 1, 1)
        self.down8 = Halve(2 * w, 4 * w)
        self.mid8 = ModulatedResidual(4 * w, vector)
        self.up4, self.mid4 = ModulatedDouble(4 * w, 2 * w, vector), ModulatedResidual(2 * w, vector)
        self.up2 = ModulatedDouble(2 * w, w, vector)
        self.steer = Modulation(w, vector)
        last = nn.Conv2d(w, 4 * outputs, 3, 1, 1)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, 0.0)  # type: ignore[arg-type]
        self.last = nn.Sequential(last, nn.PixelShuffle(2))

    def forward(self, code: Tensor, vector: Tensor) -> Tensor:
        if self.blur > 1:
            picture = F.pixel_shuffle(code, 4)
            coarse = F.interpolate(F.avg_pool2d(picture, self.blur), size=picture.shape[2:], mode="bilinear", align_corners=False)
            code = F.pixel_unshuffle(coarse, 4)
        h = self.first(code)
        h = h + self.up4(self.mid8(self.down8(h), vector), vector)
        h = self.up2(self.mid4(h, vector), vector)
        return self.last(F.leaky_relu(self.steer(h, vector), SLOPE))
