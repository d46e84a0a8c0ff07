"""Pictures of many classes (typefaces, people, species), and few-shot batches of them: a content picture, and examples of a class.

What few-shot translation reads (Liu et al. 2019): a picture `content` of class `content_class`; `examples`, K pictures of class `class_`;
`mates`, K other pictures of the content's own class. In the val and test splits the examples are of classes that training never sees, and
the contents are pictures of training classes, as in the paper. Where it is known what each picture shows, and every class shows all of it
(typefaces: the characters), there is also `truth`: what the content shows, in class `class_`.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unweave.data.dataset import Dataset, Indices, coin
from unweave.method import Need, examples, images

Rows = NDArray[np.int64]
HOLD_OUT = 5  # from so many classes on, some are held out whole
COLUMNS = ("content", "content_class", "mates", "examples", "class_")
KINDS = ("examples", "label")  # needs that only a set of classes can meet


class Classed(Dataset, ABC):
    """Pictures with a class each. Columns: image (N, 3, S, S), label (N,) float: the number of the class in `classes`.

    labels: of each picture. contents: what else is known of it (which character), numbers into `content_names`; None if nothing is.
    grey: all pictures are grey, so that a model needs one channel. of: the class of each picture, as rows by class.
    """

    plain: str | None = None  # the class whose pictures serve as contents where none are given

    def __init__(
        self,
        classes: Sequence[str],
        rows: Rows,
        labels: Rows,
        contents: Rows | None,
        content_names: Sequence[str],
        *,
        size: int,
        split: str,
        grey: bool,
        key: str,
    ):
        self.classes, self.rows, self.labels, self.contents = tuple(classes), rows, labels, contents
        self.content_names, self.size, self.split, self.grey, self.key = tuple(content_names), size, split, grey, key
        self.streams = {"image": ("image", "label")}
        self.offers = {"image": images(size), "label": Need("label", ())}
        self.lengths = {"image": len(rows), "label": len(rows)}
        self.of = [np.flatnonzero(labels == k) for k in range(len(classes))]

    @cached_property
    def grid(self) -> Rows | None:
        """(classes, contents): which picture of a class shows what; the first of several. None unless every class shows every content."""
        if self.contents is None:
            return None
        grid = np.full((len(self.classes), len(self.content_names)), -1)
        grid[self.labels[::-1], self.contents[::-1]] = np.arange(len(self.labels))[::-1]
        return grid if (grid >= 0).all() else None

    @abstractmethod
    def pixels(self, rows: Rows) -> NDArray[np.uint8]:
        """Pictures by their place in the store: (N, S, S) of a grey set, else (N, 3, S, S)."""

    def take(self, name: str, indices: Indices) -> Tensor:
        at = np.asarray(indices, dtype=np.int64)
        if name == "label":
            return torch.from_numpy(self.labels[at].astype(np.float32))
        found = torch.from_numpy(np.ascontiguousarray(self.pixels(self.rows[at])))
        return found[:, None].expand(-1, 3, -1, -1) if self.grey else found

    def asked(self, rows: Rows, positions: Rows, seed: int) -> Rows:
        """Whose classes few-shot batches ask for at these positions of the stream, where `rows` are all pictures in a random order."""
        return rows

    def content_source(self) -> "Classed":
        """The set whose pictures are contents: the training classes."""
        if self.split == "train":
            return self
        found = self.sibling("train")
        assert isinstance(found, Classed)
        return found


class FewShot(Dataset):
    """`data` as few-shot translation reads it, K pictures of a class at a time. `inner`: the set of classes itself.

    asked: the columns that a batch has. With `truth` among them, every second content, by chance, is of the plain class where the set has
    one: in others a letter may look like another (an R like an A), and what is not in a picture cannot be learned from it.
    """

    def __init__(self, data: Classed, count: int, channels: int, asked: Collection[str] = COLUMNS):
        self.inner, self.contents_of, self.count, self.channels = data, data.content_source(), count, channels
        self.spec, self.source, self.split, self.size = data.spec, data.source, data.split, data.size
        self.seed, self.flip, self.notes, self.key = data.seed, data.flip, data.notes, f"{data.key}-{count}-shot"
        self.asked, several, label = frozenset(asked), examples(count, self.size, channels), Need("label", ())
        self.offers = {
            "content": images(self.size, channels), "content_class": label, "mates": several, "examples": several, "class_": label,
        }  # fmt: skip
        self.streams = {"content": ("content", "content_class", "mates"), "class": ("examples", "class_")}
        self.lengths = {
            name: (self.contents_of if stream == "content" else data).lengths["image"]
            for stream, names in self.streams.items()
            for name in names
        }
        self.grid = data.grid if self.contents_of.content_names == data.content_names else None
        if self.grid is not None:
            self.offers["truth"], self.lengths["truth"] = images(self.size, channels), min(self.lengths.values())
        self.plainly: Rows | None = None  # by content
        if "truth" in self.asked and (grid := self.contents_of.grid) is not None and self.contents_of.plain in self.contents_of.classes:
            self.plainly = grid[self.contents_of.classes.index(self.contents_of.plain)]

    def take(self, name: str, indices: Indices) -> Tensor:
        at = np.asarray(indices, dtype=np.int64)
        if name == "truth":
            return self._truth(at, at)
        return self._samples("content" if name in self.streams["content"] else "class", at, at, 0, {name})[name]

    def batch(self, start: int, count: int, seed: int) -> dict[str, Tensor]:
        positions = np.arange(start, start + count)
        found: dict[str, Tensor] = {}
        rows = {stream: self._order(stream, positions, seed) for stream in self.streams}
        rows["class"] = self.inner.asked(rows["class"], positions, seed)
        for stream in self.streams:
            found |= self._samples(stream, rows[stream], positions, seed, self.asked)
        return found | {"truth": self._truth(rows["content"], rows["class"])} if "truth" in self.asked & self.offers.keys() else found

    def _samples(self, stream: str, rows: Rows, positions: Rows, seed: int, asked: Collection[str]) -> dict[str, Tensor]:
        """One stream's columns for these pictures; companions are drawn by (seed, position), however a stream is cut into batches."""
        data = self.contents_of if stream == "content" else self.inner
        if stream == "content" and self.plainly is not None and data.contents is not None:
            rows = np.where(coin("plain", positions, seed), self.plainly[data.contents[rows]], rows)
        found = {"content": self._pictures(data, rows)} if "content" in asked and stream == "content" else {}
        found |= {name: data.take("label", rows) for name in self.streams[stream] if name in asked and self.offers[name].kind == "label"}
        for name in {"mates", "examples"} & set(asked) & set(self.streams[stream]):
            others = [_companions(data.of[data.labels[row]], row, self.count, [seed, at]) for row, at in zip(rows, positions)]
            with_own = [np.concatenate([[row], rest[: self.count - 1]]) for row, rest in zip(rows, others)]
            found[name] = self._several(data, others if name == "mates" else with_own)
        return found

    def _truth(self, content: Rows, class_: Rows) -> Tensor:
        """What these contents show, in the classes of these pictures."""
        assert self.grid is not None and self.contents_of.contents is not None
        return self._pictures(self.inner, self.grid[self.inner.labels[class_], self.contents_of.contents[content]])

    def _pictures(self, data: Classed, rows: Any) -> Tensor:
        return data.take("image", rows)[:, : self.channels]

    def _several(self, data: Classed, rows: Sequence[Rows]) -> Tensor:
        return self._pictures(data, np.concatenate(rows)).unflatten(0, (len(rows), -1))

    def sibling(self, split: str) -> "FewShot":
        found = self.inner.sibling(split)
        assert isinstance(found, Classed)
        return FewShot(found, self.count, self.channels, self.asked)


