"""Which of the built-in typefaces are siblings, and which split each is in: writes src/unweave/data/typefaces/faces.csv.

Outline and solid, or thick and thin, of one family must not be in two splits. Siblings are found by name (the first six letters are the
same, or all but the last two of a shorter name) and by picture (mean overlap of the ink at least .82, or of the silhouettes, with their
holes filled, at least .86); siblings of siblings are one family. Families are taken in the order of a hash of their name: 60 faces
for test, 30 for val, the rest for train. Needs scipy.

    python benchmarks/glyph_families.py NAMES.npz      an .npz with `names`, in the order of the packed pictures
"""

import csv
import hashlib
import sys
from os.path import commonprefix
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_fill_holes

from unweave.data.glyphs import TABLE, packed

INK, SILHOUETTE = 0.82, 0.86
TEST, VAL = 60, 30


def overlap(shapes: np.ndarray) -> np.ndarray:
    """Mean intersection over union of every two faces over the characters: (F, C, S, S) bool -> (F, F)."""
    flat = shapes.reshape(*shapes.shape[:2], -1).astype(np.float32)
    total = np.zeros((len(flat), len(flat)), np.float32)
    for k in range(flat.shape[1]):
        both, each = flat[:, k] @ flat[:, k].T, flat[:, k].sum(1)
        total += both / (each[:, None] + each[None] - both + 1e-6)
    return total / flat.shape[1]


def alike(a: str, b: str) -> bool:
    """Whether two names are of one family."""
    shared = len(commonprefix([a.lower(), b.lower()]))
    return shared >= 6 or shared >= max(4, max(len(a), len(b)) - 2)


def main() -> None:
    names = [str(name).removesuffix(".ttf") for name in np.load(sys.argv[1])["names"]]
    ink = packed() < 128
    silhouettes = np.stack([[binary_fill_holes(glyph) for glyph in face] for face in ink])
    near = (overlap(ink[:, :, ::2, ::2]) >= INK) | (overlap(silhouettes[:, :, ::2, ::2]) >= SILHOUETTE)
    family = list(range(len(names)))
    for i in range(len(names)):
        for j in range(i):
            if near[i, j] or alike(names[i], names[j]):
                old, new = max(family[i], family[j]), min(family[i], family[j])
                family = [new if one == old else one for one in family]
    order = sorted(set(family), key=lambda one: hashlib.sha256(names[one].encode()).hexdigest())
    split, left = {}, {"test": TEST, "val": VAL, "train": len(names)}
    for one in order:
        size = family.count(one)
        split[one] = next(name for name in left if size <= left[name])
        left[split[one]] -= size
    assert left["test"] == left["val"] == 0, left
    with Path(TABLE).open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["face", "family", "split"])
        rows.writerows([name, names[one], split[one]] for name, one in zip(names, family))
    print(f"{len(order)} families, the largest of {max(family.count(one) for one in order)} faces")


if __name__ == "__main__":
    main()
