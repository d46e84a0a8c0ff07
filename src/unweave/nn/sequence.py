"""Networks over time: a clip of channels into a code that moves with it or into one that stands still, and both into a clip again.

Clips are rows, one a frame: (N, T, channels) with T any multiple of 8 from 16 on; `whole` makes others so. Reflection at the ends,
LeakyReLU, no norm (Aberman et al. 2019). Convolutions are products of matrices here: on a processor a few channels go faster so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave.body import ROOT
from unweave.nn.blocks import SLOPE

SHRINK = 8  # frames in one step of a moving code
LEAST = 16  # frames: below, a reflection would be longer than what it reflects


class Windows(torch.autograd.Function):
    """Rows (N, T, C) -> every `kernel` rows in turn as one, `stride` apart: (N, T', kernel * C).

    `pad` rows are reflected at either end, about the last row (`edge` 1: it comes once) or beyond it (`edge` 0: it comes twice)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int, pad: int, edge: int) -> Tensor:
        ctx.facts = x.shape, kernel, stride, pad, edge
        last = x.shape[1] - edge
        x = torch.cat([x[:, edge : edge + pad].flip(1), x, x[:, last - pad : last].flip(1)], 1)
        n, frames, channels = x.shape
        sizes, steps = (n, (frames - kernel) // stride + 1, kernel * channels), (frames * channels, stride * channels, 1)
        return x.as_strided(sizes, steps).clone(memory_format=torch.contiguous_format)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), ((n, frames, channels), kernel, stride, pad, edge) = grads, ctx.facts
        whole = grad.new_zeros(n, frames + 2 * pad, channels)
        for at, part in enumerate(grad.unflatten(2, (kernel, channels)).unbind(2)):
            whole[:, at : at + (part.shape[1] - 1) * stride + 1 : stride] += part
        made, last = whole[:, pad : pad + frames], frames - edge
        made[:, edge : edge + pad] += whole[:, :pad].flip(1)
        made[:, last - pad : last] += whole[:, pad + frames :].flip(1)
        return made, None, None, None, None