def few_shot(data: Dataset, needs: Mapping[str, Need]) -> Dataset:
    """The set as few-shot translation reads it, where it has classes; else the set itself."""
    several = next(need for need in needs.values() if need.kind == "examples")
    return FewShot(data, several.shape[0], several.shape[1], needs) if isinstance(data, Classed) else data


def _companions(of_class: Rows, row: int, count: int, seed: list[int]) -> Rows:
    """`count` other pictures of the class; of a class with fewer, some come twice."""
    others = of_class[of_class != row]
    random = np.random.default_rng(seed)
    times = -(-count // len(others))
    return np.concatenate([random.permutation(others) for _ in range(times)])[:count]


def split_classes(names: Sequence[str], groups: Sequence[str] | None = None) -> dict[str, str]:
    """train, val or test for each class, by rank of a hash of its name (or of its group: siblings stay together); about 80 / 10 / 10.

    Of fewer than five groups all are in train.
    """
    of = dict(zip(names, groups or names, strict=True))
    order = sorted(set(of.values()), key=lambda one: hashlib.sha256(one.encode()).digest())
    if len(order) < HOLD_OUT:
        return dict.fromkeys(names, "train")
    held = max(1, round(len(order) / 10))
    at = {one: "test" if rank < held else "val" if rank < 2 * held else "train" for rank, one in enumerate(order)}
    return {name: at[of[name]] for name in names}
