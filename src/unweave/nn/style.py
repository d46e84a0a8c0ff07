"""The style-based generator's parts: mapping, modulated convolutions, synthesis, the residual critic, blur.

Karras, Laine, Aila 2019 (version 1); Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN (version 2). Everything here
has second derivatives, for gradient penalties and path length.

Weights are drawn from N(0, 1) and scaled when they are used (equalised learning rate, Karras et al. 2018, 4.1), so that Adam moves all
layers at one relative speed. Maps are channels_last: on processors that is twice as fast, with bfloat16 three times.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave.nn.blocks import SLOPE

GAIN = math.sqrt(2)  # of LeakyReLU: keeps the variance of what passes (He et al. 2015)
START = 4  # least side of the first map, pixels


def halvings(size: int) -> int:
    """How often a picture's side is halved down to the first map: 64 -> 4, 48 -> 4 would be 3 pixels, so 3 (6 pixels)."""
    count = 0
    while size % 2 == 0 and size // 2 >= START:
        size, count = size // 2, count + 1
    return count


def channels(sides: list[int], width: int, limit: int) -> list[int]:
    """Channels of the maps of these sides, the largest last: `width` at full size, twice as many at each half, at most `limit`."""
    return [min(limit, width * 2 ** (len(sides) - 1 - i)) for i in range(len(sides))]


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU(0.2) times sqrt 2."""
    return F.leaky_relu(x, SLOPE) * GAIN


class Linear(nn.Module):
    """(N, inputs) -> (N, outputs) in float32, equalised. start: of the bias. speed: learning rate relative to the other layers'."""

    def __init__(self, inputs: int, outputs: int, start: float = 0.0, speed: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / speed)
        self.bias = nn.Parameter(torch.full((outputs,), start / speed))
        self.scale, self.speed = speed / math.sqrt(inputs), speed

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # styles are small and everything hangs on them
            return F.linear(x.to(self.weight), self.weight * self.scale, self.bias * self.speed)


class Conv(nn.Module):
    """(N, inputs, S, S) -> (N, outputs, S, S), or S / 2 with `down` (blurred first), equalised. act: with LeakyReLU and bias."""

    def __init__(self, inputs: int, outputs: int, kernel: int, down: bool = False, act: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if act else None
        self.scale, self.down = 1 / math.sqrt(inputs * kernel**2), down

    def forward(self, x: Tensor) -> Tensor:
        gain = GAIN if self.bias is not None else 1.0  # LeakyReLU passes a factor on, so it may stand before it
        bias = None if self.bias is None else self.bias * gain
        pad = self.weight.shape[2] // 2
        if self.down:
            x, pad = blur(x, 1 + pad), 0
        x = F.conv2d(x, self.weight * (self.scale * gain), bias, stride=2 if self.down else 1, padding=pad)
        return x if bias is None else F.leaky_relu(x, SLOPE, inplace=True)


def blur(x: Tensor, pad: int, gain: float = 1.0) -> Tensor:
    """[1, 3, 3, 1] / 8 along both axes, after `pad` zeros on each side: (N, C, S, S) -> (N, C, S + 2 pad - 3, S + 2 pad - 3)."""
    line = x.new_tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (line[:, None] * line * gain).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, padding=pad, groups=x.shape[1])


class Mapping(nn.Module):
    """f: z (N, Z) -> w (N, W): z on the unit sphere, then dense layers that learn at a hundredth of the rate (2019, 2 and C)."""

    def __init__(self, inputs: int, outputs: int, layers: int = 8, speed: float = 0.01):
        super().__init__()
        widths = [inputs] + [outputs] * layers
        self.layers = nn.ModuleList(Linear(a, b, speed=speed) for a, b in zip(widths, widths[1:]))

    def forward(self, z: Tensor) -> Tensor:
        x = z.to(self.layers[0].weight)  # type: ignore[arg-type]
        x = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.layers:
            x = leaky(layer(x))
        return x


