"""Edits of files: pictures or folders in, pictures of the same size out.

A model sees a square of each picture; what it changed is pasted back at full size (`data.photo.Photo`). Pictures go through in batches,
read and written by threads while the model works on the next. A picture that cannot be read is listed, and the others are done.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from PIL import Image
from torch import Tensor

from unweave import verbs
from unweave.data.folders import list_pictures
from unweave.data.ink import tidied
from unweave.data.photo import Photo, decode, square_box
from unweave.errors import UserError
from unweave.masks import binary
from unweave.method import Method
from unweave.metrics.looks import remarks
from unweave.pictures import Sheet, draw, gif, overlay, strip, to_image
from unweave.runs import write

BATCH = 64
SHOWN = 8  # pictures on a sheet, each way


@dataclass
class Done:
    """What came of an edit. written: the pictures, in order. sheet: an overview of them. broken: what could not be read, and why.

    notes: remarks on pictures that were read, such as that only the first frame of an animation was.
    """

    written: list[Path] = field(default_factory=list)
    sheet: Path | None = None
    broken: list[tuple[Path, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def result(self) -> Path:
        """The one path to look at: the picture if there is one, else their folder."""
        return self.written[0] if len(self.written) == 1 else self.written[0].parent


def image(path: str | Path, size: int = 64, fit: str = "crop") -> Tensor:
    """A picture file as models read it: (1, 3, size, size) in [-1, 1].

    fit: how it becomes square: crop (the middle), pad or stretch. Raises UserError when it cannot be read.
    """
    return Photo(path, size, fit).square


def save(picture: Tensor, path: str | Path) -> Path:
    """Write one picture, (3, H, W) or (1, 3, H, W) in [-1, 1], or a mask, (1, H, W) or (1, 1, H, W) in [0, 1]; -> the path."""
    one = picture[0] if picture.dim() == 4 and len(picture) == 1 else picture
    return save_image(to_image(one), Path(path))


# -- the edits -----------------------------------------------------------------------------------------------------------------


def transfer(
    model: Method,
    donors: Sequence[Path],
    onto: Sequence[Path],
    out: Path,
    fit: str = "crop",
    amount: float = 1.0,
    direction: str | None = None,
) -> Done:
    """Every picture of `onto` with the part of each donor: OUT/<stem>.png, or OUT/<stem>-<donor's stem>.png when there are several donors.

    direction: of a model of two parts, "a2b" or "b2a". OUT/sheet.png shows rows of pictures under columns of donors.
    """
    verbs.way(model, direction)  # a wrong one is named before anything is written
    done = Done()
    givers = [(path, square.to(_device(model))) for path, square in _squares(donors, model.size, fit, done)]
    if not givers:
        raise UserError(f"None of the pictures to take the part from could be read: {_listed(done)}.")
    rows: list[list[Tensor | None]] = []
    with _Writer(onto, out, done) as writer:
        for paths, squares in _batches(onto, model, fit, done):
            shown = squares[: max(0, SHOWN - len(rows))]
            cells: list[list[Tensor | None]] = [[target] for target in shown]
            for giver, square in givers:
                made = verbs.painted(model, square, squares, amount, direction)
                assert made.image is not None
                suffix = f"-{giver.stem}" if len(givers) > 1 else ""
                for i, path in enumerate(paths):
                    writer.paste(path, suffix, made.image[i], None if made.mask is None else made.mask[i], fit)
                if len(cells) and len(cells[0]) <= SHOWN:
                    for i, row in enumerate(cells):
                        row.append(made.image[i])
            rows += cells
        heads = [None, *[square[0] for _, square in givers[:SHOWN]]]
        return writer.finish(Sheet([heads, *rows], top=["", *[path.stem for path, _ in givers[:SHOWN]]]))


def remove(model: Method, pictures: Sequence[Path], out: Path, fit: str = "crop") -> Done:
    """Every picture without the part: OUT/<stem>.png; OUT/sheet.png shows before, after and where."""
    done = Done()
    columns: list[tuple[Tensor, Tensor, Tensor | None]] = []
    with _Writer(pictures, out, done) as writer:
        for paths, squares in _batches(pictures, model, fit, done):
            made = verbs.removed(model, squares)
            assert made.image is not None
            for i, path in enumerate(paths):
                mask = None if made.mask is None else made.mask[i]
                writer.paste(path, "", made.image[i], mask, fit)
                columns.append((squares[i], made.image[i], None if mask is None else overlay(squares[i], mask)))
            columns = columns[:SHOWN]
        rows = [("before", 0), ("after", 1), *([("where", 2)] if columns and columns[0][2] is not None else [])]
        return writer.finish(Sheet([[column[k] for column in columns] for _, k in rows], left=[name for name, _ in rows]))


def union(model: Method, a: Path, b: Path, out: Path, fit: str = "crop") -> Done:
    """Both pictures, a of set a and b of set b, each with the parts of both: OUT/<stem>.png; OUT/sheet.png shows before and after."""

    def both(a: Tensor, b: Tensor) -> list[Tensor]:
        return [verbs.union(model, a, b), verbs.union(model, a, b, onto=b, domain="b")]

    return _of_two(both, "both parts", model, (a, b), out, fit)


def intersection(model: Method, a: Path, b: Path, out: Path, fit: str = "crop") -> Done:
    """Both pictures, a of set a and b of set b, each without any part: OUT/<stem>.png; OUT/sheet.png shows before and after."""

    def neither(a: Tensor, b: Tensor) -> list[Tensor]:
        return [verbs.intersection(model, a, "a"), verbs.intersection(model, b, "b")]

    return _of_two(neither, "neither", model, (a, b), out, fit)


def _of_two(
    edit: Callable[[Tensor, Tensor], list[Tensor]], label: str, model: Method, paths: tuple[Path, Path], out: Path, fit: str
) -> Done:
    done = Done()
    squares = torch.cat([image(path, model.size, fit) for path in paths]).to(_device(model))
    made = torch.cat(edit(*squares.split(1)))
    with _Writer(paths, out, done) as writer:
        for path, picture in zip(paths, made):
            writer.paste(path, "", picture, None, fit)
        return writer.finish(Sheet([list(squares), list(made)], top=[path.stem for path in paths], left=["before", label]))


def segment(model: Method, pictures: Sequence[Path], out: Path, threshold: str = "auto", fit: str = "crop") -> Done:
    """Where the part is, as a grey picture of the same size: OUT/<stem>.png, white where the part is, black elsewhere.

    threshold: "auto" finds one for each picture, a number from 0 to 1 is one for all, "soft" keeps the shades.
    OUT/sheet.png shows the masks over the pictures; OUT/segments.csv has a line for each of them (`Mark`), of a single one too.
    """
    done = Done()
    columns: list[tuple[Tensor, Tensor]] = []
    marks: dict[Path, Mark] = {}

    def drawn(path: Path, soft: Tensor, marked: Tensor) -> Image.Image:
        whole = _spread(marked, path, fit)
        marks[path] = Mark.of(path, whole, soft, marked)
        return _spread(soft, path, fit) if threshold == "soft" else whole

    with _Writer(pictures, out, done) as writer:
        for paths, squares in _batches(pictures, model, fit, done):
            soft = verbs.segment(model, squares)
            marked = binary(soft, "auto" if threshold == "soft" else threshold)
            for path, one, two in zip(paths, soft, marked):
                writer.draw(path, "", partial(drawn, path, one, two))
            masks = soft if threshold == "soft" else marked
            columns = (columns + [(square, overlay(square, mask)) for square, mask in zip(squares, masks)])[:SHOWN]
        writer.finish(Sheet([[a for a, _ in columns], [b for _, b in columns]], left=["picture", "part"]))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(Mark.columns)
    lines.writerows(marks[path].line() for path in pictures if path in marks)
    write(out / "segments.csv", text.getvalue().encode())
    return done


@dataclass(frozen=True)
class Mark:
    """Where the part is in one picture, as a line of segments.csv.

    file: the picture, as it was named. area: share of the whole picture that is marked, in [0, 1]. box: the smallest one around it,
    left, top, right, bottom in pixels of the upright picture, right and bottom just outside; None where nothing is marked.
    confidence: mean of the soft mask over what is marked, on the square that the model saw, in [0, 1]; 0 where nothing is.
    """

    columns: ClassVar = ("file", "area", "x0", "y0", "x1", "y1", "confidence")
    file: Path
    area: float
    box: tuple[int, int, int, int] | None
    confidence: float

    @classmethod
    def of(cls, file: Path, whole: Image.Image, soft: Tensor, marked: Tensor) -> Mark:
        """whole: the marks at the picture's size, black and white. soft, marked: (1, S, S), in [0, 1] and bool."""
        box = whole.getbbox()
        sure = soft[marked].mean().item() if box else 0.0
        return cls(file, whole.histogram()[255] / (whole.width * whole.height), box, sure)

    def line(self) -> list[str | int]:
        return [str(self.file), f"{self.area:.6f}", *(self.box or [""] * 4), f"{self.confidence:.4f}"]


