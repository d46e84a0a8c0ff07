"""Every method at a size that trains in seconds: the real classes, with fewer channels. A new method adds its line here."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unweave.method import Batch, Method
from unweave.methods import get

TINY: dict[str, dict[str, Any]] = {
    "autoencoder": {"size": 32, "width": 4, "factors": 3},
    "content": {"size": 32, "width": 8, "separate": 6},
    "difference": {"size": 32, "width": 8, "separate": 6},
    "fader": {"size": 32, "width": 8, "code": 6, "attributes": ("glasses", "colour", "smile"), "classes": (2, 3, 0)},
    "funit": {"size": 32, "width": 8, "code": 6, "seen": 3, "shots": 2},
    "mask": {"size": 32, "width": 8, "separate": 6},
    "retarget": {"size": 16, "motion": 8},
    "stylegan": {"size": 32, "width": 4, "limit": 8, "z": 8, "style": 8, "lazy": 2, "path_every": 2},
}
# Methods by their default preset, and as METHOD:PRESET the other presets whose losses or networks differ from it.
CASES = [
    *TINY,
    "autoencoder:beta-vae",
    "autoencoder:tcvae",
    "autoencoder:supervised",
    "content:paper",
    "content:image",
    "difference:paper",
    "fader:paper",
    "funit:paired",
    "funit:paper",
    "mask:finetune",
    "mask:photographs",
    "stylegan:paper",
]
BATCH = 4


def method(case: str) -> str:
    """The method's name in the table."""
    return case.partition(":")[0]


def kind(case: str) -> type[Method]:
    """The method's class."""
    return get(method(case))


def config(case: str) -> Any:
    """The preset, made tiny."""
    presets = kind(case).PRESETS
    return replace(presets[case.partition(":")[2] or next(iter(presets))], **TINY[method(case)])


def build(case: str, seed: int = 0) -> Method:
    """A tiny model with the first weights of this seed."""
    torch.manual_seed(seed)
    return kind(case)(config(case))


def batch(method: Method, seed: int = 0, count: int = BATCH) -> Batch:
    """What the method needs: smooth random pictures, the b ones with a bright square."""
    generator = torch.Generator().manual_seed(seed)
    return {key: _sample(key, need.kind, need.shape, count, generator) for key, need in method.needs.items()}


def _sample(key: str, kind: str, shape: tuple[int, ...], count: int, generator: torch.Generator) -> Tensor:
    if kind == "clip_grid":  # joints that wander smoothly
        steps = torch.randn(count, *shape, generator=generator) / 20
        return torch.randn(count, *shape[:3], 1, *shape[4:], generator=generator) / 3 + steps.cumsum(4)
    if kind == "label":
        return torch.randint(0, 2, (count, *shape), generator=generator).float()
    if kind not in ("image", "factor_grid", "examples"):
        return torch.rand(count, *shape, generator=generator)
    *grid, channels, height, width = shape
    coarse = torch.rand(count * math.prod(grid), channels, 4, 4, generator=generator) * 2 - 1
    pictures = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    if key == "b":
        pictures[:, :, 4:12, 4:12] = 1.0
    return pictures.view(count, *shape)
