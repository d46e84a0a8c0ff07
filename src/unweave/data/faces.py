"""The built-in cartoon faces: two sets that differ in one part, or one set with its attributes; the truth behind every picture is known.

    faces:glasses         a without, b with glasses           faces:beard, faces:smile       likewise
    faces:glasses,beard   a has only the first, b only the second
    faces                 one set with the attributes glasses, beard (0 or 1) and smile (0 to 1)

Heads are moved by up to 10 pixels (of 64) and scaled by up to 12 %. a and b never show the same person, nor do two splits; the frames of
the test split, shapes and colours, are none that training has seen.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.data import cache
from unweave.data.cartoon import Face, draw
from unweave.data.dataset import Indices
from unweave.data.drawn import Drawn
from unweave.data.people import PARTS, Cast, draw_share, give, mask, stranger, without
from unweave.errors import UserError, did_you_mean
from unweave.method import Need, images

VERSION = 2  # of the drawing: raise it whenever a picture changes
COUNTS = {"train": 6000, "val": 500, "test": 1000}  # pictures of each set


class Faces(Drawn):
    """`n`: pictures of each set. `seed`: another seed, other faces."""

    def __init__(self, parts: tuple[str, ...] = (), *, size: int = 64, split: str = "train", seed: int = 0, n: int | None = None):
        for part in parts:
            if part not in PARTS:
                raise UserError(f'faces have no part "{part}": {did_you_mean(part, PARTS)}.')
        if len(parts) > 2 or len(set(parts)) < len(parts):
            raise UserError("faces take one part (faces:glasses) or two different ones (faces:glasses,beard).")
        n = COUNTS[split] if n is None else n
        self.cast = Cast(parts, split, seed)
        self.spec = "faces" + (":" + ",".join(parts) if parts else "")
        self.source, self.split, self.size, self.seed, self.n = self.spec, split, size, seed, n
        self.key = "faces-" + cache.key(spec=self.spec, split=split, size=size, seed=seed, n=n, version=VERSION)
        if parts:
            self.streams = {"a": ("a",), "b": ("b",)}
            self.offers = {"a": images(size), "b": images(size)}
            self.truth: TwoSets | OneSet = TwoSets(self)
        else:
            self.names = PARTS
            self.streams = {"image": ("image", "attributes")}
            self.offers = {"image": images(size), "attributes": Need("attributes", (len(PARTS),))}
            self.truth = OneSet(self)
        self.lengths = dict.fromkeys(self.offers, n)

    def take(self, name: str, indices: Indices) -> Tensor:
        if name == "attributes":
            return self._attributes[torch.as_tensor(np.asarray(indices, dtype=np.int64))]
        return super().take(name, indices)

    def draw(self, name: str, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.stack([draw(self.face(name, int(i)), self.size) for i in indices])

    def draw_all(self, name: str, path: Path) -> None:
        _draw_all(path, self.cast, name, self.n)

    def known(self, name: str, indices: Indices) -> list[dict[str, Any]]:
        faces = [self.face(name, int(i)) for i in indices]
        return [
            {
                "glasses": int(f.has_glasses),
                "beard": int(f.has_beard),
                "smile": round(f.smile, 4),
                "tinted": int(f.has_glasses and f.glasses.tinted),
            }
            for f in faces
        ]

    def face(self, name: str, index: int) -> Face:
        """Everything that is in picture `index`: for evaluation."""
        if not -self.n <= index < self.n:
            raise IndexError(f"there is no picture {index} among {self.n}")
        return self.cast.face(name, int(index) % self.n)

    @cached_property
    def _attributes(self) -> Tensor:
        faces = (self.face("image", i) for i in range(self.n))
        return torch.tensor([[f.has_glasses, f.has_beard, f.smile] for f in faces], dtype=torch.float32)


class TwoSets:
    """The truth of two sets, drawn on demand (about 3 ms a picture). See `dataset.Truth`."""

    def __init__(self, faces: Faces):
        self._faces = faces
        self.part = faces.cast.parts[-1]
        self.pairs = None

    @cached_property
    def tinted(self) -> NDArray[np.bool_]:
        return np.array([self.part == "glasses" and self._faces.face("b", i).glasses.tinted for i in range(self._faces.n)])

    def has_part(self, of: str) -> bool:
        return self._faces.cast.own_part(of) is not None

    def clean(self, indices: Indices, of: str = "b") -> Tensor:
        return stack([draw(without(face, self._part(of)), self._faces.size) for face in self._each(indices, of)])

    def mask(self, indices: Indices, of: str = "b") -> Tensor:
        return stack([mask(face, self._part(of), self._faces.size) for face in self._each(indices, of)])

    def wear(self, a: Indices, b: Indices) -> tuple[Tensor, Tensor]:
        size, pictures, masks = self._faces.size, [], []
        for face, donor in zip(self._each(a, "a"), self._each(b, "b"), strict=True):
            wearing = give(face, self.part, donor)
            pictures.append(draw(wearing, size))
            masks.append(mask(wearing, self.part, size, other=face))
        return stack(pictures), stack(masks)

    def strangers(self, indices: Indices, others: Indices, of: str = "a") -> Tensor:
        """Pictures `indices` of a set with the heads of its faces `others`, one by one: place, colours, parts stay. -> (N, 3, S, S)"""
        return _strangers(self._faces, indices, others, of)

    def _part(self, of: str) -> str:
        part = self._faces.cast.own_part(of)
        if part is None:
            raise UserError(f"set {of} of {self._faces.spec} has no part of its own.")
        return part

    def _each(self, indices: Indices, of: str) -> list[Face]:
        return [self._faces.face(of, int(i)) for i in indices]


class OneSet:
    """The truth of the set with attributes: the same faces with one attribute changed."""

    def __init__(self, faces: Faces):
        self._faces = faces

    def set(self, indices: Indices, name: str, value: float) -> Tensor:
        """The faces with attribute `name` at `value`: 0 or 1 for glasses and beard (every face has its own), 0 to 1 for the smile."""
        if name not in PARTS:
            raise UserError(f'faces have no attribute "{name}": {did_you_mean(name, PARTS)}.')
        change = {"smile": value} if name == "smile" else {f"has_{name}": value >= 0.5}
        return stack([draw(self._faces.face("image", int(i)).with_(**change), self._faces.size) for i in indices])

    def strangers(self, indices: Indices, others: Indices, of: str = "image") -> Tensor:
        """Pictures `indices` with the heads of the faces `others`, one by one: place, colours, parts stay. -> (N, 3, S, S)"""
        return _strangers(self._faces, indices, others, of)

    def mask(self, indices: Indices, name: str) -> Tensor:
        """Where the part is seen, or would be if the face had it. -> (N, S, S) bool"""
        faces = [self._faces.face("image", int(i)) for i in indices]
        return stack([mask(face if name == "smile" else face.with_(**{f"has_{name}": True}), name, self._faces.size) for face in faces])


def _strangers(faces: Faces, indices: Indices, others: Indices, of: str) -> Tensor:
    pairs = zip(indices, others, strict=True)
    return stack([draw(stranger(faces.face(of, int(i)), faces.face(of, int(j))), faces.size) for i, j in pairs])


def stack(arrays: list[NDArray[np.uint8]] | list[NDArray[np.bool_]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))


def _draw_all(path: Path, cast: Cast, stream: str, n: int) -> None:
    """With all processors: each process draws its share into the same file. (`multiprocessing` would run the user's script again.)"""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(processors, 16, 1 + n // 200)
    if workers == 1:
        return draw_share(str(path), cast, stream, 0, n)
    bounds = np.linspace(0, n, workers + 1).astype(int).tolist()
    shares = [json.dumps([str(path), asdict(cast), stream, start, stop]) for start, stop in zip(bounds, bounds[1:], strict=False)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    running = [subprocess.Popen([sys.executable, "-m", "unweave.data.people", share], env=environment) for share in shares]
    try:
        if any([process.wait() for process in running]):
            raise RuntimeError("drawing the faces failed; its message is above")
    finally:
        for process in running:
            process.kill()
