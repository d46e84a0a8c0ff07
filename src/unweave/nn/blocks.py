"""Small blocks: norms by name, halving and doubling convolutions, residual blocks plain and modulated."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave.nn.patches import patches, summed

Norm = Literal["batch", "group", "instance", "none"]
SLOPE = 0.2  # of LeakyReLU, everywhere


def norm(kind: Norm, channels: int) -> nn.Module:
    """A normalisation layer by name. "group": groups of 16 channels (fewer where they do not divide)."""
    if kind == "batch":
        return BatchNorm(channels)
    if kind == "group":
        groups = max(1, channels // 16)
        while channels % groups:
            groups -= 1
        return nn.GroupNorm(groups, channels)
    if kind == "instance":
        return nn.GroupNorm(channels, channels, affine=False)  # the same; torch's own answers with a view, which costs copies backward
    return nn.Identity()


PARTS: ContextVar[int] = ContextVar("PARTS", default=1)  # batches that lie one after another in what a BatchNorm sees


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm that knows of `together`: in training, each of several batches in one is normalised by its own statistics."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or PARTS.get() == 1:
            return super().forward(x)
        return torch.cat([super(BatchNorm, self).forward(part) for part in x.chunk(PARTS.get())])


Made = TypeVar("Made")  # what a network returns


def together(network: Callable[..., Made], *batches: tuple[Tensor, ...]) -> tuple[Made, ...]:
    """What a network makes of several batches, in one pass: the same as one by one, in this order, the statistics of `BatchNorm` too.

    network: takes one or more tensors (N, ...), returns one or a tuple. batches: the arguments for each, all of one size N. -> what it
    returns for each. Where small maps meet many channels, the weights are what takes time, and three batches take little more than one.
    """
    token = PARTS.set(len(batches))
    try:
        out: Any = network(*(torch.cat(column) for column in zip(*batches, strict=True)))
    finally:
        PARTS.reset(token)
    apart: Any = out.chunk(len(batches)) if isinstance(out, Tensor) else zip(*(part.chunk(len(batches)) for part in out), strict=True)
    return tuple(apart)


def activation(kind: Literal["leaky", "relu"] = "leaky") -> nn.Module:
    """LeakyReLU(0.2) or ReLU, in place."""
    return nn.LeakyReLU(SLOPE, inplace=True) if kind == "leaky" else nn.ReLU(inplace=True)


def multiplied(x: Tensor, side: int) -> torch.dtype | None:
    """The kind of number (autocast's where that is on) in which a convolution between maps of `side` and half of that is quicker as a
    product with `nn.patches`: of small maps on a CPU. None where it is not."""
    kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return kind if x.device.type == "cpu" and side <= (16 if kind == torch.bfloat16 else 8) else None


class HalvingConv(nn.Conv2d):
    """Convolution 4x4 of stride 2: (N, inputs, 2S, 2S) -> (N, outputs, S, S).

    On a CPU, small maps go through it as one matrix product: the same sums in less than half the time. (A 2x2 map meets the middle of the
    kernel only, but cutting that out of the weights takes longer than a product with zeros.)
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        if height % 2 or width % 2 or not (kind := multiplied(x, max(height, width))):
            return super().forward(x)
        if height == width == 2:
            return F.linear(F.pad(x, (1, 1, 1, 1)).flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]
        weight = self.weight.to(dtype=kind, memory_format=torch.channels_last)
        out = F.linear(patches(x.to(kind)), weight.permute(0, 2, 3, 1).flatten(1), self.bias)
        return out.view(n, height // 2, width // 2, -1).permute(0, 3, 1, 2).contiguous()


class DoublingConv(nn.ConvTranspose2d):
    """Transposed convolution 4x4 of stride 2: (N, inputs, S, S) -> (N, outputs, 2S, 2S). On a CPU, small maps as in `HalvingConv`."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        n, channels, height, width = x.shape
        if output_size is not None or not (kind := multiplied(x, 2 * max(height, width))):
            return super().forward(x, output_size)
        if height == width == 1:
            out = (x.flatten(1) @ self.weight.flatten(1)).view(n, -1, 4, 4)[:, :, 1:3, 1:3].contiguous()
        else:
            weight = self.weight.to(dtype=kind, memory_format=torch.channels_last)
            rows = x.to(kind).permute(0, 2, 3, 1).reshape(-1, channels)
            out = summed(rows @ weight.permute(0, 2, 3, 1).flatten(1), n, height, width)
        return out if self.bias is None else out + self.bias[:, None, None]


def down(inputs: int, outputs: int, kind: Norm = "none") -> nn.Sequential:
    """Convolution 4x4 of stride 2: (N, inputs, 2S, 2S) -> (N, outputs, S, S), norm, LeakyReLU."""
    conv = HalvingConv(inputs, outputs, bias=kind == "none")
    return nn.Sequential(conv, norm(kind, outputs), activation())


def up(inputs: int, outputs: int, kind: Norm = "none", last: bool = False, act: Literal["leaky", "relu"] = "leaky") -> nn.Sequential:
    """Transposed convolution 4x4 of stride 2: (N, inputs, S, S) -> (N, outputs, 2S, 2S), norm, activation. `last`: alone."""
    conv = DoublingConv(inputs, outputs, bias=last or kind == "none")
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


def doubled(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """What a 3x3 or 5x5 convolution makes of a map whose pixels are repeated: (N, inputs, S, S) -> (N, outputs, 2S, 2S).

    Equal to conv(F.interpolate(x, scale_factor=2)), nearest. Of the pixels that are alike the taps are added up first, which leaves one
    3x3 convolution of the small map for each pixel of a 2x2 square: for 5x5 that is 36 products in place of 100, and few output channels
    become four times as many, which processors are faster at.
    """
    size = conv.kernel_size[0]
    taps = torch.arange(size, device=x.device) - size // 2
    read = torch.stack([taps, taps + 1]).div(2, rounding_mode="floor")  # by a pixel of the square: which small pixel each tap meets, -1..1
    add = F.one_hot(read + 1, 3).to(conv.weight)
    weight = torch.einsum("oixy,axr,bys->oabirs", conv.weight, add, add).flatten(0, 2)
    return F.pixel_shuffle(F.conv2d(x, weight, None if conv.bias is None else conv.bias.repeat_interleave(4), padding=1), 2)


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