def interpolate(
    model: Method, first: Path, second: Path, code: str, out: Path, steps: int = 8, onto: Path | None = None, fit: str = "crop"
) -> Done:
    """A walk of one code from `first`'s to `second`'s, on `onto` (or `first`). A folder stands for the mean code of its pictures.

    OUT/<stem>-<step>.png are the steps, as the model draws them; OUT/<stem>-strip.png shows all of them.
    """
    done = Done()
    start, end = (_whole(pictures([path]), model, fit, done) for path in (first, second))
    base = None if onto is None else image(onto, model.size, fit).to(_device(model))
    frames = verbs.interpolate(model, start, end, code, steps, base)
    stem = (onto or first).stem
    folder(out)
    done.written = [save_image(to_image(frame), out / f"{stem}-{i}.png") for i, frame in enumerate(frames)]
    ends = [base[0] if base is not None else start[0], *frames, end[0]]
    done.sheet = save_image(
        draw(strip(ends, ["picture", *[f"{i / (steps - 1):.2f}" for i in range(steps)], second.stem])), out / f"{stem}-strip.png"
    )
    return done


def translate(
    model: Method, contents: Sequence[Path], examples: Mapping[str, Sequence[Path]], out: Path, fit: str = "crop", tidy: bool = False
) -> Done:
    """Every picture in the class of some examples: OUT/<stem>.png, of several classes OUT/<stem>-<class>.png.

    examples: by class, its example pictures, all of which count. tidy: ink is cut out and placed as in the built-in glyphs, first.
    OUT/sheet.png shows rows of contents under columns of classes, each by an example.
    """
    done = Done()
    shown = {name: _whole(paths, model, fit, done, tidy) for name, paths in examples.items()}
    rows: list[list[Tensor | None]] = []
    with _Writer(contents, out, done) as writer:
        for paths, squares in _batches(contents, model, fit, done):
            squares = tidied(squares) if tidy else squares
            made = {name: verbs.translate(model, squares, pictures) for name, pictures in shown.items()}
            if not rows:
                done.notes += [f"{name}: {said}" for name, drawn in made.items() for said in remarks(drawn, shown[name], tidy)]
            for i, path in enumerate(paths):
                for name, drawn in made.items():
                    writer.draw(path, f"-{name}" if len(made) > 1 else "", partial(to_image, drawn[i]))
                if len(rows) < 4 * SHOWN:
                    rows.append([squares[i], *[drawn[i] for drawn in made.values()]])
        heads = [None, *[pictures[0] for pictures in shown.values()]]
        return writer.finish(Sheet([heads, *rows], top=["", *shown]))


