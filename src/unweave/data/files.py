"""Sets as files: a built-in set written into folders with its truth, and that truth read again beside two folders.

a/00000.png  b/00000.png      the two sets              images/00000.png      or the one set
clean/00000.png               of b, without the part    masks/00000.png       of b, where the part is (white)
wear/00000.png                of a, with the part of b's picture of the same name;     wear-masks/00000.png  where it then is
clean-a/, masks-a/            of a, where a has a part of its own
clips/00000-010.npz           of motions: motion 0, body 1, view 0 of grid 0;   clips.csv: what each is
attributes.csv                one row a picture: file, and what is known of it
truth.json                    the name of the part, and where the set comes from
"""

import csv
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from unweave.data.dataset import Dataset, Indices
from unweave.data.photo import read_image
from unweave.errors import UserError

if TYPE_CHECKING:
    from unweave.data.folders import FileSet

CHUNK = 256


def write(dataset: Dataset, out: str | Path) -> Path:
    """Write a built-in set with all of its truth into the folder `out`, which must be empty or new. Returns it."""
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty; name a new folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(dataset, out)
    except OSError as error:
        raise UserError(f"cannot write to {out} ({error.strerror}); name a folder that can be written and has room.") from error
    return out


def _write(dataset: Dataset, out: Path) -> None:
    if "degrees" in dataset.offers:
        return _write_clips(dataset, out)
    truth, rows = dataset.truth, []
    for stream, columns in dataset.streams.items():
        folder = "images" if stream == "image" else stream
        for indices in _chunks(dataset.lengths[columns[0]]):
            save(out / folder, indices, dataset.take(stream, indices))
            if stream == "b":
                save(out / "clean", indices, truth.clean(indices))
                save(out / "masks", indices, truth.mask(indices))
                of_both = [i for i in indices if i < dataset.lengths["a"]]
                wearing, where = truth.wear(of_both, of_both)
                save(out / "wear", of_both, wearing)
                save(out / "wear-masks", of_both, where)
            elif stream == "a" and truth.has_part("a"):
                save(out / "clean-a", indices, truth.clean(indices, of="a"))
                save(out / "masks-a", indices, truth.mask(indices, of="a"))
            rows += [{"file": f"{folder}/{i:05d}.png", **known} for i, known in zip(indices, dataset.known(stream, indices))]
    write_table(out / "attributes.csv", rows)
    (out / "truth.json").write_text(json.dumps({"spec": dataset.spec, "split": dataset.split, "part": getattr(truth, "part", None)}) + "\n")


def _write_clips(dataset: Dataset, out: Path) -> None:
    """Grids of clips: clips/<grid>-<motion><body><view>.npz, and which camera stands where."""
    (out / "clips").mkdir()
    rows = []
    for n in range(dataset.lengths["grid"]):
        grid, degrees = (dataset.take(name, [n])[0] for name in ("grid", "degrees"))
        for i, j, k in np.ndindex(2, 2, 2):
            name = f"{n:05}-{i}{j}{k}.npz"
            np.savez(out / "clips" / name, joints=grid[i, j, k].numpy(), fps=np.float32(30))
            rows.append({"file": name, "motion": i, "body": j, "degrees": float(degrees[k])})
    write_table(out / "clips.csv", rows)


def save(folder: Path, indices: Sequence[int], pictures: Tensor) -> None:
    """pictures: uint8 (N, 3, S, S), or masks as bool (N, S, S)"""
    folder.mkdir(parents=True, exist_ok=True)
    for i, picture in zip(indices, pictures):
        array = picture.numpy()
        array = array.astype(np.uint8) * 255 if array.ndim == 2 else np.ascontiguousarray(array.transpose(1, 2, 0))
        Image.fromarray(array).save(folder / f"{i:05d}.png")


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _chunks(length: int) -> Iterable[list[int]]:
    for start in range(0, length, CHUNK):
        yield list(range(start, min(start + CHUNK, length)))


def truth_beside(dataset: "FileSet", a: Path, b: Path) -> "FileTruth | None":
    """The truth of folders a and b, where their common parent holds masks/ and clean/ for every picture of b."""
    root = a.resolve().parent
    names = [dataset.name("b", i) for i in range(dataset.lengths["b"])]
    if b.resolve().parent != root or not all((root / kind / name).is_file() for kind in ("masks", "clean") for name in names):
        return None
    return FileTruth(dataset, root)


class FileTruth:
    """See `dataset.Truth`. Only the pairs of `pairs` have a picture of a wearing b's part."""

    def __init__(self, dataset: "FileSet", root: Path):
        self._set, self._root = dataset, root
        try:
            self.part = str(json.loads((root / "truth.json").read_text())["part"])
        except (OSError, ValueError, KeyError, TypeError):
            self.part = "part"

    @cached_property
    def pairs(self) -> NDArray[np.int64]:
        """Indices into a and b, (P, 2), of the pairs that `wear` has."""
        of_a = {self._set.name("a", i): i for i in range(self._set.lengths["a"])}
        names = [self._set.name("b", i) for i in range(self._set.lengths["b"])]
        found = [(of_a[name], i) for i, name in enumerate(names) if name in of_a and (self._root / "wear" / name).is_file()]
        return np.array(found, dtype=np.int64).reshape(-1, 2)

    @cached_property
    def tinted(self) -> NDArray[np.bool_]:
        try:
            with (self._root / "attributes.csv").open(newline="") as file:
                known = {row["file"]: row.get("tinted") for row in csv.DictReader(file)}
        except (OSError, KeyError, csv.Error):
            known = {}
        return np.array([self.part == "glasses" and known.get("b/" + self._set.name("b", i)) == "1" for i in range(self._set.lengths["b"])])

    def has_part(self, of: str) -> bool:
        return of == "b" or (self._root / "masks-a").is_dir()

    def clean(self, indices: Indices, of: str = "b") -> Tensor:
        return self._read("clean" if of == "b" else "clean-a", of, indices)

    def mask(self, indices: Indices, of: str = "b") -> Tensor:
        return self._read("masks" if of == "b" else "masks-a", of, indices)[:, 0] >= 128

    def wear(self, a: Indices, b: Indices) -> tuple[Tensor, Tensor]:
        for i, j in zip(a, b, strict=True):
            target, donor = self._set.name("a", int(i)), self._set.name("b", int(j))
            if target != donor:
                raise UserError(
                    f"there is no true picture of a/{target} with the part of b/{donor}: files hold pairs of the same name (`pairs`)."
                )
        return self._read("wear", "a", a), self._read("wear-masks", "a", a)[:, 0] >= 128

    def _read(self, folder: str, of: str, indices: Indices) -> Tensor:
        names = (self._set.name(of, int(i)) for i in indices)
        return torch.stack([read_image(self._root / folder / name, self._set.size, self._set.fit) for name in names])
