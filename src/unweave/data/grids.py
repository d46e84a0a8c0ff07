"""Grids of factors: pictures in which two values of each factor are recombined in all ways, with exact truth.

Full supervision, as motion retargeting has it (Aberman et al. 2019: every x_ijk of a grid exists): grid[n, i, j, k] is the picture whose
first factor has its value i, its second its value j, its third its value k (0 or 1 each). A set offers it when it can draw any factors.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.data.dataset import Dataset, Indices
from unweave.data.rectangles import Rectangles
from unweave.method import grids

Array = NDArray[np.floating[Any]]
APART = 0.25  # of a factor's range: the least distance of its two values, so that a margin between their codes means something


class Grids(Dataset):
    """A set with one more column, `grid`: (N, 2, ..., 2, 3, S, S) with a 2 for each factor, in the order of `names`. Batches have it alone.

    There are as many grids as the set has pictures, of factors drawn for them: each value even over 0..1, the two at least `APART`."""

    def __init__(self, dataset: Rectangles):
        self.spec, self.source, self.split, self.size = dataset.spec, dataset.source, dataset.split, dataset.size
        self.seed, self.names, self.key = dataset.seed, dataset.names, f"{dataset.key}-grids"
        self.streams = {"grid": ("grid",)}
        self.offers = {**dataset.offers, "grid": grids(len(self.names), self.size)}
        self.lengths = {**dataset.lengths, "grid": dataset.lengths["image"]}
        self._set, self.truth = dataset, dataset.truth
        rng = np.random.default_rng([self.seed, ("train", "val", "test").index(self.split), 1])  # not those of the pictures
        self.pairs = two_values(rng, self.lengths["grid"], len(self.names))

    def take(self, name: str, indices: Indices) -> Tensor:
        if name != "grid":
            return self._set.take(name, indices)
        values = recombined(self.pairs[np.asarray(indices, dtype=np.int64)])
        pictures = self._set.redraw(values.reshape(-1, values.shape[-1]))
        return torch.from_numpy(pictures.reshape(*values.shape[:-1], *pictures.shape[1:]))

    def known(self, name: str, indices: Indices) -> list[dict[str, Any]]:
        return self._set.known(name, indices) if name != "grid" else super().known(name, indices)


def gridded(dataset: Dataset) -> Dataset:
    """The set with its grids, where it can draw any factors; else the set itself."""
    return Grids(dataset) if isinstance(dataset, Rectangles) else dataset


def two_values(rng: np.random.Generator, n: int, factors: int) -> Array:
    """Two values of each factor, (n, 2, factors) in 0..1: each uniform, the two at least `APART`."""
    first = rng.random((n, factors))
    second = (first + rng.uniform(APART, 1 - APART, (n, factors))) % 1.0  # around a circle, so that both stay uniform
    return np.stack([first, second], axis=1)


def recombined(pairs: Array) -> Array:
    """(N, 2, F) -> (N, 2, ..., 2, F), with a 2 for each of the F factors: entry [n, i, j, k] is pairs[n, (i, j, k), (0, 1, 2)]."""
    factors = pairs.shape[-1]
    choice = np.stack(np.meshgrid(*[np.arange(2)] * factors, indexing="ij"), axis=-1)
    return pairs[:, choice, np.arange(factors)]