def alphabet(
    model: Method,
    contents: Mapping[str, Tensor],
    examples: Tensor,
    out: Path,
    truth: Mapping[str, Tensor] | None = None,
    tidy: bool = False,
) -> Done:
    """All contents in the class of the examples: OUT/<name>.png and OUT/sheet.png, beside the truth when there is any.

    contents, truth: by name, pictures (3, S, S) in [-1, 1]. examples: (K, 3, S, S). tidy: they were `tidied`.
    """
    done = Done()
    folder(out)
    made = verbs.translate(model, torch.stack(list(contents.values())).to(_device(model)), examples.to(_device(model))).cpu()
    done.notes += [f"examples: {said}" for said in remarks(made, examples, tidy)]
    done.written = [save_image(to_image(one), out / f"{name}.png") for name, one in zip(contents, made)]
    across = 12
    rows: list[list[Tensor | None]] = [list(examples[:across])]
    left = ["examples"]
    for start in range(0, len(made), across):
        names = list(contents)[start : start + across]
        rows += [[contents[name] for name in names], list(made[start : start + across])]
        left += ["content", "drawn"]
        if truth:
            rows.append([truth.get(name) for name in names])
            left.append("truth")
    done.sheet = save_image(draw(Sheet(rows, left=left), scale=1 if model.size >= 64 else 2), out / "sheet.png")
    return done


