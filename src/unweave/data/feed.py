"""From a data set to a training: the match of what a method needs with what a set offers, and batches of floats, read ahead."""

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from unweave.data.classes import KINDS, few_shot
from unweave.data.dataset import Dataset
from unweave.data.grids import gridded
from unweave.data.labelled import labelled
from unweave.errors import UserError
from unweave.method import Need


def to_float(pictures: Tensor) -> Tensor:
    """uint8 0..255 -> float32 -1..1"""
    return pictures.to(torch.float32).div_(127.5).sub_(1)


def to_uint8(pictures: Tensor) -> Tensor:
    """float -1..1 (clipped) -> uint8 0..255; the inverse of `to_float`"""
    return pictures.detach().float().add(1).mul(127.5).round().clamp_(0, 255).to(torch.uint8)


def match(needs: Mapping[str, Need], dataset: Dataset) -> Dataset:
    """The set as the method reads it: where it needs attributes by name, with these; where it needs a grid of factors, with one;
    where it needs examples of a class, with so many.

    Raises UserError, naming both sides and what would fit, unless the set offers all that the method needs."""
    if names := next((need.names for need in needs.values() if need.names), ()):
        dataset = labelled(dataset, names)
    if any(need.kind == "factor_grid" for need in needs.values()):
        dataset = gridded(dataset)
    if any(need.kind == "examples" for need in needs.values()):
        dataset = few_shot(dataset, needs)
    offers = dataset.offers
    missing = {name: need for name, need in needs.items() if name not in offers or not _fits(need, offers[name])}
    if not missing:
        return dataset
    sizes = {need.shape[-1] for name, need in missing.items() if name in offers and need.kind == offers[name].kind == "image"}
    fit = f"open it at {sizes.pop()} px" if len(sizes) == 1 and all(name in offers for name in missing) else _what_fits(needs)
    raise UserError(f"the method needs {_listed(needs)}, but {dataset.spec} offers {_listed(offers)}: {fit}.")


class Feed:
    """Batches of one process, ready on `device`: `feed(position)` is the same batch whenever and wherever it is asked for.

    `position` counts the steps; process `rank` of `world` reads its own share. With an accelerator the batch of position + 1 is read by a
    thread meanwhile. On the CPU it is not: a second thread that touches tensors starts a second team of workers, and two teams on the same
    cores slow the whole step far more than the reading costs (0.3 % of it).
    Pictures (uint8) become float32 in -1..1, all else is float32 as the set has it. `batch`: pictures of each stream."""

    def __init__(self, dataset: Dataset, batch: int, seed: int = 0, rank: int = 0, world: int = 1, device: torch.device | str = "cpu"):
        if batch < 1:
            raise UserError(f"a batch needs at least one picture, not {batch}.")
        self.dataset, self.batch, self.seed, self.rank, self.world, self.device = dataset, batch, seed, rank, world, torch.device(device)
        self._reader = None if self.device.type == "cpu" else ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._next: tuple[int, Future[dict[str, Tensor]]] | None = None
        self._lock = threading.Lock()

    def __call__(self, position: int) -> dict[str, Tensor]:
        with self._lock:
            ahead, self._next = self._next, None
            samples = ahead[1].result() if ahead and ahead[0] == position else self._read(position)
            if self._reader:
                self._next = position + 1, self._reader.submit(self._read, position + 1)
        return {name: sample.to(self.device, non_blocking=True) for name, sample in samples.items()}

    def close(self) -> None:
        if self._reader:
            self._reader.shutdown(cancel_futures=True)

    def _read(self, position: int) -> dict[str, Tensor]:
        samples = self.dataset.batch((position * self.world + self.rank) * self.batch, self.batch, self.seed)
        samples = {name: to_float(sample) if sample.dtype == torch.uint8 else sample for name, sample in samples.items()}
        return {name: sample.pin_memory() for name, sample in samples.items()} if self.device.type == "cuda" else samples


def _fits(need: Need, offer: Need) -> bool:
    return need.kind == offer.kind and len(need.shape) == len(offer.shape) and all(n in (o, None) for n, o in zip(need.shape, offer.shape))


def _listed(needs: Mapping[str, Need]) -> str:
    def one(name: str, need: Need) -> str:
        if need.kind == "factor_grid":
            return f"{name} (of {len(need.shape) - 3} factors, {need.shape[-1]} px)"
        if need.kind == "clip_grid":
            return f"{name} (clips of {need.shape[-3]} frames)"
        if need.kind in KINDS:
            return f"{name} ({need.shape[0]} pictures of a class, {need.shape[-1]} px)" if need.shape else f"{name} (a class)"
        return f"{name} ({need.shape[-1]} px)" if need.kind == "image" else f"{name} ({' x '.join(map(str, need.shape))})"

    return ", ".join(one(name, need) for name, need in needs.items())


def _what_fits(needs: Mapping[str, Need]) -> str:
    if {"a", "b"} <= set(needs):
        return "two sets would fit, as faces:glasses or --data.a DIR --data.b DIR"
    if any(need.kind in KINDS for need in needs.values()):
        return "a set of classes would fit, as glyphs or --data.classes DIR"
    if "attributes" in needs:
        return f"a set with {needs['attributes'].shape[0]} attributes would fit, as faces or --data.images DIR --data.attributes TABLE"
    if "degrees" in needs:
        return "a set of motions would fit, as motion or --data.motion DIR"
    if "grid" in needs:
        factors = len(needs["grid"].shape) - 3
        return f"a set of {factors} factors that can be recombined would fit, as rectangles (3) or rectangles:position (--factors 5)"
    return "one set of pictures would fit, as faces or rectangles"
