"""How near a collection of pictures is to another one: the kernel distance on features of a network that the user brings.

The features decide what the figure means, so its name says them: with AlexNet's it is "AlexNet-KID", never "FID" or "KID" (those mean
Inception).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unweave.errors import UserError

STAGES = (
    (4, 2),
    (1, 2),
    (1, 1),
    (1, 1),
    (1, 1),
)  # stride and padding of AlexNet's five convolutions; the first two are followed by pooling
CENTRE, SPREAD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's colours, for pictures in [-1, 1]


class Features:
    """AlexNet's five convolutions, read from an .npz file: `conv0.weight` (64, 3, 11, 11), `conv0.bias` (64,) ... `conv4.bias`.

    Calling it: (N, 3, H, W) in [-1, 1], H and W at least 64 -> (N, 1152), each stage's channels averaged over the picture.
    """

    name = "AlexNet-KID"

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

    @torch.no_grad()
    def __call__(self, pictures: Tensor, batch: int = 256) -> Tensor:
        return torch.cat([self._stages(chunk.float()) for chunk in pictures.split(batch)])

    def _stages(self, x: Tensor) -> Tensor:
        x, seen = (x - x.new_tensor(CENTRE).view(1, 3, 1, 1)) / x.new_tensor(SPREAD).view(1, 3, 1, 1), []
        for i, ((weight, bias), (stride, padding)) in enumerate(zip(self._layers, STAGES, strict=True)):
            x = F.conv2d(x, weight, bias, stride, padding).relu()
            seen.append(x.mean((2, 3)))
            if i < 2:
                x = F.max_pool2d(x, 3, 2)
        return torch.cat(seen, 1)


def find_features(file: str | Path | None = None) -> Features | None:
    """The features given by a path, else by UNWEAVE_FEATURES, else None."""
    chosen = file or os.environ.get("UNWEAVE_FEATURES")
    return Features(chosen) if chosen else None


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
