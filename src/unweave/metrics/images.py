"""How near a collection of pictures is to another one: the kernel distance on features of a network.

The features decide what the figure means, so its name says them: with AlexNet's it is "AlexNet-KID", never "FID" or "KID" (those mean
Inception). What always works is `RandomFeatures`, a fixed network that nobody trained: nothing is downloaded, and nothing is kept.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unweave.errors import UserError
from unweave.metrics.intervals import Estimate

STAGES = (
    (4, 2),
    (1, 2),
    (1, 1),
    (1, 1),
    (1, 1),
)  # stride and padding of AlexNet's five convolutions; the first two are followed by pooling
CENTRE, SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's colours, for pictures in [-1, 1]
WIDTHS = (48, 96, 96, 96)  # channels of the random network


class Extractor(ABC):
    """A network that looks at pictures. A subclass says its `name`, as figures are called after it, and `maps`."""

    name: str
    cells = 1  # each map is averaged over so many cells a side

    @abstractmethod
    def maps(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) in [-1, 1] -> feature maps (N, C, h, w) of its stages."""

    @torch.no_grad()
    def __call__(self, pictures: Tensor, batch: int = 256) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, d): each stage's channels, averaged over the picture (or each of its cells)."""
        parts = [[F.adaptive_avg_pool2d(stage, self.cells).flatten(1) for stage in self.maps(x.float())] for x in pictures.split(batch)]
        return torch.cat([torch.cat(part, 1) for part in parts])

    def local(self, pictures: Tensor) -> Tensor:
        """What is where: (N, 3, H, W) -> (N, D), with gradients. The squared distance of two is that of Zhang et al. (The Unreasonable
        Effectiveness of Deep Features as a Perceptual Metric, 2018, eq. 1) without learned weights: channels scaled to length 1 at each
        place, squared differences averaged over places and summed over stages. Where features are shorter than about 1, in flat places
        of a cartoon, they are scaled to less: noise that nobody sees would count there."""
        seen = []
        for stage in self.maps(pictures.float()):
            length = (stage.square().sum(1, keepdim=True) + 1).sqrt()
            seen.append((stage / length).flatten(1) / (stage.shape[2] * stage.shape[3]) ** 0.5)
        return torch.cat(seen, 1)


class Features(Extractor):
    """AlexNet's five convolutions, read from an .npz file: `conv0.weight` (64, 3, 11, 11), `conv0.bias` (64,) ... `conv4.bias`.

    Pictures are at least 64 pixels high and wide; they have 1,152 features.
    """

    name = "alexnet"

    def __init__(self, file: str | Path):
        try:
            with np.load(file, allow_pickle=False) as kept:
                self._layers = [
                    tuple(torch.from_numpy(kept[f"conv{i}.{part}"].astype(np.float32)) for part in ("weight", "bias")) for i in range(5)
                ]
        except FileNotFoundError as error:
            raise UserError(f"There is no features file {file}; give the path of an .npz with AlexNet's weights.") from error
        except (KeyError, ValueError, OSError) as error:
            raise UserError(f"{file} does not hold AlexNet's weights (an .npz with conv0.weight, conv0.bias ... conv4.bias).") from error

    def maps(self, x: Tensor) -> list[Tensor]:
        x, seen = (x - x.new_tensor(CENTRE).view(1, 3, 1, 1)) / x.new_tensor(SPREAD).view(1, 3, 1, 1), []
        for i, ((weight, bias), (stride, padding)) in enumerate(zip(self._layers, STAGES, strict=True)):
            x = F.conv2d(x, weight.to(x), bias.to(x), stride, padding).relu()
            seen.append(x)
            if i < 2:
                x = F.max_pool2d(x, 3, 2)
        return seen