def slide(model: Method, pictures: Sequence[Path], attribute: str, values: Sequence[float], out: Path, fit: str = "crop") -> Done:
    """An attribute of each picture at each of these values: OUT/<stem>-<i>.png, all of them in OUT/<stem>-strip.png and OUT/<stem>.gif.

    OUT/sheet.png has a row for each of the first pictures.
    """
    done = Done()
    rows: list[list[Tensor]] = []
    labels = [f"{attribute} {value:.3g}" for value in values]
    with _Writer(pictures, out, done) as writer:
        for path, square in _squares(pictures, model.size, fit, done):
            made = verbs.slid(model, square.to(_device(model)), attribute, values)
            assert made.image is not None
            frames = made.image.cpu()
            for i, frame in enumerate(frames):
                writer.paste(path, f"-{i}", frame, None if made.mask is None else made.mask[i], fit)
            whole = draw(strip([square[0], *frames], ["picture", *labels]))
            writer.add(path, "-strip.png", partial(save_image, whole))
            titled = [draw(Sheet([[frame]], top=[label])) for frame, label in zip(frames, labels)]
            writer.add(path, ".gif", partial(gif, titled, seconds=0.25))
            rows += [[square[0], *frames]] if len(rows) < SHOWN else []
        return writer.finish(Sheet(rows, top=["picture", *labels]))


def set_attributes(model: Method, pictures: Sequence[Path], values: Mapping[str, float], out: Path, fit: str = "crop") -> Done:
    """Every picture with these attributes at these values: OUT/<stem>.png; OUT/sheet.png shows before and after."""
    done = Done()
    columns: list[tuple[Tensor, Tensor]] = []
    with _Writer(pictures, out, done) as writer:
        for paths, squares in _batches(pictures, model, fit, done):
            made = verbs.altered(model, squares, values)
            assert made.image is not None
            for i, path in enumerate(paths):
                writer.paste(path, "", made.image[i], None if made.mask is None else made.mask[i], fit)
            columns = (columns + list(zip(squares, made.image)))[:SHOWN]
        return writer.finish(Sheet([[a for a, _ in columns], [b for _, b in columns]], left=["before", "after"]))


# -- reading and writing -------------------------------------------------------------------------------------------------------


def pictures(paths: Iterable[str | Path]) -> list[Path]:
    """The picture files that these names stand for: a picture is itself, a folder all pictures directly in it.

    Raises UserError for a name that does not exist and for a folder without pictures.
    """
    found: list[Path] = []
    for name in paths:
        path = Path(name).expanduser()
        if not path.exists():
            raise UserError(f'There is no picture or folder "{name}".')
        found += list_pictures(path).paths if path.is_dir() else [path]
    return found


def _squares(paths: Sequence[Path], size: int, fit: str, done: Done) -> Iterator[tuple[Path, Tensor]]:
    """Each readable picture's square (1, 3, S, S), read ahead by threads; the others go to `done.broken`."""

    def read(path: Path) -> Tensor | str:
        try:
            photo = Photo(path, size, fit)
        except UserError as error:
            return str(error)
        done.notes += photo.notes
        return photo.square

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(paths), BATCH):
            for path, got in zip(paths[start : start + BATCH], pool.map(read, paths[start : start + BATCH])):
                if isinstance(got, str):
                    done.broken.append((path, got))
                else:
                    yield path, got


def _whole(paths: Sequence[Path], model: Method, fit: str, done: Done, tidy: bool = False) -> Tensor:
    """All readable pictures at once, (K, 3, S, S): the examples of a class. Raises UserError when there is none."""
    return torch.stack([picture for _, picture in read(paths, model.size, fit, done, tidy)]).to(_device(model))


def read(paths: Sequence[Path], size: int, fit: str, done: Done, tidy: bool = False) -> list[tuple[Path, Tensor]]:
    """Readable pictures (3, S, S) with their paths; the others go to `done.broken`. Raises UserError when there is none."""
    found = [(path, (tidied(square) if tidy else square)[0]) for path, square in _squares(paths, size, fit, done)]
    if not found:
        raise UserError(f"None of the pictures could be read: {_listed(done)}.")
    return found


def _device(model: Method) -> torch.device:
    return next(model.parameters()).device


