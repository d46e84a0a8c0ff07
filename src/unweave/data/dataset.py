"""What every set of data is to the rest: named columns of samples in an endless, seeded order, and a truth for evaluation only."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.method import Need

Indices = Sequence[int] | NDArray[Any] | Tensor


class Truth(Protocol):
    """What is really in the pictures of two sets. Never reached by `batch`: training sees pictures and set membership alone.

    `of` names the stream; set a has a part of its own only in sets like faces:glasses,beard. `part` is the part of b."""

    part: str
    pairs: NDArray[np.int64] | None  # (P, 2), the pairs (a, b) that `wear` knows; None: all

    @property
    def tinted(self) -> NDArray[np.bool_]:
        """(pictures of b,): whether the part is a pair of glasses with tinted lenses"""

    def has_part(self, of: str) -> bool:
        """Whether the pictures of that stream have a part to be removed."""

    def clean(self, indices: Indices, of: str = "b") -> Tensor:
        """The same faces without the part. -> (N, 3, S, S) uint8"""

    def mask(self, indices: Indices, of: str = "b") -> Tensor:
        """Where the part is seen. -> (N, S, S) bool"""

    def wear(self, a: Indices, b: Indices) -> tuple[Tensor, Tensor]:
        """Faces a with the part of donors b, one by one. -> pictures (N, 3, S, S) uint8 and the part's masks (N, S, S) bool"""


class Dataset(ABC):
    """A set of data of one split and size.

    `offers` says what each column of a batch is. Columns of one stream belong together (a picture and its attributes); different streams
    (sets a and b) are shuffled independently."""

    spec: str  # as the user would write it
    source: Any  # what `unweave.data.load` made it from: a spec without its split, Folders or a Table
    split: str  # train, val or test
    size: int  # side of the pictures, pixels; of clips, frames
    unit: str = "px"  # of the size
    key: str  # a hash of everything that determines the content
    offers: dict[str, Need]  # by column
    lengths: dict[str, int]  # samples by column
    streams: dict[str, tuple[str, ...]]  # columns by stream
    names: tuple[str, ...] = ()  # of the attributes or factors, where there are any
    truth: Any = None  # Truth of two sets, or the set's own kind; None for pictures of which nothing is known
    seed: int = 0  # of a built-in set
    flip: bool = False  # whether batches mirror half of the pictures
    notes: tuple[str, ...] = ()  # what a user should know before training on it: skipped files, near-empty sets

    @abstractmethod
    def take(self, name: str, indices: Indices) -> Tensor:
        """Samples of column `name`: pictures as uint8 (N, 3, S, S), anything else as float32."""

    def sibling(self, split: str) -> "Dataset":
        """Another split of the same set, with all of its pictures."""
        from unweave.data import load

        return load(self.source, self.size, split, self.seed)

    def known(self, name: str, indices: Indices) -> list[dict[str, Any]]:
        """What is known of each picture of a built-in set, for a table: for evaluation and for `unweave data`."""
        return [{} for _ in indices]

    def batch(self, start: int, count: int, seed: int) -> dict[str, Tensor]:
        """Samples start .. start + count of the endless stream of `seed`. Every `lengths` samples each picture comes once, in a new order.

        The position is one integer and knows nothing of processes: rank r of W reads at start = (step * W + r) * count."""
        out = {}
        for stream, columns in self.streams.items():
            positions = np.arange(start, start + count)
            indices = self._order(stream, positions, seed)
            for column in columns:
                out[column] = self.take(column, indices)
                if self.flip and self.offers[column].kind == "image":
                    mirrored = torch.from_numpy(coin(stream, positions, seed))
                    out[column] = torch.where(mirrored[:, None, None, None], out[column].flip(-1), out[column])
        return out

    def _order(self, stream: str, positions: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        length = self.lengths[self.streams[stream][0]]
        indices = np.empty_like(positions)
        for epoch in np.unique(positions // length):
            here = positions // length == epoch
            indices[here] = self._permutation(stream, int(epoch), seed, length)[positions[here] % length]
        return indices

    def _permutation(self, stream: str, epoch: int, seed: int, length: int) -> NDArray[np.int64]:
        if not hasattr(self, "_permutations"):
            self._permutations: dict[tuple[str, int, int], NDArray[np.int64]] = {}
        at = (stream, epoch, seed)
        if at not in self._permutations:
            if len(self._permutations) >= 8:
                self._permutations.pop(next(iter(self._permutations)))  # the oldest
            self._permutations[at] = np.random.default_rng([seed, zlib.crc32(stream.encode()), epoch]).permutation(length)
        return self._permutations[at]


def coin(stream: str, positions: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """Heads or tails for each position, from a hash (splitmix64), so that it does not depend on how the stream is cut into batches."""
    with np.errstate(over="ignore"):
        x = positions.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + zlib.crc32(stream.encode())) % 2**64)
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((x ^ (x >> np.uint64(31))) & np.uint64(1)).astype(bool)
