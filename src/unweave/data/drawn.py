"""Sets that are drawn, not read: a few pictures whenever they are asked for, all of them once for a training."""

from abc import abstractmethod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.data import cache
from unweave.data.dataset import Dataset, Indices

FEW = 256  # so few pictures are drawn when asked for; more are drawn once and kept in the cache


class Drawn(Dataset):
    """A subclass says how pictures of a column are drawn."""

    @abstractmethod
    def draw(self, name: str, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """-> (N, 3, S, S)"""

    def draw_all(self, name: str, path: Path) -> None:
        """Draw the whole column into the array file at `path`."""
        pictures = np.load(path, mmap_mode="r+")
        for start in range(0, len(pictures), FEW):
            pictures[start : start + FEW] = self.draw(name, np.arange(start, min(start + FEW, len(pictures))))
        pictures.flush()

    def take(self, name: str, indices: Indices) -> Tensor:
        at = np.asarray(indices, dtype=np.int64)
        if len(at) <= FEW and name not in self._arrays and not (cache.folder() / self.key / f"{name}.npy").exists():
            length = self.lengths[name]
            if ((at < -length) | (at >= length)).any():
                raise IndexError(f"there are {length} pictures, and one beyond them was asked for")
            return torch.from_numpy(self.draw(name, at % length))
        return torch.from_numpy(self._array(name)[at])

    def batch(self, start: int, count: int, seed: int) -> dict[str, Tensor]:
        for column, need in self.offers.items():  # a training reads all of it, so draw all of it at once
            if need.kind == "image":
                self._array(column)
        return super().batch(start, count, seed)

    @property
    def _arrays(self) -> dict[str, NDArray[np.uint8]]:
        return self.__dict__.setdefault("_opened", {})

    def _array(self, name: str) -> NDArray[np.uint8]:
        if name not in self._arrays:
            shape = (self.lengths[name], 3, self.size, self.size)
            self._arrays[name], _ = cache.array(self.key, name, shape, lambda path: self.draw_all(name, path))
        return self._arrays[name]