def _batches(paths: Sequence[Path], model: Method, fit: str, done: Done) -> Iterator[tuple[list[Path], Tensor]]:
    """Readable pictures in batches: their paths and squares (N, 3, S, S)."""
    squares = _squares(paths, model.size, fit, done)
    while batch := list(itertools.islice(squares, BATCH)):
        yield [path for path, _ in batch], torch.cat([square for _, square in batch]).to(_device(model))


class _Writer:
    """Writes results by threads, under the stem of the edited picture; two pictures of one stem do not overwrite each other."""

    def __init__(self, sources: Sequence[Path], out: Path, done: Done):
        self.out, self.done = out, done
        self.pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
        self.jobs: list[Future[Path]] = []
        self.more: list[Future[object]] = []
        stems: dict[str, int] = {"sheet": 1}  # sheet.png is the overview's name
        self.stems: dict[Path, str] = {}
        for path in sources:
            stems[path.stem] = stems.get(path.stem, 0) + 1
            self.stems[path] = path.stem if stems[path.stem] == 1 else f"{path.stem}-{stems[path.stem]}"
        own = {path.resolve() for path in sources}
        if any((out / f"{stem}.png").resolve() in own for stem in self.stems.values()):
            raise UserError(f'The results would overwrite the pictures themselves: choose another folder than "{out}" with -o.')
        folder(out)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(cancel_futures=error[0] is not None)

    def paste(self, path: Path, suffix: str, edited: Tensor, mask: Tensor | None, fit: str) -> None:
        """Write the picture with the square `edited` (3, S, S) pasted back where `mask` (1, S, S) says."""
        # The picture is opened a second time: a thousand large photographs kept open would not fit in memory.
        self.draw(path, suffix, lambda: Photo(path, len(edited[0]), fit).paste(edited, mask))

    def draw(self, path: Path, suffix: str, work: Callable[[], Image.Image]) -> None:
        """Write what `work` makes."""
        target = self.out / f"{self.stems[path]}{suffix}.png"
        self.jobs.append(self.pool.submit(lambda: save_image(work(), target)))

    def add(self, path: Path, ending: str, write: Callable[[Path], object]) -> None:
        """Write something beside the pictures: OUT/<stem><ending>."""
        target = self.out / f"{self.stems[path]}{ending}"
        self.more.append(self.pool.submit(lambda: write(target)))

    def finish(self, sheet: Sheet) -> Done:
        """Wait for the files, then write the sheet. Raises UserError when nothing could be read."""
        self.done.written = [job.result() for job in self.jobs]
        for job in self.more:
            job.result()
        if not self.done.written:
            raise UserError(f"None of the pictures could be read: {_listed(self.done)}.")
        self.done.sheet = save_image(draw(sheet), self.out / "sheet.png")
        return self.done


def _spread(mask: Tensor, path: Path, fit: str) -> Image.Image:
    """The mask (1, S, S) at the picture's full size, black outside its square; a bool mask stays black and white."""
    width, height = decode(path, least=len(mask[0])).size
    left, top, right, bottom = (int(side) for side in square_box(width, height, fit))
    large = to_image(mask).resize((right - left, bottom - top), Image.Resampling.BILINEAR)
    if mask.dtype == torch.bool:
        large = large.point(lambda level: 255 * (level >= 128))
    whole = Image.new("L", (width, height))
    whole.paste(large, (left, top))
    return whole


def _listed(done: Done) -> str:
    return "; ".join(f"{path.name}: {why.rstrip('.')}" for path, why in done.broken[:5]) + ("; ..." if len(done.broken) > 5 else "")


def folder(path: Path) -> Path:
    """Make a folder for results, if need be. Raises UserError when that or writing to it is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f'The folder "{path}" cannot be made ({error.strerror}): choose another with -o.') from error
    if not os.access(path, os.W_OK):
        raise UserError(f'Nothing can be written to the folder "{path}": choose another with -o.')
    return path


def save_image(picture: Image.Image, path: Path) -> Path:
    """Write a PNG under a temporary name, then rename it: no half pictures."""
    part = path.with_name(f".{path.name}.part")
    try:
        picture.save(part, format=Image.registered_extensions().get(path.suffix.lower(), "PNG"))
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise UserError(f'"{path}" cannot be written ({error.strerror or error}).') from error
    return path
