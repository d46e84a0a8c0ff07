"""Sets of data: built in, from folders, from tables; and the feed that serves them to a training.

    load("faces:glasses")                          built in; NAMES lists them
    load(Folders("without/", "with/"))             two folders of pictures
    load(Table("images/", "attributes.csv"))       a folder of pictures and a table of their attributes
    load(ClassFolders("classes/"))                 a folder of classes: a folder of pictures each, or font files
    load(Motions("mocap/"))                        a folder of BVH and AMC files

A loaded set is a `dataset.Dataset`. This module does not import torch until a set is loaded.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unweave.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from unweave.data.dataset import Dataset

SPLITS = ("train", "val", "test")
NAMES = {  # the built-in sets: what may follow the colon, and what they show
    "faces": ("glasses | beard | smile, one or two of them", "cartoon faces: two sets that differ in a part, or all attributes in a table"),
    "motion": ("nothing", "clips of fifteen joints: every motion on every body seen from every side"),
    "glyphs": ("varied, or nothing", "464 typefaces of 36 characters each: classes for few-shot translation"),
    "rectangles": ("position, rotation, levels", "a rectangle of known height, width and colour (and place, and angle)"),
}


@dataclass(frozen=True)
class BuiltIn:
    """A built-in set with another number of pictures to learn from. `n`: of each set; held-out splits stay as they are."""

    built_in: str  # as in `faces:glasses`
    n: int


@dataclass(frozen=True)
class Folders:
    """Two folders of pictures: b shows everything that a shows, and something more.

    Split 80 / 10 / 10 by a hash of the file name, or of what the regular expression `group` matches in it (its first bracket, if it
    has one), so that a person stays in one split."""

    a: str
    b: str
    group: str | None = None
    fit: str = "crop"  # crop | pad | stretch: how a picture becomes square
    flip: bool = False  # mirror half of the training pictures


@dataclass(frozen=True)
class Table:
    """A folder of pictures with a table of attributes: CSV with a header, or CelebA's list_attr file.

    As one set with attributes; or, with `part`, as two: b where that column is above `above`, a where it is below `below`. With two
    columns, "first,second": a where the first is above and the second below, b the other way round."""

    images: str
    attributes: str
    part: str | None = None
    above: float | None = None
    below: float | None = None
    group: str | None = None
    fit: str = "crop"
    flip: bool = False


@dataclass(frozen=True)
class ClassFolders:
    """A folder of classes: each of its folders that holds pictures is one. Or a folder of font files, each of which is one.

    About 80 / 10 / 10 % of the classes are train, val and test."""

    classes: str
    fit: str = "crop"
    varied: bool = False  # beside each font to learn from, five that are made of it
    beside: str | None = None  # the built-in typefaces that come with the fonts: glyphs or glyphs:varied


@dataclass(frozen=True)
class Motions:
    """A folder of motions in space, BVH and AMC files: put on random bodies, seen from all sides, beside the procedural motions.

    Split by a hash of their names, or of what `group` matches in them, so that what is done in one is not learned from another."""

    motion: str
    group: str | None = None


Source = str | BuiltIn | Folders | Table | ClassFolders | Motions


def load(source: Source, size: int = 64, split: str | None = None, seed: int = 0, n: int | None = None) -> "Dataset":
    """Open a set of data. `source`: a name as in `faces:glasses@test`, or BuiltIn, Folders, a Table, ClassFolders, Motions.

    `split`: train, val or test; when it is None, what follows an @ in the name counts, and train when there is neither.
    `seed` and `n` (pictures of each set) are for built-in sets; of folders and tables `n` takes the first n pictures.
    Raises UserError, with a sentence that says what to do."""
    built_in = source.built_in if isinstance(source, BuiltIn) else source
    if isinstance(built_in, str):
        name, parts, at = parse(built_in)
        split = split or at or "train"
        if split == "train":
            n = source.n if isinstance(source, BuiltIn) and n is None else n
    else:
        split = split or "train"
    if split not in SPLITS:
        raise UserError(f'there is no split "{split}": {did_you_mean(split, SPLITS)}.')
    if size < 8:
        raise UserError(f"pictures of {size} px are too small: take 8 or more.")
    if seed < 0:
        raise UserError(f"a seed is 0 or more, not {seed}.")
    if n is not None and n < 1:
        raise UserError(f"a set needs at least one picture, not {n}.")
    if isinstance(source, Folders):
        from unweave.data.folders import TwoFolders

        return TwoFolders(source, size=size, split=split, n=n)
    if isinstance(source, Table):
        from unweave.data.tables import load_table

        return load_table(source, size=size, split=split, n=n)
    if isinstance(source, ClassFolders):
        from unweave.data.fonts import fonts_in, typefaces

        if fonts_in(source.classes):
            return typefaces(source, size, split, n)
        if source.beside:
            raise UserError(f"{source.beside} goes beside font files, and {source.classes} holds none: leave it out.")
        from unweave.data.class_folders import PictureClasses

        return PictureClasses(source, size=size, split=split, n=n)
    if isinstance(source, Motions):
        from unweave.data.clips import MotionFiles

        return MotionFiles(source, size=size, split=split, seed=seed, n=n)
    dataset = _built_in(name, parts, size=size, split=split, seed=seed, n=n)
    if split == "train" and n is not None:
        dataset.source = BuiltIn(dataset.spec, n)
    return dataset


def _built_in(name: str, parts: tuple[str, ...], *, size: int, split: str, seed: int, n: int | None) -> "Dataset":
    if name == "glyphs":
        from unweave.data.glyphs import Glyphs

        if parts not in ((), ("varied",)):
            raise UserError(f'glyphs have no part "{",".join(parts)}": write glyphs or glyphs:varied.')
        return Glyphs(size=size, split=split, n=n, varied=bool(parts))
    if name == "faces":
        from unweave.data.faces import Faces

        return Faces(parts, size=size, split=split, seed=seed, n=n)
    if name == "motion":
        from unweave.data.motion import Procedural

        return Procedural(parts, size=size, split=split, seed=seed, n=n)
    from unweave.data.rectangles import Rectangles

    return Rectangles(parts, size=size, split=split, seed=seed, n=n)


def parse(spec: str) -> tuple[str, tuple[str, ...], str | None]:
    """A spec, `name[:part[,part]][@split]`, as its three pieces.

    >>> parse("faces:glasses,beard@test")
    ('faces', ('glasses', 'beard'), 'test')
    """
    whole, at, split = spec.partition("@")
    name, colon, parts = whole.partition(":")
    if name not in NAMES:
        hint = " (two folders are given as --data.a DIR --data.b DIR)" if "/" in spec or "\\" in spec else ""
        raise UserError(f'there is no built-in set "{name}": {did_you_mean(name, NAMES)}{hint}.')
    if at and split not in SPLITS:
        raise UserError(f'there is no split "{split}": {did_you_mean(split, SPLITS)}.')
    if colon and not all(parts.split(",")):
        raise UserError(f'"{spec}" has an empty part: write {name} or {name}:part.')
    return name, tuple(parts.split(",")) if colon else (), split or None
