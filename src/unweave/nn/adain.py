"""Parts of few-shot translation: content and class encoders, a decoder steered by AdaIN, and a critic with an output for each class.

Liu et al., Few-Shot Unsupervised Image-to-Image Translation, ICCV 2019. Feature maps are (N, C, H, W). `patch` 2 moves squares of 2x2
pixels into channels first, which makes the outermost layers four times cheaper.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave.nn.blocks import SLOPE
from unweave.nn.twice import Twice


def adain(x: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """scale * (x - mean) / deviation + shift, of each channel of each picture (Huang and Belongie 2017, eq. 8).

    x: (N, C, H, W). scale, shift: (N, C). The numbers come in as arguments: no module keeps them.
    """
    wide = x.float()  # by hand: half the time of F.instance_norm on a processor
    mean = wide.mean((2, 3))
    factor = scale.float() * ((wide * wide).mean((2, 3)) - mean * mean).clamp(min=0).add(eps).rsqrt()
    return x * factor[..., None, None].to(x.dtype) + (shift.float() - mean * factor)[..., None, None].to(x.dtype)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, (kernel - stride + 1) // 2)


class Normed(nn.Module):
    """Convolution, instance norm, ReLU (`last`: without it)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, last: bool = False):
        super().__init__()
        self.conv, self.last = _conv(inputs, outputs, kernel, stride), last

    def forward(self, x: Tensor) -> Tensor:
        x = F.instance_norm(self.conv(x))
        return x if self.last else F.relu(x)


class NormedResidual(nn.Module):
    """x + norm(conv(relu(norm(conv x))))."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(Normed(channels, channels, 3), Normed(channels, channels, 3, last=True))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ContentEncoder(nn.Module):
    """(N, inputs, S, S) -> (N, widths[-1], s, s), s = S / patch / 2^(len(widths) - 1). Instance norm takes each channel's level and
    contrast, which is where a style would be.
    """

    def __init__(self, inputs: int, widths: Sequence[int], patch: int = 1, residuals: int = 2):
        super().__init__()
        self.patch = patch
        self.body = nn.Sequential(
            Normed(inputs * patch**2, widths[0], 7 if patch == 1 else 3),
            *[Normed(i, o, 4, 2) for i, o in pairwise(widths)],
            *[NormedResidual(widths[-1]) for _ in range(residuals)],
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(F.pixel_unshuffle(x, self.patch))


class ClassEncoder(nn.Module):
    """(N, inputs, S, S) -> (N, code): halving convolutions without a norm, and the mean over all places."""

    def __init__(self, inputs: int, widths: Sequence[int], code: int, patch: int = 1):
        super().__init__()
        self.patch = patch
        steps: list[nn.Module] = [_conv(inputs * patch**2, widths[0], 7 if patch == 1 else 3), nn.ReLU()]
        for i, o in pairwise(widths):
            steps += [_conv(i, o, 4, 2), nn.ReLU()]
        self.body, self.head = nn.Sequential(*steps), nn.Linear(widths[-1], code)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(F.pixel_unshuffle(x, self.patch)).mean((2, 3)))


class AdaINResidual(nn.Module):
    """x + adain(conv(relu(adain(conv x)))); 4 numbers for each channel steer it."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = _conv(channels, channels, 3), _conv(channels, channels, 3)

    def forward(self, x: Tensor, numbers: Tensor) -> Tensor:
        scale1, shift1, scale2, shift2 = numbers.chunk(4, dim=1)
        h = F.relu(adain(self.first(x), 1 + scale1, shift1))
        return x + adain(self.second(h), 1 + scale2, shift2)


