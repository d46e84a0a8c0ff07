"""Typefaces from font files: TTF, OTF, WOFF, WOFF2, drawn by the rule of the built-in glyphs and kept in the cache.

Each of A to Z and 0 to 9 by itself: the longest side 50 of 64 pixels, in the middle, black on white. Fonts that cannot be read, or that
lack one of the characters, are skipped and listed. Fonts of one family (by the name in the file) stay in one split.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from unweave.data import ClassFolders, cache
from unweave.data.classes import Classed, Rows, split_classes
from unweave.data.dataset import coin
from unweave.data.folders import list_pictures
from unweave.data.glyphs import CHARACTERS, Alphabets, Glyphs, Lettered
from unweave.data.vary import LONGEST
from unweave.errors import UserError

ENDINGS = (".ttf", ".otf", ".woff", ".woff2")
VERSION = 1  # of the drawing: raise it whenever a picture changes
LARGE = 200  # pixels an em, from which glyphs are shrunk
ABSENT = "\U000ffffe"  # no font has it: what is drawn for it is drawn for every character that is missing


def fonts_in(folder: str | Path) -> list[Path]:
    """All font files below a folder, sorted; hidden ones left out."""
    root = Path(folder).expanduser()
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file() and not path.name.startswith("."))


def placed(ink: Image.Image, size: int) -> NDArray[np.uint8]:
    """A glyph by the rule. ink: grey, white 0 to black 255, of any size. -> (size, size), black 0 on white. Raises ValueError if empty."""
    box = ink.getbbox()
    if box is None:
        raise ValueError("there is no ink")
    ink = ink.crop(box)
    scale = LONGEST * size / max(ink.size)
    width, height = (max(1, round(side * scale)) for side in ink.size)
    paper = Image.new("L", (size, size), 0)
    paper.paste(ink.resize((width, height), Image.Resampling.LANCZOS), ((size - width) // 2, (size - height) // 2))
    return 255 - np.asarray(paper)


def draw_font(path: str | Path, size: int, characters: str = CHARACTERS) -> NDArray[np.uint8]:
    """The characters of a font file, (len(characters), size, size), black 0 on white 255.

    Raises UserError for a file that is no font, or that lacks some of them.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"there is no file {path}; check the path.")
    try:
        font = ImageFont.truetype(str(path), LARGE, layout_engine=ImageFont.Layout.BASIC)
        nothing = _ink(font, ABSENT)
        drawn = [_ink(font, character) for character in characters]
    except (OSError, ValueError, MemoryError, SyntaxError) as error:
        packed = " (WOFF2 needs a Pillow built with brotli; convert it to TTF)" if path.suffix.lower() == ".woff2" else ""
        raise UserError(f"{path} cannot be read as a font ({error}){packed}; replace it or take it out.") from error
    missing = [c for c, one in zip(characters, drawn) if one.getbbox() is None or one.tobytes() == nothing.tobytes()]
    if missing:
        raise UserError(f"{path} lacks {''.join(missing[:8])}{' ...' if len(missing) > 8 else ''}; take it out or choose another font.")
    return np.stack([placed(one, size) for one in drawn])


def _ink(font: ImageFont.FreeTypeFont, character: str) -> Image.Image:
    """One character, white 0 to black 255, on three ems of paper: display faces reach far beyond theirs."""
    paper = Image.new("L", (3 * LARGE, 3 * LARGE), 0)
    ImageDraw.Draw(paper).text((LARGE, LARGE), character, 255, font)
    return paper


def family(path: Path) -> str:
    """The family's name in a font file; the file's own name where it has none."""
    try:
        return ImageFont.truetype(str(path), 10).getname()[0] or path.stem
    except (OSError, ValueError):
        return path.stem