class Slide(nn.Conv1d):
    """nn.Conv1d with reflection on rows: (N, T, inputs) -> (N, T', outputs)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, pad: int = 0):
        super().__init__(inputs, outputs, kernel, stride, pad, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        (kernel,), (stride,), pad = self.kernel_size, self.stride, int(self.padding[0])
        seen = Windows.apply(x, kernel, stride, pad, 1) if kernel > 1 else x
        return F.linear(seen, self.weight.transpose(1, 2).flatten(1), self.bias)


class Double(nn.Conv1d):
    """Each frame twice, then a convolution of kernel 7 with reflection: (N, T, inputs) -> (N, 2 T, outputs).

    On doubled frames seven taps read four frames: (w0) (w1 + w2) (w3 + w4) (w5 + w6) for even frames that are made, (w0 + w1) (w2 + w3)
    (w4 + w5) (w6) for odd ones. Reflected beyond the last frame, only the two frames at either end come out otherwise: the doubled clip,
    reflected about its last frame, has other neighbours there."""

    TAPS = torch.tensor([[1, 1, 0, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0, 1.0]])

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 7, 1, 3, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        taps = self.weight[:, : x.shape[2]].permute(2, 0, 1)  # (7, outputs, inputs)
        both = torch.cat([self.TAPS, self.TAPS.flip(0, 1)]).to(taps)  # odd, even
        weight = (both @ taps.flatten(1)).view(2, 4, *taps.shape[1:]).transpose(1, 2).flatten(2).flatten(0, 1)
        bias = self.bias if self.bias is None else self.bias.repeat(2)
        made = F.linear(Windows.apply(x, 4, 1, 2, 0), weight, bias).unflatten(2, (2, -1)).flatten(1, 2)  # odd, even, odd, even ...
        _, first, middle, last, _ = made.split([1, 2, 2 * x.shape[1] - 4, 2, 1], 1)
        first = first + F.linear(x[:, 1] - x[:, 0], taps[:2].flip(0).flatten(0, 1)).unflatten(1, (2, -1))
        last = last + F.linear(x[:, -2] - x[:, -1], taps[5:].flip(0).flatten(0, 1)).unflatten(1, (2, -1))
        return torch.cat([first, middle, last], 1)


class MovingEncoder(nn.Sequential):
    """(N, T, inputs) -> (N, T / 8, widths[-1]): three convolutions of kernel 8 and stride 2."""

    def __init__(self, inputs: int, widths: Sequence[int] = (64, 96, 128)):
        layers: list[nn.Module] = []
        for before, after in zip((inputs, *widths[:-1]), widths):
            layers += [Slide(before, after, 8, 2, 3), nn.LeakyReLU(SLOPE, inplace=True)]
        super().__init__(*layers)


class Halve(nn.Module):
    """LeakyReLU and, of every two frames, the mean or the greater: (N, T, C) -> (N, T / 2, C)."""

    def __init__(self, pool: Literal["max", "average"]):
        super().__init__()
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        if self.pool == "max":
            one, two = x.unflatten(1, (-1, 2)).unbind(2)
            return F.leaky_relu(one + F.relu(two - one), SLOPE)  # as the maximum, whose gradient is slow
        one, two = F.leaky_relu(x, SLOPE).unflatten(1, (-1, 2)).unbind(2)
        return (one + two) / 2


class StillEncoder(nn.Module):
    """(N, T, inputs) -> (N, outputs): three convolutions of kernel 7, each pooled by 2, then pooled over time and mapped.

    pool: "max" keeps what is seen once (how long a limb is), "average" what is seen throughout (from where).
    """

    def __init__(self, inputs: int, outputs: int, pool: Literal["max", "average"], widths: Sequence[int] = (32, 48, 64)):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((inputs, *widths[:-1]), widths):
            layers += [Slide(before, after, 7, 1, 3), nn.Identity(), Halve(pool)]
        self.body, self.pool, self.last = nn.Sequential(*layers), pool, nn.Linear(widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        found = self.body(x)
        return self.last(found.amax(1) if self.pool == "max" else found.mean(1))


class ClipDecoder(nn.Module):
    """Moving codes (N, T / 8, inputs) -> (N, T, outputs): three times twice as long, kernel 7.

    still: M codes beside each of them, (N, M, numbers), -> (N * M, T, outputs). `inputs` counts their numbers too. What a convolution makes
    of a code that stands still is the same in each frame, so the first layer is run N times, not N * M."""

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int] = (128, 64), dropout: float = 0.2):
        super().__init__()
        self.layers = nn.ModuleList([Double(before, after) for before, after in zip((inputs, *widths), (*widths, outputs))])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, still: Tensor | None = None) -> Tensor:
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, Double)
            made = layer(x)
            if i == 0 and still is not None:
                added = F.linear(still, layer.weight[:, x.shape[2] :].sum(2))
                made = (made[:, None] + added[:, :, None]).flatten(0, 1)
            x = self.dropout(F.leaky_relu(made, SLOPE)) if i < len(self.layers) - 1 else made
        return x


class Steps(nn.Module):
    """Two layers on each step of a moving code alone, added to it: (N, T, channels) -> the same. Depth that costs little."""

    def __init__(self, channels: int):
        super().__init__()
        self.change = nn.Sequential(Slide(channels, channels, 1), nn.LeakyReLU(SLOPE, inplace=True), Slide(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


def channels_of(clips: Tensor) -> Tensor:
    """Clips (N, T, 15, 2) -> channels (N, T, 30): joints from the middle of the hips, and how far that moves from frame to frame."""
    before, hips, after = clips.split([ROOT, 1, clips.shape[2] - ROOT - 1], 2)
    velocity = torch.cat([torch.zeros_like(hips[:, :1]), hips.diff(dim=1)], 1)
    return torch.cat([before - hips, after - hips, velocity], 2).flatten(2)


def clips_of(channels: Tensor) -> Tensor:
    """The inverse, from (0, 0) on: (N, T, 30) -> (N, T, 15, 2)."""
    rows = channels.unflatten(2, (-1, 2))
    hips = (rows[:, :, -1:] - torch.cat([rows[:, :1, -1:], torch.zeros_like(rows[:, 1:, -1:])], 1)).cumsum(1)
    made = rows[:, :, :-1] + hips
    return torch.cat([made[:, :, :ROOT], hips, made[:, :, ROOT:]], 2)


def whole(x: Tensor) -> Tensor:
    """A clip (N, T, channels) as long as the networks need it: the last frame is held up to a multiple of 8, at least 16."""
    missing = max(LEAST, -(-x.shape[1] // SHRINK) * SHRINK) - x.shape[1]
    return torch.cat([x, x[:, -1:].expand(-1, missing, -1)], 1) if missing else x
