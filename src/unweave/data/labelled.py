"""Any set as pictures with the attributes that a method asked for: columns `image` and `attributes`.

Of a table, the columns by name and in the order asked for; of two sets, one set with the attribute `in_b`: 0 for pictures of a, 1 for b's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unweave.data.dataset import Dataset, Indices
from unweave.errors import UserError, did_you_mean
from unweave.method import Need

IN_B = "in_b"


def label_names(data: Dataset) -> tuple[str, ...]:
    """The attributes that a set has: its table's columns or its factors; of two sets, `in_b`."""
    if "image" in data.offers and (_column(data) is not None):
        return data.names
    return (IN_B,) if {"a", "b"} <= set(data.offers) else ()


def labelled(data: Dataset, names: Sequence[str]) -> Dataset:
    """The set with exactly these attributes. Raises UserError for one that it does not have."""
    known = label_names(data)
    if not known:
        raise UserError(
            f"{data.spec} has no attributes: give a set that has, as faces or --data.images DIR --data.attributes TABLE, or two sets."
        )
    for name in names:
        if name not in known:
            raise UserError(f'{data.spec} has no attribute "{name}": {did_you_mean(name, known)}.')
    return data if known == tuple(names) and _column(data) == "attributes" else Labelled(data, names)


def _column(data: Dataset) -> str | None:
    return next((name for name in ("attributes", "factors") if name in data.offers), None)


class Labelled(Dataset):
    """`inner` as pictures with the attributes `names`."""

    def __init__(self, inner: Dataset, names: Sequence[str]):
        self.inner, self.names = inner, tuple(names)
        self.spec, self.source, self.split, self.size = inner.spec, inner.source, inner.split, inner.size
        self.seed, self.flip, self.notes = inner.seed, inner.flip, inner.notes
        self.key = f"{inner.key}-{'-'.join(self.names)}"
        self.column = _column(inner)
        self.truth = inner.truth if self.column else None
        length = inner.lengths["image"] if self.column else inner.lengths["a"] + inner.lengths["b"]
        picture = inner.offers["image" if self.column else "a"]
        if not self.column:  # both sets among the first rows, however few are asked for
            self.mixed = np.random.default_rng(0).permutation(length)
        self.offers = {"image": picture, "attributes": Need("attributes", (len(self.names),))}
        self.lengths = {"image": length, "attributes": length}
        self.streams = {"image": ("image", "attributes")}

    def take(self, name: str, indices: Indices) -> Tensor:
        rows = np.asarray(indices, dtype=np.int64)
        if self.column is not None:
            found = self.inner.take(self.column if name == "attributes" else name, rows)
            return found[:, [self.inner.names.index(one) for one in self.names]] if name == "attributes" else found
        rows = self.mixed[rows]
        in_b = rows >= self.inner.lengths["a"]
        if name == "attributes":
            return torch.from_numpy(in_b.astype(np.float32))[:, None]
        shape = self.offers["image"].shape
        out = torch.empty(len(rows), *shape, dtype=torch.uint8)
        for stream, here, first in (("a", ~in_b, 0), ("b", in_b, self.inner.lengths["a"])):
            if here.any():
                out[torch.from_numpy(here)] = self.inner.take(stream, rows[here] - first)
        return out

    def batch(self, start: int, count: int, seed: int) -> dict[str, Tensor]:
        if not hasattr(self, "_read"):  # a set that is drawn draws all of its pictures when its first batch is read
            self.inner.batch(0, 1, 0)
            self._read = True
        return super().batch(start, count, seed)

    def sibling(self, split: str) -> Dataset:
        return Labelled(self.inner.sibling(split), self.names)

    def known(self, name: str, indices: Indices) -> list[dict[str, Any]]:
        return [dict(zip(self.names, row)) for row in self.take("attributes", indices).tolist()]
