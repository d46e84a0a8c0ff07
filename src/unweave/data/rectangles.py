"""Rectangles whose factors are known exactly: height, width and colour; on request their place, and their angle.

    rectangles                       in the middle
    rectangles:position              anywhere
    rectangles:rotation              turned by up to 90 degrees; one corner is ticked, so that every angle looks different
    rectangles:position,rotation     both;   with `levels` every factor takes ten values, else height, width, place and angle are continuous

Factors run from 0 to 1 and are independent. Colour is always one of ten, an ordered palette.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.data import cache
from unweave.data.dataset import Indices
from unweave.data.drawn import Drawn
from unweave.errors import UserError, did_you_mean
from unweave.method import Need, images

Array = NDArray[np.floating[Any]]
VERSION = 1  # of the drawing: raise it whenever a picture changes
COUNTS = {"train": 10000, "val": 1000, "test": 5000}
OPTIONS = {"position": ("x", "y"), "rotation": ("rotation",), "levels": ()}
LEVELS = 10
PALETTE = np.array(
    [  # violet to red, as a rainbow is ordered
        (94, 60, 153),
        (69, 84, 184),
        (46, 121, 196),
        (37, 158, 184),
        (40, 175, 139),
        (92, 184, 84),
        (160, 193, 58),
        (226, 188, 52),
        (235, 137, 46),
        (214, 62, 50),
    ],
    dtype=np.float32,
)
GROUND = np.array([246, 246, 243], dtype=np.float32)
TICK = np.array([30, 30, 34], dtype=np.float32)
SIDE = (0.16, 0.52)  # shortest and longest side, shares of the picture
TICK_SIDE = 0.45  # of the tick, a share of the shorter side


class Rectangles(Drawn):
    """`options`: position, rotation, levels. Columns: image, and factors (N, F) in 0..1, named by `names`; `truth` holds all of them."""

    def __init__(self, options: tuple[str, ...] = (), *, size: int = 64, split: str = "train", seed: int = 0, n: int | None = None):
        for option in options:
            if option not in OPTIONS:
                raise UserError(f'rectangles have no option "{option}": {did_you_mean(option, OPTIONS)}.')
        options = tuple(option for option in OPTIONS if option in options)
        self.spec = self.source = "rectangles" + (":" + ",".join(options) if options else "")
        self.split, self.size, self.seed = split, size, seed
        n = COUNTS[split] if n is None else n
        self.names = ("height", "width", "colour", *(name for option in options for name in OPTIONS[option]))
        self.key = "rectangles-" + cache.key(spec=self.spec, split=split, size=size, seed=seed, n=n, version=VERSION)
        self.streams = {"image": ("image", "factors")}
        self.offers = {"image": images(size), "factors": Need("factors", (len(self.names),))}
        self.lengths = {"image": n, "factors": n}
        rng = np.random.default_rng([seed, ("train", "val", "test").index(split)])
        factors = rng.random((n, len(self.names)))
        gridded = np.floor(factors * LEVELS) / (LEVELS - 1)
        chosen = [True] * len(self.names) if "levels" in options else [name == "colour" for name in self.names]
        self.truth = Factors(np.where(chosen, gridded, factors), self.names)

    def take(self, name: str, indices: Indices) -> Tensor:
        if name == "factors":
            return torch.from_numpy(self.truth.factors[np.asarray(indices, dtype=np.int64)].astype(np.float32))
        return super().take(name, indices)

    def draw(self, name: str, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return draw(self.truth.factors[indices], self.names, self.size)

    def known(self, name: str, indices: Indices) -> list[dict[str, float]]:
        return [dict(zip(self.names, np.round(row, 6).tolist())) for row in self.truth.factors[np.asarray(indices, dtype=np.int64)]]


class Factors:
    """factors: (N, F) in 0..1; names: (F,)"""

    def __init__(self, factors: Array, names: tuple[str, ...]):
        self.factors, self.names = factors, names


def draw(factors: Array, names: tuple[str, ...], size: int) -> NDArray[np.uint8]:
    """Pictures of factors (N, F) in 0..1, antialiased. -> (N, 3, size, size)"""
    value = {name: factors[:, i, None, None].astype(np.float32) for i, name in enumerate(names)}
    half_h, half_w = ((SIDE[0] + (SIDE[1] - SIDE[0]) * value[name]) / 2 for name in ("height", "width"))
    angle = np.pi / 2 * value.get("rotation", np.zeros_like(half_h))
    reach = SIDE[1] / np.sqrt(2) if "rotation" in names else SIDE[1] / 2  # so that it never leaves the picture
    x, y = (reach + (1 - 2 * reach) * value.get(name, np.full_like(half_h, 0.5)) for name in ("x", "y"))

    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    across, down = at[None, None, :] - x, at[None, :, None] - y
    u = across * np.cos(angle) + down * np.sin(angle)  # along the width
    v = down * np.cos(angle) - across * np.sin(angle)  # along the height

    def covered(left: Array, right: Array, top: Array, bottom: Array) -> Array:
        inside = np.minimum(np.minimum(u - left, right - u), np.minimum(v - top, bottom - v))
        return np.clip(inside * size + 0.5, 0, 1)[:, None]  # half covered where the edge runs through

    colour = PALETTE[np.rint(value["colour"][:, 0, 0] * (LEVELS - 1)).astype(int)][:, :, None, None]
    cover = covered(-half_w, half_w, -half_h, half_h)
    pictures = GROUND[None, :, None, None] * (1 - cover) + colour * cover
    if "rotation" in names:
        tick = 2 * TICK_SIDE * np.minimum(half_h, half_w)
        cover = covered(-half_w, -half_w + tick, -half_h, -half_h + tick)
        pictures = pictures * (1 - cover) + TICK[None, :, None, None] * cover
    return np.rint(pictures).astype(np.uint8)
