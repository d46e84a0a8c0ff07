"""Networks over time: a clip of channels into a code that moves with it or into one that stands still, and both into a clip again.

Clips are (N, channels, T) with T any multiple of 8 from 16 on; `whole` makes others so. Reflection at the ends, LeakyReLU, no norm
(Aberman et al. 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unweave.body import OTHERS, ROOT
from unweave.nn.blocks import SLOPE

SHRINK = 8  # frames in one step of a moving code
LEAST = 16  # frames: below, a reflection would be longer than what it reflects


class MovingEncoder(nn.Sequential):
    """(N, inputs, T) -> (N, widths[-1], T / 8): three convolutions of kernel 8 and stride 2."""

    def __init__(self, inputs: int, widths: Sequence[int] = (64, 96, 128)):
        layers: list[nn.Module] = []
        for before, after in zip((inputs, *widths[:-1]), widths):
            layers += [nn.Conv1d(before, after, 8, 2, 3, padding_mode="reflect"), nn.LeakyReLU(SLOPE)]
        super().__init__(*layers)


class StillEncoder(nn.Module):
    """(N, inputs, T) -> (N, outputs): three convolutions of kernel 7, each pooled by 2, then pooled over time and mapped.

    pool: "max" keeps what is seen once (how long a limb is), "average" what is seen throughout (from where).
    """

    def __init__(self, inputs: int, outputs: int, pool: Literal["max", "average"], widths: Sequence[int] = (32, 48, 64)):
        super().__init__()
        layers: list[nn.Module] = []
        halve = nn.MaxPool1d if pool == "max" else nn.AvgPool1d
        for before, after in zip((inputs, *widths[:-1]), widths):
            layers += [nn.Conv1d(before, after, 7, 1, 3, padding_mode="reflect"), nn.LeakyReLU(SLOPE), halve(2)]
        self.body, self.pool, self.last = nn.Sequential(*layers), pool, nn.Linear(widths[-1], outputs)

    def forward(self, x: Tensor) -> Tensor:
        found = self.body(x)
        return self.last(found.amax(2) if self.pool == "max" else found.mean(2))


class ClipDecoder(nn.Module):
    """A moving code (N, inputs, T / 8), the still ones beside it in each step, -> (N, outputs, T): three times twice as long, kernel 7."""

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int] = (128, 64), dropout: float = 0.2):
        super().__init__()
        steps = list(zip((inputs, *widths), (*widths, outputs)))
        self.layers = nn.ModuleList([nn.Conv1d(before, after, 7, 1, 3, padding_mode="reflect") for before, after in steps])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(F.interpolate(x, scale_factor=2.0, mode="nearest"))
            if i < len(self.layers) - 1:
                x = self.dropout(F.leaky_relu(x, SLOPE))
        return x


class Steps(nn.Module):
    """Two layers on each step of a moving code alone, added to it: (N, channels, T) -> the same. Depth that costs little."""

    def __init__(self, channels: int):
        super().__init__()
        self.change = nn.Sequential(nn.Conv1d(channels, channels, 1), nn.LeakyReLU(SLOPE), nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


def channels_of(clips: Tensor) -> Tensor:
    """Clips (N, T, 15, 2) -> channels (N, 30, T): joints from the middle of the hips, and how far that moves from frame to frame."""
    hips = clips[:, :, ROOT : ROOT + 1]
    velocity = torch.cat([torch.zeros_like(hips[:, :1]), hips.diff(dim=1)], 1)
    return torch.cat([clips[:, :, list(OTHERS)] - hips, velocity], 2).flatten(2).transpose(1, 2)


def clips_of(channels: Tensor) -> Tensor:
    """The inverse, from (0, 0) on: (N, 30, T) -> (N, T, 15, 2)."""
    rows = channels.transpose(1, 2).unflatten(2, (-1, 2))
    hips = (rows[:, :, -1:] - torch.cat([rows[:, :1, -1:], torch.zeros_like(rows[:, 1:, -1:])], 1)).cumsum(1)
    made = rows[:, :, :-1] + hips
    return torch.cat([made[:, :, :ROOT], hips, made[:, :, ROOT:]], 2)


def whole(x: Tensor) -> Tensor:
    """A clip (N, channels, T) as long as the networks need it: the last frame is held up to a multiple of 8, at least 16."""
    frames = x.shape[-1]
    wanted = max(LEAST, -(-frames // SHRINK) * SHRINK)
    return F.pad(x, (0, wanted - frames), mode="replicate") if wanted > frames else x
