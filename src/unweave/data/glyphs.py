"""Built-in glyphs: the characters A to Z and 0 to 9 in 464 display typefaces by Brian Kent (see typefaces/NOTICE.txt).

    glyphs          class: the typeface; content: the character
    glyphs:varied   beside each typeface to learn from, five that are made of it: slanted, bolder, outlined, striped ... (vary.py)

Each character by itself: the longest side 50 of 64 pixels, in the middle, black on white. Typefaces are split, not pictures: 374 train,
30 val, 60 test, siblings of a family (outline and solid, thick and thin) together; `typefaces/faces.csv` is the list.
"""

import csv
import io
import lzma
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unweave.data import cache, vary
from unweave.data.classes import Classed
from unweave.errors import UserError, did_you_mean

HERE = Path(__file__).parent / "typefaces"
PICTURES, TABLE = HERE / "glyphs.npy.xz", HERE / "faces.csv"
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
NATIVE = 64  # pixels a side, as packed
VARIATIONS = 5  # of each training face in glyphs:varied
PLAIN = "lamebrai"  # a plain face of the training split: contents that a user need not bring
VERSION = 1  # raise it whenever a picture changes


@lru_cache(maxsize=1)
def faces() -> dict[str, str]:
    """The split of each face by name, in the order of the packed pictures."""
    with TABLE.open(newline="") as file:
        return {row["face"]: row["split"] for row in csv.DictReader(file)}


def packed() -> NDArray[np.uint8]:
    """All pictures, (464, 36, 64, 64), black 0 on white 255; unpacked in half a second."""
    return np.load(io.BytesIO(lzma.decompress(PICTURES.read_bytes())), allow_pickle=False)


def resized(pictures: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(N, S, S) -> (N, size, size), antialiased."""
    if pictures.shape[-1] == size:
        return pictures
    return np.stack([np.asarray(Image.fromarray(one).resize((size, size), Image.Resampling.LANCZOS)) for one in pictures])


def unpacked(size: int) -> NDArray[np.uint8]:
    """All pictures at this size, (464 * 36, size, size), read-only, from the cache."""
    shape = (len(faces()) * len(CHARACTERS), size, size)

    def fill(path: Path) -> None:
        array = np.load(path, mmap_mode="r+")
        for row, face in enumerate(packed()):
            array[row * len(CHARACTERS) : (row + 1) * len(CHARACTERS)] = resized(face, size)
        array.flush()

    return cache.array("glyphs-" + cache.key(size=size, version=VERSION), "pictures", shape, fill, "glyphs")[0]


def face(name: str, size: int = NATIVE) -> NDArray[np.uint8]:
    """The 36 characters of one face, (36, size, size). Raises UserError for a name that is none."""
    if name not in faces():
        raise UserError(f'there is no built-in typeface "{name}": {did_you_mean(name, faces())}.')
    row = list(faces()).index(name) * len(CHARACTERS)
    return np.array(unpacked(size)[row : row + len(CHARACTERS)])


class Alphabets(Classed):
    """Typefaces: each class has all of `CHARACTERS`."""

    def known(self, name: str, indices: Any) -> list[dict[str, Any]]:
        assert self.contents is not None
        return [{"face": self.classes[self.labels[i]], "character": CHARACTERS[self.contents[i]]} for i in indices]


class Lettered(Alphabets):
    """Typefaces whose characters lie one after the other in `pictures`, (faces * characters, S, S) uint8.

    chosen: the faces of this split by their place in `pictures`, and their names. varied: to learn from, `VARIATIONS` made of each come
    after them, face~1, face~2 ...; held-out splits have none, and take no contents from any.
    """

    pictures: NDArray[np.uint8]
    made: NDArray[np.uint8] | None = None

    def __init__(self, chosen: Sequence[tuple[int, str]], *, size: int, split: str, key: str, varied: bool = False):
        per, every = len(CHARACTERS), list(chosen)
        if varied and split == "train":
            key += f"-{VARIATIONS}-varied-{vary.VERSION}"
            self.made = self._variations([row for row, _ in chosen], size, key)
            names = [f"{name}~{k + 1}" for _, name in chosen for k in range(VARIATIONS)]
            every += list(enumerate(names, len(self.pictures) // per))
        super().__init__(
            classes=[name for _, name in every],
            rows=np.concatenate([np.arange(row * per, (row + 1) * per) for row, _ in every]),
            labels=np.repeat(np.arange(len(every)), per),
            contents=np.tile(np.arange(per), len(every)),
            content_names=list(CHARACTERS),
            size=size,
            split=split,
            grey=True,
            key=key,
        )

    def _variations(self, rows: Sequence[int], size: int, key: str) -> NDArray[np.uint8]:
        per = len(CHARACTERS)

        def fill(path: Path) -> None:
            array = np.load(path, mmap_mode="r+")
            for k, (row, variation) in enumerate((row, variation) for row in rows for variation in range(VARIATIONS)):
                random = np.random.default_rng([row, variation])
                array[k * per : (k + 1) * per] = vary.varied(self.pictures[row * per : (row + 1) * per], random)
            array.flush()

        return cache.array(key, "pictures", (len(rows) * VARIATIONS * per, size, size), fill, "varied glyphs")[0]

    def pixels(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        if self.made is None:
            return self.pictures[rows]
        out, real = np.empty((len(rows), self.size, self.size), np.uint8), rows < len(self.pictures)
        out[real], out[~real] = self.pictures[rows[real]], self.made[rows[~real] - len(self.pictures)]
        return out


class Glyphs(Lettered):
    """Columns: image, and label, the number of its typeface in `classes`; `contents` says which character each picture shows."""

    def __init__(self, *, size: int = NATIVE, split: str = "train", n: int | None = None, varied: bool = False):
        self.spec = self.source = "glyphs:varied" if varied else "glyphs"
        self.pictures = unpacked(size)
        chosen = [(row, name) for row, (name, of) in enumerate(faces().items()) if of == split][:n]
        key = "glyphs-" + cache.key(size=size, split=split, n=n, version=VERSION)
        super().__init__(chosen, size=size, split=split, key=key, varied=varied)
        self.plain = PLAIN

    def content_source(self) -> Classed:
        return self if self.split == "train" else Glyphs(size=self.size)
