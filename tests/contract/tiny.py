"""Every method at a size that trains in seconds: the real classes, with fewer channels. A new method adds its line here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from unweave.method import Batch, Method
from unweave.methods import get

TINY: dict[str, dict[str, Any]] = {
    "autoencoder": {"size": 32, "width": 4, "factors": 3},
    "fader": {"size": 32, "width": 8, "code": 6, "attributes": ("glasses", "colour", "smile"), "classes": (2, 3, 0)},
    "mask": {"size": 32, "width": 8, "separate": 6},
}
BATCH = 4


def config(name: str) -> Any:
    """The method's default preset, made tiny."""
    kind = get(name)
    return replace(next(iter(kind.PRESETS.values())), **TINY[name])


def build(name: str, seed: int = 0) -> Method:
    """A tiny model with the first weights of this seed."""
    torch.manual_seed(seed)
    return get(name)(config(name))


def batch(method: Method, seed: int = 0, count: int = BATCH) -> Batch:
    """What the method needs: smooth random pictures, the b ones with a bright square."""
    generator = torch.Generator().manual_seed(seed)
    return {key: _sample(key, need.kind, need.shape, count, generator) for key, need in method.needs.items()}


def _sample(key: str, kind: str, shape: tuple[int, ...], count: int, generator: torch.Generator) -> Tensor:
    if kind != "image":
        return torch.rand(count, *shape, generator=generator)
    coarse = torch.rand(count, shape[0], 4, 4, generator=generator) * 2 - 1
    pictures = torch.nn.functional.interpolate(coarse, shape[1:], mode="bilinear")
    if key == "b":
        pictures[:, :, 4:12, 4:12] = 1.0
    return pictures
