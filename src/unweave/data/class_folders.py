"""Class folders (`--data.classes DIR`): each folder in DIR that holds pictures is a class, named by its path below DIR."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unweave.data import SPLITS, ClassFolders, cache
from unweave.data.classes import Classed, Rows, split_classes
from unweave.data.folders import Pictures, list_pictures
from unweave.errors import UserError

FEW = 5  # a class with fewer pictures is said to be small


class PictureClasses(Classed):
    """A folder whose folders are classes. Classes are split 80 / 10 / 10 by a hash of their name.

    Of fewer than five classes none is held out: their pictures are split, and a note says so: the test is then of seen classes.
    """

    def __init__(self, source: ClassFolders, *, size: int, split: str, n: int | None = None):
        self.source, self.spec = source, source.classes
        if source.varied:
            raise UserError(f"{source.classes} holds pictures, and only font files can be varied: leave it out.")
        listing = list_pictures(source.classes)
        self._pictures = Pictures(listing, size, source.fit)
        self.flip = False
        named = [str(Path(name).parent) for name in listing.names]
        good = [row for row, error in enumerate(self._pictures.errors) if error is None]
        self.broken = [(listing.paths[row], error) for row, error in enumerate(self._pictures.errors) if error is not None]
        if loose := sum(name == "." for name in named):
            if loose == len(named):
                raise UserError(
                    f"the folder {listing.root} holds pictures and no class folders; give one with a folder of pictures for each class."
                )
            good = [row for row in good if named[row] != "."]
        counts = Counter(named[row] for row in good)
        small = sorted(name for name, count in counts.items() if count < 2)
        usable = sorted(name for name, count in counts.items() if count >= 2)
        if len(usable) < 2:
            why = f"; of {_some(small)} there is one picture alone" if small else ""
            many = {0: "no class", 1: "one class alone"}[len(usable)]
            raise UserError(
                f"{listing.root} has {many} with two pictures or more, and at least two are needed{why}: add folders or pictures."
            )
        of_split = split_classes(usable)
        held_pictures = set(of_split.values()) == {"train"}
        rows = [row for row in good if named[row] in of_split]
        if held_pictures:
            rows = _share_of_pictures(rows, named, listing.names, split)
            if split != "train" and len(rows) < 2:
                raise UserError(f"{listing.root} has too few pictures to hold some out for {split}: give more, or five classes or more.")
            here = [name for name in usable if any(named[row] == name for row in rows)]
        else:
            here = [name for name in usable if of_split[name] == split]
        here = here[:n]
        where = {name: k for k, name in enumerate(here)}
        rows = [row for row in rows if named[row] in where]
        self.notes = tuple(self._said(usable, of_split, counts, small, loose, held_pictures))
        super().__init__(
            classes=here,
            rows=np.array(rows, dtype=np.int64),
            labels=np.array([where[named[row]] for row in rows], dtype=np.int64),
            contents=None,
            content_names=(),
            size=size,
            split=split,
            grey=self._all_grey(good),
            key="classes-" + cache.key(array=self._pictures.key, rows=rows),
        )

    def _all_grey(self, good: Sequence[int]) -> bool:
        seen = self._pictures.array[np.array(good[:: max(1, len(good) // 64)])]
        return bool((seen[:, 0] == seen[:, 1]).all() and (seen[:, 1] == seen[:, 2]).all() and self._none_coloured(good))

    def _none_coloured(self, good: Sequence[int]) -> bool:
        for start in range(0, len(good), 256):
            chunk = self._pictures.array[np.array(good[start : start + 256])]
            if (chunk[:, 0] != chunk[:, 1]).any() or (chunk[:, 1] != chunk[:, 2]).any():
                return False
        return True

    def pixels(self, rows: Rows) -> NDArray[np.uint8]:
        return self._pictures.array[rows][:, 0] if self.grey else self._pictures.array[rows]

    def _said(
        self, usable: list[str], of_split: dict[str, str], counts: "Counter[str]", small: list[str], loose: int, shared: bool
    ) -> list[str]:
        shares = ", ".join(f"{sum(s == split for s in of_split.values())} {split}" for split in SPLITS)
        lines = [f"{len(usable)} classes ({shares}) of {sum(counts[name] for name in usable):,} pictures"]
        if shared:
            lines = [f"{len(usable)} classes are too few to hold any out: unseen pictures of the same classes are the test; five would do"]
        if small:
            lines.append(f"left out, with one picture alone: {_some(small)}")
        if few := [name for name in usable if counts[name] < FEW]:
            lines.append(f"with fewer than {FEW} pictures: {_some(few)}")
        if loose:
            lines.append(f"left out, in no class folder: {loose:,} of the pictures")
        if self.broken:
            first = "; ".join(why.rstrip(".") for _, why in self.broken[:5])
            lines.append(f"skipped, cannot be read: {len(self.broken):,} of the files: {first}" + ("; ..." if len(self.broken) > 5 else ""))
        return lines


def _share_of_pictures(rows: list[int], named: list[str], paths: Sequence[str], split: str) -> list[int]:
    """The split's share of each class's pictures; two at least of each for training, and what is held out is shared by val and test."""
    found = []
    for name in sorted({named[row] for row in rows}):
        own = sorted((row for row in rows if named[row] == name), key=lambda row: hashlib.sha256(paths[row].encode()).digest())
        held = max(2, round(len(own) / 10)) if len(own) >= 6 else 0
        found += {"test": own[:held], "val": own[held : 2 * held], "train": own[2 * held :]}[split]
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