class Styled(nn.Module):
    """A 3x3 convolution that a style w steers, noise, bias, LeakyReLU: (N, inputs, S, S) -> (N, outputs, S or 2S, same).

    Version 2 (2020, 2.2, eq. 1 and 3): the style scales the weights' input channels, and the outputs are divided by the standard deviation
    that they then expect. Scaling maps before and after one convolution is the same as a kernel of its own for each picture, and is as
    fast as a plain convolution. adain (version 1): maps are normalised after LeakyReLU, then scaled and shifted (2019, eq. 1).
    """

    def __init__(self, inputs: int, outputs: int, style: int, up: bool = False, adain: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise = nn.Parameter(torch.zeros(()))  # strength: learned, from 0 on
        self.affine = Linear(style, 2 * outputs if adain else inputs, start=0.0 if adain else 1.0)
        self.scale, self.up, self.adain = 1 / math.sqrt(inputs * 9), up, adain

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        style = self.affine(w)
        weight = self.weight * (self.scale * GAIN)  # with LeakyReLU's gain, which may stand before it
        bias = (self.bias * GAIN).to(x.dtype)[:, None, None]
        if self.adain:
            x = self.convolve(x, weight) + bias
        else:
            energy = self.weight.square().sum((2, 3)) * self.scale**2
            with torch.autocast(x.device.type, enabled=False):
                spread = (style.square() @ energy.T + 1e-8).rsqrt()
            x = self.convolve(x * _map(style, x), weight)
            x = torch.addcmul(bias, x, _map(spread, x))
        if noise is not None:
            x = x + (noise * (self.noise * GAIN)).to(x.dtype)
        x = F.leaky_relu(x, SLOPE, inplace=True)
        if self.adain:
            scale, offset = style.chunk(2, 1)
            x = F.instance_norm(x) * _map(scale + 1, x) + _map(offset, x)
        return x

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution itself; doubling is a transposed one, blurred."""
        if not self.up:
            return F.conv2d(x, weight, padding=1)
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # 2S + 1
        return blur(x, 1, gain=4.0)


class ToRGB(nn.Module):
    """A 1x1 convolution to a picture's channels, scaled by a style but not divided again (2020, 2.2)."""

    def __init__(self, inputs: int, outputs: int, style: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.affine = Linear(style, inputs, start=1.0)
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(x * _map(self.affine(w), x), self.weight * self.scale, self.bias).float()


class Synthesis(nn.Module):
    """g: one style for each of `layers` and noise maps -> (N, colours, S, S), about -1..1 and not cut.

    A learned first map; at each size two styled convolutions (one at the first) and a picture, which is doubled and added to the next
    size's (RGB skips, 2020, 4.1). Styles in order: convolution, RGB; then for each size two convolutions and RGB of the next ...; the RGB
    of a size shares its style with the first convolution of the next, as published, so there are 2 a size: 10 at 64 px.
    """

    def __init__(self, size: int, width: int, limit: int, style: int, colours: int = 3, adain: bool = False):
        super().__init__()
        count = halvings(size)
        self.sides = [size >> (count - i) for i in range(count + 1)]
        wide = channels(self.sides, width, limit)
        self.first = nn.Parameter(torch.randn(1, wide[0], self.sides[0], self.sides[0]))
        self.convs = nn.ModuleList([Styled(wide[0], wide[0], style, adain=adain)])
        self.rgbs = nn.ModuleList([ToRGB(wide[0], colours, style)])
        for a, b in zip(wide, wide[1:]):
            self.convs.extend([Styled(a, b, style, up=True, adain=adain), Styled(b, b, style, adain=adain)])
            self.rgbs.append(ToRGB(b, colours, style))

    @property
    def layers(self) -> int:
        """Styles of a picture."""
        return 2 * len(self.sides)

    @property
    def maps(self) -> list[int]:
        """Sides of the noise maps, one for each styled convolution."""
        return [self.sides[0]] + [side for side in self.sides[1:] for _ in range(2)]

    def style_weights(self, layer: int) -> Tensor:
        """The affine maps that read style `layer`: of one convolution, of one RGB, or of both. (rows, W)"""
        found = [self.convs[layer]] if layer < len(self.convs) else []
        found += [self.rgbs[layer // 2]] if layer % 2 else []
        return torch.cat([module.affine.weight * module.affine.scale for module in found])  # type: ignore[union-attr, operator]

    def forward(self, styles: Tensor, noise: Tensor | None) -> Tensor:
        """styles: (N, layers, W). noise: (N, sum of squared `maps`), standard normal, or None for none at all."""
        w = styles.unbind(1)
        noises: list[Tensor | None] = [None] * len(self.convs)
        if noise is not None:
            parts = noise.split([side**2 for side in self.maps], 1)
            noises = [part.unflatten(1, (1, side, side)) for part, side in zip(parts, self.maps)]
        x = self.first.expand(len(styles), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        x = self.convs[0](x, w[0], noises[0])
        picture = self.rgbs[0](x, w[1])
        for i in range(1, len(self.sides)):
            k = 2 * i - 1
            x = self.convs[k](x, w[k], noises[k])
            x = self.convs[k + 1](x, w[k + 1], noises[k + 1])
            picture = F.interpolate(picture, scale_factor=2, mode="bilinear") + self.rgbs[i](x, w[k + 2])  # bilinear: [1, 3, 3, 1]
        return picture


class Critic(nn.Module):
    """D: (N, colours, S, S) -> (N,) logits: residual blocks down to the first map, minibatch deviation, two dense layers (2020, 4.1).

    squares: 2x2 pixels are channels first, in place of the blocks at full size, which cost as much as all others.
    """

    def __init__(self, size: int, width: int, limit: int, colours: int = 3, group: int = 4, squares: bool = False):
        super().__init__()
        count, self.patch = halvings(size), 2 if squares else 1
        wide = channels([size >> (count - i) for i in range(count + 1)], width, limit)[::-1][int(squares) :]
        self.read = Conv(colours * self.patch**2, wide[0], 1)
        self.blocks = nn.ModuleList(Shrink(a, b) for a, b in zip(wide, wide[1:]))
        self.group, side = group, size >> count
        self.last = Conv(wide[-1] + 1, wide[-1], 3)
        self.dense, self.out = Linear(wide[-1] * side**2, wide[-1]), Linear(wide[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.read(F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            x = block(x)
        x = self.last(torch.cat([x, spread(x, self.group)], 1))
        return self.out(leaky(self.dense(x.flatten(1)))).squeeze(1)


class Shrink(nn.Module):
    """(N, inputs, S, S) -> (N, outputs, S / 2, S / 2): two 3x3 convolutions beside a 1x1, their sum over sqrt 2."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first, self.second = Conv(inputs, inputs, 3), Conv(inputs, outputs, 3, down=True)
        self.short = Conv(inputs, outputs, 1, down=True, act=False)

    def forward(self, x: Tensor) -> Tensor:
        return (self.second(self.first(x)) + self.short(x)) / GAIN


def spread(x: Tensor, group: int) -> Tensor:
    """How much pictures of a group differ: the mean standard deviation over groups of neighbours, as a map (Karras et al. 2018, 3).

    group: pictures at most; the largest number up to it that divides N. (N, C, S, S) -> (N, 1, S, S)."""
    count = next(g for g in range(min(group, len(x)), 0, -1) if len(x) % g == 0)
    groups = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(0, (-1, count))
    deviation = ((groups - groups.mean(1, keepdim=True)).square().mean(1) + 1e-8).sqrt().flatten(1).mean(1)
    return deviation.repeat_interleave(count)[:, None, None, None].expand(-1, 1, *x.shape[2:]).to(x.dtype)


def _map(vector: Tensor, like: Tensor) -> Tensor:
    """(N, C) -> (N, C, 1, 1) in the precision of a map."""
    return vector.to(like.dtype)[:, :, None, None]
