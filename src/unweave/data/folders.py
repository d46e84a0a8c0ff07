"""Pictures from folders: two folders as sets a and b. Every picture is decoded once, into a memory-mapped cache.

Files that cannot be read are skipped and listed. Pictures are split 80 / 10 / 10 by a hash of their name, so that a picture stays in its
split when others are added (below 100 names the shares are kept exact, by rank of the hash).
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unweave.data import SPLITS, Folders, Table, cache
from unweave.data.dataset import Dataset, Indices
from unweave.data.files import truth_beside
from unweave.data.photo import decode, formats, square, square_box
from unweave.errors import UserError
from unweave.method import images

VERSION = 1  # of the decoding: raise it whenever a decoded picture changes
UNEVEN = 10  # times as many pictures in one set as in the other are said to be uneven
FEW = 100  # below so many names the shares are kept by rank; so few training pictures are called few


@dataclass(frozen=True)
class Listing:
    """Pictures under one folder. `names`: their paths below it, with forward slashes."""

    root: Path
    names: tuple[str, ...]

    @property
    def paths(self) -> list[Path]:
        return [self.root / name for name in self.names]


def list_pictures(folder: str | Path) -> Listing:
    """All files below `folder` whose ending is that of a picture, sorted; hidden ones left out. Raises UserError when there is none."""
    root = Path(folder).expanduser()
    if not root.exists():
        raise UserError(f"there is no folder {root}; check the path.")
    if not root.is_dir():
        raise UserError(f"{root} is a file; give the folder that holds the pictures.")

    def stop(error: OSError) -> None:
        raise UserError(f"the folder {error.filename} may not be read; change its permissions.") from error

    read = set(formats())
    endings = {ending for ending, name in Image.registered_extensions().items() if name in read}
    names, others = [], 0
    for place, folders, files in os.walk(root, onerror=stop, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in files:
            if Path(file).suffix.lower() in endings and not file.startswith("."):
                names.append((Path(place) / file).relative_to(root).as_posix())
            else:
                others += 1
    if not names:
        has = f"none of its {others:,} files is one by its ending" if others else "it is empty"
        raise UserError(f"the folder {root} holds no pictures ({has}); give a folder of .png, .jpg or other pictures.")
    return Listing(root, tuple(sorted(names)))


def splits(streams: Sequence[Sequence[str]], group: str | None = None) -> list[list[str]]:
    """train, val or test for every name of every stream. Names of one group (what `group`, a regular expression, matches) stay together,
    across the streams too."""
    groups = [[_group(name, group) for name in names] for names in streams]
    members: dict[str, list[int]] = {}
    for stream, of_stream in enumerate(groups):
        for one in dict.fromkeys(of_stream):
            members.setdefault(one, []).append(stream)
    share = {one: int.from_bytes(hashlib.sha256(one.encode()).digest()[:8], "big") / 2**64 for one in members}
    for kind in {tuple(where) for where in members.values()}:  # those of a alone, of b alone, of both
        few = sorted((one for one, where in members.items() if tuple(where) == kind), key=share.__getitem__)
        if len(few) < FEW:
            held = max(1, round(len(few) / 10)) if len(few) >= 3 else 0
            for rank, one in enumerate(few):
                share[one] = 0.95 if rank < held else 0.85 if rank < 2 * held else 0
    return [["train" if share[one] < 0.8 else "val" if share[one] < 0.9 else "test" for one in of_stream] for of_stream in groups]


def _group(name: str, group: str | None) -> str:
    if group is None:
        return name
    try:
        found = re.search(group, name)
    except re.error as error:
        raise UserError(f'"{group}" is no regular expression ({error}); for names as ann_01.jpg take "^([a-z]+)_".') from error
    if found is None:
        return name
    return found.group(1) if found.re.groups and found.group(1) is not None else found.group(0)


class Pictures:
    """The decoded pictures of a listing: one cached array, and what was seen on the way."""

    def __init__(self, listing: Listing, size: int, fit: str):
        square_box(1, 1, fit)  # a wrong `fit` is named before anything is read
        self.listing, self.size, self.fit = listing, size, fit
        root, stamps = str(listing.root.resolve()), [_stamp(path) for path in listing.paths]
        self.key = "folder-" + cache.key(root=root, names=listing.names, stamps=stamps, size=size, fit=fit, version=VERSION)
        shape = (len(listing.names), 3, size, size)
        self.array, notes = cache.array(self.key, "pictures", shape, self._decode_all)
        self.errors: list[str | None] = notes["errors"]  # by picture: why it could not be read
        self.sizes = np.array(notes["sizes"]).reshape(-1, 2)  # width and height in the file
        self.animated: list[bool] = notes["animated"]

    def _decode_all(self, path: Path) -> dict[str, Any]:
        array = np.load(path, mmap_mode="r+")
        paths = self.listing.paths

        def one(row: int) -> tuple[str | None, tuple[int, int], bool]:
            try:
                decoded = decode(paths[row], least=self.size)
            except UserError as error:
                return str(error), (0, 0), False
            array[row] = square(decoded.rgb, self.size, self.fit).numpy()
            return None, decoded.size, decoded.animated

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # Pillow decodes outside the interpreter's lock
            seen = list(pool.map(one, range(len(paths))))
        array.flush()
        return {"errors": [e for e, _, _ in seen], "sizes": [s for _, s, _ in seen], "animated": [a for _, _, a in seen]}


class FileSet(Dataset):
    """Pictures of one or more streams, each a listing.

    `broken`: files that could not be read, and why; they are skipped. `notes`: counts, sizes and warnings, a line each."""

    def __init__(
        self,
        source: Folders | Table,
        spec: str,
        listings: dict[str, Listing],
        *,
        size: int,
        split: str,
        n: int | None = None,
        among: Sequence[str] | None = None,
    ):
        """among: names that are split together, these among them, where sets of other choices of them shall have the same splits."""
        self.among = among
        self.source, self.spec, self.split, self.size, self.fit = source, spec, split, size, source.fit
        self.flip = source.flip and split == "train"
        self._pictures = {stream: Pictures(listing, size, self.fit) for stream, listing in listings.items()}
        self.rows: dict[str, NDArray[np.int64]] = {}
        self.broken: list[tuple[Path, str]] = []
        notes: list[str] = []
        names_of = [one.names for one in listings.values()]
        places = dict(zip(among, splits([among], source.group)[0])) if among else {}
        split_of = [[places[name] for name in one] for one in names_of] if among else splits(names_of, source.group)
        for (stream, pictures), of_split in zip(self._pictures.items(), split_of):
            names = pictures.listing.names
            self.broken += [(pictures.listing.root / name, error) for name, error in zip(names, pictures.errors) if error is not None]
            good = [row for row, error in enumerate(pictures.errors) if error is None]
            rows = [row for row in good if of_split[row] == split]
            _check(stream, pictures, good, rows, split)
            notes += _report(stream, pictures, good, Counter(of_split[row] for row in good))
            if n is not None:  # not the first by name: they may all be of one person
                rows = sorted(sorted(rows, key=lambda row: hashlib.sha256(names[row].encode()).digest())[:n])
            self.rows[stream] = np.array(rows, dtype=np.int64)
        if self.broken:
            few = "; ".join(error for _, error in self.broken[:5])
            notes.append(f"skipped {len(self.broken):,} files that cannot be read: {few}" + ("; ..." if len(self.broken) > 5 else ""))
        self.notes = tuple(notes)
        self.streams = {stream: (stream,) for stream in listings}
        self.offers = {stream: images(size) for stream in listings}
        self.lengths = {stream: len(rows) for stream, rows in self.rows.items()}
        self.key = "files-" + cache.key(arrays=[p.key for p in self._pictures.values()], rows=[r.tolist() for r in self.rows.values()])

    def take(self, name: str, indices: Indices) -> Tensor:
        return torch.from_numpy(self._pictures[name].array[self.rows[name][np.asarray(indices)]])

    def path(self, name: str, index: int) -> Path:
        """The file of a picture."""
        return self._pictures[name].listing.paths[self.rows[name][index]]

    def name(self, name: str, index: int) -> str:
        """The path of a picture below its folder."""
        return self._pictures[name].listing.names[self.rows[name][index]]


class TwoFolders(FileSet):
    """Folders a and b. Where their common parent holds the truth as `unweave data` writes it, evaluation sees it."""

    def __init__(self, folders: Folders, *, size: int, split: str, n: int | None = None):
        if Path(folders.a).expanduser().resolve() == Path(folders.b).expanduser().resolve():
            raise UserError(f"sets a and b are the same folder ({folders.a}); give one with the part and one without.")
        listings = {"a": list_pictures(folders.a), "b": list_pictures(folders.b)}
        super().__init__(folders, f"{folders.a} and {folders.b}", listings, size=size, split=split, n=n)
        self.notes += _compared(listings["a"], listings["b"], self.lengths if split == "train" else {})
        self.truth = truth_beside(self, listings["a"].root, listings["b"].root)


def _compared(a: Listing, b: Listing, learned: dict[str, int]) -> tuple[str, ...]:
    """Remarks on two sets: files that are in both, sets of very different size. Raises UserError when most of one is in the other."""
    notes, same, fewer = [], shared(a, b), min(len(a.names), len(b.names))
    if 2 * len(same) > fewer:
        raise UserError(
            f"sets a and b share {len(same):,} pictures of {fewer:,} ({same[0]} ...), so the part is not what tells them apart; "
            "keep each picture in one folder."
        )
    if same:
        few = ", ".join(same[:3]) + (", ..." if len(same) > 3 else "")
        notes.append(f"a and b share {len(same):,} pictures ({few}), which teach that the part is none; keep each in one folder")
    small, large = sorted(learned, key=learned.__getitem__) if learned else ("", "")
    if learned and learned[large] > UNEVEN * learned[small]:
        times = round(learned[large] / learned[small])
        notes.append(f"{small}: each of its pictures is shown {times} times as often as one of {large}, which has so many more; add some")
    return tuple(notes)


def shared(a: Listing, b: Listing) -> list[str]:
    """Names in b of the pictures that are in both listings, as files of the same bytes."""

    def by_size(listing: Listing) -> dict[int, list[Path]]:
        found: dict[int, list[Path]] = {}
        for path in listing.paths:
            found.setdefault(_stamp(path)[1], []).append(path)
        return found

    def digest(path: Path) -> bytes:
        try:
            return hashlib.sha256(path.read_bytes()).digest()
        except OSError:
            return str(path).encode()  # unreadable, so equal to nothing

    first, second, same = by_size(a), by_size(b), []
    for size in first.keys() & second.keys() - {0}:  # only files of one length can be equal: most need not be read
        known = {digest(path) for path in first[size]}
        same += [path.relative_to(b.root).as_posix() for path in second[size] if digest(path) in known]
    return sorted(same)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def _check(stream: str, pictures: Pictures, good: list[int], rows: list[int], split: str) -> None:
    root, total = pictures.listing.root, len(pictures.listing.names)
    if len(good) < 2:
        first = next((error for error in pictures.errors if error), None)
        broken = f"; {total - len(good)} cannot be read, the first because {first}" if first else "."
        count = "no readable picture" if not good else "one readable picture alone"
        raise UserError(f"set {stream} ({root}) has {count}, and a set needs at least two, better some hundreds{broken}")
    if not rows:
        raise UserError(
            f"the {split} split of set {stream} ({root}) is empty: its {len(good)} pictures are too few to be split "
            "80 / 10 / 10, or all of one group; add pictures."
        )


def _report(stream: str, pictures: Pictures, good: list[int], counts: "Counter[str]") -> list[str]:
    sizes = pictures.sizes[good]
    (low_w, low_h), (high_w, high_h) = sizes[sizes.prod(1).argmin()], sizes[sizes.prod(1).argmax()]
    spread = f"{low_w} x {low_h}" + (f" to {high_w} x {high_h}" if (low_w, low_h) != (high_w, high_h) else "")
    shares = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS)
    lines = [f"{stream}: {len(good):,} pictures ({shares}) of {spread} px in {pictures.listing.root}"]
    if counts["train"] < FEW:
        lines.append(f"{stream}: {counts['train']} training pictures are very few; some hundreds are needed to learn a part well")
    short, long = sizes.min(1), sizes.max(1)
    if small := int((short < pictures.size).sum()):
        lines.append(f"{stream}: {small:,} pictures are smaller than {pictures.size} px and are enlarged")
    if pictures.fit == "crop" and (cut := int((long > 2 * short).sum())):
        lines.append(f"{stream}: {cut:,} pictures are more than twice as long as wide and lose much to the crop; fit pad keeps all of them")
    if moving := sum(pictures.animated):
        lines.append(f"{stream}: of {moving:,} animated files the first frame is taken")
    return lines