class RandomFeatures(Extractor):
    """Four 3x3 convolutions of fixed random numbers, each filter's mean 0 and length 1, so that brightness does not drown everything.

    Averaged over the picture's quarters: 1,344 features. Such features tell sharp from blurred, and few kinds of pictures from many, about
    as AlexNet's do; they hardly notice parts in wrong places. Pictures are at least 16 pixels high and wide. That random networks make
    usable features: Naeem et al., Reliable Fidelity and Diversity Metrics for Generative Models, 2020.
    """

    name = "random"
    cells = 2

    def __init__(self) -> None:
        generator, before, self._layers = torch.Generator().manual_seed(0), 3, list[Tensor]()
        for width in WIDTHS:
            weight = torch.randn(width, before, 3, 3, generator=generator)
            self._layers.append(F.normalize((weight - weight.mean((2, 3), keepdim=True)).flatten(1), dim=1).view_as(weight))
            before = width

    def maps(self, x: Tensor) -> list[Tensor]:
        seen = []
        for i, weight in enumerate(self._layers):
            x = 3 * F.conv2d(x, weight.to(x), stride=2 if i else 1, padding=1).relu()  # 3: or it would fade from stage to stage
            x = x if i else F.avg_pool2d(x, 2)
            seen.append(x)
        return seen


class Inception(Extractor):
    """Inception's last pooled features (2,048), those of KID and FID proper; torchmetrics and torch-fidelity fetch the weights."""

    name = "inception"

    def __init__(self) -> None:
        try:
            from torchmetrics.image.fid import NoTrainInceptionV3

            self._network: Any = NoTrainInceptionV3(name="inception-v3-compat", features_list=["2048"])
        except ImportError as error:
            raise UserError("Features of Inception need torchmetrics: pip install torchmetrics torch-fidelity.") from error

    def maps(self, x: Tensor) -> list[Tensor]:
        pixels = x.detach().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        return [self._network.to(x.device)(pixels).float()[:, :, None, None]]


def find_features(file: str | Path | None = None) -> Extractor | None:
    """The features given by a path, or by a name ("random", "inception"), else by UNWEAVE_FEATURES, else None."""
    chosen = file or os.environ.get("UNWEAVE_FEATURES")
    if chosen in ("random", "inception"):
        return RandomFeatures() if chosen == "random" else Inception()
    return Features(chosen) if chosen else None


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Pictures (N, C, H, W) under a Gaussian of `sigma` pixels, cut off at 3 sigma; borders are mirrored."""
    reach = round(3 * sigma)
    x = torch.arange(-reach, reach + 1, dtype=torch.float32)
    bell = torch.exp(-(x**2) / (2 * sigma**2))
    bell = (bell / bell.sum()).to(pictures).expand(pictures.shape[1], 1, 1, -1)
    pictures = F.pad(pictures, (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(pictures, bell, groups=len(bell)), bell.mT, groups=len(bell))


def distance(x: Tensor, y: Tensor) -> Estimate:
    """`kernel_distance` of two collections' features: mean and middle 95 % of 50 subsets, half of the smaller one or 250."""
    found = kernel_distance(x, y, size=max(2, min(len(x), len(y), 500) // 2))  # halves: subsets that differ give an interval
    low, high = np.percentile(found, [2.5, 97.5])
    return Estimate(float(np.mean(found)), float(low), float(high), len(x))


def kernel_distance(x: Tensor, y: Tensor, subsets: int = 50, size: int = 500, seed: int = 0) -> list[float]:
    """Unbiased squared MMD with the kernel (x.y / d + 1)^3 on random subsets. x: (N, d), y: (M, d) features -> one number a subset.

    Around 0 for two halves of one collection (it may be negative). Source: Binkowski et al., Demystifying MMD GANs, 2018.
    Raises ValueError for fewer than two rows.
    """
    n, d = min(size, len(x), len(y)), x.shape[1]
    if n < 2:
        raise ValueError("a kernel distance needs at least two pictures on each side")
    draw = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(subsets):
        p, q = (side[torch.randperm(len(side), generator=draw)[:n]].double() for side in (x, y))
        within = sum(float(_kernel(side, side, d).fill_diagonal_(0).sum()) for side in (p, q)) / (n * (n - 1))
        found.append(within - 2 * float(_kernel(p, q, d).mean()))
    return found


def _kernel(p: Tensor, q: Tensor, d: int) -> Tensor:
    return (p @ q.T / d + 1) ** 3