class AdaINDecoder(nn.Module):
    """Content (N, widths[0], s, s) and a class code (N, code) -> (N, outputs, S, S), before tanh.

    A multilayer perceptron turns the class code into the scales and shifts of all AdaIN layers at once. The published decoder has two
    steered blocks, then doublings with a 5x5 convolution in instance norm. `fine`: each doubling is followed by a steered block of its own,
    so that the class decides edges too, and no norm touches what passes by it.
    """

    def __init__(self, widths: Sequence[int], outputs: int, code: int, hidden: int = 256, patch: int = 1, fine: bool = False):
        super().__init__()
        self.patch, self.fine = patch, fine
        self.blocks = nn.ModuleList([AdaINResidual(widths[0]), AdaINResidual(widths[0])])
        self.ups = nn.ModuleList([_conv(i, o, 3) if fine else Normed(i, o, 5) for i, o in pairwise(widths)])
        self.steered = nn.ModuleList([AdaINResidual(o) for o in widths[1:]] if fine else [])
        self.last = _conv(widths[-1], (4 if patch > 1 else outputs) * patch**2, 3 if fine else 7)
        self.paint = nn.Sequential(nn.ReLU(), _conv(4, outputs, 3)) if patch > 1 else nn.Identity()  # or the squares would show
        self.needs = [4 * widths[0]] * 2 + [4 * o for o in widths[1:] if fine]
        self.steer = nn.Sequential(
            nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, sum(self.needs))
        )  # fmt: skip

    def forward(self, content: Tensor, class_: Tensor) -> Tensor:
        numbers = iter(self.steer(class_).split(self.needs, dim=1))
        h = content
        for block in self.blocks:
            h = block(h, next(numbers))
        for k, up in enumerate(self.ups):
            if self.fine:  # the convolution first, at a quarter of the cost
                h = self.steered[k](F.interpolate(up(h), scale_factor=2, mode="nearest"), next(numbers))
            else:
                h = up(F.interpolate(h, scale_factor=2, mode="nearest"))
        return self.paint(F.pixel_shuffle(self.last(h), self.patch))


class Ascent(nn.Module):
    """Residual block of the critic: shortcut(x) + conv(act(conv(act x))), no norm. `half`: to half the size, between the convolutions."""

    def __init__(self, inputs: int, outputs: int, half: bool = False, conv: type[nn.Conv2d] = nn.Conv2d):
        super().__init__()
        self.first, self.second, self.halves = conv(inputs, inputs, 3, padding=1), conv(inputs, outputs, 3, padding=1), half
        self.shortcut = nn.Identity() if inputs == outputs else conv(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(F.leaky_relu(x, SLOPE))
        if self.halves:
            x, h = _halved(x), _halved(h)
        return self.shortcut(x) + self.second(F.leaky_relu(h, SLOPE))


def _halved(x: Tensor) -> Tensor:
    """The mean of each square of 2x2: average pooling, which is slow in bf16 on processors."""
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


class Halved(nn.Module):
    """`_halved` as a layer."""

    def forward(self, x: Tensor) -> Tensor:
        return _halved(x)


class ClassCritic(nn.Module):
    """(N, inputs, S, S) and classes (N,) int64 -> a map of logits for each picture's own class, (N, s, s); features (N, widths[-1]).

    Only the own class's output is computed, so memory does not grow with the classes times the map. `projection` adds an output that all
    classes share, so that each class's own says only what is special about it (Miyato and Koyama 2018). `reads` adds `read`: features ->
    a logit for each class (Odena et al. 2017). `published`: two residual blocks a size, halved after both, features before the last
    activation, and convolutions for a penalty in every step (`Twice`); else one block, which halves between its convolutions.
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        classes: int,
        patch: int = 1,
        published: bool = False,
        projection: bool = False,
        reads: bool = False,
    ):
        super().__init__()
        self.patch, self.published = patch, published
        kernel = 7 if patch == 1 else 3
        conv = Twice if published else nn.Conv2d
        steps: list[nn.Module] = [conv(inputs * patch**2, widths[0], kernel, padding=kernel // 2)]
        for k, (i, o) in enumerate(pairwise(widths)):
            smaller = k < len(widths) - 2
            if published:
                steps += [Ascent(i, i, conv=conv), Ascent(i, o, conv=conv), *([Halved()] if smaller else [])]
            else:
                steps.append(Ascent(i, o, half=smaller))
        self.body = nn.Sequential(*steps)
        self.own = nn.Embedding(classes, widths[-1])
        self.bias = nn.Embedding(classes, 1)
        nn.init.normal_(self.own.weight, std=widths[-1] ** -0.5)
        nn.init.zeros_(self.bias.weight)
        self.shared = nn.Linear(widths[-1], 1) if projection else None
        self.read = nn.Linear(widths[-1], classes) if reads else nn.Identity()

    def forward(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        before = self.body(F.pixel_unshuffle(x, self.patch))
        h = F.leaky_relu(before, SLOPE)
        logits = torch.einsum("nchw,nc->nhw", h.float(), self.own(classes)) + self.bias(classes)[..., None]
        if self.shared is not None:
            logits = logits + self.shared(h.flatten(2).transpose(1, 2)).view_as(logits).float()
        return logits, (before if self.published else h).mean((2, 3)).float()
