"""Is it still the same person? Ten-way retrieval among people whom the data can draw in the same place: `identity_kept`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.data import cache
from unweave.data.feed import to_float

VERSION = 1  # of the choice of strangers
WAYS = 10  # candidates: the person and nine strangers
UNKNOWN = "Not measured: identity_kept, because the data has no pictures of other people in the place of those who are edited."


def strangers(data: Any, rows: NDArray[np.int64], stream: str = "image", seed: int = 0) -> Tensor | None:
    """For each of these test pictures (n,) nine that show other people of the split in its place, (n, 9, C, S, S) uint8; None where the
    truth cannot draw them (`truth.strangers`). Drawn once and kept in the cache folder."""
    length = data.lengths[stream]
    if not hasattr(data.truth, "strangers") or length < WAYS:
        return None
    random = np.random.default_rng([seed, VERSION])
    shift = np.stack([random.permutation(length - 1)[: WAYS - 1] + 1 for _ in rows])
    others = (np.asarray(rows)[:, None] + shift) % length
    name = "strangers-" + cache.key(data=data.key, stream=stream, rows=np.asarray(rows).tolist(), seed=seed, version=VERSION)

    def fill(path: Path) -> None:
        kept = np.load(path, mmap_mode="r+")
        for column in range(WAYS - 1):
            kept[:, column] = data.truth.strangers(rows, others[:, column], stream).numpy()
        kept.flush()

    shape = (len(rows), WAYS - 1, *data.offers[stream].shape)
    return torch.from_numpy(np.array(cache.array(name, "strangers", shape, fill, "pictures of other people")[0]))


def kept(made: Tensor, before: Tensor, others: Tensor, region: Tensor, batch: int = 100) -> Tensor:
    """Whether each edited picture is nearer (L1, outside the region) to what it was made from than to any stranger. -> (n,) bool

    made: (n, C, S, S) in [-1, 1]. before: uint8 (n, C, S, S). others: uint8 (n, K, C, S, S). region: (n, S, S) bool, what may change.
    A stranger who looks exactly alike out there is no candidate; one at the same distance counts as nearer.
    """
    right = []
    for at in range(0, len(made), batch):
        here = slice(at, at + batch)
        outside = (~region[here]).float()[:, None]
        candidates = to_float(torch.cat([before[here, None], others[here]], 1))
        known = [((one[:, None] - candidates).abs().mean(2) * outside).sum((2, 3)) for one in (made[here], candidates[:, 0])]
        alike = known[1][:, 1:] == 0
        right.append((known[0][:, 0] < known[0][:, 1:].masked_fill(alike, torch.inf).amin(1)) & ~alike.all(1))
    return torch.cat(right)