class Fonts(Lettered):
    """Every readable font below a folder is a class; `contents` says which character it shows. `broken`: what was skipped, and why."""

    source: ClassFolders

    def __init__(self, source: ClassFolders, *, size: int, split: str, n: int | None = None):
        self.source, self.spec = source, source.classes
        root, paths = Path(source.classes).expanduser(), fonts_in(source.classes)
        per, shape = len(CHARACTERS), (len(paths) * len(CHARACTERS), size, size)

        def fill(file: Path) -> list[str | None]:
            array = np.load(file, mmap_mode="r+")
            errors: list[str | None] = []
            for row, path in enumerate(paths):
                try:
                    array[row * per : (row + 1) * per] = draw_font(path, size)
                    errors.append(None)
                except UserError as error:
                    errors.append(str(error))
            array.flush()
            return errors

        stamps = [(str(path.relative_to(root)), path.stat().st_mtime_ns, path.stat().st_size) for path in paths]
        key = "fonts-" + cache.key(root=str(root.resolve()), stamps=stamps, size=size, version=VERSION)
        self.pictures, errors = cache.array(key, "pictures", shape, fill, "glyphs")
        self.broken = [(path, error) for path, error in zip(paths, errors) if error is not None]
        good = [row for row, error in enumerate(errors) if error is None]
        if len(good) < 2:
            why = f"; skipped: {self.broken[0][1]}" if self.broken else "; add font files."
            many = {0: "no font", 1: "one font alone"}[len(good)]
            raise UserError(f"{root} holds {many} that can be used, and at least two are needed{why}")
        names = [str(path.relative_to(root).with_suffix("")) for path in paths]
        names = [name if names.count(name) == 1 else str(path.relative_to(root)) for name, path in zip(names, paths)]
        of_split = split_classes([names[row] for row in good], [family(paths[row]) for row in good])
        shared = set(of_split.values()) == {"train"}  # too few to hold any out
        rows = [row for row in good if shared or of_split[names[row]] == split][:n]
        self.notes = tuple(_said(len(good), len(rows), split, shared, self.broken, _pictures(root)))
        key = f"{key}-{split}" + ("" if n is None else f"-{n}")
        super().__init__([(row, names[row]) for row in rows], size=size, split=split, key=key, varied=source.varied)

    def content_source(self) -> Classed:
        return self if self.split == "train" else Fonts(replace(self.source, varied=False), size=self.size, split="train")


class Both(Alphabets):
    """Two sets of typefaces as one: the classes of `first`, then those of `second`; both show the same characters.

    Of the classes that few-shot batches ask for, every second one, by chance, is of `first`, the rest are of both: the fonts of a computer
    are many, and models that read them all as often forgot the display faces.
    """

    source: ClassFolders

    def __init__(self, first: Glyphs, second: Fonts):
        self.sets, self.source, self.notes = (first, second), second.source, second.notes
        self.spec, self.plain = f"{first.spec} + {second.spec}", first.plain
        super().__init__(
            classes=first.classes + second.classes,
            rows=np.arange(len(first.rows) + len(second.rows)),
            labels=np.concatenate([first.labels, second.labels + len(first.classes)]),
            contents=np.concatenate([one.contents for one in self.sets if one.contents is not None]),
            content_names=first.content_names,
            size=first.size,
            split=first.split,
            grey=True,
            key=f"{first.key}-{second.key}",
        )

    def pixels(self, rows: Rows) -> NDArray[np.uint8]:
        out, (first, second) = np.empty((len(rows), self.size, self.size), np.uint8), self.sets
        ours = rows < len(first.rows)
        out[ours], out[~ours] = first.pixels(first.rows[rows[ours]]), second.pixels(second.rows[rows[~ours] - len(first.rows)])
        return out

    def asked(self, rows: Rows, positions: Rows, seed: int) -> Rows:
        return np.where(coin("set", positions, seed), rows % len(self.sets[0].rows), rows)

    def content_source(self) -> Classed:
        return self if self.split == "train" else typefaces(replace(self.source, varied=False, beside="glyphs"), self.size, "train")


def typefaces(source: ClassFolders, size: int, split: str, n: int | None = None) -> Classed:
    """The fonts of a folder, after the built-in typefaces where `source` asks for these. Raises UserError for what is none of these."""
    if source.beside not in (None, "glyphs", "glyphs:varied"):
        raise UserError(f'only built-in typefaces go beside fonts: glyphs or glyphs:varied, not "{source.beside}".')
    fonts = Fonts(source, size=size, split=split, n=n)
    return Both(Glyphs(size=size, split=split, varied=source.beside != "glyphs"), fonts) if source.beside else fonts


def _pictures(root: Path) -> int:
    """How many pictures lie among the fonts."""
    try:
        return len(list_pictures(root).names)
    except UserError:
        return 0


def _said(good: int, here: int, split: str, shared: bool, broken: Sequence[tuple[Path, str]], pictures: int) -> list[str]:
    lines = [f"{good} fonts, {here} of them in {split}"]
    if pictures:
        lines.append(f"pictures beside the fonts are left out: {pictures:,}")
    if shared:
        lines.append("fewer than five families: none is held out, so val and test show what training has seen")
    if broken:
        few = "; ".join(why.rstrip(".") for _, why in broken[:5])
        lines.append(f"skipped {len(broken)} font files: {few}" + ("; ..." if len(broken) > 5 else ""))
    return lines
