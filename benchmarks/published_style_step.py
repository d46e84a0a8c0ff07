"""One training step of a style-based generator, transcribed plainly: what the published recipe costs when nothing is done about it.

Karras et al.: Analyzing and Improving the Image Quality of StyleGAN, CVPR 2020. Each picture of a batch has kernels of its own, modulated
and demodulated, in one grouped convolution; the critic's turn draws new pictures; path length is taken of half a batch every 4 steps, R1
every 16; all of it in fp32. Widths are arguments, so that networks of the size of ours can be compared. It stands alone: nothing of
unweave is used, so that nothing of it makes this faster.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GAMMA, PATH, LAZY, PATH_EVERY, MIXING = 0.5, 2.0, 16, 4, 0.9


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2) * math.sqrt(2)


def blur(x: Tensor, before: int, after: int, gain: float = 1.0) -> Tensor:
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, (line[:, None] * line * gain).expand(x.shape[1], 1, 4, 4), groups=x.shape[1])


class Linear(nn.Module):
    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, speed: float = 1.0):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(outputs, inputs) / speed), nn.Parameter(torch.full((outputs,), bias))
        self.scale, self.speed = speed / math.sqrt(inputs), speed

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.speed)


class Conv(nn.Module):
    """A kernel for all pictures: the critic's."""

    def __init__(self, inputs: int, outputs: int, kernel: int, down: bool = False, act: bool = True):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel)), nn.Parameter(torch.zeros(outputs))
        self.scale, self.down, self.act = 1 / math.sqrt(inputs * kernel**2), down, act

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight.shape[2]
        if self.down:
            x = blur(x, kernel // 2 + 1, kernel // 2 + 1)
        bias = self.bias if self.act else None
        x = F.conv2d(x, self.weight * self.scale, bias, stride=2 if self.down else 1, padding=0 if self.down else kernel // 2)
        return leaky(x) if self.act else x


class Modulated(nn.Module):
    """A kernel for each picture (equations 1 and 3), as one convolution of N groups."""

    def __init__(self, inputs: int, outputs: int, kernel: int, style: int, up: bool = False, demodulate: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.affine, self.scale, self.up, self.demodulate = Linear(style, inputs, 1.0), 1 / math.sqrt(inputs * kernel**2), up, demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        n, (outputs, inputs, kernel, _) = len(x), self.weight.shape
        weight = self.weight * self.scale * self.affine(w)[:, None, :, None, None]
        if self.demodulate:
            weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        x = x.reshape(1, n * inputs, *x.shape[2:])
        if self.up:
            weight = weight.transpose(1, 2).reshape(n * inputs, outputs, kernel, kernel)
            x = F.conv_transpose2d(x, weight, stride=2, groups=n)
            x = x.view(n, outputs, *x.shape[2:])
            return blur(x, 1, 1, 4.0)
        x = F.conv2d(x, weight.reshape(n * outputs, inputs, kernel, kernel), padding=kernel // 2, groups=n)
        return x.view(n, outputs, *x.shape[2:])


class Styled(nn.Module):
    def __init__(self, inputs: int, outputs: int, style: int, up: bool = False):
        super().__init__()
        self.conv = Modulated(inputs, outputs, 3, style, up)
        self.noise, self.bias = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.conv(x, w)
        x = x + self.noise * torch.randn(len(x), 1, *x.shape[2:])
        return leaky(x + self.bias[:, None, None])


class Generator(nn.Module):
    def __init__(self, widths: list[int], z: int, style: int, depth: int):
        super().__init__()
        self.z = z
        self.mapping = nn.ModuleList(Linear(z if i == 0 else style, style, speed=0.01) for i in range(depth))
        self.first = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.convs, self.rgbs = nn.ModuleList([Styled(widths[0], widths[0], style)]), nn.ModuleList()
        for a, b in zip(widths, widths[1:]):
            self.convs.extend([Styled(a, b, style, up=True), Styled(b, b, style)])
        for width in widths:
            self.rgbs.append(Modulated(width, 3, 1, style, demodulate=False))

    def styles(self, n: int) -> Tensor:
        """(N, L, W), of most pictures from two draws."""
        layers = 2 * len(self.rgbs)
        x = torch.randn(2 * n, self.z)
        x = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.mapping:
            x = leaky(layer(x))
        first, second = x[:, None].expand(-1, layers, -1).chunk(2)
        cut = torch.where(torch.rand(n, 1, 1) < MIXING, torch.randint(1, layers, (n, 1, 1)), layers)
        return torch.where(torch.arange(layers)[:, None] < cut, first, second)

    def forward(self, w: Tensor) -> Tensor:
        x = self.convs[0](self.first.expand(len(w), -1, -1, -1), w[:, 0])
        picture = self.rgbs[0](x, w[:, 1])
        for i in range(1, len(self.rgbs)):
            k = 2 * i - 1
            x = self.convs[k + 1](self.convs[k](x, w[:, k]), w[:, k + 1])
            picture = F.interpolate(picture, scale_factor=2, mode="bilinear") + self.rgbs[i](x, w[:, k + 2])
        return picture


class Critic(nn.Module):
    def __init__(self, widths: list[int]):
        super().__init__()
        self.read = Conv(3, widths[0], 1)
        self.first = nn.ModuleList(Conv(a, a, 3) for a in widths[:-1])
        self.second = nn.ModuleList(Conv(a, b, 3, down=True) for a, b in zip(widths, widths[1:]))
        self.short = nn.ModuleList(Conv(a, b, 1, down=True, act=False) for a, b in zip(widths, widths[1:]))
        self.last, wide = Conv(widths[-1] + 1, widths[-1], 3), widths[-1]
        self.dense, self.out = Linear(wide * 16, wide), Linear(wide, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.read(x)
        for first, second, short in zip(self.first, self.second, self.short, strict=True):
            x = (second(first(x)) + short(x)) / math.sqrt(2)
        groups = x.unflatten(0, (-1, 4))
        apart = ((groups - groups.mean(1, keepdim=True)).square().mean(1) + 1e-8).sqrt().flatten(1).mean(1)
        x = torch.cat([x, apart.repeat_interleave(4)[:, None, None, None].expand(-1, 1, 4, 4)], 1)
        return self.out(leaky(self.dense(self.last(x).flatten(1)))).squeeze(1)


class PublishedStyleStep(nn.Module):
    """Networks, losses and optimisers. widths: channels at 4, 8, 16 ... pixels."""

    def __init__(self, widths: list[int], z: int = 128, style: int = 128, depth: int = 8):
        super().__init__()
        self.generator, self.critic = Generator(widths, z, style, depth), Critic(widths[::-1])
        self.adam, self.adam_critic = (
            torch.optim.Adam(net.parameters(), lr=2.5e-3, betas=(0.0, 0.99)) for net in (self.generator, self.critic)
        )
        self.length, self.count = torch.zeros(()), 0

    def step(self, real: Tensor) -> float:
        """Everything that is due in this step, on pictures (N, 3, S, S); N divides by 8. -> the critic's loss."""
        n = len(real)
        self._move(self.adam, F.softplus(-self.critic(self.generator(self.generator.styles(n)))).mean())
        if self.count % PATH_EVERY == 0:
            styles = self.generator.styles(n // 2)
            made = self.generator(styles)
            noise = torch.randn_like(made) / math.sqrt(made.shape[2] * made.shape[3])
            (slope,) = torch.autograd.grad((made * noise).sum(), styles, create_graph=True)
            lengths = slope.square().sum(2).mean(1).sqrt()
            self.length = self.length.lerp(lengths.mean().detach(), 0.01)
            self._move(self.adam, (lengths - self.length).square().mean() * PATH * PATH_EVERY)
        with torch.no_grad():
            made = self.generator(self.generator.styles(n))
        loss = F.softplus(self.critic(made)).mean() + F.softplus(-self.critic(real)).mean()
        self._move(self.adam_critic, loss)
        if self.count % LAZY == 0:
            x = real.clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.critic(x).sum(), x, create_graph=True)
            self._move(self.adam_critic, slope.square().sum((1, 2, 3)).mean() * GAMMA / 2 * LAZY)
        self.count += 1
        return loss.item()

    def _move(self, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
        optimiser.zero_grad()
        moved = [p for group in optimiser.param_groups for p in group["params"]]
        for parameter, grad in zip(moved, torch.autograd.grad(loss, moved, allow_unused=True), strict=True):
            parameter.grad = grad
        optimiser.step()
