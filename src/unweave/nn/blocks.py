"""Small blocks: norms by name, halving and doubling convolutions, residual blocks plain and modulated."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["batch", "group", "instance", "none"]
SLOPE = 0.2  # of LeakyReLU, everywhere


def norm(kind: Norm, channels: int) -> nn.Module:
    """A normalisation layer by name. "group": groups of 16 channels (fewer where they do not divide)."""
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        groups = max(1, channels // 16)
        while channels % groups:
            groups -= 1
        return nn.GroupNorm(groups, channels)
    if kind == "instance":
        return nn.InstanceNorm2d(channels, affine=False)
    return nn.Identity()


def activation(kind: Literal["leaky", "relu"] = "leaky") -> nn.Module:
    """LeakyReLU(0.2) or ReLU, in place."""
    return nn.LeakyReLU(SLOPE, inplace=True) if kind == "leaky" else nn.ReLU(inplace=True)


def down(inputs: int, outputs: int, kind: Norm = "none") -> nn.Sequential:
    """Convolution 4x4 of stride 2: (N, inputs, 2S, 2S) -> (N, outputs, S, S), norm, LeakyReLU."""
    conv = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=kind == "none")
    return nn.Sequential(conv, norm(kind, outputs), activation())


def up(inputs: int, outputs: int, kind: Norm = "none", last: bool = False, act: Literal["leaky", "relu"] = "leaky") -> nn.Sequential:
    """Transposed convolution 4x4 of stride 2: (N, inputs, S, S) -> (N, outputs, 2S, 2S), norm, activation. `last`: alone."""
    conv = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=last or kind == "none")
    return nn.Sequential(conv) if last else nn.Sequential(conv, norm(kind, outputs), activation(act))


class Halve(nn.Module):
    """(N, inputs, 2S, 2S) -> (N, outputs, S, S): a 4x4 convolution of stride 2 on the normalised map, plus a shortcut without parameters.

    The shortcut moves each 2x2 square of pixels into channels and averages (or repeats) those to the new width, so that the
    network starts as a small copy of the picture and learns only the rest (Chen et al. 2025, Deep Compression Autoencoder, 3.1).
    """

    def __init__(self, inputs: int, outputs: int, first: bool = False):
        super().__init__()
        self.outputs = outputs
        self.before = nn.Identity() if first else nn.Sequential(norm("group", inputs), activation())
        self.conv = nn.Conv2d(inputs, outputs, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.before(x)) + _channels(F.pixel_unshuffle(x, 2), self.outputs)


class Double(nn.Module):
    """(N, inputs, S, S) -> (N, outputs, 2S, 2S): `Halve` the other way, a transposed 4x4 convolution plus channels moved into pixels."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.outputs = outputs
        self.before = nn.Sequential(norm("group", inputs), activation())
        self.conv = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.before(x)) + F.pixel_shuffle(_channels(x, 4 * self.outputs), 2)


def _channels(x: Tensor, wanted: int) -> Tensor:
    """Fewer channels by averaging neighbours, more by repeating; without parameters."""
    have = x.shape[1]
    if have >= wanted and have % wanted == 0:
        return x.unflatten(1, (wanted, have // wanted)).mean(2)
    if wanted % have == 0:
        return x.repeat_interleave(wanted // have, 1)
    return x.repeat(1, -(-wanted // have), 1, 1)[:, :wanted]


class Residual(nn.Module):
    """x + conv3(act(norm(conv3(act(norm(x)))))): pre-activation, same size, same channels (He et al. 2016)."""

    def __init__(self, channels: int, kind: Norm = "group"):
        super().__init__()
        self.body = nn.Sequential(
            norm(kind, channels), activation(), nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            norm(kind, channels), activation(), nn.Conv2d(channels, channels, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Modulation(nn.Module):
    """norm(x) * (1 + scale(v)) + shift(v): a vector v steers a feature map; v = 0 leaves just the norm's own affine.

    AdaIN's formula (Huang and Belongie 2017) on a group norm; the linear maps have no bias, so that "no code" means "no change".
    """

    def __init__(self, channels: int, vector: int):
        super().__init__()
        self.norm = norm("group", channels)
        self.steer = nn.Linear(vector, 2 * channels, bias=False)

    def forward(self, x: Tensor, v: Tensor) -> Tensor:
        scale, shift = self.steer(v).unsqueeze(-1).unsqueeze(-1).chunk(2, dim=1)
        return self.norm(x) * (1 + scale) + shift


class ModulatedResidual(nn.Module):
    """`Residual` whose two norms are steered by a vector."""

    def __init__(self, channels: int, vector: int):
        super().__init__()
        self.first, self.second = Modulation(channels, vector), Modulation(channels, vector)
        self.conv1 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor, v: Tensor) -> Tensor:
        h = self.conv1(F.leaky_relu(self.first(x, v), SLOPE))
        return x + self.conv2(F.leaky_relu(self.second(h, v), SLOPE))


class ModulatedDouble(nn.Module):
    """`Double` whose norm is steered by a vector."""

    def __init__(self, inputs: int, outputs: int, vector: int):
        super().__init__()
        self.outputs = outputs
        self.before = Modulation(inputs, vector)
        self.conv = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)

    def forward(self, x: Tensor, v: Tensor) -> Tensor:
        return self.conv(F.leaky_relu(self.before(x, v), SLOPE)) + F.pixel_shuffle(_channels(x, 4 * self.outputs), 2)
